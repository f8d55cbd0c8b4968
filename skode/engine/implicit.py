"""The stage equations of a block of implicit stages, and the linear equations of its costates.

A block is a set of stages, with coefficients A (k × k), that have to be found together:

    Yi = Bi + h Σj aij f(Yj),      Bi = y + h Σ aij f(Yj) over earlier blocks.

Their residual R is driven to zero by Y ← Y - t M⁻¹ R(Y), side by side for all members and samples.
With M = I this is fixed-point iteration, with Newton's matrix it is Newton's method, and with one
that is a few iterations old it is the chord method.  The costates V = hJᵀΓ obey

    Mᵀ V = h Jᵀ r,     Γ = r + Aᵀ V,      ri = bi p⁺ + Σ aji Vj over later blocks,

and the very inverse that the stage equations ended with solves this too, transposed; the same
iteration, with the residual V - hJᵀ(r + Aᵀ V), makes the result exact.

Reference: Hairer, Wanner, "Solving Ordinary Differential Equations II" (1996), section IV.8.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from .arrays import Array, Namespace, Scratch, device, namespace
from .fields import AffineField
from .linear import Coefficients, StageMatrix

__all__ = ["Solution", "Status", "merged", "solve_costates", "solve_stages", "split", "worse"]

# Fixed-point iteration where |h| ‖A‖ ‖K‖₂ max σ′ is at most this: each iteration then shrinks the
# residual by this factor for certain.  (All activations have σ′ ≤ 1.)
CONTRACTION = 0.1
# An inverse is computed anew when it leaves more than this of some sample's residual.
GOOD_RATE, GOOD_RATE_DECOUPLED = 0.1, 0.5
LIMIT = 50  # iterations; where Newton's method works, it needs three to six
ROUNDINGS = 16.0  # a residual of this many roundings counts as zero


class Status(NamedTuple):
    """How an iteration ended; `converged` and `residual` are of shape (members, samples)."""

    converged: Array
    iterations: int
    residual: Array


def worse(one: Status, other: Status) -> Status:
    """The status of two iterations that both have to converge."""
    xp = namespace(one.residual)
    return Status(
        one.converged & other.converged,
        max(one.iterations, other.iterations),
        xp.maximum(one.residual, other.residual),
    )


class Solution(NamedTuple):
    """The stages of a block, Y and F = f(Y) of shape (members, channels, k, samples)."""

    Y: Array
    F: Array
    status: Status
    matrix: StageMatrix
    stiffness: Array


def solve_stages(
    A: Coefficients,
    field: AffineField,
    base: Array,
    K: Array,
    b: Array,
    h: Array,
    stiffness: Array,
    scratch: Scratch,
    *name: object,
) -> Solution:
    """The stages of a block; the first iteration is the explicit predictor Bi + h Σj aij f(Bj).

    Parameters
    ----------
    A : tuple of tuples
        Coefficients of the block, k × k.
    base : array of shape (members or 1, channels, k, samples)
        Bi.
    stiffness : array of shape (members, 1)
        |h| ‖K‖₂.
    name : objects
        Name the work arrays that hold F.
    """
    xp = scratch.xp
    turn = count()  # a trial must not overwrite the values before it

    def equation(Y: Array) -> tuple[Array, Array]:
        F = field.value(merged(xp, Y), K, b, scratch, *name, next(turn) % 2)
        F = split(xp, F, len(A))
        return Y - base - h[..., None] * _mix(xp, A, F), F

    # Errors of f(Y) are of the size of ε ‖K‖₂ |Y|.
    scale = (1.0 + _norm(A) * stiffness) * _size(xp, base)
    reach = _norm(A) * xp.abs(h[:, :, 0])
    matrix = StageMatrix(xp, A, K, h)
    Y, F, status = _iterate(
        xp,
        equation,
        xp.broadcast_to(base, (K.shape[0], *base.shape[1:])),
        matrix,
        transposed=False,
        slope=lambda F: field.slope(F, scratch),
        contracting=bool(xp.all(_norm(A) * stiffness <= CONTRACTION)),
        scale=lambda F: scale + reach * _size(xp, F),
    )
    return Solution(Y, F, status, matrix, stiffness)


def solve_costates(
    A: Coefficients,
    field: AffineField,
    solution: Solution,
    r: Array,
    K: Array,
    h: Array,
    scratch: Scratch,
) -> tuple[Array, Status]:
    """Γ, of shape (members, channels, k, samples), and how the iteration ended.

    Parameters
    ----------
    A : tuple of tuples
        Coefficients of the block, k × k.
    r : array of shape (members, channels, k, samples)
        ri = bi p⁺ + Σ aji Vj over later blocks.
    """
    xp = scratch.xp
    transposed_A = tuple(zip(*A, strict=True))
    F = merged(xp, solution.F)

    def equation(V: Array) -> tuple[Array, Array]:
        gamma = r + _mix(xp, transposed_A, V)
        JtG, _ = field.transposed(F, K, merged(xp, gamma), scratch, "trial")
        return V - h[..., None] * split(xp, JtG, len(A)), gamma

    _, gamma, status = _iterate(
        xp,
        equation,
        xp.zeros_like(r),
        solution.matrix,
        transposed=True,
        slope=lambda _: field.slope(solution.F, scratch),
        contracting=not solution.matrix.computed,
        scale=lambda gamma: (1.0 + _norm(A) * solution.stiffness) * solution.stiffness * _size(xp, gamma),
    )
    return gamma, status


def _iterate(
    xp: Namespace,
    equation: Callable[[Array], tuple[Array, Array]],
    x: Array,
    matrix: StageMatrix,
    *,
    transposed: bool,
    slope: Callable[[Array], Array],
    contracting: bool,
    scale: Callable[[Array], Array],
) -> tuple[Array, Array, Status]:
    """x with R(x) = 0 up to rounding, and the values that go with it, by x ← x - t M⁻¹ R(x).

    A step that does not shrink a sample's residual is taken back; if M was up to date, the sample
    goes on with half the step.

    Parameters
    ----------
    equation : callable
        x -> (R, values), all of shape (members, channels, k, samples).
    matrix : StageMatrix
        M, as it is at the beginning.
    transposed : bool
        Whether to take Mᵀ instead; the equation is then linear.
    slope : callable
        values -> σ′, from which M is computed anew.
    contracting : bool
        Whether M = I does for certain.
    scale : callable
        values -> the size, (members, samples), whose rounding errors R has.
    """
    tolerance = ROUNDINGS * float(xp.finfo(x.dtype).eps)
    R, values = equation(x)
    size, limit = _size(xp, R), tolerance * scale(values)
    t, stale, decoupled = None, not (contracting or matrix.computed), matrix.decoupled
    for iteration in count():
        active = (size > limit) & xp.isfinite(size)
        if iteration == LIMIT or not xp.any(active):
            break
        # The first step of all, with M = I, is the explicit predictor.
        fresh = stale and iteration > 0
        if fresh:
            matrix.compute(slope(values), decoupled)
        delta = matrix.solve(R, transposed)
        trial = x - (delta if t is None else t[:, None, None, :] * delta)
        R_trial, values_trial = equation(trial)
        size_trial, limit_trial = _size(xp, R_trial), tolerance * scale(values_trial)

        arrived = size_trial <= limit_trial
        accepted = arrived | (size_trial < size)  # False for NaN
        rate = GOOD_RATE_DECOUPLED if decoupled else GOOD_RATE
        good = bool(xp.all(arrived | ~active | (size_trial <= rate * size)))
        if xp.all(accepted):
            x, R, values, size, limit = trial, R_trial, values_trial, size_trial, limit_trial
            t = None
        else:
            keep = accepted[:, None, None, :]
            x, R = xp.where(keep, trial, x), xp.where(keep, R_trial, R)
            values = xp.where(keep, values_trial, values)
            size = xp.where(accepted, size_trial, size)
            limit = xp.where(accepted, limit_trial, limit)
            t = xp.ones_like(size) if t is None or not fresh else t
            t = xp.where(accepted, xp.ones_like(t), 0.5 * t if fresh else t)
        if not contracting:
            decoupled = decoupled and (good or not fresh)
            stale = not good or not matrix.computed or (matrix.cheap and not transposed)
    return x, values, Status(size <= limit, iteration, size)


def _norm(A: Coefficients) -> float:
    """‖A‖₂ ≤ √(‖A‖₁ ‖A‖∞), an upper bound."""
    rows = max(sum(map(abs, row)) for row in A)
    columns = max(sum(map(abs, column)) for column in zip(*A, strict=True))
    return float((rows * columns) ** 0.5)


def _size(xp: Namespace, R: Array) -> Array:
    """The largest entry of each sample's part, (members, samples)."""
    return xp.max(xp.abs(R), axis=(1, 2))


def _mix(xp: Namespace, A: Coefficients, F: Array) -> Array:
    """Σj aij Fj, with the stages on the third axis."""
    if len(A) == 1:
        return A[0][0] * F
    return xp.matmul(xp.asarray(A, dtype=F.dtype, device=device(F)), F)


def merged(xp: Namespace, Y: Array) -> Array:
    """The stages side by side, as if they were more samples."""
    return xp.reshape(Y, (Y.shape[0], Y.shape[1], -1))


def split(xp: Namespace, F: Array, k: int) -> Array:
    """The inverse of `merged`."""
    return xp.reshape(F, (F.shape[0], F.shape[1], k, -1))
