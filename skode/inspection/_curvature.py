"""The second derivatives of functions on manifolds of controls, in coordinates of tangent spaces.

A function with the gradient g and the Hessian B in the space around has on the manifold the
Riemannian Hessian P (B - Λ) P, where P is the projection onto the tangent space, and Λ stands for
the curvature of the manifold: it is made of the multiplier of the constraint.

    rows x of norm c        Λ = ⟨x, g⟩/c² I
    KᵀK = c² I              Λ = sym(Kᵀg)/c², applied to every row

References: Absil, Mahony, Sepulchre, "Optimization algorithms on matrix manifolds" (2008),
section 5.5; Absil, Mahony, Trumpf, "An extrinsic look at the Riemannian Hessian" (2013).
"""

from __future__ import annotations

import numpy as np

__all__ = ["on_orthogonal", "on_sphere"]


def on_sphere(blocks, g, x):
    """The Riemannian Hessian of rows of one norm, row by row.

    `blocks` are (…, n, n + 1, n + 1), g and the rows x (…, n, n + 1); the result (…, n, n, n).
    """
    size2 = (x * x).sum(axis=-1, keepdims=True)
    multiplier = (x * g).sum(axis=-1, keepdims=True) / size2
    Q = _complement(x)
    inner = blocks - multiplier[..., None] * np.eye(x.shape[-1])
    return np.swapaxes(Q, -1, -2) @ inner @ Q


def _complement(x):
    """An orthonormal basis of all that is orthogonal to each x, (…, n + 1, n), by a reflection."""
    last = np.eye(x.shape[-1])[-1]
    v = x / np.linalg.norm(x, axis=-1, keepdims=True)
    v = v + np.where(v[..., -1:] < 0, -1.0, 1.0) * last
    v = v / np.linalg.norm(v, axis=-1, keepdims=True)
    return (np.eye(x.shape[-1]) - 2 * v[..., :, None] * v[..., None, :])[..., :-1]


def on_orthogonal(blocks, g, K):
    """The Riemannian Hessian of one layer whose K is a multiple of an orthogonal matrix; b is free.

    `blocks` are (n, n + 1, n + 1), g (n, n + 1) and K (n, n).  The result is in the coordinates of
    K Ω for Ω = (e_i e_jᵀ - e_j e_iᵀ)/√2, i < j, divided by the size of K, and of b: a matrix of
    size n (n + 1)/2.
    """
    n = len(K)
    size2 = (K * K).sum() / n
    M = K.T @ g[:, :n] / size2
    inner = blocks.copy()
    inner[:, :n, :n] -= (M + M.T) / 2
    i, j = np.triu_indices(n, 1)
    basis = np.zeros((n, n + 1, len(i) + n))  # of rows: those of K, and an entry of b
    each = np.arange(len(i))
    basis[:, j, each] = K[:, i] / (2 * size2) ** 0.5
    basis[:, i, each] = -K[:, j] / (2 * size2) ** 0.5
    basis[np.arange(n), n, len(i) + np.arange(n)] = 1.0
    flat = basis.reshape(n * (n + 1), -1)
    return flat.T @ (inner @ basis).reshape(flat.shape)
