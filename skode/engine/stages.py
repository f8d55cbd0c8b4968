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
from functools import cache

from .arrays import Array, Scratch
from .controls import Layer
from .fields import AffineField
from .implicit import Status, solve_costates, solve_stages
from .linear import StageMatrix
from .stacks import Columns, Stack, nonzero_columns
from .tableaux import Block, ButcherTableau

__all__ = ["Adjoint", "AdjointPlan", "Step", "combination_rows", "step_plan"]


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


class Step:
    """The step from one state to the next, in the work arrays of a block.

    What can be looked up beforehand is: `calls` are what is left to do, each given the controls.

    Parameters
    ----------
    tableau : ButcherTableau
    carry : float
        α.
    field : AffineField
    stack : Stack
        Holds y, and is filled with F1, …, Fs.
    values : list of Stack
        Filled with Y1, …, Ys; the first is `stack` itself where Y1 = y.
    end : Stack
        Gets y⁺ as its x0.
    scratch : Scratch

    Attributes
    ----------
    calls : list of callable (Layer) -> None
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
        stack: Stack,
        values: list[Stack],
        end: Stack,
        scratch: Scratch,
    ) -> None:
        self._field, self._stack, self._values, self._scratch = field, stack, values, scratch
        self.statuses: dict[int, Status] = {}
        self.matrices: dict[int, StageMatrix] = {}
        self.calls: list[Callable[[Layer], None]] = []
        columns = [columns for _, columns in step_plan(tableau, carry)]
        for block in tableau.blocks:
            i = block.start
            if not block.explicit:
                self.calls.append(self._solving(block))
                continue
            if values[i] is not stack:
                self.calls.append(self._combining(i, columns[i], values[i]))
            self.calls.append(self._evaluating(i))
        self.calls.append(self._combining(-1, columns[-1], end))

    def __call__(self, layer: Layer) -> None:
        """Y1, F1, …, y⁺."""
        for call in self.calls:
            call(layer)

    def _combining(self, i: int, columns: Columns, target: Stack) -> Callable[[Layer], None]:
        """Yi, or y⁺, from the state and the slopes."""
        combine = self._stack.combining(columns, target)
        return lambda layer: combine(layer.rows[i])

    def _evaluating(self, i: int) -> Callable[[Layer], None]:
        """Fi = f(Yi)."""
        xp, x, Y, out = self._scratch.xp, self._stack.x, self._values[i], self._stack.out[1 + i]
        value = self._field.value

        def evaluate(layer: Layer) -> None:
            x[1 + i] = value(xp, Y.with_one, layer.K_b, None, out)

        return evaluate

    def _solving(self, block: Block) -> Callable[[Layer], None]:
        """The stages of an implicit block, from the state and the slopes before it."""
        xp, stack = self._scratch.xp, self._stack

        def solve(layer: Layer) -> None:
            rows = xp.concat([layer.rows[i] for i in block.stages], axis=1)
            B = stack.combinations(rows, (0, 1 + block.start, 1))
            solution = solve_stages(block.A, self._field, B, layer, self._scratch)
            for j, i in enumerate(block.stages):
                self._values[i].put(0, solution.Y[:, :, j, :])
                stack.put(1 + i, solution.F[:, :, j, :])
            self.statuses[block.start] = solution.status
            self.matrices[block.start] = solution.matrix

        return solve


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


class Adjoint:
    """The adjoint of a step, in the work arrays of a block.

    Parameters
    ----------
    plan : AdjointPlan
    step : Step
        Whose matrices serve for the costates, too.
    carry : float
        α.
    sigma : Stack
        Holds σ′ of the stages as x1, …, xs, and then G = σ′∘Γ; where the costates of a sample
        cannot be found, NaN.
    costate : Stack
        Holds p⁺ and then, unless it is not wanted, p; and is filled with the Vj.
    gammas : list of Stack
        For the Γi of one block, as their x0.
    scratch : Scratch
    F : Stack, optional
        The slopes, for ∂J/∂h.
    with_p : bool
        Whether p is wanted.

    Attributes
    ----------
    calls : list of callable (Layer) -> None
    dh : array of shape (members,) or None
        ∂J/∂h, where `F` is given.
    """

    def __init__(
        self,
        plan: AdjointPlan,
        step: Step,
        carry: float,
        sigma: Stack,
        costate: Stack,
        gammas: list[Stack],
        scratch: Scratch,
        F: Stack | None = None,
        with_p: bool = True,
    ) -> None:
        self._step, self._sigma, self._costate, self._scratch = step, sigma, costate, scratch
        self.dh: Array = None
        self.calls: list[Callable[[Layer], None]] = []
        for block, place, rows, columns, wanted in plan.blocks:
            found = [costate] if columns is None else gammas
            if columns is not None:
                self.calls.append(self._gathering(block, rows, columns, found))
            for j, i in enumerate(block.stages):
                if F is not None:
                    self.calls.append(self._measuring(F, i, found[j]))
                self.calls.append(
                    self._pulling(i, found[j], place + j if with_p or wanted else None)
                )
        if with_p:
            self.calls.append(self._adding(carry))

    def __call__(self, layer: Layer) -> None:
        """Γs, Gs, Vs, …, p."""
        self.dh = None
        for call in self.calls:
            call(layer)

    def _pulling(self, i: int, gamma: Stack, place: int | None) -> Callable[[Layer], None]:
        """Gi = σ′∘Γi and, where it has a place, Vi = h Kᵀ Gi."""
        xp, sigma, out = self._scratch.xp, self._sigma.x, self._sigma.out[1 + i]
        costate = self._costate.x

        def weigh(layer: Layer) -> None:
            sigma[1 + i] = xp.multiply(sigma[1 + i], gamma.x[0], out=out)

        if place is None:
            return weigh
        out_V = self._costate.out[place]

        def pull(layer: Layer) -> None:
            G = sigma[1 + i] = xp.multiply(sigma[1 + i], gamma.x[0], out=out)
            costate[place] = xp.matmul(layer.back, G, out=out_V)

        return pull

    def _adding(self, carry: float) -> Callable[[Layer], None]:
        """p = α p⁺ + Σi Vi."""
        xp, costate = self._scratch.xp, self._costate
        x, out = costate.x, costate.out[0]
        first = 0 if carry else 1
        others = range(first + 1, len(x))

        def add(layer: Layer) -> None:
            p = x[first]
            for j in others:
                p = xp.add(p, x[j], out=out)
            costate.put(0, p)

        return add

    def _measuring(self, F: Stack, i: int, gamma: Stack) -> Callable[[Layer], None]:
        """What Fi adds to ∂J/∂h."""
        xp = self._scratch.xp

        def measure(layer: Layer) -> None:
            part = xp.sum(xp.vecdot(F.x[1 + i], gamma.x[0]), axis=1)
            self.dh = part if self.dh is None else self.dh + part

        return measure

    def _gathering(
        self, block: Block, rows: Array, columns: Columns, gammas: list[Stack]
    ) -> Callable[[Layer], None]:
        """Γi of the stages of a block."""
        xp, costate, sigma = self._scratch.xp, self._costate, self._sigma
        if block.explicit:
            combine = costate.combining(columns, gammas[0])
            return lambda layer: combine(rows)

        def solve(layer: Layer) -> None:
            k = len(block.A)
            R = costate.combinations(rows, columns)
            of_block = xp.stack([sigma.x[1 + i] for i in block.stages], axis=2)
            matrix = self._step.matrices[block.start]
            found, status = solve_costates(block.A, matrix, of_block, R, layer, self._scratch)
            converged = status.converged[:, None, None, :]
            found = xp.where(converged, found, xp.asarray(xp.nan, dtype=found.dtype))
            for j in range(k):
                gammas[j].put(0, found[:, :, j, :])

        return solve
