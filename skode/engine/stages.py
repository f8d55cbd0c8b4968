"""The stage equations of one step and their adjoints.

One step of a scheme (A, b, c) with step h and controls U, and its adjoint without any division,
so that weights bi = 0 are allowed:

    Yi = y + h Σj aij Fj,   Fj = f(Yj, U)          Γi = bi p⁺ + h Σj aji Jjᵀ Γj
    y⁺ = α y + h Σi bi Fi                          p  = α p⁺ + h Σi Jiᵀ Γi

    ∂J/∂U = h Σi (∂f/∂U at Yi)ᵀ Γi                 ∂J/∂h = Σi ⟨Fi, Γi⟩

α is 1 for an ODE and 0 for a feed-forward layer.  For bi ≠ 0, Γi/bi is the costate Pi of
Proposition 1 in Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as optimal
control problems" (2021).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import NamedTuple

from .arrays import Array, Namespace, Scratch
from .fields import AffineField
from .tableaux import ButcherTableau

__all__ = ["Step", "StepGradient", "explicit_adjoint_step", "explicit_step"]


class Step(NamedTuple):
    """What the adjoint of a step needs: its stage values Yi and Fi = f(Yi, U)."""

    Y: list[Array]
    F: list[Array]


class StepGradient(NamedTuple):
    """The sums over the stages in the gradient of one layer's controls.

    K and b still lack their factor h, which is cheaper to apply to all layers at once; h is None
    where it is not wanted.
    """

    K: Array
    b: Array
    h: Array | None


def explicit_step(
    tableau: ButcherTableau,
    field: AffineField,
    carry: float,
    y: Array,
    K: Array,
    b: Array,
    h: Array,
    scratch: Scratch,
    slot: int,
) -> tuple[Array, Step]:
    """y⁺ and the stage values, from top to bottom since A is strictly lower triangular.

    `h` is (members, 1, 1); `slot` numbers the work arrays, which must differ from those of `y`.
    """
    xp = scratch.xp
    shape = (*K.shape[:2], y.shape[2])
    part = scratch(shape, "part")
    Y: list[Array] = []
    F: list[Array] = []
    for i, row in enumerate(tableau.A):
        terms = [(h * a, Fj) for a, Fj in zip(row, F, strict=False) if a]
        Yi = _combination(
            xp, [(1.0, y), *terms], scratch(shape, "Y", slot, i) if terms else y, part
        )
        Y.append(Yi)
        F.append(field.value(Yi, K, b, scratch, "F", slot, i))
    terms = [(h * bi, Fi) for bi, Fi in zip(tableau.b, F, strict=True) if bi]
    terms = [(carry, y), *terms] if carry else terms
    return _combination(xp, terms, scratch(shape, "y", slot), part), Step(Y, F)


def explicit_adjoint_step(
    tableau: ButcherTableau,
    field: AffineField,
    carry: float,
    step: Step,
    p: Array,
    K: Array,
    h: Array,
    scratch: Scratch,
    slot: int,
    with_h: bool,
) -> tuple[Array, StepGradient]:
    """p from p⁺, and the gradient of this layer's controls, from the last stage to the first.

    The work array of `p` is overwritten.  `slot` alternates from step to step, because the
    result may be a work array of this step.
    """
    xp = scratch.xp
    part = scratch(p.shape, "part")
    hJtG: dict[int, Array] = {}  # h Jiᵀ Γi
    dK, db, dh = [], [], []
    for i in reversed(range(tableau.n_stages)):
        terms = [(tableau.A[j][i], hJtG[j]) for j in hJtG if tableau.A[j][i]]
        terms = [(tableau.b[i], p), *terms] if tableau.b[i] else terms
        if not terms:  # nothing depends on this stage
            continue
        gamma = _combination(xp, terms, scratch(p.shape, "gamma"), part)
        if with_h:
            dh.append(xp.sum(xp.vecdot(step.F[i], gamma), axis=1))
        JtG, dKi, dbi = field.transposed(step.Y[i], step.F[i], K, gamma, scratch, slot, i)
        hJtG[i] = xp.multiply(h, JtG, out=JtG)
        dK.append(dKi)
        db.append(dbi)
    terms = [(1.0, V) for V in hJtG.values()]
    p = _combination(xp, [(carry, p), *terms] if carry else terms, p, part)
    return p, StepGradient(reduce(add, dK), reduce(add, db), reduce(add, dh) if with_h else None)


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
