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

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

from .arrays import Array, Namespace, Scratch, placed
from .fields import AffineField
from .implicit import StageControls, Status, solve_costates, solve_stages
from .linear import StageMatrix
from .places import Call, Place, call
from .stacks import Columns, Stack, nonzero_columns
from .tableaux import Block, ButcherTableau

__all__ = ["Adjoint", "AdjointPlan", "Layer", "Step", "combination_rows", "step_plan"]


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
    tableau: ButcherTableau, carry: float, scratch: Scratch
) -> list[tuple[Array, Array]]:
    """The coefficients of `step_plan` in the columns, of y and of F1, …, (1, number) each.

    The latter come with the factor h.
    """
    rows = []
    for row, columns in step_plan(tableau, carry):
        of_y = [row[0], *[0.0] * (len(row) - 1)][slice(*columns)]
        of_F = [0.0, *row[1:]][slice(*columns)]
        rows.append((scratch.array([of_y]), scratch.array([of_F])))
    return rows


@dataclass(eq=False)
class Layer:
    """The controls of one layer of every member, in the forms that a step and its adjoint need.

    The places of [K b], (members, n_channels, n_channels + 1), or where libraries do not write in
    place of K and b, (members, n_channels, 1); of h Kᵀ, (members, n_channels, n_channels), and of
    the coefficients of `combination_rows`; for implicit schemes the controls themselves, which are
    looked up for every block.
    """

    affine: list[Place]
    back: Place
    rows: list[Place]
    stage_controls: StageControls = field(init=False)


class Step:
    """The step from one state to the next, in the work arrays of a block.

    Parameters
    ----------
    tableau : ButcherTableau
    carry : float
        α.
    field : AffineField
    layer : Layer
    stack : Stack
        Holds y, and is filled with F1, …, Fs.
    values : list of Stack
        Filled with Y1, …, Ys; the first is `stack` itself where Y1 = y.
    end : Stack
        Gets y⁺ as its x0.
    scratch : Scratch

    Attributes
    ----------
    calls : list of callable
        Y1, F1, …, y⁺ by one after the other.
    statuses : dict
        How the stage equations of each implicit block were solved, by its first stage.
    matrices : dict
        Newton's matrix of each implicit block, by its first stage.
    """

    def __init__(
        self,
        tableau: ButcherTableau,
        carry: float,
        field: AffineField,
        layer: Layer,
        stack: Stack,
        values: list[Stack],
        end: Stack,
        scratch: Scratch,
    ) -> None:
        xp = scratch.xp
        # b comes with the product, or else along with σ.
        K, *b = layer.affine
        value = partial(field.of_sum if b else field.activation.value, xp)
        self.statuses: dict[int, Status] = {}
        self.matrices: dict[int, StageMatrix] = {}
        self.calls: list[Call] = []
        columns = [columns for _, columns in step_plan(tableau, carry)]
        for block in tableau.blocks:
            i = block.start
            if not block.explicit:
                self.calls.append(partial(self._solve, block, field, layer, stack, values, scratch))
                continue
            Y, F = values[i], stack.x[1 + i]
            if Y is not stack:
                self.calls.append(stack.combining(layer.rows[i], columns[i], Y))
            self.calls += [call(xp.matmul, K, Y.operand, to=F), call(value, F, *b, to=F)]
        self.calls.append(stack.combining(layer.rows[-1], columns[-1], end))

    def _solve(
        self,
        block: Block,
        field: AffineField,
        layer: Layer,
        stack: Stack,
        values: list[Stack],
        scratch: Scratch,
    ) -> None:
        """The stages of an implicit block, from the state and the slopes before it."""
        rows = scratch.xp.concat([layer.rows[i].array for i in block.stages], axis=1)
        B = stack.combinations(rows, (0, 1 + block.start, 1))
        solution = solve_stages(block.A, field, B, layer.stage_controls, scratch)
        for j, i in enumerate(block.stages):
            values[i].x[0].put(solution.Y[:, :, j, :])
            stack.x[1 + i].put(solution.F[:, :, j, :])
        self.statuses[block.start] = solution.status
        self.matrices[block.start] = solution.matrix


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
        # Of each block: the number of Vj found before; the rows (bi, aji, …) over p⁺ and those Vj;
        # their columns, or none where Γ is p⁺ itself; and whether another Γ depends on its Vj.
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
            self.blocks.append((block, len(found), Place(scratch.array([rows])), columns, wanted))
            found += block.stages


class Adjoint:
    """The adjoint of a step, in the work arrays of a block.

    Parameters
    ----------
    plan : AdjointPlan
    carry : float
        α.
    layer : Layer
    step : Step
        Whose matrices serve for the costates, too.
    sigma : Stack
        Holds σ′ of the stages as x1, …, xs, if that is computed before, and gets G = σ′∘Γ; where
        the costates of a sample cannot be found, NaN.
    costate : Stack
        Holds p⁺ and then, unless it is not wanted, p; and is filled with the Vj.
    gammas : list of Stack
        For the Γi of one block, as their x0.
    scratch : Scratch
    pull : callable (slopes, Γ, out) -> array
        Gives G, of σ′ or of F.
    slopes : Stack
        Holds what `pull` takes.
    F : Stack, optional
        The slopes, for ∂J/∂h.
    with_p : bool
        Whether p is wanted.

    Attributes
    ----------
    calls : list of callable
        Γs, Gs, Vs, …, p by one after the other.
    of_h : dict
        ⟨Fi, Γi⟩ of every member by stage, where `F` is given.
    """

    def __init__(
        self,
        plan: AdjointPlan,
        carry: float,
        layer: Layer,
        step: Step,
        sigma: Stack,
        costate: Stack,
        gammas: list[Stack],
        scratch: Scratch,
        pull: Callable[..., Array],
        slopes: Stack,
        F: Stack | None = None,
        with_p: bool = True,
    ) -> None:
        xp, p = scratch.xp, costate.x[0]
        V = costate.x[1:]
        if not carry:
            V[-1] = p  # which nothing needs any more when the last of them is found
        self.calls: list[Call] = []
        self.of_h: dict[int, Array] = {}
        for block, before, rows, columns, wanted in plan.blocks:
            found = [p] if columns is None else [gamma.x[0] for gamma in gammas]
            if columns is not None and block.explicit:
                self.calls.append(costate.combining(rows, columns, gammas[0]))
            elif columns is not None:
                known = (block, rows, columns, layer, step, sigma, costate, scratch)
                self.calls.append(partial(_solve_costates, *known, found))
            for j, i in enumerate(block.stages):
                G = sigma.x[1 + i]
                if F is not None:
                    self.calls.append(partial(self._measure, xp, i, F.x[1 + i], found[j]))
                self.calls.append(call(pull, slopes.x[1 + i], found[j], to=G))
                if with_p or wanted:
                    self.calls.append(call(xp.matmul, layer.back, G, to=V[before + j]))
        if with_p:
            self.calls += [call(xp.add, p, part, to=p) for part in V if part is not p]

    def _measure(self, xp: Namespace, i: int, F: Place, gamma: Place) -> None:
        """What a stage adds to ∂J/∂h."""
        self.of_h[i] = xp.sum(xp.vecdot(F.array, gamma.array), axis=1)


def _solve_costates(
    block: Block,
    rows: Place,
    columns: Columns,
    layer: Layer,
    step: Step,
    sigma: Stack,
    costate: Stack,
    scratch: Scratch,
    gammas: list[Place],
) -> None:
    """Γi of the stages of an implicit block."""
    xp = scratch.xp
    R = costate.combinations(rows.array, columns)
    of_block = xp.stack([sigma.x[1 + i].array for i in block.stages], axis=2)
    matrix = step.matrices[block.start]
    found, status = solve_costates(block.A, matrix, of_block, R, layer.stage_controls, scratch)
    converged = status.converged[:, None, None, :]
    found = xp.where(converged, found, placed(xp.nan, found, found.dtype))
    for j, gamma in enumerate(gammas[: len(block.A)]):
        gamma.put(found[:, :, j, :])
