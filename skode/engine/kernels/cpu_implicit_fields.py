"""Steps with implicit stages and their adjoints for fields T Kᵀ σ(K y + b), in compiled loops.

The formulas are those of `steps`, for one member and a block of samples.
"""

from __future__ import annotations

import numpy as np

from ..fields import MINUS
from .cpu_anderson import LAGGING
from .cpu_case import (
    place_of_stage,
    place_of_state,
    place_of_values,
    places_of_costates,
    places_of_field,
    starts_of,
)
from .cpu_fields import turn
from .cpu_implicit import block_of, solve
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


@loops
def _turned_controls(code, U, K, b, n):
    """Q = K T Kᵀ, and below it b."""
    half, found = n // 2, np.empty(n * n + n, U.dtype)
    for i in range(n):
        for j in range(n):
            total = U.dtype.type(0)
            for k in range(n):
                w = U[K + i * n + k]
                if code == MINUS:
                    total -= w * U[K + j * n + k]
                elif k < half:
                    total += w * U[K + j * n + k + half]
                else:
                    total -= w * U[K + j * n + k - half]
            found[i * n + j] = total
    for i in range(n):
        found[n * n + i] = U[b + i]
    return found


@expanded
def step(case, scheme, U, layer, work, tolerance):
    """Put y⁺, the Yi and the Si of a layer in their places, and note which samples are unsolved."""
    states, betas = work.states, work.betas
    n, s, starts = case.n_channels, case.n_stages, starts_of(case)
    h, K, b = U[starts.h + layer], layer * n * n, starts.b + layer * n
    y, S, after = (
        place_of_state(case, layer),
        place_of_values(case, layer),
        place_of_state(case, layer + 1),
    )
    spare, F = places_of_field(case)
    around = _turned_controls(case.turn, U, K, b, n)
    Y, given = place_of_stage(case, scheme, layer, 0), Given(scheme, around, betas)
    for i in range(s):
        combine(betas[ONE], h, scheme, i, states, (y, F, Y + i))
        first, k = block_of(scheme, i)
        if k == 0:
            product(U, states, states, betas, (K, NO, Y + i, S + i, NOTHING))
            activate(case.activation, U, b, states, S + i)
        elif i == first + k - 1:
            # The ci are where the Fi will be.
            for j in range(first, first + k):
                product(U, states, states, betas, (K, NO, Y + j, F + j, NOTHING))
            kind = STAGES, True, case.activation
            e = Equations(*kind, n, first, k, 0, n * n, 2 * s + 1, h, tolerance)
            places, scales = (F + first, S + first, S + first), work.scales[layer * s + first]
            n_unsolved = solve(e, given, states, places, work, scales)
            for j in range(n_unsolved):
                work.unsolved[work.solver[2][LAGGING, j]] = True
        if k == 0 or i == first + k - 1:
            for j in range(first if k > 0 else i, i + 1):
                product(U, states, states, betas, (K, YES, S + j, spare, NOTHING))
                turn(case.turn, False, states, spare, F + j)
        if k > 0 and i == first + k - 1:
            for j in range(first, first + k):
                combine(betas[ONE], h, scheme, 2 * s + 1 + j, states, (Y + j, F, Y + j))
    combine(betas[SKIP], h, scheme, s, states, (y, F, after))


@expanded
def step_adjoint(case, scheme, U, layer, dU, work, tolerance):
    """Put p in the place of p⁺, and add the gradient with respect to the controls of the layer.

    Return what the loss changes by per unit of the tolerance, as `cpu_implicit.step_adjoint`.
    """
    states, betas = work.states, work.betas
    n, s, starts, one = case.n_channels, case.n_stages, starts_of(case), work.betas[ONE]
    h, K, b = U[starts.h + layer], layer * n * n, starts.b + layer * n
    S, Y = place_of_values(case, layer), place_of_stage(case, scheme, layer, 0)
    gamma, G, p, V = places_of_costates(case)
    turned, D = places_of_field(case)
    around, sensitivity = _turned_controls(case.turn, U, K, b, n), 0.0
    given = Given(scheme, around, betas)
    for i in range(s - 1, -1, -1):
        combine(scheme[s, i], one, scheme, s + 1 + i, states, (p, V, gamma + i))
        turn(case.turn, True, states, gamma + i, turned)
        product(U, states, states, betas, (K, NO, turned, D + i, NOTHING))
        first, k = block_of(scheme, i)
        if k > 0 and i == first:
            kind = COSTATES, False, case.activation
            e = Equations(*kind, n, first, k, 0, n * n, 3 * s + 1, h, tolerance)
            places, scales = (D + first, V + first, S + first), work.scales[layer * s + first]
            n_unsolved = solve(e, given, states, places, work, scales)
            for j in range(n_unsolved):
                states[D + first, 0, work.solver[2][LAGGING, j]] = np.nan
            for j in range(first, first + k):
                sensitivity += size(states, V + j, scales)
        if k == 0 or i == first:
            for j in range(i, i + max(k, 1)):
                if case.learn_step:
                    dU[starts.h + layer] += dot(states, S + j, D + j)
                pull_back(case.activation, h, states, (S + j, D + j, G), dU, b)
                add_outer_product(states, states, betas, dU, (G, Y + j, K, case.panel))
                product(U, states, states, betas, (K, YES, G, V + j, NOTHING))
            for j in range(i, i + max(k, 1)):
                if k > 0:
                    combine(one, one, scheme, 3 * s + 1 + j, states, (gamma + j, V, gamma + j))
                turn(case.turn, True, states, gamma + j, turned)
                multiply_by(h, states, turned)
                add_outer_product(states, states, betas, dU, (S + j, turned, K, case.panel))
    multiply_by(betas[SKIP], states, p)
    accumulate(states, p, V, s)
    return sensitivity
