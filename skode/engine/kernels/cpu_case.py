"""The description of a computation for the compiled loops, and the layout of their work space."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import cpu_anderson
from .cpu_rows import loops
from .interface import CONTROLS, FEATURES

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
    gradient: Any  # 0, CONTROLS or FEATURES
    block: Any
    panel: Any
    most_stages: Any  # in a block of implicit stages; 0 for an explicit scheme
    sparse: Any  # whether X is sparse
    turn: Any  # see `VectorField`
    members: Any  # whose values are kept side by side, for the derivatives for features
    first: Any  # the place of y⁰; it is not 0 for those members only


class _Starts(NamedTuple):
    """The positions of the parts of the controls in a flat row; see `Layout`."""

    b: Any
    h: Any
    W: Any
    mu: Any
    V: Any
    nu: Any


@loops
def described(numbers):
    """Return the case that an array of numbers encodes."""
    n = numbers
    codes = (n[6], n[7]), (n[8], n[9])
    rest = n[10], n[11], n[12], n[13], n[14], n[15], n[16], n[17], n[18], n[19]
    return Case(n[0], n[1], n[2], n[3], n[4], n[5], *codes, *rest, FIRST)


@loops
def of_member(case, member):
    """Return the case with the places of one of the members whose values are kept."""
    c = case
    sizes = c.n_features, c.n_layers, c.n_channels, c.n_outputs, c.lifted, c.n_stages
    codes = c.activation, c.lift, c.loss
    rest = c.skip, c.learn_step, c.gradient, c.block, c.panel, c.most_stages, c.sparse, c.turn
    first = member * (1 + c.n_layers * c.n_stages)
    return Case(*sizes, *codes, *rest, c.members, first)


@loops
def starts_of(case):
    """Return the positions of the parts of the controls."""
    b = case.n_layers * case.n_channels * case.n_channels
    h = b + case.n_layers * case.n_channels
    W = h + case.n_layers
    mu = W + case.n_outputs * case.n_channels
    V = mu + case.n_outputs
    return _Starts(b, h, W, mu, V, V + case.n_channels * case.lifted)


@loops
def has_terms(scheme, row):
    """Whether a row has nonzero entries."""
    found = False
    for i in range(scheme.shape[1]):
        found |= scheme[row, i] != 0
    return found


@loops
def place_of_state(case, layer):
    """Return the place of y of a layer; from y¹ on two alternate, unless all y are needed."""
    if case.gradient == CONTROLS:
        return layer
    if layer == 0:
        return case.first
    return (_shared(case) if case.gradient else 1) + layer % 2


@loops
def place_of_values(case, layer):
    """Return the place of F₁ of a layer; the other Fi follow."""
    if case.gradient == FEATURES:
        return case.first + 1 + layer * case.n_stages
    return case.n_layers + 1 + layer * case.n_stages if case.gradient else 3


@loops
def _shared(case):
    """Return the first place after those of the kept values of all members."""
    return case.members * (1 + case.n_layers * case.n_stages)


@loops
def place_of_stage(case, scheme, layer, i):
    """Return the place of Yi of a layer.

    In an explicit scheme, a stage that depends on no other has the place of y.
    """
    if case.most_stages > 0:
        if not case.gradient:
            return 3 + case.n_stages + i
        return place_of_values(case, case.n_layers) + layer * case.n_stages + i
    if i == 0 or not has_terms(scheme, i):
        return place_of_state(case, layer)
    if case.gradient == FEATURES:
        return _shared(case) + 2
    if not case.gradient:
        return 3 + case.n_stages
    return place_of_values(case, case.n_layers) + layer * (case.n_stages - 1) + i - 1


@loops
def places_of_costates(case):
    """Return the places of Γ₁, Gi, p and V₁; the other Γi and Vi follow.

    An explicit scheme needs only one Γi at a time.
    """
    s = case.n_stages
    if case.most_stages > 0:
        first = place_of_values(case, case.n_layers) + case.n_layers * s
        return first, first + s, first + s + 1, first + s + 2
    if case.gradient == FEATURES:
        first = _shared(case) + 3
    else:
        first = place_of_values(case, case.n_layers) + case.n_layers * (s - 1)
    return first, first + 1, first + 2, first + 3


@loops
def _n_plain_places(case):
    """Return the number of places, without those of a field T KᵀS."""
    s = case.n_stages
    if case.gradient:
        return places_of_costates(case)[3] + s
    return 3 + 2 * s if case.most_stages > 0 else 4 + s


@loops
def places_of_field(case):
    """Return two places for a field T KᵀS: a spare one, and that of F₁; the other Fi follow.

    The backward pass uses them for TᵀΓ and for the Di.
    """
    first = _n_plain_places(case)
    return first, first + 1


@loops
def _n_places(case):
    """Return the number of places."""
    return _n_plain_places(case) + (1 + case.n_stages if case.turn else 0)


class Work(NamedTuple):
    """Arrays for a block of samples.

    These are, in order: states (places, channels, samples); features (1, n_features, samples),
    empty without a lift or if X is sparse; entries, columns and row starts of sparse features;
    outputs (2, n_outputs, samples), which are z or ∂J/∂z and the targets; rows of samples; the
    numbers 1, 0 and the skip; work space for implicit stages, see `cpu_anderson`; which samples
    are unsolved; and the sizes that tolerances are relative to, by layer and stage.
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
    """Return how many rows the features of a block have."""
    return 0 if case.sparse else case.lifted


@loops
def allocate(case, n_rows, like):
    """Allocate the arrays for the largest block, and the numbers."""
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
    """Return the arrays for a block of m samples, the rows of X from `start` on."""
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
    """Copy the rows of `samples` from `start` on to the columns of a block, with zeros below."""
    for i in range(blocks.shape[1]):
        for j in range(blocks.shape[2]):
            blocks[place, i, j] = samples[start + j, i] if i < samples.shape[1] else 0


@loops
def fill_features(case, X, start, work):
    """Copy the rows of X from `start` on to the input of the networks.

    Sparse rows are not copied if there is a lift.
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
