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

from functools import cache

from .arrays import Array, Scratch
from .controls import Layer
from .fields import AffineField
from .implicit import Solution, Status, solve_costates, solve_stages
from .linear import StageMatrix
from .stacks import Columns, Stack, Stacks, nonzero_columns
from .tableaux import Block, ButcherTableau

__all__ = ["AdjointPlan", "Step", "adjoint_step", "combination_rows", "step", "step_plan"]


# What the adjoint of a step needs: the layer, and Newton's matrix of each implicit block, by its
# first stage.
Step = tuple[Layer, dict[int, StageMatrix]]


@cache
def step_plan(tableau: ButcherTableau, carry: float) -> list[tuple[list[float], Columns]]:
    """The coefficients of y, F1, … without their factor h in Y1, …, Ys and in y⁺; their columns.

    Those of the Yi stop where their block begins.
    """
    rows = []
    for block in tableau.blocks:
        for i in block.stages:
            row = [1.0, *tableau.A[i][: block.start]]
            columns = nonzero_columns(row) if block.explicit else (0, len(row), 1)
            rows.append((row, columns))
    weights = [carry, *tableau.b]
    return [*rows, (weights, nonzero_columns(weights))]


def combination_rows(
    tableau: ButcherTableau, carry: float, h: Array, scratch: Scratch
) -> list[Array]:
    """The coefficients of `step_plan` with their factor, (*h.shape, 1, number) each."""
    h = h[..., None, None]
    rows = []
    for row, columns in step_plan(tableau, carry):
        of_y = [row[0], *[0.0] * (len(row) - 1)][slice(*columns)]
        of_F = [0.0, *row[1:]][slice(*columns)]
        rows.append(scratch.array([of_y]) + h * scratch.array([of_F]))
    return rows


def step(
    tableau: ButcherTableau,
    field: AffineField,
    columns: list[Columns],
    layer: Layer,
    stack: Stack,
    values: list[Stack],
    end: Stack,
    scratch: Scratch,
) -> tuple[dict[int, StageMatrix], list[Status]]:
    """y⁺.

    Parameters
    ----------
    tableau : ButcherTableau
    field : AffineField
    columns : list
        Those of `step_plan`.
    layer : Layer
    stack : Stack
        Holds y, and is filled with F1, …, Fs.
    values : list of Stack
        Filled with Y1, …, Ys; the first is `stack` itself where Y1 = y.
    end : Stack
        Gets y⁺ as its x0.

    Returns
    -------
    matrices : dict
        Newton's matrix of each implicit block, by its first stage.
    statuses : list of Status
        How the stage equations of each implicit block were solved.
    """
    xp, rows = scratch.xp, layer.rows
    matrices, statuses = {}, []
    for block in tableau.blocks:
        i = block.start
        if block.explicit:
            Y = values[i]
            if Y is not stack:
                stack.combination(rows[i], columns[i], Y)
            stack.x[1 + i] = field.value(xp, Y.with_one, layer.K_b, None, stack.out[1 + i])
        else:
            solution = _solved(block, field, layer, stack, values, scratch)
            matrices[i] = solution.matrix
            statuses.append(solution.status)
    stack.combination(rows[-1], columns[-1], end)
    return matrices, statuses


def _solved(
    block: Block,
    field: AffineField,
    layer: Layer,
    stack: Stack,
    values: list[Stack],
    scratch: Scratch,
) -> Solution:
    """The stages of an implicit block, from the state and the slopes before it."""
    xp = scratch.xp
    rows = xp.concat([layer.rows[i] for i in block.stages], axis=1)
    base = stack.combinations(rows, (0, 1 + block.start, 1))
    B = xp.stack([base[:, j, ...] for j in range(len(block.A))], axis=2)
    solution = solve_stages(block.A, field, B, layer, scratch)
    for j, i in enumerate(block.stages):
        values[i].put(0, solution.Y[:, :, j, :])
        stack.put(1 + i, solution.F[:, :, j, :])
    return solution


class AdjointPlan:
    """What of the adjoint step is the same for all layers.

    The Vj are kept in the order in which they are found, from the last block of stages to the
    first, each block from its first stage to its last.

    Parameters
    ----------
    scratch : Scratch
    tableau : ButcherTableau
    """

    def __init__(self, scratch: Scratch, tableau: ButcherTableau) -> None:
        A, b = tableau.A, tableau.b
        found: list[int] = []
        # Of each block: the place of its first Vj, the rows (bi, aji, …) over p⁺ and the Vj before,
        # their columns, or none where Γ is p⁺ itself, and whether another Γ depends on its Vj.
        self.blocks = []
        for block in reversed(tableau.blocks):
            rows = [[b[i], *(A[j][i] for j in found)] for i in block.stages]
            columns: Columns | None = (0, len(rows[0]), 1)
            if block.explicit:
                columns = nonzero_columns(rows[0])
                rows = [rows[0][slice(*columns)]]
                if columns[0] == 0 and rows == [[1.0]]:
                    columns = None
            wanted = any(A[j][i] for j in block.stages for i in range(block.start))
            self.blocks.append((block, 1 + len(found), scratch.array([rows]), columns, wanted))
            found += block.stages


def adjoint_step(
    plan: AdjointPlan,
    carry: float,
    step: Step,
    sigma: Stack,
    costate: Stack,
    scratch: Scratch,
    F: Stack | None = None,
    with_p: bool = True,
) -> Array | None:
    """p in place of p⁺, and G in place of σ′.

    Parameters
    ----------
    plan : AdjointPlan
    carry : float
        α.
    step : Step
    sigma : Stack
        Holds σ′ of the stages as x1, …, xs, and then G = σ′∘Γ; where the costates of a sample
        cannot be found, NaN.
    costate : Stack
        Holds p⁺ and then, unless it is not wanted, p; and is filled with the Vj.
    F : Stack, optional
        The slopes, for ∂J/∂h.
    with_p : bool
        Whether p is wanted.

    Returns
    -------
    dh : array of shape (members,) or None
        ∂J/∂h, where `F` is given.
    """
    xp, back = scratch.xp, step[0].back
    dh = None
    for block, place, rows, columns, wanted in plan.blocks:
        gammas = costate.x[:1]
        if columns is not None:
            gammas = _gammas(step, block, sigma, costate, rows, columns, scratch)
        for j, gamma in enumerate(gammas, 1 + block.start):
            if F is not None:
                part = xp.sum(xp.vecdot(F.x[j], gamma), axis=1)
                dh = part if dh is None else dh + part
            G = sigma.x[j] = xp.multiply(sigma.x[j], gamma, out=sigma.out[j])
            if with_p or wanted:
                costate.x[place] = xp.matmul(back, G, out=costate.out[place])
                place += 1
    if with_p:
        p, *terms = costate.x if carry else costate.x[1:]
        for V in terms:
            p = xp.add(p, V, out=costate.out[0])
        costate.put(0, p)
    return dh


def _gammas(
    step: Step,
    block: Block,
    sigma: Stack,
    costate: Stack,
    rows: Array,
    columns: Columns,
    scratch: Scratch,
) -> list[Array]:
    """Γi of the stages of a block."""
    if block.explicit:
        gamma: Stack = scratch.once(Stacks, "gamma", 1, 0, costate.x[0].shape).layers[0]
        costate.combination(rows, columns, gamma)
        return gamma.x[:1]
    xp, k = scratch.xp, len(block.A)
    r = costate.combinations(rows, columns)
    R = xp.stack([r[:, j, ...] for j in range(k)], axis=2)
    of_block = xp.stack([sigma.x[1 + i] for i in block.stages], axis=2)
    layer, matrices = step
    gammas, status = solve_costates(block.A, matrices[block.start], of_block, R, layer, scratch)
    found = status.converged[:, None, None, :]
    gammas = xp.where(found, gammas, xp.asarray(xp.nan, dtype=gammas.dtype))
    return [gammas[:, :, j, :] for j in range(k)]
