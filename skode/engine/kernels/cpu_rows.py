"""Loops over blocks of samples, and the products of matrices with them.

A block is an array of channels × samples; the inner loops go over the samples of one channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from ..activations import IDENTITY, RELU, SOFTPLUS
from .elementary import constants, exp, expm1, inlined, log1p, tanh

# Functions that only compiled code calls.
OPTIONS: Any = {
    "error_model": "numpy",
    "fastmath": {"contract", "nsz"},
    "nogil": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
loops: Any = njit(**OPTIONS)
# Sums may be reordered for vector instructions.
sums: Any = njit(**OPTIONS | {"fastmath": {"contract", "nsz", "reassoc"}, "forceinline": True})
# Functions with a single call site are inlined.
expanded: Any = njit(**OPTIONS, inline="always")
# Integers of numba's own type, so that functions are not compiled for every value of them.
NO, YES = np.int64(0), np.int64(1)
ONE, NOTHING, SKIP = np.int64(0), np.int64(1), np.int64(2)  # positions in the array `betas`
FEW = 4  # entries of a matrix, up to which products are plain loops
PANEL_ROWS = 8  # of an outer product, below which it is not split into panels


@inlined
def softplus(z):
    """Compute log(1 + exp z) without overflow."""
    c = constants(z)
    return log1p(exp(-abs(z))) + (c.zero if z < c.zero else z)


# All states of a block of samples are in one array (places, channels, samples).  The functions get
# the array and the places, since every view of an array counts references, which takes as long as
# the arithmetic on a dozen numbers.


@loops
def activate(codes, controls, start, states, place):
    """Replace z by σ(z + b); b begins at `start`, and `codes` are those of `Activation`."""
    _, channels, samples = states.shape
    for k in range(channels):
        bias = controls[start + k]
        zero = constants(bias).zero
        code = codes[2 * k // (channels + channels % 2)]
        if code == IDENTITY:
            for j in range(samples):
                states[place, k, j] += bias
        elif code == RELU:
            for j in range(samples):
                z = states[place, k, j] + bias
                states[place, k, j] = zero if z < zero else z  # NaN stays NaN
        elif code == SOFTPLUS:
            for j in range(samples):
                states[place, k, j] = softplus(states[place, k, j] + bias)
        else:
            for j in range(samples):
                states[place, k, j] = tanh(states[place, k, j] + bias)


@sums
def pull_back(codes, scale, states, places, totals, start):
    """Compute G = scale·σ′∘Γ, and add the sums of its rows to `totals` from `start` on.

    Nothing is added where that has the length zero; so too in the other functions for gradients.
    The places are those of the values of σ, of Γ and of G.
    """
    _, channels, samples = states.shape
    values, gamma, out = places
    zero, one = constants(scale).zero, constants(scale).one
    for k in range(channels):
        code = codes[2 * k // (channels + channels % 2)]
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
        if len(totals) > 0:
            totals[start + k] += total


@loops
def differentiate(codes, scale, states, place, out):
    """Compute scale·σ′ in a place, from the values of σ."""
    _, channels, samples = states.shape
    c = constants(scale)
    for k in range(channels):
        code = codes[2 * k // (channels + channels % 2)]
        for j in range(samples):
            s = states[place, k, j]
            if code == IDENTITY:
                states[out, k, j] = scale
            elif code == RELU:
                states[out, k, j] = scale if s > c.zero else c.zero
            elif code == SOFTPLUS:
                states[out, k, j] = -expm1(-s) * scale
            else:
                states[out, k, j] = (c.one - s * s) * scale


@loops
def combine(scale, h, weights, row, states, places):
    """Compute scale·y + h Σ wi xi in a place; the wi are a row of `weights`, zeros are skipped.

    The places are those of y, of the first x and of the result, which must differ from the others.
    """
    _, channels, samples = states.shape
    y, x, out = places
    for k in range(channels):
        started, before = False, -1
        for i in range(weights.shape[1]):
            if weights[row, i] == 0:
                continue
            if before < 0:  # two at once, so that `out` is read and written once for both
                before = i
                continue
            v, w = h * weights[row, before], h * weights[row, i]
            a, b = x + before, x + i
            if started:
                for j in range(samples):
                    states[out, k, j] += v * states[a, k, j] + w * states[b, k, j]
            else:
                for j in range(samples):
                    sum_ = v * states[a, k, j] + w * states[b, k, j]
                    states[out, k, j] = scale * states[y, k, j] + sum_
            started, before = True, -1
        if before >= 0:
            w, b = h * weights[row, before], x + before
            if started:
                for j in range(samples):
                    states[out, k, j] += w * states[b, k, j]
            else:
                for j in range(samples):
                    states[out, k, j] = scale * states[y, k, j] + w * states[b, k, j]
        elif not started:
            for j in range(samples):
                states[out, k, j] = scale * states[y, k, j]


@loops
def multiply_by(factor, states, place):
    """Multiply a state by a number."""
    for k in range(states.shape[1]):
        for j in range(states.shape[2]):
            states[place, k, j] *= factor


@loops
def accumulate(states, y, x, number):
    """Add `number` states, from place x on, to y."""
    _, channels, samples = states.shape
    for k in range(channels):
        for i in range(x, x + number - 1, 2):
            for j in range(samples):
                states[y, k, j] += states[i, k, j] + states[i + 1, k, j]
        if number % 2:
            i = x + number - 1
            for j in range(samples):
                states[y, k, j] += states[i, k, j]


@sums
def dot(states, x, y):
    """Return the scalar product of two states."""
    _, channels, samples = states.shape
    result = 0.0
    for k in range(channels):
        total = constants(states[x, k, 0]).zero
        for j in range(samples):
            total += states[x, k, j] * states[y, k, j]
        result += total
    return result


@sums
def size(states, x, weights):
    """Return the sum of the absolute values of a state, with weights of the samples."""
    _, channels, samples = states.shape
    result = 0.0
    for k in range(channels):
        total = constants(states[x, k, 0]).zero
        for j in range(samples):
            total += weights[j] * abs(states[x, k, j])
        result += total
    return result


@sums
def add_row_sums(blocks, out, start):
    """Add the sums of the rows of the first block to `out` from `start` on."""
    for k in range(blocks.shape[1]):
        total = constants(blocks[0, k, 0]).zero
        for j in range(blocks.shape[2]):
            total += blocks[0, k, j]
        if len(out) > 0:
            out[start + k] += total


def gemm(a, b, c, betas, starts, shape, transposed):
    """Replace the matrix c by beta·c + op(a) op(b), with BLAS.

    np.dot has no beta, and needs views, which count references.

    Parameters
    ----------
    a, b, c : arrays, C-contiguous
        The arrays that contain the matrices.
    betas : array
        One, and further numbers.
    starts : tuple of int
        The positions of a, b, c and beta.
    shape : tuple of int
        Rows and columns of c, and the length of the sums.
    transposed : tuple of int
        Whether a and b are stored transposed.
    """
    (m, n, k), (at_a, at_b, at_c, at_beta) = shape, starts
    A = _matrix(a, at_a, k, m).T if transposed[0] else _matrix(a, at_a, m, k)
    B = _matrix(b, at_b, n, k).T if transposed[1] else _matrix(b, at_b, k, n)
    C, beta = _matrix(c, at_c, m, n), betas[at_beta]
    C[:] = A @ B + (beta * C if beta else 0)


def _matrix(array, start, rows, columns):
    """Return the matrix that begins at `start` of an array, if the array is flat."""
    return array.reshape(-1)[start : start + rows * columns].reshape(rows, columns)


# BLAS, as compiled code calls it in np.dot, with addresses for pointers.
_blas_gemm: Any = types.ExternalFunction(
    "numba_xxgemm", types.intc(*[types.char] * 3, *[types.intp] * 11)
)


@overload(gemm, jit_options=OPTIONS)
def _compiled_gemm(a, b, c, betas, starts, shape, transposed):
    size = betas.dtype.bitwidth // 8
    kind, no, yes = ord("d" if size == 8 else "s"), ord("n"), ord("t")

    def compiled(a, b, c, betas, starts, shape, transposed):
        m, n, k = shape
        # BLAS uses column-major order: this computes cᵀ = op(b)ᵀ op(a)ᵀ.
        _blas_gemm(
            kind,
            yes if transposed[1] else no,
            yes if transposed[0] else no,
            n,
            m,
            k,
            betas.ctypes.data,
            b.ctypes.data + size * starts[1],
            k if transposed[1] else n,
            a.ctypes.data + size * starts[0],
            m if transposed[0] else k,
            betas.ctypes.data + size * starts[3],
            c.ctypes.data + size * starts[2],
            n,
        )

    return compiled


@loops
def _is_small(rows, columns):
    """Whether plain loops are the fastest way to multiply by a matrix."""
    return rows == 1 or columns == 1 or rows * columns <= FEW


@loops
def product(a, x, out, betas, places):
    """Replace the block `out` by beta·out + A x, for a matrix A or its transpose.

    The places are where A begins in `a`, whether A is stored transposed, those of the blocks, and
    the position of beta in `betas`, the first entry of which is one.
    """
    start, transposed, px, pz, at_beta = places
    rows, columns, samples = out.shape[1], x.shape[1], x.shape[2]
    if _is_small(rows, columns):
        beta = betas[at_beta]
        for i in range(rows):
            for k in range(columns):
                w = a[start + (k * rows + i if transposed else i * columns + k)]
                if k > 0:
                    for j in range(samples):
                        out[pz, i, j] += w * x[px, k, j]
                elif beta == 0:
                    for j in range(samples):
                        out[pz, i, j] = w * x[px, k, j]
                else:
                    for j in range(samples):
                        out[pz, i, j] = beta * out[pz, i, j] + w * x[px, k, j]
    else:
        starts = (start, px * columns * samples, pz * rows * samples, at_beta)
        gemm(a, x, out, betas, starts, (rows, samples, columns), (transposed, NO))


@sums
def add_outer_product(x, y, betas, out, places):
    """Add x yᵀ, the sum over the samples of two blocks, to `out`.

    The places are those of the blocks, where the matrix begins in `out`, and how many of its
    entries are computed at once; the first of `betas` are one and zero.
    """
    px, py, start, panel = places
    rows, columns, samples = x.shape[1], y.shape[1], x.shape[2]
    if len(out) == 0:
        return
    if _is_small(rows, columns):
        for i in range(rows):
            for k in range(columns):
                total = betas[NOTHING]
                for j in range(samples):
                    total += x[px, i, j] * y[py, k, j]
                out[start + i * columns + k] += total
    else:
        most = panel // columns if panel // columns >= PANEL_ROWS else rows
        step = -(-rows // -(-rows // most))  # panels of nearly the same size
        for i in range(0, rows, step):
            starts = ((px * rows + i) * samples, py * columns * samples, start + i * columns, ONE)
            shape = (min(step, rows - i), columns, samples)
            gemm(x, y, out, betas, starts, shape, (NO, YES))
