"""Steps of partitioned schemes for Hamiltonian fields and their adjoints, in compiled loops.

With K = diag(K₁, K₂) the field moves one half of the channels along the other half alone:

    q′ = K₂ᵀ σ(K₂ p + b₂),    p′ = -K₁ᵀ σ(K₁ q + b₁).

A stage moves one half, as `PartitionedTableau.moves` says, so that only the other one is evaluated.
In the place of a stage, the values of σ take the half that is evaluated, and its state takes the
half that is moved.  The functions of other modules see the halves of states as states.
"""

from __future__ import annotations

import numpy as np

from .cpu_case import (
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
    YES,
    activate,
    add_outer_product,
    dot,
    expanded,
    loops,
    product,
    pull_back,
)

# The rows of the scheme: the half that a stage moves, 0 or 1, and its part of h, with the sign of
# the field.
MOVED, PART = 0, 1


@loops
def _blocks_of(U, K, n):
    """Return K₁ and K₂, one after the other, of the matrix that begins at K."""
    half = n // 2
    found = np.empty(2 * half * half, U.dtype)
    for i in range(n):
        start = K + i * n + (half if i >= half else 0)
        for j in range(half):
            found[i * half + j] = U[start + j]
    return found


@loops
def _add_blocks(blocks, n, dU, K):
    """Add such blocks to the matrix that begins at K; none if there are none."""
    half = n // 2
    for i in range(n if len(blocks) > 0 else 0):
        start = K + i * n + (half if i >= half else 0)
        for j in range(half):
            dU[start + j] += blocks[i * half + j]


@loops
def _put(factor, states, x, out):
    """Put factor·x in another place."""
    for k in range(states.shape[1]):
        for j in range(states.shape[2]):
            states[out, k, j] = factor * states[x, k, j]


@loops
def _add(factor, states, x, out):
    """Add factor·x to another place."""
    for k in range(states.shape[1]):
        for j in range(states.shape[2]):
            states[out, k, j] += factor * states[x, k, j]


@loops
def _codes_of(case, half):
    """Return the codes of the activation, for states that are halves."""
    code = case.activation[1] if half else case.activation[0]
    return code, code


@expanded
def step(case, scheme, U, layer, work, tolerance):
    """Put y⁺, and what the adjoint needs of the stages, in their places."""
    n, starts, betas = case.n_channels, starts_of(case), work.betas
    half, h, one = n // 2, U[starts.h + layer], betas[ONE]
    states = work.states.reshape((-1, half, work.states.shape[2]))
    y, after = 2 * place_of_state(case, layer), 2 * place_of_state(case, layer + 1)
    blocks, b = _blocks_of(U, layer * n * n, n), starts.b + layer * n
    spare = 2 * places_of_field(case)[0]
    _put(one, states, y, after)
    _put(one, states, y + 1, after + 1)
    for i in range(case.n_stages):
        moved = np.int64(scheme[MOVED, i])
        other, stage = 1 - moved, 2 * (place_of_values(case, layer) + i)
        K, S = other * half * half, stage + other
        _put(one, states, after + other, stage + moved)
        product(blocks, states, states, betas, (K, NO, after + other, S, NOTHING))
        activate(_codes_of(case, other), U, b + other * half, states, S)
        product(blocks, states, states, betas, (K, YES, S, spare, NOTHING))
        _add(h * scheme[PART, i], states, spare, after + moved)


@expanded
def step_adjoint(case, scheme, U, layer, dU, work, tolerance):
    """Put p in the place of p⁺, and add the gradient with respect to the controls of the layer.

    Return 0, as no equation is solved; see `cpu_implicit`.
    """
    n, starts, betas = case.n_channels, starts_of(case), work.betas
    half, h = n // 2, U[starts.h + layer]
    states = work.states.reshape((-1, half, work.states.shape[2]))
    blocks, b = _blocks_of(U, layer * n * n, n), starts.b + layer * n
    dK = np.zeros(len(blocks) if len(dU) > 0 else 0, U.dtype)
    D, G, p, scaled = places_of_costates(case)
    D, G, p, scaled = 2 * D, 2 * G, 2 * p, 2 * scaled
    for i in range(case.n_stages - 1, -1, -1):
        moved, part = np.int64(scheme[MOVED, i]), scheme[PART, i]
        other, stage = 1 - moved, 2 * (place_of_values(case, layer) + i)
        K, S = other * half * half, stage + other
        product(blocks, states, states, betas, (K, NO, p + moved, D, NOTHING))
        if case.learn_step:
            dU[starts.h + layer] += part * dot(states, S, D)
        codes = _codes_of(case, other)
        pull_back(codes, h * part, states, (S, D, G), dU, b + other * half)
        if len(dK) > 0:
            add_outer_product(states, states, betas, dK, (G, stage + moved, K, case.panel))
            _put(h * part, states, p + moved, scaled)
            add_outer_product(states, states, betas, dK, (S, scaled, K, case.panel))
        product(blocks, states, states, betas, (K, YES, G, p + other, ONE))
    _add_blocks(dK, n, dU, layer * n * n)
    return 0.0
