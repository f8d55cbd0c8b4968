"""Activations, and the stages of implicit schemes, as an ONNX graph.

The stage equations of a block of k stages are, in Z = K Y + b,

    Z = c + W σ(Z),      W = h (A ⊗ K),      c = K B + b.

ONNX cannot solve linear equations, so Newton's method is not possible.  But every activation has
slopes in [0, 1]: σ(Z) = ½ (Z + R(Z)), where R(Z) = 2σ(Z) - Z has slopes in [-1, 1].  Hence

    Z = q + P R(Z),      P = (I - ½W)⁻¹ ½W,      q = (I - ½W)⁻¹ c,

with matrices that do not depend on the sample.  They are computed here, and the graph iterates
Z ← q + P R(Z).  If ‖P‖ = ρ < 1 in a norm that is weighted by stages, this is a contraction: every
sample has exactly one solution, and k iterations leave at most ρᵏ of the error.  ρ < 1 is
guaranteed if the symmetric part of W is bounded by a number below 1, as with
``stage_guard="bound"``.  This is the Peaceman-Rachford iteration.

References
----------
D. W. Peaceman, H. H. Rachford, "The numerical solution of parabolic and elliptic differential
equations", Journal of the Society for Industrial and Applied Mathematics 3 (1955).
E. Winston, J. Z. Kolter, "Monotone operator equilibrium networks" (NeurIPS 2020), for networks.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

AT_ONCE = 3  # iterations between two checks for convergence
MOST = 3000  # iterations; with more, a graph would be too slow to be useful
REMEDY = "Fit it with stage_guard='bound', a smaller h, or an explicit scheme."
ROUNDINGS = 4.0  # rounding errors, up to which Z counts as unchanged; two iterations still follow


class Layer(NamedTuple):
    """Controls of one layer: K (networks, n, n), b (networks, 1, n), h (networks, 1, 1)."""

    K: np.ndarray
    b: np.ndarray
    h: np.ndarray


def activated(g, activation, z, n_channels, n_stages=1):
    """Add σ(z); the stages of z, (networks, samples, n_stages · n_channels), are side by side."""
    if activation == "identity":
        return z
    if activation == "tanh":
        return g("Tanh", z)
    if activation == "softplus":  # onnxruntime has no Softplus for float64
        return g("Add", g("Relu", z), _log_of_one_plus_exp_of_minus_size(g, z))
    if activation == "relu":
        return g("Relu", z)
    half = (n_channels + 1) // 2  # "mixed"
    first = g.constant(np.tile(np.arange(n_channels) < half, n_stages))
    return g("Where", first, g("Tanh", z), g("Relu", z))


def log_logistic(g, z):
    """Add log(1/(1 + exp(-z))), computed without overflow."""
    return g("Sub", g("Min", z, 0.0), _log_of_one_plus_exp_of_minus_size(g, z))


def _log_of_one_plus_exp_of_minus_size(g, z):
    return g("Log", g("Add", g("Exp", g("Neg", g("Abs", z))), 1.0))


def solved_stages(g, activation, layer, A, b, c):
    """Add the values Fi = σ(Zi) of a block of implicit stages.

    Parameters
    ----------
    g : Graph
    activation : str
    layer : Layer
    A, b : sequences of float
        Coefficients of the block, k × k, and weights of its stages.
    c : list of str of length k
        K Bi + b of each stage.

    Returns
    -------
    list of str of length k

    Raises
    ------
    ValueError
        If the iteration may not converge, or would take too long.
    """
    A, k, n_channels = np.asarray(A), len(A), layer.b.shape[2]
    W = layer.h * np.kron(A, layer.K)
    c = c[0] if k == 1 else g("Concat", *c, axis=2)
    if activation == "identity":  # the equations are linear
        Z = g("MatMul", c, _transposed(_inverse(np.eye(W.shape[1]) - W)))
    else:
        inverse = _inverse(np.eye(W.shape[1]) - W / 2)
        P = inverse @ (W / 2)
        most = _iterations(_rate(P, b), g.dtype)
        q = g("MatMul", c, _transposed(inverse))
        Z = _iterated(g, activation, P, q, most, n_channels)
    F = activated(g, activation, Z, n_channels, k)
    if k == 1:
        return [F]
    edges = [np.array([i * n_channels]) for i in range(k + 1)]
    return [g("Slice", F, start, end, np.array([2])) for start, end in pairwise(edges)]


def _iterated(g, activation, P, q, most, n_channels):
    """Add the iteration Z ← q + P R(Z), until Z no longer changes or `most` times."""
    (n_networks, size, _), PT = P.shape, g.constant(_transposed(P))

    def improved(Z):
        if activation == "relu":
            R = g("Abs", Z)
        else:
            F = activated(g, activation, Z, n_channels, size // n_channels)
            R = g("Sub", g("Add", F, F), Z)
        return g("Add", g("MatMul", R, PT), q)

    start = improved(q)
    scale = g("Add", g("Abs", q), g("Abs", start))
    scale = g("Sqrt", g.sum(g("Mul", scale, scale), 2, keepdims=True))
    tolerance = g("Mul", scale, ROUNDINGS * np.finfo(g.dtype).eps)

    def step(Z, tolerance):
        new = improved(Z)
        # NaN counts as no change, so that one sample does not end the iteration of the others.
        changed = g("Greater", g("Abs", g("Sub", new, Z)), tolerance)
        some = g("ReduceMax", g.cast(changed, g.dtype), keepdims=0)
        for _ in range(AT_ONCE - 1):
            new = improved(new)
        return new, g.cast(some, bool)

    shapes = [n_networks, None, size], [n_networks, None, 1]
    return g.repeat(-(-most // AT_ONCE), start, tolerance, shapes, step)


def _transposed(M):
    return np.swapaxes(M, 1, 2)


def _inverse(M):
    try:
        return np.linalg.inv(M)
    except np.linalg.LinAlgError:
        raise ValueError(f"a matrix of the stage equations is singular. {REMEDY}") from None


def _rate(P, b):
    """Return the largest ‖P‖₂ of the networks, with the stages weighted by 1, or b if smaller.

    Diagonal weights do not affect R, which is applied entry by entry.
    """
    weights = [np.ones(len(b))] + ([np.asarray(b)] if min(b) > 0 else [])
    roots = [np.repeat(np.sqrt(D), P.shape[1] // len(b)) for D in weights]
    return min(np.linalg.norm(root[:, None] * P / root, 2, axis=(1, 2)).max() for root in roots)


def _iterations(rate, dtype):
    """Return the number of iterations after which the error is below the rounding error of Z."""
    if not rate < 1:
        raise ValueError(
            "the iteration that solves its stage equations may not converge, since each step may "
            f"multiply the error by up to {rate:.3g}, which is not below 1. {REMEDY}"
        )
    number = math.log(np.finfo(dtype).eps * (1 - rate)) / math.log(rate) if rate else 1
    if number > MOST:
        raise ValueError(
            f"the iteration that solves its stage equations may need {number:.0f} steps per layer, "
            f"and more than {MOST} are too slow to be useful. {REMEDY}"
        )
    return max(1, math.ceil(number))
