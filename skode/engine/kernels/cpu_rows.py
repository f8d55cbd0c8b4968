"""Loops over blocks of samples, and the products of matrices with them.

A block is an array of channels × samples; the inner loops go over the samples of one channel.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..activations import IDENTITY, RELU, SOFTPLUS
from .elementary import constants, exp, expm1, log1p, tanh

__all__ = [
    "accumulate",
    "activate",
    "add_outer_product",
    "add_row_sums",
    "combine",
    "dot",
    "product",
    "pull_back",
    "softplus",
]

OPTIONS = {
    "error_model": "numpy",
    "fastmath": {"contract", "nsz"},
    "nogil": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
# Sums may be computed in the parts that vectors have.
SUMS = OPTIONS | {"fastmath": {"contract", "nsz", "reassoc"}}
FEW = 4  # entries of a matrix whose products are plain loops


@njit(**OPTIONS, forceinline=True)
def softplus(z):
    """log(1 + exp z), which never overflows."""
    c = constants(z)
    return log1p(exp(-abs(z))) + (c.zero if z < c.zero else z)


# All states of a block of samples lie in one array (places, channels, samples).  The functions are
# told the place and the channel, because every view of an array counts references, which takes as
# long as the arithmetic on a dozen numbers.


@njit(**OPTIONS)
def activate(code, bias, states, place, k):
    """Put σ(z + bias) in the place of z."""
    zero, samples = constants(bias).zero, states.shape[2]
    if code == IDENTITY:
        for j in range(samples):
            states[place, k, j] += bias
    elif code == RELU:
        for j in range(samples):
            z = states[place, k, j] + bias
            states[place, k, j] = zero if z < zero else z  # NaN stays
    elif code == SOFTPLUS:
        for j in range(samples):
            states[place, k, j] = softplus(states[place, k, j] + bias)
    else:
        for j in range(samples):
            states[place, k, j] = tanh(states[place, k, j] + bias)


@njit(**SUMS)
def pull_back(code, scale, states, places, k):
    """Put G = scale·σ′∘Γ in its place, and return its sum.

    The places are those of the values of σ, of Γ and of G.
    """
    values, gamma, out = places
    zero, one, samples = constants(scale).zero, constants(scale).one, states.shape[2]
    total = zero
    if code == IDENTITY:
        for j in range(samples):
            g = scale * states[gamma, k, j]
            states[out, k, j] = g
            total += g
    elif code == RELU:
        for j in range(samples):
            g = scale * states[gamma, k, j] if states[values, k, j] > zero else zero
            states[out, k, j] = g
            total += g
    elif code == SOFTPLUS:
        for j in range(samples):
            g = -expm1(-states[values, k, j]) * (scale * states[gamma, k, j])
            states[out, k, j] = g
            total += g
    else:
        for j in range(samples):
            s = states[values, k, j]
            g = (one - s * s) * (scale * states[gamma, k, j])
            states[out, k, j] = g
            total += g
    return total


@njit(**OPTIONS)
def combine(scale, h, weights, row, states, places, k):
    """Put scale·y + h Σ wi xi in a place; the wi are a row of `weights`, zeros are left out.

    The places are those of y, of the first x and of the result, which is none of them.
    """
    y, x, out = places
    started = False
    for i in range(weights.shape[1]):
        if weights[row, i] == 0:
            continue
        w = h * weights[row, i]
        if started:
            for j in range(states.shape[2]):
                states[out, k, j] += w * states[x + i, k, j]
        else:
            started = True
            for j in range(states.shape[2]):
                states[out, k, j] = scale * states[y, k, j] + w * states[x + i, k, j]


@njit(**OPTIONS)
def accumulate(scale, states, y, x, k):
    """Put scale·y + Σ xi in the place of y; the xi are all from the place x on."""
    for j in range(states.shape[2]):
        states[y, k, j] = scale * states[y, k, j] + states[x, k, j]
    for i in range(x + 1, len(states)):
        for j in range(states.shape[2]):
            states[y, k, j] += states[i, k, j]


@njit(**SUMS)
def dot(states, x, y, k):
    """The scalar product of a channel of two states."""
    total = constants(states[x, k, 0]).zero
    for j in range(states.shape[2]):
        total += states[x, k, j] * states[y, k, j]
    return total


@njit(**SUMS)
def add_row_sums(x, out, start):
    """Add the sums of the rows of a block to `out` from `start` on."""
    for k in range(len(x)):
        total = constants(x[0, 0]).zero
        for j in range(x.shape[1]):
            total += x[k, j]
        out[start + k] += total


@njit(**OPTIONS)
def product(a, x, out):
    """Put the product of the matrix a and the block x in the block `out`."""
    rows, columns = a.shape
    if rows == 1 or columns == 1 or rows * columns <= FEW:
        for i in range(rows):
            w = a[i, 0]
            for j in range(x.shape[1]):
                out[i, j] = w * x[0, j]
            for k in range(1, columns):
                w = a[i, k]
                for j in range(x.shape[1]):
                    out[i, j] += w * x[k, j]
    else:
        np.dot(a, x, out)


@njit(**SUMS)
def add_outer_product(x, y, part, out, start):
    """Add x yᵀ, the sum over the samples of two blocks, to `out` from `start` on.

    `part` is a matrix to work in.
    """
    rows, columns = part.shape
    if rows == 1 or columns == 1 or rows * columns <= FEW:
        for i in range(rows):
            for k in range(columns):
                total = constants(x[0, 0]).zero
                for j in range(x.shape[1]):
                    total += x[i, j] * y[k, j]
                part[i, k] = total
    else:
        np.dot(x, y.T, part)
    for i in range(rows):
        for k in range(columns):
            out[start + i * columns + k] += part[i, k]
