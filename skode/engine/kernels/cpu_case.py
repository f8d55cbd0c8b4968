"""What the compiled loops compute, and where in their work space everything lies."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import cpu_anderson
from .cpu_rows import loops

FIRST, SECOND = np.int64(0), np.int64(1)  # places


class Case(NamedTuple):
    """The computation, encoded as integers: shapes, codes of functions, and options."""

    n_features: Any
    n_layers: Any
    n_channels: Any
    n_outputs: Any
    lifted: Any
    n_stages: Any
    activation: Any
    lift: Any
    loss: Any
    skip: Any
    learn_step: Any
    gradient: Any
    block: Any
    panel: Any
    most_stages: Any  # of a block that has to be solved for; 0 for an explicit scheme
    sparse: Any  # whether X is sparse
    turn: Any  # see `VectorField`


class _Starts(NamedTuple):
    """Where the parts of the controls begin in a flat row; see `Layout`."""

    b: Any
    h: Any
    W: Any
    mu: Any
    V: Any
    nu: Any


@loops
def described(numbers):
    """The case that an array of numbers stands for."""
    n = numbers
    codes = (n[6], n[7]), (n[8], n[9])
    rest = n[10], n[11], n[12], n[13], n[14], n[15], n[16], n[17], n[18]
    return Case(n[0], n[1], n[2], n[3], n[4], n[5], *codes, *rest)


@loops
def starts_of(case):
    """Where the parts of the controls begin."""
    b = case.n_layers * case.n_channels * case.n_channels
    h = b + case.n_layers * case.n_channels
    W = h + case.n_layers
    mu = W + case.n_outputs * case.n_channels
    V = mu + case.n_outputs
    return _Starts(b, h, W, mu, V, V + case.n_channels * case.lifted)


@loops
def has_terms(scheme, row):
    """Whether some number in a row is not zero."""
    found = False
    for i in range(scheme.shape[1]):
        found |= scheme[row, i] != 0
    return found


@loops
def place_of_state(case, layer):
    """The place of y of a layer; from y¹ on they take turns if no gradient is wanted."""
    if case.gradient or layer == 0:
        return layer
    return 1 + layer % 2


@loops
def place_of_values(case, layer):
    """The place of F₁ of a layer; the other Fi follow."""
    return case.n_layers + 1 + layer * case.n_stages if case.gradient else 3


@loops
def place_of_stage(case, scheme, layer, i):
    """The place of Yi of a layer.

    In an explicit scheme it is that of y for a stage that depends on no other.
    """
    if case.most_stages > 0:
        if not case.gradient:
            return 3 + case.n_stages + i
        return place_of_values(case, case.n_layers) + layer * case.n_stages + i
    if i == 0 or not (case.turn or has_terms(scheme, i)):
        return place_of_state(case, layer)
    if not case.gradient:
        return 3 + case.n_stages
    return place_of_values(case, case.n_layers) + layer * (case.n_stages - 1) + i - 1


@loops
def places_of_costates(case):
    """The places of Γ₁, of Gi, of p, and of V₁, which the others follow.

    In an explicit scheme one Γi at a time is needed.
    """
    s = case.n_stages
    if case.most_stages > 0:
        first = place_of_values(case, case.n_layers) + case.n_layers * s
        return first, first + s, first + s + 1, first + s + 2
    first = place_of_values(case, case.n_layers) + case.n_layers * (s - 1)
    return first, first + 1, first + 2, first + 3


@loops
def _n_plain_places(case):
    """The number of places without those of a field T KᵀS."""
    s = case.n_stages
    if case.gradient:
        return places_of_costates(case)[3] + s
    return 3 + 2 * s if case.most_stages > 0 else 4 + s


@loops
def places_of_field(case):
    """Two places after all others for a field T KᵀS: a spare one, and F₁, which the Fi follow.

    On the way back one is for TᵀΓ, and the others for the Di.
    """
    first = _n_plain_places(case)
    return first, first + 1


@loops
def _n_places(case):
    """The number of places."""
    return _n_plain_places(case) + (1 + case.n_stages if case.turn else 0)


class Work(NamedTuple):
    """Arrays for a block of samples.

    states (places, channels, samples); features (1, n_features, samples), none without a lift or
    where X is sparse, whose entries, columns and starts of the rows of the block come next;
    outputs (2, n_outputs, samples), z or ∂J/∂z and below it the targets; rows of samples; the
    numbers 1, 0 and the skip; what implicit stages are solved with, see `cpu_anderson`; and which
    samples are unsolved; and the sizes that tolerances refer to, by layer and stage.
    """

    states: Any
    features: Any
    sparse: Any
    outputs: Any
    rows: Any
    betas: Any
    solver: Any
    unsolved: Any
    scales: Any


@loops
def _n_dense(case):
    """How many rows the features of a block have."""
    return 0 if case.sparse else case.lifted


@loops
def room(case, n_rows, like):
    """The arrays that those of the largest block are parts of, and the numbers."""
    n, q, d, k = case.n_channels, case.n_outputs, _n_dense(case), case.most_stages
    betas = np.empty(3, like.dtype)
    betas[0], betas[1], betas[2] = 1, 0, case.skip
    rows = np.empty((_n_places(case) * n + d + 2 * q + n_rows) * case.block, like.dtype)
    width = case.block if k > 0 else 0
    solver = (
        np.empty(cpu_anderson.N_STATES * k * n * width, like.dtype),
        np.empty((cpu_anderson.N_ROWS, width), like.dtype),
        np.empty((3, width), np.int64),
    )
    scales = np.empty((case.n_layers * case.n_stages, width), like.dtype)
    return rows, betas, solver, np.zeros(width, np.bool_), scales


@loops
def work_for(case, space, n_rows, X, start, m):
    """The arrays for a block of m samples, which are the rows of X from `start` on."""
    rows, betas, solver, unsolved, scales = space
    n, q, d = case.n_channels, case.n_outputs, _n_dense(case)
    _, data, indices, indptr = X
    x = _n_places(case) * n * m
    z = x + d * m
    rest = z + 2 * q * m
    return Work(
        rows[:x].reshape((-1, n, m)),
        rows[x:z].reshape((1, d, m)),
        (data, indices, indptr[start : start + m + 1]),
        rows[z:rest].reshape((2, q, m)),
        rows[rest : rest + n_rows * m].reshape((n_rows, m)),
        betas,
        solver,
        unsolved,
        scales,
    )


@loops
def fill(samples, start, blocks, place):
    """Put the rows of `samples` from `start` on in the columns of a block, and zeros below."""
    for i in range(blocks.shape[1]):
        for j in range(blocks.shape[2]):
            blocks[place, i, j] = samples[start + j, i] if i < samples.shape[1] else 0


@loops
def fill_features(case, X, start, work):
    """Put the rows of X from `start` on where the networks begin.

    Sparse rows that are lifted stay as they are.
    """
    if case.lifted and not case.sparse:
        fill(X[0], start, work.features, FIRST)
    elif not case.lifted:
        fill(X[0], start, work.states, FIRST)
        if case.sparse:
            data, indices, indptr = work.sparse
            for j in range(work.states.shape[2]):
                for t in range(indptr[j], indptr[j + 1]):
                    work.states[FIRST, indices[t], j] = data[t]
