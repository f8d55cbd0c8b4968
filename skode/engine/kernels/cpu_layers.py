"""Networks on blocks of samples, in compiled loops without the interpreter's lock.

The formulas are those of `steps` and `networks`, for one member and an explicit scheme.  A member is
computed by itself, in blocks of samples, one layer after the other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from .cpu_losses import add_member, average, data_loss, multiply, weigh, weighted_sum
from .cpu_rows import (
    OPTIONS,
    accumulate,
    activate,
    add_outer_product,
    add_row_sums,
    combine,
    dot,
    product,
    pull_back,
)
from .elementary import constants

__all__ = ["Case", "evaluate", "predict"]


class Case(NamedTuple):
    """What is computed, in whole numbers: shapes, functions and wishes."""

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


class Starts(NamedTuple):
    """Where the parts of the controls begin in a flat row; see `Layout`."""

    b: Any
    h: Any
    W: Any
    mu: Any
    V: Any
    nu: Any


class Outputs(NamedTuple):
    """What there is at the end of the network, for a block of samples.

    Outputs z, then ∂J/∂z; targets c; losses ℓ; weights in the data loss and in the held-out loss;
    work space.
    """

    z: Any
    c: Any
    loss: Any
    train: Any
    held_out: Any
    work: Any


@njit(**OPTIONS)
def described(numbers):
    """The case that an array of numbers stands for."""
    n = numbers
    codes = (n[6], n[7]), (n[8], n[9])
    return Case(n[0], n[1], n[2], n[3], n[4], n[5], *codes, n[10], n[11], n[12], n[13], n[14])


@njit(**OPTIONS)
def starts_of(case):
    """Where the parts of the controls begin."""
    b = case.n_layers * case.n_channels * case.n_channels
    h = b + case.n_layers * case.n_channels
    W = h + case.n_layers
    mu = W + case.n_outputs * case.n_channels
    V = mu + case.n_outputs
    return Starts(b, h, W, mu, V, V + case.n_channels * case.lifted)


@njit(**OPTIONS)
def matrix(row, start, rows, columns):
    """The matrix that begins at `start` in a flat row."""
    return row[start : start + rows * columns].reshape((rows, columns))


@njit(**OPTIONS)
def place_of_state(case, layer):
    """The place of y of a layer; from y¹ on they take turns if no gradient is wanted."""
    if case.gradient or layer == 0:
        return layer
    return 1 + layer % 2


@njit(**OPTIONS)
def place_of_stage(case, layer):
    """The place of F₁ of a layer; the other Fi follow."""
    return case.n_layers + 1 + layer * case.n_stages if case.gradient else 3


@njit(**OPTIONS)
def place_of_work(case):
    """The place of Yi; those of Γi, Gi, p and all Vi follow."""
    return place_of_stage(case, case.n_layers if case.gradient else 0) + (
        0 if case.gradient else case.n_stages
    )


@njit(**OPTIONS)
def n_places(case):
    """The number of places."""
    return place_of_work(case) + (4 + case.n_stages if case.gradient else 1)


@njit(**OPTIONS)
def fill(samples, start, out):
    """Put the rows of `samples` from `start` on in the columns of a block, and zeros below."""
    for i in range(samples.shape[1]):
        for j in range(out.shape[1]):
            out[i, j] = samples[start + j, i]
    for i in range(samples.shape[1], len(out)):
        for j in range(out.shape[1]):
            out[i, j] = 0


@njit(**OPTIONS)
def code_of(codes, channel, n_channels):
    """The activation of a channel: the first code is that of the first half of the channels."""
    return codes[0] if 2 * channel < n_channels + n_channels % 2 else codes[1]


@njit(**OPTIONS)
def has_terms(scheme, row):
    """Whether some number in a row is not zero."""
    found = False
    for i in range(scheme.shape[1]):
        found |= scheme[row, i] != 0
    return found


@njit(**OPTIONS)
def stage(case, scheme, h, layer, i, states):
    """The place of Yi = y + h Σ aij Fj of a layer, after it is put there; that of y if it is y."""
    y, F, Y = place_of_state(case, layer), place_of_stage(case, layer), place_of_work(case)
    several = has_terms(scheme, i)
    if several:
        for k in range(case.n_channels):
            combine(constants(h).one, h, scheme, i, states, (y, F, Y), k)
    return Y if several else y


@njit(**OPTIONS)
def step(case, scheme, U, layer, states):
    """Put y⁺ and the Fi of a layer in their places."""
    n, s, starts = case.n_channels, case.n_stages, starts_of(case)
    h, K = U[starts.h + layer], matrix(U, layer * n * n, n, n)
    F, skip = place_of_stage(case, layer), constants(h).one * case.skip
    places = (place_of_state(case, layer), F, place_of_state(case, layer + 1))
    for i in range(s):
        product(K, states[stage(case, scheme, h, layer, i, states)], states[F + i])
        for k in range(n):
            bias = U[starts.b + layer * n + k]
            activate(code_of(case.activation, k, n), bias, states, F + i, k)
            if i == s - 1:
                combine(skip, h, scheme, s, states, places, k)


@njit(**OPTIONS)
def pull_back_stage(case, scheme, h, layer, i, states, dU):
    """Put Γi and Gi in their places, and add the gradient with respect to b and h.

    The last stage, which comes first, brings p⁺ from the layer after it.
    """
    n, s, starts, F = case.n_channels, case.n_stages, starts_of(case), place_of_stage(case, layer)
    work, one, b, sum_h = place_of_work(case), constants(h).one, scheme[s, i], 0.0
    gamma, G, p, V, factor = work + 1, work + 2, work + 3, work + 4, constants(h).one
    several = has_terms(scheme, s + 1 + i)
    if not several:
        gamma, factor = p, b
    for k in range(n):
        if i == s - 1 and layer < case.n_layers - 1:
            accumulate(one * case.skip, states, p, V, k)
        if several:
            combine(b, one, scheme, s + 1 + i, states, (p, V, gamma), k)
        code = code_of(case.activation, k, n)
        sum_b = pull_back(code, h * factor, states, (F + i, gamma, G), k)
        dU[starts.b + layer * n + k] += sum_b
        if case.learn_step:
            sum_h += dot(states, F + i, gamma, k)
    dU[starts.h + layer] += factor * sum_h


@njit(**OPTIONS)
def step_adjoint(case, scheme, U, layer, dU, states, part):
    """Put all Vi in their places, and add the gradient with respect to the controls of a layer."""
    n, s, starts = case.n_channels, case.n_stages, starts_of(case)
    h, K = U[starts.h + layer], matrix(U, layer * n * n, n, n)
    G, V = place_of_work(case) + 2, place_of_work(case) + 4
    for i in range(s - 1, -1, -1):
        pull_back_stage(case, scheme, h, layer, i, states, dU)
        Y = stage(case, scheme, h, layer, i, states)
        add_outer_product(states[G], states[Y], part, dU, layer * n * n)
        if i > 0 or layer > 0 or case.lifted:
            product(K.T, states[G], states[V + i])


@njit(**OPTIONS)
def forward(case, scheme, U, x, states, z):
    """Put the states of all layers in their places, and the outputs in z."""
    n, q, starts = case.n_channels, case.n_outputs, starts_of(case)
    if case.lifted:
        product(matrix(U, starts.V, n, case.lifted), x, states[0])
        for k in range(n):
            bias = U[starts.nu + k]
            activate(code_of(case.lift, k, n), bias, states, place_of_state(case, 0), k)
    for layer in range(case.n_layers):
        step(case, scheme, U, layer, states)
    last = place_of_state(case, case.n_layers)
    product(matrix(U, starts.W, q, n), states[last], z)
    for k in range(q):
        for j in range(z.shape[1]):
            z[k, j] += U[starts.mu + k]


@njit(**OPTIONS)
def backward(case, scheme, U, dU, x, states, dz):
    """Add the gradient with respect to all controls to dU."""
    n, q, d, starts = case.n_channels, case.n_outputs, case.lifted, starts_of(case)
    work = np.empty(n * max(n, q, d), scheme.dtype)
    add_row_sums(dz, dU, starts.mu)
    add_outer_product(dz, states[case.n_layers], matrix(work, 0, q, n), dU, starts.W)
    G, p = place_of_work(case) + 2, place_of_work(case) + 3
    product(matrix(U, starts.W, q, n).T, dz, states[p])
    for layer in range(case.n_layers - 1, -1, -1):
        step_adjoint(case, scheme, U, layer, dU, states, matrix(work, 0, n, n))
    if case.lifted:
        one, places = constants(scheme[0, 0]).one, (place_of_state(case, 0), p, G)
        for k in range(n):
            accumulate(one * case.skip, states, p, p + 1, k)
            dU[starts.nu + k] += pull_back(code_of(case.lift, k, n), one, states, places, k)
        add_outer_product(states[G], x, matrix(work, 0, n, d), dU, starts.V)


@njit(**OPTIONS)
def forget_idle(weights, states, z):
    """Replace the states of samples that have no weight, where they are not finite, by zeros.

    Their costates are zero; so are then their parts of the gradient, which would be NaN.
    """
    places, channels, samples = states.shape
    for j in range(samples):
        if weights[j] > 0:
            continue
        size = 0.0
        for k in range(len(z)):
            size += z[k, j]
        if not np.isfinite(size):
            for place in range(places):
                for k in range(channels):
                    states[place, k, j] = 0


@njit(**OPTIONS)
def outputs_of(room, q, m):
    """The arrays for the outputs of a block of m samples."""
    rows = room[: (len(room) // m) * m].reshape((-1, m))
    return Outputs(rows[:q], rows[q : 2 * q], rows[2 * q], rows[2 * q + 1], rows[2 * q + 2], rows[2 * q + 3 :])


@njit(**OPTIONS)
def evaluate(samples, folds, flat, numbers, scheme, sums):
    """Add to the sums over the samples for every member, the gradient only where it is wanted.

    Parameters
    ----------
    samples : tuple of arrays
        X, targets and weights; see `Samples`.
    folds : tuple of arrays
        The fields of `FoldWeights`, the group of length zero where there are no fold weights.
    flat : array of shape (members, size)
        The controls.
    numbers : array of int
        The fields of `Case`.
    scheme : array of shape (2 n_stages + 1, n_stages)
        A, below it b, and below that the transpose of A.
    sums : tuple of arrays of float64
        The losses (members,), the held-out losses (members,), and the gradient (members, size).
    """
    X, targets, weights = samples
    loss, held_out, gradient = sums
    case = described(numbers)
    q, n, d, size = case.n_outputs, case.n_channels, case.lifted, min(case.block, len(X))
    of_states = np.empty(n_places(case) * n * size, scheme.dtype)
    of_outputs = np.empty((2 * q + 4) * size, scheme.dtype)
    of_features = np.empty(d * size, scheme.dtype)
    for start in range(0, len(X), size):
        m = min(size, len(X) - start)
        states = of_states[: n_places(case) * n * m].reshape((-1, n, m))
        out = outputs_of(of_outputs, q, m)
        x = matrix(of_features, 0, d, m)
        fill(X, start, x if d else states[0])
        fill(targets, start, out.c)
        for member in range(len(flat)):
            U = flat[member]
            weigh(weights, folds, member, start, out.train, out.held_out)
            forward(case, scheme, U, x, states, out.z)
            if case.gradient:
                forget_idle(out.train, states, out.z)
            data_loss(case.loss, out.z, out.c, out.loss, out.work[0])
            loss[member] += weighted_sum(out.train, out.loss)
            held_out[member] += weighted_sum(out.held_out, out.loss)
            if case.gradient:
                multiply(out.train, out.z)
                backward(case, scheme, U, gradient[member], x, states, out.z)


@njit(**OPTIONS)
def predict(X, flat, numbers, scheme, together):
    """Put what all members say together in `together`, (classes or outputs, samples)."""
    case = described(numbers)
    q, n, d, size = case.n_outputs, case.n_channels, case.lifted, min(case.block, len(X))
    of_states = np.empty(n_places(case) * n * size, scheme.dtype)
    of_outputs = np.empty((2 * q + 6 + len(together)) * size, scheme.dtype)
    of_features = np.empty(d * size, scheme.dtype)
    for start in range(0, len(X), size):
        m = min(size, len(X) - start)
        states = of_states[: n_places(case) * n * m].reshape((-1, n, m))
        out = outputs_of(of_outputs, q, m)
        x = matrix(of_features, 0, d, m)
        fill(X, start, x if d else states[0])
        part = together[:, start : start + m]
        for member in range(len(flat)):
            forward(case, scheme, flat[member], x, states, out.z)
            add_member(case.loss, member == 0, out.z, part, out.work)
        average(case.loss, len(flat), part)
