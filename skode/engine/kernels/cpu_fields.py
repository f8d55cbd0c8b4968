"""Steps of explicit schemes and their adjoints for fields T Kᵀ σ(K y + b), in compiled loops.

The formulas are those of `steps` and `fields`, for one member and a block of samples.  A scheme may
have other coefficients for the second half of the channels.  See `cpu_implicit_fields` for implicit
schemes.
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
    dot,
    expanded,
    loops,
    multiply_by,
    product,
    pull_back,
)


@loops
def _combine(scales, h, scheme, row, states, places):
    """Put scale·y + h Σ wi xi in a place; scales and weights are those of the half of a channel.

    The weights are a row of `scheme`, which has the rows of the second half below those of the
    first.  The places are those of y, of the first x and of the result, which is none of them.
    """
    _, channels, samples = states.shape
    y, x, out = places
    for k in range(channels):
        second = k >= channels // 2
        scale, at = scales[1 if second else 0], row + (len(scheme) // 2 if second else 0)
        for j in range(samples):
            states[out, k, j] = scale * states[y, k, j]
        for i in range(scheme.shape[1]):
            w = h * scheme[at, i]
            if w != 0:
                for j in range(samples):
                    states[out, k, j] += w * states[x + i, k, j]


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
    h, K, ones = U[starts.h + layer], layer * n * n, (betas[ONE], betas[ONE])
    y, S, after = (
        place_of_state(case, layer),
        place_of_values(case, layer),
        place_of_state(case, layer + 1),
    )
    spare, F = places_of_field(case)
    for i in range(s):
        Y = place_of_stage(case, scheme, layer, i)
        if y != Y:
            _combine(ones, h, scheme, i, states, (y, F, Y))
        product(U, states, states, betas, (K, NO, Y, S + i, NOTHING))
        activate(case.activation, U, starts.b + layer * n, states, S + i)
        product(U, states, states, betas, (K, YES, S + i, spare, NOTHING))
        turn(case.turn, False, states, spare, F + i)
    _combine((betas[SKIP], betas[SKIP]), h, scheme, s, states, (y, F, after))


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
        weights = scheme[s, i], scheme[len(scheme) // 2 + s, i]
        _combine(weights, one, scheme, s + 1 + i, states, (p, V, gamma))
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
