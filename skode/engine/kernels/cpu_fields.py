"""Steps of explicit schemes and their adjoints for fields T Kᵀ σ(K y + b), in compiled loops.

The formulas are those of `steps` and `fields`, for one member and a block of samples.  See
`cpu_implicit_fields` for implicit schemes, and `cpu_partitioned` for partitioned ones.
"""

from __future__ import annotations

import numpy as np

from ..fields import MINUS
from .cpu_case import (
    place_of_stage,
    place_of_state,
    place_of_values,
    places_of_costates,
    places_of_field,
    starts_of,
)
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
)


@loops
def turn(code, back, states, x, out):
    """Put T x, or Tᵀ x, in another place."""
    _, channels, samples = states.shape
    half = channels // 2
    for k in range(channels):
        source, minus = k, True
        if code != MINUS:
            source = k + half if k < half else k - half
            minus = (k >= half) != back
        for j in range(samples):
            states[out, k, j] = -states[x, source, j] if minus else states[x, source, j]


@expanded
def step(case, scheme, U, layer, work, tolerance):
    """Put y⁺ and the Si of a layer in their places."""
    states, betas = work.states, work.betas
    n, s, starts = case.n_channels, case.n_stages, starts_of(case)
    h, K = U[starts.h + layer], layer * n * n
    y, S, after = (
        place_of_state(case, layer),
        place_of_values(case, layer),
        place_of_state(case, layer + 1),
    )
    spare, F = places_of_field(case)
    for i in range(s):
        Y = place_of_stage(case, scheme, layer, i)
        if y != Y:
            combine(betas[ONE], h, scheme, i, states, (y, F, Y))
        product(U, states, states, betas, (K, NO, Y, S + i, NOTHING))
        activate(case.activation, U, starts.b + layer * n, states, S + i)
        product(U, states, states, betas, (K, YES, S + i, spare, NOTHING))
        turn(case.turn, False, states, spare, F + i)
    combine(betas[SKIP], h, scheme, s, states, (y, F, after))


@expanded
def step_adjoint(case, scheme, U, layer, dU, work, tolerance):
    """Put p in the place of p⁺, and add the gradient with respect to the controls of the layer.

    Return 0, as no equation is solved; see `cpu_implicit`.
    """
    states, betas = work.states, work.betas
    n, s, starts, one = case.n_channels, case.n_stages, starts_of(case), betas[ONE]
    h, S, K = U[starts.h + layer], place_of_values(case, layer), layer * n * n
    gamma, G, p, V = places_of_costates(case)
    turned, D = places_of_field(case)
    for i in range(s - 1, -1, -1):
        combine(scheme[s, i], one, scheme, s + 1 + i, states, (p, V, gamma))
        turn(case.turn, True, states, gamma, turned)
        product(U, states, states, betas, (K, NO, turned, D, NOTHING))
        if case.learn_step:
            dU[starts.h + layer] += dot(states, S + i, D)
        pull_back(case.activation, h, states, (S + i, D, G), dU, starts.b + layer * n)
        Y = place_of_stage(case, scheme, layer, i)
        add_outer_product(states, states, betas, dU, (G, Y, K, case.panel))
        multiply_by(h, states, turned)
        add_outer_product(states, states, betas, dU, (S + i, turned, K, case.panel))
        product(U, states, states, betas, (K, YES, G, V + i, NOTHING))
    multiply_by(betas[SKIP], states, p)
    accumulate(states, p, V, np.int64(s))
    return 0.0
