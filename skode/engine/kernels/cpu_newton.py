"""Newton's method for the equations of implicit stages and of costates.

For the residuals R = x - G(x) of a few samples at once, a step is

    x⁺ = x - t M⁻¹ R(x),      M = I - h (A ⊗ I) diag(J1, …, Jk),      Jj = diag(σ′j) K.

Samples are independent of each other.  A step that does not reduce a sample's residual is undone
and tried again with half the length.  If that fails, the branch of solutions is followed from step
size 0.  The equations of costates are linear, with the transpose of M.

Elimination does not use pivoting: the pivots of M are near 1, or the stage equations would have
several solutions.
"""

from __future__ import annotations

import numpy as np

from .cpu_rows import differentiate, loops
from .cpu_stages import (
    COSTATES,
    MORE,
    MORE_ROWS,
    SIZE,
    SLOPE,
    STAGES,
    TOLERANCE,
    F,
    G,
    T,
    adjacent,
    apply,
    copy_all_out,
    copy_in,
    copy_out,
    measure,
    set_tolerances,
    with_step,
)
from .elementary import constants

LIMIT = 50  # iterations
CONTINUATION = 8  # steps from h = 0 to h
REFINEMENTS = 5  # of the costates
# The tolerance of a residual that Newton's method no longer reduces, in double and in single
# precision: for wide layers, the estimate of the rounding errors is a little too small.
ENOUGH, ENOUGH_SINGLE = 3e-14, 1.6e-5

# Where the best x so far, its residual R, and M⁻¹R are in v.
BEST, RESIDUAL, STEP = MORE, MORE + 1, MORE + 2
N_STATES = MORE + 3
# The rows of the size of the best x's residual, and of t.
LEAST, DAMPING = MORE_ROWS, MORE_ROWS + 1


@loops
def newton(e, given, states, places, rows, columns, scales):
    """Solve for the samples in some columns; return how many are left unsolved.

    `columns` then begins with their columns.  The other parameters are those of `anderson`.
    """
    n_unsolved = _attempt(e, given, states, places, rows, columns, scales, 1)
    if n_unsolved > 0 and e.kind == STAGES:
        rest = columns[:n_unsolved]
        n = CONTINUATION
        n_unsolved = _attempt(e, given, states, places, rows, rest, scales, n)
    return n_unsolved


@loops
def _attempt(e, given, states, places, rows, columns, scales, n_pieces):
    """Do the same in several pieces, from step size 0 to h."""
    size, m = e.k * e.n, len(columns)
    v = np.empty((N_STATES * e.k, e.n, m), states.dtype)
    M = np.empty((size, size, m), states.dtype)
    copy_in(e, states, places, columns, v)
    for piece in range(1, n_pieces + 1):
        h = e.h * (states.dtype.type(piece) / states.dtype.type(n_pieces))
        part = with_step(e, h)
        apply(part, given, v)
        measure(part, v, rows)
        set_tolerances(part, given, v, rows, columns, scales)
        if e.kind == COSTATES:
            _refine(part, given, v, M, rows, columns, scales)
        else:
            _descend(part, given, v, M, rows)
    enough = rows.dtype.type(ENOUGH if rows.itemsize == 8 else ENOUGH_SINGLE)
    for j in range(m):
        rows[TOLERANCE, j] *= max(enough / e.tolerance, constants(enough).one)
    if adjacent(columns, m) and not _open(v, rows, SIZE, True):
        copy_all_out(e, v, states, places, columns[0])
        return 0
    n_unsolved = 0
    for j in range(m):
        if rows[SIZE, j] <= rows[TOLERANCE, j]:
            copy_out(e, v, j, states, places, columns[j])
        else:
            columns[n_unsolved] = columns[j]
            n_unsolved += 1
    return n_unsolved


@loops
def _open(v, rows, row, invalid):
    """Whether the size of a residual is too large or, if `invalid` is set, NaN."""
    found = False
    for j in range(v.shape[2]):
        size = rows[row, j]
        found |= (size > rows[TOLERANCE, j]) | (invalid & (size != size))
    return found


@loops
def _refine(e, given, v, M, rows, columns, scales):
    """Solve the linear equations of the costates, with iterative refinement."""
    _put_matrix(e, given, v, M)
    _factorise(M)
    k, step = e.k, STEP * e.k
    for _ in range(REFINEMENTS):
        if not _open(v, rows, SIZE, False):
            break
        for i in range(k):
            for c in range(v.shape[1]):
                for j in range(v.shape[2]):
                    v[step + i, c, j] = v[i, c, j] - v[G * k + i, c, j]
        _substitute(M, v, step)
        for i in range(k):
            for c in range(v.shape[1]):
                for j in range(v.shape[2]):
                    v[i, c, j] -= v[step + i, c, j]
        apply(e, given, v)
        measure(e, v, rows)
        set_tolerances(e, given, v, rows, columns, scales)


@loops
def _descend(e, given, v, M, rows):
    """Iterate for the stages; `apply` and `measure` are called before and at the end."""
    k, m = e.k, v.shape[2]
    best, residual, step = BEST * k, RESIDUAL * k, STEP * k
    for iteration in range(LIMIT + 1):
        if not _open(v, rows, SIZE, True):
            return
        all_better = _keep_better(e, v, rows, iteration == 0)
        if iteration == LIMIT or not _open(v, rows, LEAST, False):
            break
        _put_matrix(e, given, v, M)
        _factorise(M)
        for i in range(k):
            for channel in range(v.shape[1]):
                for j in range(m):
                    v[step + i, channel, j] = v[residual + i, channel, j]
        _substitute(M, v, step)
        for i in range(k):
            for channel in range(v.shape[1]):
                for j in range(m):
                    change = rows[DAMPING, j] * v[step + i, channel, j]
                    done = rows[LEAST, j] <= rows[TOLERANCE, j]
                    before = v[best + i, channel, j]
                    v[i, channel, j] = before if done else before - change
        apply(e, given, v)
        measure(e, v, rows)
    if not all_better:
        for i in range(k):
            for channel in range(v.shape[1]):
                for j in range(m):
                    v[i, channel, j] = v[best + i, channel, j]
        apply(e, given, v)
        measure(e, v, rows)


@loops
def _keep_better(e, v, rows, first):
    """Take x as the best one if its residual is smaller; otherwise halve t.

    Return whether x is now the best one for every sample.
    """
    k, m = e.k, v.shape[2]
    c = constants(rows[0, 0])
    for i in range(k):
        best, residual, slope = BEST * k + i, RESIDUAL * k + i, SLOPE * k + i
        differentiate(e.activation, e.h, v, F * k + i, T * k)
        for channel in range(v.shape[1]):
            for j in range(m):
                better = first | (rows[SIZE, j] < rows[LEAST, j])
                x, g = v[i, channel, j], v[G * k + i, channel, j]
                v[best, channel, j] = x if better else v[best, channel, j]
                v[residual, channel, j] = x - g if better else v[residual, channel, j]
                here = v[T * k, channel, j]
                v[slope, channel, j] = here if better else v[slope, channel, j]
    all_better = True
    for j in range(m):
        better = first | (rows[SIZE, j] < rows[LEAST, j])
        all_better &= better | (rows[SIZE, j] == rows[LEAST, j])
        rows[LEAST, j] = rows[SIZE, j] if better else rows[LEAST, j]
        rows[DAMPING, j] = c.one if better else c.half * rows[DAMPING, j]
    return all_better


@loops
def _put_matrix(e, given, v, M):
    """Compute M, or its transpose for costates, (k n, k n, samples)."""
    k, n, scheme, U, one = e.k, e.n, given.scheme, given.U, constants(e.h).one
    for i in range(k):
        for j in range(k):
            a = scheme[e.A + e.first + i, e.first + j]
            for row in range(n):
                for column in range(n):
                    p, q = i * n + row, j * n + column
                    if e.kind == STAGES:
                        w, slope, channel = a * U[e.K + row * n + column], SLOPE * k + j, row
                    else:
                        w, slope, channel = a * U[e.K + column * n + row], SLOPE * k + i, column
                    diagonal = one if p == q else one - one
                    for sample in range(v.shape[2]):
                        M[p, q, sample] = diagonal - w * v[slope, channel, sample]


@loops
def _factorise(M):
    """Replace M by its LU factors with inverted pivots; for two equations, by M⁻¹."""
    size, m = len(M), M.shape[2]
    if size == 2:
        for j in range(m):
            a, b, c, d = M[0, 0, j], M[0, 1, j], M[1, 0, j], M[1, 1, j]
            inverse = constants(a).one / (a * d - b * c)
            M[0, 0, j], M[0, 1, j] = inverse * d, -inverse * b
            M[1, 0, j], M[1, 1, j] = -inverse * c, inverse * a
        return
    for p in range(size):
        for j in range(m):
            M[p, p, j] = constants(M[p, p, j]).one / M[p, p, j]
        for r in range(p + 1, size):
            for j in range(m):
                M[r, p, j] *= M[p, p, j]
            for q in range(p + 1, size):
                for j in range(m):
                    M[r, q, j] -= M[r, p, j] * M[p, q, j]


@loops
def _substitute(M, v, place):
    """Replace b, the states from a place on, by the solution of L U x = b."""
    size, m, n = len(M), M.shape[2], v.shape[1]
    if size == 2:
        other, channel = place + 1 // n, 1 % n
        for j in range(m):
            x, y = v[place, 0, j], v[other, channel, j]
            v[place, 0, j] = M[0, 0, j] * x + M[0, 1, j] * y
            v[other, channel, j] = M[1, 0, j] * x + M[1, 1, j] * y
        return
    for r in range(size):
        for q in range(r):
            for j in range(m):
                v[place + r // n, r % n, j] -= M[r, q, j] * v[place + q // n, q % n, j]
    for r in range(size - 1, -1, -1):
        for q in range(r + 1, size):
            for j in range(m):
                v[place + r // n, r % n, j] -= M[r, q, j] * v[place + q // n, q % n, j]
        for j in range(m):
            v[place + r // n, r % n, j] *= M[r, r, j]
