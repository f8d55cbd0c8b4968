"""The stage equations of a block of implicit stages, and the linear equations of its costates.

A block is a set of stages, with coefficients A (k × k), that have to be found together:

    Yi = Bi + h Σj aij f(Yj),      Bi = y + h Σ aij f(Yj) over earlier blocks.

Their residual R is driven to zero by Y ← Y - t M⁻¹ R(Y), side by side for all members and samples.
With M = I this is fixed-point iteration, and with Newton's matrix it is Newton's method.  The
costates V = hJᵀΓ obey

    Mᵀ V = h Jᵀ r,     Γ = r + Aᵀ V,      ri = bi p⁺ + Σ aji Vj over later blocks,

and the inverse that the stage equations ended with solves this too, transposed; the same iteration,
with the residual V - hJᵀ(r + Aᵀ V), makes the result exact.

Every sample goes its own way, so that its solution is a function of the sample.

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

# Fixed-point iteration where |h| ‖A‖ ‖K‖₂ max σ′ is at most this, which is then the factor by which
# each iteration shrinks the residual for certain.  (All activations have σ′ ≤ 1.)
CONTRACTION = 0.1
GOOD_RATE = 0.3  # an inverse is good for costates while it leaves less of the residual
CONTINUATION = 8  # steps from h = 0 to h for samples that are not solved otherwise
ROUNDINGS = 16.0  # a residual of this many roundings counts as zero


class Effort(NamedTuple):
    """How many iterations there are at most, and whether somebody looks when they may end.

    Where nobody `looks`, no device has to wait: all iterations are those of Newton's method.
    """

    limit: int
    looks: bool


CAREFUL = Effort(50, looks=True)
HASTY = Effort(8, looks=False)  # where Newton's method works, it needs three to six
REFINEMENTS = Effort(2, looks=False)  # of costates, with the matrix of a hasty iteration


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


class Layer(NamedTuple):
    """Controls of one layer: K (members, n, n), b (members, n, 1), h (members, 1, 1).

    Implicit schemes also have to know the stiffness ``|h| ‖K‖₂``, (members, 1).
    """

    K: Array
    b: Array
    h: Array
    stiffness: Array = None


class Solution(NamedTuple):
    """The stages Yi and Fi = σ(K Yi + b) of a block, (members, channels, samples) each.

    Also how the iteration ended; Newton's matrix and the effort serve for the costates too.
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
    contracting = effort.looks and bool(xp.all(_norm(A) * layer.stiffness <= CONTRACTION))
    equations = _StageEquations(A, layer, activation, base, offset)
    found = _iterate(equations, equations.start(), matrix, contracting, effort)
    if effort.looks:
        found = _mend(equations, found, _by_continuation)
    return Solution(_stages(found.x), _stages(found.values), found.status, matrix, effort)


def solve_costates(
    A: Matrix, solution: Solution, derivative: list[Array], r: list[Array], layer: Layer
) -> list[Array]:
    """Return Γi; NaN for samples where they cannot be found.

    `solution` is that of the stages, and `derivative` is σ′ there.  Like the ri and the result it
    has an array of shape (members, channels, samples) for every stage.
    """
    equations = _CostateEquations(A, layer, _stacked(derivative), _stacked(r))
    matrix = solution.matrix
    V = matrix.solve(equations.pulled_back(equations.r), transposed=True)
    effort = CAREFUL if solution.effort.looks else REFINEMENTS
    found = _iterate(equations, V, matrix, not matrix.computed, effort)
    xp, converged = namespace(V), found.status.converged[:, None, None, :]
    return _stages(xp.where(converged, found.values, xp.full_like(V, xp.nan)))


def _stacked(stages: list[Array]) -> Array:
    """The stages as one array, (members, channels, k, samples)."""
    return namespace(*stages).stack(stages, axis=2)


def _stages(stacked: Array) -> list[Array]:
    """The inverse of `_stacked`."""
    return [stacked[:, :, j, :] for j in range(stacked.shape[2])]


# The same iteration solves both kinds of equations: R(x) = 0, with values that belong to x.  All
# of them are of shape (members, channels, k, samples).


@dataclass(frozen=True)
class _StageEquations:
    """x is Y, and the values are F = f(Y)."""

    A: Matrix
    layer: Layer
    activation: Activation
    base: Array
    offset: Array = None

    transposed = False  # whether R is linear with the transposed Newton's matrix

    def start(self) -> Array:
        """Y = B, the solution for h = 0."""
        K, base = self.layer.K, self.base
        return namespace(base).broadcast_to(base, (K.shape[0], *base.shape[1:]))

    def residual(self, x: Array) -> tuple[Array, Array]:
        """R(x) and the values."""
        xp, layer = namespace(x), self.layer
        Z = xp.matmul(layer.K, merged(xp, x)) + layer.b
        if self.offset is not None:
            Z = Z + merged(xp, self.offset)
        F = split(xp, self.activation.value(xp, Z), len(self.A))
        return x - self.base - layer.h[..., None] * _mix(xp, self.A, F), F

    def scale(self, R: Array, values: Array) -> Array:
        """The size, (members, samples), whose rounding errors R has; R and values of the start."""
        # At the start, Y = B, R is -h A F.  Errors of f(Y) are of the size of ε ‖K‖₂ |Y|.
        xp = namespace(R)
        contraction = _norm(self.A) * self.layer.stiffness
        size = (1.0 + contraction) * (_size(xp, self.base) + _size(xp, R))
        if self.offset is None:
            return size
        # Errors of Z, of the size of ε |c|, are errors of R of h A times that.
        return size + _norm(self.A) * xp.abs(self.layer.h[:, 0, :]) * _size(xp, self.offset)

    def derivative(self, values: Array) -> Array:
        """σ′, from which Newton's matrix is computed."""
        return self.activation.derivative(namespace(values), values)

    def on(self, samples: Array) -> _StageEquations:
        """The equations of some of the samples."""
        take = namespace(self.base).take
        offset = self.offset if self.offset is None else take(self.offset, samples, axis=3)
        return replace(self, base=take(self.base, samples, axis=3), offset=offset)


@dataclass(frozen=True)
class _CostateEquations:
    """x is V, and the values are Γ; σ′ is that of the stages."""

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
    """Where an iteration has ended."""

    x: Array
    values: Array
    status: Status


def _by_continuation(equations: _StageEquations, x: Array) -> _Found:
    """Newton's method along the branch of solutions that begins at the step zero."""
    layer = equations.layer
    x = equations.start()
    for k in range(1, CONTINUATION + 1):
        shorter = layer._replace(h=layer.h * (k / CONTINUATION))
        part = replace(equations, layer=shorter)
        matrix = StageMatrix(part.A, shorter.K, shorter.h)
        found = _iterate(part, x, matrix, False, CAREFUL)
        x = found.x
    return found


def _mend(equations: _Equations, found: _Found, attempt: Callable[[Any, Array], _Found]) -> _Found:
    """What has been found, with the samples that have not converged attempted again."""
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
    """x ← x - t M⁻¹ R(x) until R(x) is zero up to rounding, or nothing helps.

    A step that does not shrink a sample's residual is taken back; if M was up to date, the sample
    goes on with half the step.  Where R is linear, M is computed anew only if it is not good.
    """
    xp, linear, (limit, looks) = namespace(x), equations.transposed, effort
    R, values = equations.residual(x)
    size = _size(xp, R)
    tolerance = ROUNDINGS * float(xp.finfo(x.dtype).eps) * equations.scale(R, values)
    t, stale = None, not contracting and not linear
    # A residual that is NaN counts as small here: no step would mend it.
    for iterations in range(limit + 1):
        active = size > tolerance
        if iterations == limit or (looks and not xp.any(active)):
            break
        if stale:
            matrix.compute(equations.derivative(values), looks)
        delta = matrix.solve(R, linear)
        trial = x - (delta if t is None else t[:, None, None, :] * delta)
        R_trial, values_trial = equations.residual(trial)
        size_trial = _size(xp, R_trial)
        arrived = size_trial <= tolerance
        slow = active & ~arrived & ~(size_trial <= GOOD_RATE * size)
        accepted = arrived | (size_trial < size)  # False for NaN
        if looks and xp.all(accepted):
            x, R, values, size, t = trial, R_trial, values_trial, size_trial, None
        else:
            better = accepted[:, None, None, :]
            x, R = xp.where(better, trial, x), xp.where(better, R_trial, R)
            values = xp.where(better, values_trial, values)
            size = xp.where(accepted, size_trial, size)
            t = xp.ones_like(size) if t is None else t
            t = xp.where(accepted, xp.ones_like(t), 0.5 * t if stale else t)
        stale = not contracting and (not linear or (looks and bool(xp.any(slow))))
    return _Found(x, values, Status(size <= tolerance, iterations, size))


def _norm(A: Matrix) -> float:
    """‖A‖₂ ≤ √(‖A‖₁ ‖A‖∞), an upper bound."""
    rows = max(sum(map(abs, row)) for row in A)
    columns = max(sum(map(abs, column)) for column in zip(*A, strict=True))
    return float((rows * columns) ** 0.5)


def _size(xp: Namespace, R: Array) -> Array:
    """The largest entry of each sample's part, (members, samples)."""
    return xp.max(xp.abs(R), axis=(1, 2))


def _mix(xp: Namespace, A: Matrix, F: Array) -> Array:
    """Σj aij Fj, with the stages on the third axis."""
    if len(A) == 1:
        return A[0][0] * F
    return xp.matmul(placed(host.asarray(A), F, F.dtype), F)


def merged(xp: Namespace, Y: Array) -> Array:
    """The stages side by side, as if they were more samples."""
    return xp.reshape(Y, (Y.shape[0], Y.shape[1], -1))


def split(xp: Namespace, F: Array, k: int) -> Array:
    """The inverse of `merged`."""
    return xp.reshape(F, (F.shape[0], F.shape[1], k, -1))
