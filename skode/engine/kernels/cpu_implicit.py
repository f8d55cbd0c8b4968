"""Steps of schemes with implicit stages and their adjoints, in compiled loops.

The formulas are those of `steps`, for one member and a block of samples.
"""

from __future__ import annotations

import numpy as np

from .cpu_anderson import LAGGING, anderson
from .cpu_case import (
    place_of_stage,
    place_of_state,
    place_of_values,
    places_of_costates,
    starts_of,
)
from .cpu_newton import newton
from .cpu_rows import (
    NO,
    NOTHING,
    ONE,
    SKIP,
    YES,
    accumulate,
    activate,
    add_outer_product,
    combine,
    dot,
    expanded,
    loops,
    multiply_by,
    product,
    pull_back,
    size,
)
from .cpu_stages import COSTATES, STAGES, Equations, Given

TINY = 8  # equations per sample, up to which Newton's method is faster than Anderson's
# Samples that Newton's method solves at once: as many as fit into the L1 cache with their few
# states, or into a vector register.
TINY_GROUP, GROUP = 128, 8


@loops
def block_of(scheme, i):
    """Return the first stage of the block of stage i and its number of stages; 0 if explicit.

    These are stored in the last rows of the scheme.
    """
    rows = len(scheme)
    return np.int64(scheme[rows - 2, i]), np.int64(scheme[rows - 1, i])


@loops
def solve(e, given, states, places, work, scales):
    """Solve for all samples; return how many are unsolved.  Their columns begin the index."""
    _, rows, index = work.solver
    columns, m = index[LAGGING], states.shape[2]
    if e.k * e.n <= TINY:
        n_left, group = m, TINY_GROUP
        for j in range(m):
            columns[j] = j
    else:
        group = GROUP
        n_left = anderson(e, given, states, places, work.solver, scales)
    n_unsolved = 0
    for start in range(0, n_left, group):
        some = columns[start : min(start + group, n_left)]
        found = newton(e, given, states, places, rows, some, scales)
        for j in range(found):
            columns[n_unsolved + j] = some[j]
        n_unsolved += found
    return n_unsolved


@expanded
def step(case, scheme, U, layer, work, tolerance):
    """Compute y⁺, the Yi and the Fi of a layer in their places; record unsolved samples."""
    states, betas = work.states, work.betas
    n, s, starts = case.n_channels, case.n_stages, starts_of(case)
    h, K, b = U[starts.h + layer], layer * n * n, starts.b + layer * n
    y, F, after = (
        place_of_state(case, layer),
        place_of_values(case, layer),
        place_of_state(case, layer + 1),
    )
    Y, given = place_of_stage(case, scheme, layer, 0), Given(scheme, U, betas)
    for i in range(s):
        combine(betas[ONE], h, scheme, i, states, (y, F, Y + i))
        first, k = block_of(scheme, i)
        if k == 0:
            product(U, states, states, betas, (K, NO, Y + i, F + i, NOTHING))
            activate(case.activation, U, b, states, F + i)
        elif i == first + k - 1:
            e = Equations(
                STAGES, False, case.activation, n, first, k, K, b, 2 * s + 1, h, tolerance
            )
            places, scales = (Y + first, F + first, F + first), work.scales[layer * s + first]
            n_unsolved = solve(e, given, states, places, work, scales)
            for j in range(n_unsolved):
                work.unsolved[work.solver[2][LAGGING, j]] = True
    combine(betas[SKIP], h, scheme, s, states, (y, F, after))


@expanded
def step_adjoint(case, scheme, U, layer, dU, work, tolerance):
    """Replace p⁺ by p, and add the gradient with respect to the controls of the layer.

    Return the largest change of the loss per unit of the tolerance, to first order: residuals R
    of the stages change the loss by ⟨V, R⟩.
    """
    states, betas = work.states, work.betas
    n, s, starts, one = case.n_channels, case.n_stages, starts_of(case), work.betas[ONE]
    h, K, b = U[starts.h + layer], layer * n * n, starts.b + layer * n
    F, Y = place_of_values(case, layer), place_of_stage(case, scheme, layer, 0)
    gamma, G, p, V = places_of_costates(case)
    given, sensitivity = Given(scheme, U, betas), 0.0
    for i in range(s - 1, -1, -1):
        combine(scheme[s, i], one, scheme, s + 1 + i, states, (p, V, gamma + i))
        first, k = block_of(scheme, i)
        if k > 0 and i == first:
            e = Equations(
                COSTATES, False, case.activation, n, first, k, K, b, 3 * s + 1, h, tolerance
            )
            places, scales = (gamma + first, V + first, F + first), work.scales[layer * s + first]
            n_unsolved = solve(e, given, states, places, work, scales)
            for j in range(n_unsolved):
                states[gamma + first, 0, work.solver[2][LAGGING, j]] = np.nan
            for j in range(first, first + k):
                sensitivity += size(states, V + j, scales)
        if k == 0 or i == first:
            for j in range(i, i + max(k, 1)):
                pull_back(case.activation, h, states, (F + j, gamma + j, G), dU, b)
                if case.learn_step:
                    dU[starts.h + layer] += dot(states, F + j, gamma + j)
                add_outer_product(states, states, betas, dU, (G, Y + j, K, case.panel))
                if k == 0:
                    product(U, states, states, betas, (K, YES, G, V + j, NOTHING))
    multiply_by(betas[SKIP], states, p)
    accumulate(states, p, V, s)
    return sensitivity
