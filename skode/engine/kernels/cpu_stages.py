"""The equations of a block of implicit stages, and those of its costates, in compiled loops.

Both are fixed-point equations x = G(x); `implicit` derives them:

    stages     Fj = σ(K xj + b),         G(x)i = Bi + h Σj aij Fj           x is Y
               Fj = σ(Q xj + b + cj),    G(x)i = h Σj aij Fj                fields T KᵀS
    costates   Fj = rj + Σi aij xi,      G(x)j = h Kᵀ(σ′j ∘ Fj)             x is V, and F is Γ

For fields T KᵀS, Q = K T Kᵀ takes the place of K; see `steps`.

`cpu_anderson` and `cpu_newton` solve them for several samples at once.  They work on an array v of
states, (places, channels, samples), and on rows of numbers per sample.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .cpu_rows import NO, NOTHING, ONE, YES, activate, combine, differentiate, loops, product
from .elementary import constants

STAGES, COSTATES = np.int64(0), np.int64(1)
# Where the k states of each kind begin in v, in multiples of k: x; B, or r; hσ′; F; G(x); and
# hσ′∘F, which is only one state.  Further states of the methods follow.
KNOWN, SLOPE, F, G, T, MORE = 1, 2, 3, 4, 5, 6
# The rows of the size of the residual, of its tolerance, and of temporary values; further rows
# follow.
SIZE, TOLERANCE, SPARE, MORE_ROWS = 0, 1, 2, 3
# The rounding errors of costates whose residuals are nearly zero, in double and in single
# precision.
SMALLEST, SMALLEST_SINGLE = 1e-305, 1e-36
SETTLED = 2  # iterations, after which sizes are known well enough to update the tolerances


class Equations(NamedTuple):
    """The equations of a block of a layer: integers, the step, and the tolerance.

    These are the kind of the equations; whether they have ci in the place of Bi; the activation;
    the number of channels; the first stage and the number of stages; where K and b begin in the
    controls; the row of the scheme at which A, or its transpose, begins; h; and the tolerance,
    relative to the sizes of the terms of a residual.
    """

    kind: Any
    turned: Any
    activation: Any
    n: Any
    first: Any
    k: Any
    K: Any
    b: Any
    A: Any
    h: Any
    tolerance: Any


class Given(NamedTuple):
    """The coefficients of the scheme, where K and b lie, and the numbers one and zero."""

    scheme: Any
    U: Any
    betas: Any


@loops
def with_step(e, h):
    """Return the equations with another step."""
    first, last = (e.kind, e.turned, e.activation, e.n, e.first), (e.k, e.K, e.b, e.A)
    return Equations(*first, *last, h, e.tolerance)


@loops
def apply(e, given, v):
    """Compute F and G(x) in their places."""
    scheme, U, betas = given
    k, f, g, t = e.k, F * e.k, G * e.k, T * e.k
    if e.kind == STAGES:
        before, of_known = NOTHING, betas[ONE]
        if e.turned:
            before, of_known = ONE, betas[NOTHING]
            for i in range(k):
                for c in range(v.shape[1]):
                    for j in range(v.shape[2]):
                        v[f + i, c, j] = v[KNOWN * k + i, c, j]
        for i in range(k):
            product(U, v, v, betas, (e.K, NO, i, f + i, before))
            activate(e.activation, U, e.b, v, f + i)
        for i in range(k):
            places = (KNOWN * k + i, f - e.first, g + i)
            combine(of_known, e.h, scheme, e.A + e.first + i, v, places)
    else:
        for i in range(k):
            places = (KNOWN * k + i, -e.first, f + i)
            combine(betas[ONE], betas[ONE], scheme, e.A + e.first + i, v, places)
        for i in range(k):
            for c in range(v.shape[1]):
                for j in range(v.shape[2]):
                    v[t, c, j] = v[SLOPE * k + i, c, j] * v[f + i, c, j]
            product(U, v, v, betas, (e.K, YES, t, g + i, NOTHING))


@loops
def measure(e, v, rows):
    """Write the largest entry of each residual G(x) - x to its row; NaN if there is one."""
    for j in range(v.shape[2]):
        rows[SIZE, j] = 0
    for i in range(e.k):
        for c in range(v.shape[1]):
            for j in range(v.shape[2]):
                size, most = abs(v[G * e.k + i, c, j] - v[i, c, j]), rows[SIZE, j]
                rows[SIZE, j] = size if (size > most) | (size != size) else most


@loops
def set_tolerances(e, given, v, rows, columns, scales):
    """Write the tolerances of the residuals to their row.

    Residuals have rounding errors of the order of (1 + c)(|B| + |G - B|) for stages, and of
    (1 + c) c |Γ| for costates, where c bounds the norm of h A ⊗ J.  With ci in the place of Bi, B
    is replaced by h A c.  The sizes for stages are also recorded in `scales`.
    """
    c, k, zero = _contraction(e, given.scheme, given.U), e.k, constants(e.h).zero
    one = constants(e.h).one
    of_known = abs(e.h) * np.sqrt(_squared_norm(e, given.scheme)) if e.turned else one
    first = KNOWN * k if e.kind == STAGES else F * k
    smallest = rows.dtype.type(SMALLEST if rows.itemsize == 8 else SMALLEST_SINGLE)
    for j in range(v.shape[2]):
        rows[TOLERANCE, j], rows[SPARE, j] = zero, zero
    for i in range(k):
        for channel in range(v.shape[1]):
            for j in range(v.shape[2]):
                size, most = of_known * abs(v[first + i, channel, j]), rows[TOLERANCE, j]
                rows[TOLERANCE, j] = size if size > most else most
            if e.kind == STAGES:
                for j in range(v.shape[2]):
                    base = zero if e.turned else v[first + i, channel, j]
                    size = abs(v[G * k + i, channel, j] - base)
                    most = rows[SPARE, j]
                    rows[SPARE, j] = size if size > most else most
    for j in range(v.shape[2]):
        size = rows[TOLERANCE, j]
        size = size + rows[SPARE, j] if e.kind == STAGES else c * size
        size += c * size
        rows[TOLERANCE, j] = e.tolerance * size + smallest
        if e.kind == STAGES and columns[j] >= 0:
            scales[columns[j]] = size


@loops
def _contraction(e, scheme, U):
    """Return |h| ‖A‖ ‖K‖, with the upper bounds √(‖·‖₁ ‖·‖∞) of both norms."""
    return abs(e.h) * np.sqrt(_squared_norm(e, scheme) * _bound(U, e.K, e.n, e.n))


@loops
def _squared_norm(e, scheme):
    """Return ‖A‖₁ ‖A‖∞."""
    s = scheme.shape[1]
    return _bound(scheme.reshape(-1), (e.A + e.first) * s + e.first, e.k, s)


@loops
def _bound(a, start, n, stride):
    """Return ‖·‖₁ ‖·‖∞ of the n × n matrix at `start`, whose rows are `stride` apart."""
    zero = constants(a[start]).zero
    most_rows, most_columns = zero, zero
    for i in range(n):
        row, column = zero, zero
        for j in range(n):
            row += abs(a[start + i * stride + j])
            column += abs(a[start + j * stride + i])
        most_rows, most_columns = max(most_rows, row), max(most_columns, column)
    return most_rows * most_columns


@loops
def copy_in(e, states, places, columns, v):
    """Copy some columns of B, or r, to v, and start with x = B, or 0."""
    known, _, values = places
    k, zero, start = e.k, constants(e.h).zero, columns[0]
    together = adjacent(columns, v.shape[2])
    for i in range(k):
        for c in range(v.shape[1]):
            if together:
                for j in range(v.shape[2]):
                    v[KNOWN * k + i, c, j] = states[known + i, c, start + j]
            else:
                for j in range(v.shape[2]):
                    v[KNOWN * k + i, c, j] = states[known + i, c, columns[j]]
            for j in range(v.shape[2]):
                begun = e.kind == STAGES and not e.turned
                v[i, c, j] = v[KNOWN * k + i, c, j] if begun else zero
    if e.kind == COSTATES:
        for i in range(k):
            for c in range(v.shape[1]):
                if together:
                    for j in range(v.shape[2]):
                        v[F * k, c, j] = states[values + i, c, start + j]
                else:
                    for j in range(v.shape[2]):
                        v[F * k, c, j] = states[values + i, c, columns[j]]
            differentiate(e.activation, e.h, v, F * k, SLOPE * k + i)


@loops
def adjacent(columns, m):
    """Whether the first m columns are consecutive and ascending."""
    return columns[m - 1] - columns[0] == m - 1


@loops
def copy_out(e, v, j, states, places, column):
    """Copy the solution of sample j, Y and F or Γ and V, to its column."""
    known, found, _ = places
    k, x, y = e.k, _first(e), _second(e)
    for i in range(k):
        for c in range(v.shape[1]):
            states[known + i, c, column] = v[x + i, c, j]
            states[found + i, c, column] = v[y + i, c, j]


@loops
def copy_all_out(e, v, states, places, start):
    """Copy the solutions of all samples to adjacent columns."""
    known, found, _ = places
    k, x, y = e.k, _first(e), _second(e)
    for i in range(k):
        for c in range(v.shape[1]):
            for j in range(v.shape[2]):
                states[known + i, c, start + j] = v[x + i, c, j]
                states[found + i, c, start + j] = v[y + i, c, j]


@loops
def _first(e):
    """Return the place of Y, or of Γ."""
    return 0 if e.kind == STAGES else F * e.k


@loops
def _second(e):
    """Return the place of F, or of V."""
    return (F if e.kind == STAGES else G) * e.k
