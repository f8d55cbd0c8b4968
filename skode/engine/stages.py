"""One step of a Runge-Kutta scheme, and its adjoint.

One step of a scheme (A, b, c) with step h and controls U, and its adjoint without any division,
so that weights bi = 0 are allowed:

    Yi = y + h Σj aij Fj,   Fj = f(Yj, U)          Γi = bi p⁺ + h Σj aji Jjᵀ Γj
    y⁺ = α y + h Σi bi Fi                          p  = α p⁺ + h Σi Jiᵀ Γi

    ∂J/∂U = h Σi (∂f/∂U at Yi)ᵀ Γi                 ∂J/∂h = Σi ⟨Fi, Γi⟩

α is 1 for an ODE and 0 for a feed-forward layer.  For bi ≠ 0, Γi/bi is the costate Pi of
Proposition 1 in Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as optimal
control problems" (2021).

The stages fall into blocks that need only themselves and the blocks before them.  A block of an
explicit scheme is one stage, which is evaluated; an implicit block is solved for.  The stages of a
block lie side by side, as if they were more samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import NamedTuple

from .arrays import Array, Namespace, Scratch
from .controls import Layer
from .fields import AffineField
from .implicit import Solution, Status, merged, solve_costates, solve_stages, split, worse
from .tableaux import ButcherTableau

__all__ = ["Step", "StepGradient", "adjoint_step", "step"]


class Step(NamedTuple):
    """What the adjoint of a step needs: layer and state, and Yi and Fi = f(Yi, U) block by block.

    `solutions` has an entry per block, None where the block is explicit.
    """

    layer: Layer
    y: Array
    Y: list[Array]
    F: list[Array]
    solutions: list[Solution | None]

    @property
    def status(self) -> list[Status]:
        """How the stage equations of all implicit blocks were solved: one entry, or none."""
        statuses = [solution.status for solution in self.solutions if solution]
        return [reduce(worse, statuses)] if statuses else []


class StepGradient(NamedTuple):
    """The sums over the stages in the gradient of one layer's controls.

    K and b still lack their factor h, which is cheaper to apply to all layers at once; h is None
    where it is not wanted.
    """

    K: Array
    b: Array
    h: Array | None


def step(
    tableau: ButcherTableau,
    field: AffineField,
    carry: float,
    y: Array,
    layer: Layer,
    scratch: Scratch,
    slot: int,
) -> tuple[Array, Step]:
    """y⁺, and what the adjoint needs.

    Parameters
    ----------
    slot : int
        Numbers the work arrays, which must differ from those of `y`.
    """
    xp, (K, b, h, *_) = scratch.xp, layer
    shape = (*K.shape[:2], y.shape[2])
    part = scratch(shape, "part")
    Y: list[Array] = []
    F: list[Array] = []
    solutions: list[Solution | None] = []
    slopes: list[Array] = []  # Fi, stage by stage
    for block in tableau.blocks:
        base = []
        for i in block.stages:
            row = zip(tableau.A[i], slopes, strict=False)
            terms = [(h * a, Fj) for a, Fj in row if a]
            out = scratch(shape, "Y", slot, i) if terms else y
            base.append(_combination(xp, [(1.0, y), *terms], out, part))
        name = ("F", slot, block.stages.start)
        if block.explicit:
            Y.append(base[0])
            F.append(field.value(base[0], K, b, scratch, *name))
            slopes.append(F[-1])
            solutions.append(None)
        else:
            B = xp.stack(xp.broadcast_arrays(*base), axis=2)
            solution = solve_stages(block.A, field, B, layer, scratch, *name)
            Y.append(merged(xp, solution.Y))
            F.append(merged(xp, solution.F))
            slopes += [solution.F[:, :, j, :] for j in range(len(block.A))]
            solutions.append(solution)
    terms = [(h * bi, Fi) for bi, Fi in zip(tableau.b, slopes, strict=True) if bi]
    terms = [(carry, y), *terms] if carry else terms
    y_next = _combination(xp, terms, scratch(shape, "y", slot), part)
    return y_next, Step(layer, y, Y, F, solutions)


def adjoint_step(
    tableau: ButcherTableau,
    field: AffineField,
    carry: float,
    step: Step,
    p: Array,
    scratch: Scratch,
    slot: int,
    with_h: bool,
    with_p: bool = True,
) -> tuple[Array | None, StepGradient]:
    """p from p⁺, unless it is not wanted, and the gradient of this layer's controls.

    The work array of `p` is overwritten.  `slot` alternates from step to step, because the
    result may be a work array of this step.  Where the costates of a sample cannot be found, they
    are NaN.
    """
    xp, (K, _, h, *_) = scratch.xp, step.layer
    part = scratch(p.shape, "part")
    V: dict[int, Array] = {}  # h Jiᵀ Γi
    dK, db, dh = [], [], []
    for block, Y, F, solution in reversed(
        list(zip(tableau.blocks, step.Y, step.F, step.solutions, strict=True))
    ):
        r = []
        for i in block.stages:
            terms = [(tableau.A[j][i], V[j]) for j in V if tableau.A[j][i]]
            terms = [(tableau.b[i], p), *terms] if tableau.b[i] else terms
            r.append(_combination(xp, terms, scratch(p.shape, "gamma", i), part))
        if all(ri is None for ri in r):  # nothing depends on this block
            continue
        if solution is None:
            (gamma,) = r
        else:
            R = xp.stack([xp.zeros_like(p) if ri is None else ri for ri in r], axis=2)
            gamma, status = solve_costates(block.A, field, solution, R, step.layer, scratch)
            found = status.converged[:, None, None, :]
            gamma = merged(xp, xp.where(found, gamma, xp.asarray(xp.nan, dtype=gamma.dtype)))
        if with_h:
            dh.append(xp.sum(xp.vecdot(F, gamma), axis=1))
        G = field.scaled(F, gamma, scratch)
        dKi, dbi = field.gradient(Y, G, scratch)
        dK.append(dKi)
        db.append(dbi)
        first = block.stages.start
        if not (with_p or any(tableau.A[j][i] for j in block.stages for i in range(first))):
            continue  # nothing depends on what comes next
        hJtG = split(xp, field.transposed(h * K, G, scratch, slot, first), len(block.A))
        V.update({i: hJtG[:, :, j, :] for j, i in enumerate(block.stages)})
    gradient = StepGradient(reduce(add, dK), reduce(add, db), reduce(add, dh) if with_h else None)
    if not with_p:
        return None, gradient
    terms = [(1.0, Vi) for Vi in V.values()]
    return _combination(xp, [(carry, p), *terms] if carry else terms, p, part), gradient


def _combination(
    xp: Namespace,
    terms: Iterable[tuple[Array | float, Array]],
    out: Array | None,
    part: Array | None,
) -> Array:
    """Σ c x over the pairs (c, x); `out` holds the sum, `part` every product but the first.

    `out` may be the first x.  A single term with c = 1 comes back as it is, not as a copy.
    """
    total = None
    for c, x in terms:
        one = isinstance(c, float) and c == 1.0
        product = x if one else xp.multiply(x, c, out=out if total is None else part)
        total = product if total is None else xp.add(total, product, out=out)
    return total
