"""One step of a Runge-Kutta scheme, and its adjoint.

One step of a scheme (A, b, c) with step h and controls U, and its adjoint without any division,
so that weights bi = 0 are allowed:

    Yi = y + h Σj aij Fj,   Fj = f(Yj, U)          Γi = bi p⁺ + Σj aji Vj,   Vj = h Jjᵀ Γj
    y⁺ = α y + h Σi bi Fi                          p  = α p⁺ + Σi Vi

    ∂J/∂U = h Σi (∂f/∂U at Yi)ᵀ Γi                 ∂J/∂h = Σi ⟨Fi, Γi⟩

α is 1 for an ODE and 0 for a feed-forward layer.  For bi ≠ 0, Γi/bi is the costate Pi of
Proposition 1 in Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as optimal
control problems" (2021).

The stages fall into blocks that need only themselves and the blocks before them.  A block of an
explicit scheme is one stage, which is evaluated; an implicit block is solved for.

With G = σ′∘Γ the field f = σ(K y + b) has JᵀΓ = KᵀG, (∂f/∂K)ᵀΓ = G Yᵀ, and (∂f/∂b)ᵀΓ the row sums
of G.  The last two are left to whoever has the G of all layers.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

from .arrays import Array, Scratch
from .controls import Layer
from .fields import AffineField
from .implicit import Status, solve_costates, solve_stages, worse
from .linear import StageMatrix
from .stacks import Stack, Stacks
from .tableaux import Block, ButcherTableau

__all__ = ["AdjointPlan", "Step", "adjoint_step", "combination_rows", "keeps_values", "step"]


class Step(NamedTuple):
    """What the adjoint of a step needs.

    Parameters
    ----------
    layer : Layer
    stack : Stack
        y, F1, …, Fs.
    matrices : dict
        Newton's matrix of each implicit block, by the number of its first stage.
    status : list of Status
        How the stage equations of all implicit blocks were solved: one entry, or none.
    """

    layer: Layer
    stack: Stack
    matrices: dict[int, StageMatrix]
    status: list[Status]


def keeps_values(tableau: ButcherTableau) -> list[bool]:
    """Which stages have a Yi of their own; an explicit first one has Y1 = y."""
    return [i > 0 or not tableau.blocks[0].explicit for i in range(len(tableau.b))]


def combination_rows(
    tableau: ButcherTableau, carry: float, h: Array, scratch: Scratch
) -> list[Array]:
    """The coefficients of y, F1, … in Y1, …, Ys and in y⁺, (*h.shape, 1, number) each.

    Those of the Yi stop where their block begins, and those in y⁺ begin with F1 where α = 0.
    """
    h = h[..., None, None]
    rows = []
    for block in tableau.blocks:
        start = block.stages.start
        for i in block.stages:
            of_y, of_F = [[1.0, *[0.0] * start]], [[0.0, *tableau.A[i][:start]]]
            rows.append(scratch.array(of_y) + h * scratch.array(of_F))
    weights = h * scratch.array([tableau.b])
    if carry:
        alpha = scratch.xp.full_like(weights[..., :1], carry)
        weights = scratch.xp.concat([alpha, weights], axis=-1)
    return [*rows, weights]


def step(
    tableau: ButcherTableau,
    field: AffineField,
    layer: Layer,
    stack: Stack,
    values: list[Stack | None],
    end: Stack,
    scratch: Scratch,
) -> Step:
    """y⁺.

    Parameters
    ----------
    layer : Layer
    stack : Stack
        Holds y, and is filled with F1, …, Fs.
    values : list of Stack or None
        Filled with Y1, …, Ys; None where `keeps_values` says so.
    end : Stack
        Gets y⁺ as its x0.
    """
    xp, rows = scratch.xp, layer.rows
    matrices, statuses = {}, []
    for block in tableau.blocks:
        i = block.stages.start
        if block.explicit:
            Y = values[i]
            if Y is None:
                Y = stack
            else:
                stack.combination(rows[i], 0, Y)
            stack.put(1 + i, field.value(xp, Y.with_one, layer.K_b, out=stack.out[1 + i]))
            continue
        base = stack.combinations(xp.concat([rows[j] for j in block.stages], axis=1), 0)
        B = xp.stack([base[:, j, ...] for j in range(len(block.A))], axis=2)
        solution = solve_stages(block.A, field, B, layer, scratch, "F", i)
        for j in block.stages:
            own = values[j]
            assert own is not None
            own.put(0, solution.Y[:, :, j - i, :])
            stack.put(1 + j, solution.F[:, :, j - i, :])
        matrices[i] = solution.matrix
        statuses.append(solution.status)
    weights = rows[-1]
    stack.combination(weights, 1 + len(tableau.b) - weights.shape[2], end)
    return Step(layer, stack, matrices, [reduce(worse, statuses)] if statuses else [])


class AdjointPlan:
    """What of the adjoint step is the same for all layers.

    The Vj are kept in the order in which they are found, from the last block of stages to the
    first, each block from its first stage to its last.

    Parameters
    ----------
    scratch : Scratch
    tableau : ButcherTableau
    carry : float
        α.
    """

    def __init__(self, scratch: Scratch, tableau: ButcherTableau, carry: float) -> None:
        A, b = tableau.A, tableau.b
        found: list[int] = []
        # Of each block: how many Vj there are before, the rows (bi, aji, …) over p⁺ and these Vj,
        # whether that is nothing but p⁺ itself, and whether another Γ depends on its Vj.
        self.blocks = []
        for block in reversed(tableau.blocks):
            rows = [[b[i], *(A[j][i] for j in found)] for i in block.stages]
            alone = block.explicit and rows == [[1.0]]
            wanted = any(A[j][i] for j in block.stages for i in range(block.stages.start))
            self.blocks.append(
                (block, len(found), scratch.array([rows]), alone, wanted)
            )
            found += block.stages
        self.first = 0 if carry else 1
        self.total = scratch.array([[[carry, *[1.0] * len(b)][self.first :]]])


def adjoint_step(
    plan: AdjointPlan,
    step: Step,
    sigma: list[Array],
    costate: Stack,
    end: Stack,
    scratch: Scratch,
    with_h: bool,
    with_p: bool = True,
) -> tuple[list[Array], Array | None]:
    """p, from p⁺.

    Parameters
    ----------
    plan : AdjointPlan
    step : Step
    sigma : list of arrays of shape (members, channels, samples)
        σ′ of each stage.  On libraries that write in place, they become G.
    costate : Stack
        Holds p⁺, and is filled with the Vj.
    end : Stack
        Gets p as its x0, where that is wanted.
    with_h, with_p : bool
        Whether ∂J/∂h and p are wanted.

    Returns
    -------
    G : list of arrays of shape (members, channels, samples)
        σ′∘Γ of each stage; where the costates of a sample cannot be found, NaN.
    dh : array of shape (members,) or None
    """
    xp, layer = scratch.xp, step.layer
    G = sigma.copy()
    dh = None
    for block, done, rows, alone, wanted in plan.blocks:
        gammas = [costate.x[0]] if alone else _gammas(step, block, sigma, costate, rows, scratch)
        for i, gamma in zip(block.stages, gammas, strict=True):
            if with_h:
                part = xp.sum(xp.vecdot(step.stack.x[1 + i], gamma), axis=1)
                dh = part if dh is None else dh + part
            G[i] = xp.multiply(sigma[i], gamma, out=sigma[i])
        if with_p or wanted:
            for slot, i in enumerate(block.stages, 1 + done):
                costate.put(slot, xp.matmul(layer.hK_transposed, G[i], out=costate.out[slot]))
    if with_p:
        costate.combination(plan.total, plan.first, end)
    return G, dh


def _gammas(
    step: Step, block: Block, sigma: list[Array], costate: Stack, rows: Array, scratch: Scratch
) -> list[Array]:
    """Γi of the stages of a block."""
    xp = scratch.xp
    if block.explicit:
        gamma = scratch.once(Stacks, "gamma", 1, 0, costate.x[0].shape)[0]
        costate.combination(rows, 0, gamma)
        return [gamma.x[0]]
    r = costate.combinations(rows, 0)
    R = xp.stack([r[:, j, ...] for j in range(len(block.A))], axis=2)
    of_block = xp.stack([sigma[i] for i in block.stages], axis=2)
    matrix = step.matrices[block.stages.start]
    gammas, status = solve_costates(block.A, matrix, of_block, R, step.layer, scratch)
    found = status.converged[:, None, None, :]
    gammas = xp.where(found, gammas, xp.asarray(xp.nan, dtype=gammas.dtype))
    return [gammas[:, :, j, :] for j in range(len(block.A))]
