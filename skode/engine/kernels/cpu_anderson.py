"""Anderson acceleration for the equations of implicit stages and of costates.

Samples are independent of each other.  With the residual r = G(x) - x of a sample and its last
differences Δr and ΔG,

    x⁺ = G(x) - Σ γi ΔGi,    γ = argmin ‖r - Σ γi Δri‖₂,

from the normal equations.  The products with K are computed for all samples at once.  Samples that
have converged are removed, so the result for a sample does not depend on the others.

Reference: Walker, Ni, "Anderson acceleration for fixed-point iterations" (SIAM Journal on Numerical
Analysis 49, 2011).
"""

from __future__ import annotations

from .cpu_rows import loops
from .cpu_stages import (
    MORE,
    MORE_ROWS,
    SETTLED,
    SIZE,
    TOLERANCE,
    G,
    apply,
    copy_in,
    copy_out,
    measure,
    set_tolerances,
)
from .elementary import constants

DEPTH = 3  # pairs of differences that are kept
LIMIT = 150  # iterations; samples that have not converged by then are left to Newton's method
# The least pivot of the normal equations, relative to the diagonal, in double and in single
# precision.  A pair with a smaller pivot is left out.
LEAST_PIVOT, LEAST_PIVOT_SINGLE = 1e-12, 1e-5
WORTH_MOVING = 0.75  # if at most this fraction of the samples is left, they are moved together

# Where the last residual, the last G, Δr and ΔG are in v.
LAST, LAST_G, DR, DG = MORE, MORE + 1, MORE + 2, MORE + 2 + DEPTH
N_STATES = MORE + 2 + 2 * DEPTH
# The rows of the normal equations ⟨Δri, Δrj⟩ γ = ⟨Δri, r⟩; of their elimination; and of their
# right-hand side, which becomes γ.
GRAM, WORK = MORE_ROWS, MORE_ROWS + DEPTH**2
RIGHT = WORK + DEPTH**2
N_ROWS = RIGHT + DEPTH
COLUMN, WAS, LAGGING = 0, 1, 2  # rows of the index


@loops
def anderson(e, given, states, places, space, scales):
    """Solve for the samples of a block; return how many have not converged.

    The last row of the index then begins with their columns.

    Parameters
    ----------
    e : Equations
    given : Given
    states : array of shape (all places, channels, samples)
    places : tuple of int
        The place of the first B, or r, which is overwritten with Y, or Γ; of the first F, or V,
        which are computed as well; and, for costates, of the first σ(K Y + b).
    space : tuple
        Work space: numbers for v; rows; and the index of shape (3, samples), which holds the
        column of `states` for each column of v, or -1 for samples that have been removed.
    scales : array of shape (samples,)
        The sizes that the tolerance is relative to; computed for stages.
    """
    flat, rows, index = space
    m = states.shape[2]
    v = flat[: N_STATES * e.k * e.n * m].reshape((-1, e.n, m))
    for j in range(m):
        index[COLUMN, j] = j
    copy_in(e, states, places, index[COLUMN], v)
    n_live, n_lagging = m, 0
    for iteration in range(LIMIT):
        apply(e, given, v)
        measure(e, v, rows)
        if iteration == 0 or iteration == SETTLED:
            set_tolerances(e, given, v, rows, index[COLUMN], scales)
        for j in range(v.shape[2]):
            column, size = index[COLUMN, j], rows[SIZE, j]
            done = size <= rows[TOLERANCE, j]
            if column < 0 or not (done or iteration == LIMIT - 1 or size != size):
                continue
            if done:
                copy_out(e, v, j, states, places, column)
            else:
                index[LAGGING, n_lagging] = column
                n_lagging += 1
            index[COLUMN, j] = -1
            n_live -= 1
        if n_live == 0:
            break
        _remember(e, v, rows, iteration)
        _solve(v, rows, iteration)
        _advance(e, v, rows, iteration)
        if n_live <= WORTH_MOVING * v.shape[2]:
            v = _moved(flat, v, rows, index, n_live)
    return n_lagging


@loops
def _remember(e, v, rows, iteration):
    """Replace the oldest differences by the newest, and update the normal equations."""
    k, slot, m = e.k, (iteration - 1) % DEPTH, v.shape[2]
    zero = constants(rows[0, 0]).zero
    used = min(iteration, DEPTH)
    for a in range(used):
        for j in range(m):
            rows[RIGHT + a, j] = zero
            rows[GRAM + slot * DEPTH + a, j] = zero
    for i in range(k):
        g, last, last_G = G * k + i, LAST * k + i, LAST_G * k + i
        dr, dG = (DR + slot) * k + i, (DG + slot) * k + i
        for c in range(v.shape[1]):
            if iteration > 0:
                for j in range(m):
                    r = v[g, c, j] - v[i, c, j]
                    v[dr, c, j] = r - v[last, c, j]
                    v[dG, c, j] = v[g, c, j] - v[last_G, c, j]
                    v[last, c, j] = r
                    v[last_G, c, j] = v[g, c, j]
            else:
                for j in range(m):
                    v[last, c, j] = v[g, c, j] - v[i, c, j]
                    v[last_G, c, j] = v[g, c, j]
            for a in range(used):
                other = (DR + a) * k + i
                for j in range(m):
                    rows[GRAM + slot * DEPTH + a, j] += v[dr, c, j] * v[other, c, j]
                    rows[RIGHT + a, j] += v[last, c, j] * v[other, c, j]
    for a in range(used):
        for j in range(m):
            rows[GRAM + a * DEPTH + slot, j] = rows[GRAM + slot * DEPTH + a, j]


@loops
def _solve(v, rows, iteration):
    """Replace the right-hand side by γ, by elimination from the newest pair to the oldest.

    A pair that newer pairs nearly span gets γ = 0.
    """
    m, used, newest = v.shape[2], min(iteration, DEPTH), iteration - 1
    c = constants(rows[0, 0])
    least = rows.dtype.type(LEAST_PIVOT if rows.itemsize == 8 else LEAST_PIVOT_SINGLE)
    for a in range(used):
        for b in range(used):
            for j in range(m):
                rows[WORK + a * DEPTH + b, j] = rows[GRAM + a * DEPTH + b, j]
    for p in range(used):
        a = (newest - p) % DEPTH
        pivot = WORK + a * DEPTH + a
        for j in range(m):  # its inverse
            d = rows[pivot, j]
            rows[pivot, j] = c.one / d if d > least * rows[GRAM + a * DEPTH + a, j] else c.zero
        for q in range(p + 1, used):
            b = (newest - q) % DEPTH
            for r in range(p + 1, used):
                d = (newest - r) % DEPTH
                for j in range(m):
                    factor = rows[WORK + b * DEPTH + a, j] * rows[pivot, j]
                    rows[WORK + b * DEPTH + d, j] -= factor * rows[WORK + a * DEPTH + d, j]
            for j in range(m):
                factor = rows[WORK + b * DEPTH + a, j] * rows[pivot, j]
                rows[RIGHT + b, j] -= factor * rows[RIGHT + a, j]
    for p in range(used - 1, -1, -1):
        a = (newest - p) % DEPTH
        for q in range(p + 1, used):
            b = (newest - q) % DEPTH
            for j in range(m):
                rows[RIGHT + a, j] -= rows[WORK + a * DEPTH + b, j] * rows[RIGHT + b, j]
        for j in range(m):
            rows[RIGHT + a, j] *= rows[WORK + a * DEPTH + a, j]


@loops
def _advance(e, v, rows, iteration):
    """Compute x⁺ = G(x) - Σ γi ΔGi."""
    k, used = e.k, min(iteration, DEPTH)
    for i in range(k):
        for c in range(v.shape[1]):
            for j in range(v.shape[2]):
                v[i, c, j] = v[G * k + i, c, j]
            for a in range(used):
                for j in range(v.shape[2]):
                    v[i, c, j] -= rows[RIGHT + a, j] * v[(DG + a) * k + i, c, j]


@loops
def _moved(flat, v, rows, index, n_live):
    """Move the columns of v that are left to the front, and return them as an array."""
    n_places, n, m = v.shape
    live = 0
    for j in range(m):
        if index[COLUMN, j] >= 0:
            for row in range(WORK):
                rows[row, live] = rows[row, j]
            index[COLUMN, live], index[WAS, live] = index[COLUMN, j], j
            live += 1
    for row in range(n_places * n):
        for t in range(live):
            flat[row * live + t] = flat[row * m + index[WAS, t]]
    return flat[: n_places * n * live].reshape((n_places, n, live))
