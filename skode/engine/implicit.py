"""The equations of a block of implicit stages, and the linear equations of their costates.

A block is a set of stages, with coefficients A (k × k), that have to be solved for together:

    Yi = Bi + h Σj aij f(Yj),      Bi = y + h Σ aij f(Yj) over earlier blocks.

The iteration Y ← Y - t M⁻¹ R(Y) reduces their residual R to zero, for all members and samples at
once.  With M = I this is fixed-point iteration; with Newton's matrix it is Newton's method.  The
costates V = hJᵀΓ satisfy

    Mᵀ V = h Jᵀ r,     Γ = r + Aᵀ V,      ri = bi p⁺ + Σ aji Vj over later blocks.

The last inverse from the stage equations, transposed, solves these equations too.  The same
iteration, with the residual V - hJᵀ(r + Aᵀ V), makes the result exact to rounding.

The steps of a sample do not depend on other samples, so its solution is a function of it alone.

Reference: Hairer, Wanner, "Solving Ordinary Differential Equations II" (1996), section IV.8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .activations import Activation
from .arrays import Array, Namespace, host, namespace, placed, to_host
from .newton import StageMatrix
from .rooted_trees import Matrix

# Fixed-point iteration is used if |h| ‖A‖ ‖K‖₂ max σ′ is at most this.  Each iteration then reduces
# the residual by at least this factor.  (All activations have σ′ ≤ 1.)
CONTRACTION = 0.1
GOOD_RATE = 0.3  # for costates, an inverse that leaves more of a residual is recomputed
CONTINUATION = 8  # steps from h = 0 to h for samples that could not be solved otherwise
ROUNDINGS = 16.0  # a residual of this many rounding errors counts as zero


class Effort(NamedTuple):
    """The largest number of iterations, and whether convergence is checked.

    Without `checks` no device has to wait, and all iterations are those of Newton's method.
    """

    limit: int
    checks: bool


CAREFUL = Effort(50, checks=True)
HASTY = Effort(8, checks=False)  # if Newton's method works, it takes three to six
REFINEMENTS = Effort(2, checks=False)  # of costates, with the matrix of an iteration without checks


class Status(NamedTuple):
    """How an iteration ended; `converged` and `residual` are of shape (members, samples)."""

    converged: Array
    iterations: int
    residual: Array


def worse(one: Status, other: Status) -> Status:
    """Combine the statuses of two iterations that both have to converge."""
    xp = namespace(one.residual)
    return Status(
        one.converged & other.converged,
        max(one.iterations, other.iterations),
        xp.maximum(one.residual, other.residual),
    )


class Layer(NamedTuple):
    """Controls of one layer: K (members, n, n), b (members, n, 1), h (members, 1, 1).

    Implicit schemes also need the stiffness ``|h| ‖K‖₂``, (members, 1).
    """

    K: Array
    b: Array
    h: Array
    stiffness: Array = None


class Solution(NamedTuple):
    """The stages Yi and Fi = σ(K Yi + b) of a block, (members, channels, samples) each.

    The status, Newton's matrix and the effort are kept for the costates.
    """

    Y: list[Array]
    F: list[Array]
    status: Status
    matrix: StageMatrix
    effort: Effort


def solve_stages(
    A: Matrix,
    activation: Activation,
    known: list[Array],
    layer: Layer,
    effort: Effort = CAREFUL,
    offsets: list[Array] | None = None,
) -> Solution:
    """Return the stages of a block from its `known` Bi, (members or 1, channels, samples) each.

    With `offsets` ci, of the same shape, F is σ(K Yi + b + ci).  The first iteration is the
    explicit predictor Bi + h Σj aij f(Bj).
    """
    base, offset = _stacked(known), None if offsets is None else _stacked(offsets)
    xp, matrix = namespace(base), StageMatrix(A, layer.K, layer.h)
    contracting = effort.checks and bool(xp.all(_norm(A) * layer.stiffness <= CONTRACTION))
    equations = _StageEquations(A, layer, activation, base, offset)
    found = _iterate(equations, equations.start(), matrix, contracting, effort)
    if effort.checks:
        found = _retry(equations, found, _by_continuation)
    return Solution(_stages(found.x), _stages(found.values), found.status, matrix, effort)


def solve_costates(
    A: Matrix, solution: Solution, derivative: list[Array], r: list[Array], layer: Layer
) -> list[Array]:
    """Return Γi; NaN for samples for which they cannot be found.

    `solution` holds the stages and `derivative` the values of σ′ there.  Like the ri and the
    result, `derivative` has an array of shape (members, channels, samples) for every stage.
    """
    equations = _CostateEquations(A, layer, _stacked(derivative), _stacked(r))
    matrix = solution.matrix
    V = matrix.solve(equations.pulled_back(equations.r), transposed=True)
    effort = CAREFUL if solution.effort.checks else REFINEMENTS
    found = _iterate(equations, V, matrix, not matrix.computed, effort)
    xp, converged = namespace(V), found.status.converged[:, None, None, :]
    return _stages(xp.where(converged, found.values, xp.full_like(V, xp.nan)))


def _stacked(stages: list[Array]) -> Array:
    """Join the stages in one array, (members, channels, k, samples)."""
    return namespace(*stages).stack(stages, axis=2)


def _stages(stacked: Array) -> list[Array]:
    """The inverse of `_stacked`."""
    return [stacked[:, :, j, :] for j in range(stacked.shape[2])]


# The same iteration solves both kinds of equations: R(x) = 0.  The residual is computed together
# with other values.  All arrays are of shape (members, channels, k, samples).


@dataclass(frozen=True)
class _StageEquations:
    """Equations of the stages: x is Y, and the values are F = f(Y)."""

    A: Matrix
    layer: Layer
    activation: Activation
    base: Array
    offset: Array = None

    transposed = False  # whether R is linear and its matrix is the transpose of Newton's

    def start(self) -> Array:
        """Return Y = B, the solution for h = 0."""
        K, base = self.layer.K, self.base
        return namespace(base).broadcast_to(base, (K.shape[0], *base.shape[1:]))

    def residual(self, x: Array) -> tuple[Array, Array]:
        """Return R(x) and the values."""
        xp, layer = namespace(x), self.layer
        Z = xp.matmul(layer.K, merged(xp, x)) + layer.b
        if self.offset is not None:
            Z = Z + merged(xp, self.offset)
        F = split(xp, self.activation.value(xp, Z), len(self.A))
        return x - self.base - layer.h[..., None] * _mix(xp, self.A, F), F

    def scale(self, R: Array, values: Array) -> Array:
        """Return the size of the terms of R, (members, samples), from R and values of the start."""
        # At the start, Y = B, R is -h A F.  Errors of f(Y) are of the order of ε ‖K‖₂ |Y|.
        xp = namespace(R)
        contraction = _norm(self.A) * self.layer.stiffness
        size = (1.0 + contraction) * (_size(xp, self.base) + _size(xp, R))
        if self.offset is None:
            return size
        # Errors of Z, of the size of ε |c|, are errors of R of h A times that.
        return size + _norm(self.A) * xp.abs(self.layer.h[:, 0, :]) * _size(xp, self.offset)

    def derivative(self, values: Array) -> Array:
        """Return σ′, from which Newton's matrix is computed."""
        return self.activation.derivative(namespace(values), values)

    def on(self, samples: Array) -> _StageEquations:
        """Return the equations of some of the samples."""
        take = namespace(self.base).take
        offset = self.offset if self.offset is None else take(self.offset, samples, axis=3)
        return replace(self, base=take(self.base, samples, axis=3), offset=offset)


@dataclass(frozen=True)
class _CostateEquations:
    """Equations of the costates: x is V, the values are Γ, and σ′ belongs to the stages."""

    A: Matrix
    layer: Layer
    sigma: Array
    r: Array

    transposed = True

    def pulled_back(self, gamma: Array) -> Array:
        """hJᵀΓ."""
        xp, K = namespace(gamma), self.layer.K
        JtG = xp.matmul(xp.matrix_transpose(K), merged(xp, self.sigma * gamma))
        return split(xp, self.layer.h * JtG, len(self.A))

    def residual(self, x: Array) -> tuple[Array, Array]:
        gamma = self.r + _mix(namespace(x), tuple(zip(*self.A, strict=True)), x)
        return x - self.pulled_back(gamma), gamma

    def scale(self, R: Array, values: Array) -> Array:
        stiffness = self.layer.stiffness
        return (1.0 + _norm(self.A) * stiffness) * stiffness * _size(namespace(values), values)

    def derivative(self, values: Array) -> Array:
        return self.sigma

    def on(self, samples: Array) -> _CostateEquations:
        sigma, r = (namespace(part).take(part, samples, axis=3) for part in (self.sigma, self.r))
        return replace(self, sigma=sigma, r=r)


_Equations = _StageEquations | _CostateEquations


class _Found(NamedTuple):
    """The result of an iteration."""

    x: Array
    values: Array
    status: Status


def _by_continuation(equations: _StageEquations, x: Array) -> _Found:
    """Follow the branch of solutions from h = 0 with Newton's method."""
    layer = equations.layer
    x = equations.start()
    for k in range(1, CONTINUATION + 1):
        shorter = layer._replace(h=layer.h * (k / CONTINUATION))
        part = replace(equations, layer=shorter)
        matrix = StageMatrix(part.A, shorter.K, shorter.h)
        found = _iterate(part, x, matrix, False, CAREFUL)
        x = found.x
    return found


def _retry(equations: _Equations, found: _Found, attempt: Callable[[Any, Array], _Found]) -> _Found:
    """Try again the samples that have not converged, and insert the results in `found`."""
    x, values, status = found
    xp = namespace(x)
    open_ = ~status.converged & xp.isfinite(status.residual)
    somewhere = to_host(xp.any(open_, axis=0))
    if not somewhere.any():
        return found
    samples = host.nonzero(somewhere)[0]
    place = host.zeros(len(somewhere), dtype=int)
    place[samples] = host.arange(len(samples))
    samples, place = placed(samples, x), placed(place, x)

    def put(part: Array, whole: Array) -> Array:
        mask = open_ if whole.ndim == 2 else open_[:, None, None, :]
        return xp.where(mask, xp.take(part, place, axis=-1), whole)

    again = attempt(equations.on(samples), xp.take(x, samples, axis=3))
    return _Found(
        put(again.x, x),
        put(again.values, values),
        Status(
            put(again.status.converged, status.converged),
            status.iterations + again.status.iterations,
            put(again.status.residual, status.residual),
        ),
    )


def _iterate(
    equations: _Equations, x: Array, matrix: StageMatrix, contracting: bool, effort: Effort
) -> _Found:
    """Iterate x ← x - t M⁻¹ R(x) until R(x) is zero up to rounding or no step helps.

    A step that does not reduce a sample's residual is undone.  If M was up to date, the sample
    continues with half the step.  If R is linear, M is recomputed only if it reduces R too slowly.
    """
    xp, linear, (limit, checks) = namespace(x), equations.transposed, effort
    R, values = equations.residual(x)
    size = _size(xp, R)
    tolerance = ROUNDINGS * float(xp.finfo(x.dtype).eps) * equations.scale(R, values)
    t, stale = None, not contracting and not linear
    # A NaN residual counts as small here, since no step could repair it.
    for iterations in range(limit + 1):
        active = size > tolerance
        if iterations == limit or (checks and not xp.any(active)):
            break
        if stale:
            matrix.compute(equations.derivative(values), checks)
        delta = matrix.solve(R, linear)
        trial = x - (delta if t is None else t[:, None, None, :] * delta)
        R_trial, values_trial = equations.residual(trial)
        size_trial = _size(xp, R_trial)
        arrived = size_trial <= tolerance
        slow = active & ~arrived & ~(size_trial <= GOOD_RATE * size)
        accepted = arrived | (size_trial < size)  # False for NaN
        if checks and xp.all(accepted):
            x, R, values, size, t = trial, R_trial, values_trial, size_trial, None
        else:
            better = accepted[:, None, None, :]
            x, R = xp.where(better, trial, x), xp.where(better, R_trial, R)
            values = xp.where(better, values_trial, values)
            size = xp.where(accepted, size_trial, size)
            t = xp.ones_like(size) if t is None else t
            t = xp.where(accepted, xp.ones_like(t), 0.5 * t if stale else t)
        stale = not contracting and (not linear or (checks and bool(xp.any(slow))))
    return _Found(x, values, Status(size <= tolerance, iterations, size))


def _norm(A: Matrix) -> float:
    """‖A‖₂ ≤ √(‖A‖₁ ‖A‖∞), an upper bound."""
    rows = max(sum(map(abs, row)) for row in A)
    columns = max(sum(map(abs, column)) for column in zip(*A, strict=True))
    return float((rows * columns) ** 0.5)


def _size(xp: Namespace, R: Array) -> Array:
    """Return the largest entry per sample, (members, samples)."""
    return xp.max(xp.abs(R), axis=(1, 2))


def _mix(xp: Namespace, A: Matrix, F: Array) -> Array:
    """Return Σj aij Fj, with the stages on the third axis."""
    if len(A) == 1:
        return A[0][0] * F
    return xp.matmul(placed(host.asarray(A), F, F.dtype), F)


def merged(xp: Namespace, Y: Array) -> Array:
    """Put the stages side by side on the axis of the samples."""
    return xp.reshape(Y, (Y.shape[0], Y.shape[1], -1))


def split(xp: Namespace, F: Array, k: int) -> Array:
    """The inverse of `merged`."""
    return xp.reshape(F, (F.shape[0], F.shape[1], k, -1))
