"""Steps of explicit schemes and their adjoints, in compiled loops.

The formulas are those of `steps`, for one member and a block of samples.
"""

from __future__ import annotations

from .cpu_case import (
    has_terms,
    place_of_stage,
    place_of_state,
    place_of_values,
    places_of_costates,
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
    product,
    pull_back,
)


@expanded
def step(case, scheme, U, layer, work, tolerance):
    """Compute y⁺ and the Fi of a layer in their places."""
    states, betas = work.states, work.betas
    n, s, starts = case.n_channels, case.n_stages, starts_of(case)
    h, K = U[starts.h + layer], layer * n * n
    y, F, after = (
        place_of_state(case, layer),
        place_of_values(case, layer),
        place_of_state(case, layer + 1),
    )
    for i in range(s):
        Y = place_of_stage(case, scheme, layer, i)
        if y != Y:
            combine(betas[ONE], h, scheme, i, states, (y, F, Y))
        product(U, states, states, betas, (K, NO, Y, F + i, NOTHING))
        activate(case.activation, U, starts.b + layer * n, states, F + i)
    combine(betas[SKIP], h, scheme, s, states, (y, F, after))


@expanded
def step_adjoint(case, scheme, U, layer, dU, work, tolerance):
    """Replace p⁺ by p, and add the gradient with respect to the controls of the layer.

    Return 0, since no equation is solved; see `cpu_implicit`.
    """
    states, betas = work.states, work.betas
    n, s, starts, one = case.n_channels, case.n_stages, starts_of(case), betas[ONE]
    h, F, K = U[starts.h + layer], place_of_values(case, layer), layer * n * n
    gamma, G, p, V = places_of_costates(case)
    for i in range(s - 1, -1, -1):
        costate, factor = p, scheme[s, i]
        if has_terms(scheme, s + 1 + i):
            costate, factor = gamma, one
            combine(scheme[s, i], one, scheme, s + 1 + i, states, (p, V, gamma))
        places = (F + i, costate, G)
        pull_back(case.activation, h * factor, states, places, dU, starts.b + layer * n)
        if case.learn_step:
            dU[starts.h + layer] += factor * dot(states, F + i, costate)
        Y = place_of_stage(case, scheme, layer, i)
        add_outer_product(states, states, betas, dU, (G, Y, K, case.panel))
        if i > 0:
            product(U, states, states, betas, (K, YES, G, V + i, NOTHING))
        elif layer > 0 or case.lifted:
            product(U, states, states, betas, (K, YES, G, p, SKIP))
            accumulate(states, p, V + 1, s - 1)
    return 0.0
