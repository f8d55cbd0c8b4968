"""Manifolds of controls, for training on them: rows of one norm, and orthogonal matrices.

Training moves along a tangent vector d from u and comes back to the manifold by the metric
projection, the *retraction* R(d) = project(u + d); it is defined for every tangent vector, as no
singular value, or norm of a row, of u + d is less than that of u.  With the orthogonal projection P
onto the tangent space,

    sphere      project(x) = c x/‖x‖      P v = v - x ⟨x, v⟩/c²         x a row of [K b]
    orthogonal  project(K) = c U Vᵀ       P v = v - K sym(Kᵀv)/c²       U S Vᵀ the SVD of K

the gradient of J on the manifold is P g.  Tangent vectors are transported to another point by the P
there.

References: Absil, Mahony, Sepulchre, "Optimization algorithms on matrix manifolds" (2008), sections
3.6, 4.1 and 8.1; Absil, Malick, "Projection-like retractions on matrix manifolds" (SIAM Journal on
Optimization 22, 2012).
"""

from __future__ import annotations

from .arrays import Array, device, namespace
from .constraints import Constraint, Manifold, changed_where
from .controls import Layout
from .newton import finite_matrices, norm_bound

# From a norm of NEAR, so many steps lead below 1e-22.
NEAR, ENOUGH = 0.25, 5


def rows_of_norm(layout: Layout, norm: float) -> Constraint:
    """Layers in which every row of [K b] has this norm."""
    N, n, _ = layout.shapes.K
    n_K = N * n * n

    def rows(flat: Array) -> Array:
        """The rows of [K b], (…, N, n, n + 1)."""
        xp, axes = namespace(flat), flat.shape[:-1]
        K = xp.reshape(flat[..., :n_K], (*axes, N, n, n))
        return xp.concat([K, xp.reshape(flat[..., n_K:], (*axes, N, n, 1))], axis=-1)

    def flatten(x: Array) -> Array:
        xp, axes = namespace(x), x.shape[:-3]
        K, b = xp.reshape(x[..., :-1], (*axes, n_K)), xp.reshape(x[..., -1], (*axes, N * n))
        return xp.concat([K, b], axis=-1)

    def project(flat: Array) -> Array:
        return flatten(project_rows(rows(flat), norm))

    def tangent(u: Array, v: Array) -> Array:
        x, v = rows(u), rows(v)
        along = namespace(v).sum(x * v, axis=-1, keepdims=True) / norm**2
        return flatten(v - along * x)

    slices = layout.slices
    return Constraint(manifold=Manifold(slice(slices.K.start, slices.b.stop), project, tangent))


def project_rows(x: Array, norm: float) -> Array:
    """The nearest rows of this norm to those of x, (…, n + 1).

    A row of zeros, to which all are equally near, becomes one of a bias alone.
    """
    xp = namespace(x)
    largest = xp.max(xp.abs(x), axis=-1, keepdims=True)  # so that no square overflows or vanishes
    last = xp.concat([xp.zeros_like(x[..., :-1]), xp.ones_like(x[..., -1:])], axis=-1)
    x = xp.where(largest == 0, last, x / xp.where(largest == 0, xp.ones_like(largest), largest))
    return norm * (x / xp.sqrt(xp.sum(x * x, axis=-1, keepdims=True)))


def orthogonal_layers(layout: Layout, scale: float) -> Constraint:
    """Layers whose K is `scale` times an orthogonal matrix."""

    def matrices(flat: Array) -> Array:
        return namespace(flat).reshape(flat, (*flat.shape[:-1], *layout.shapes.K))

    def project(flat: Array) -> Array:
        return namespace(flat).reshape(project_orthogonal(matrices(flat), scale), flat.shape)

    def tangent(u: Array, v: Array) -> Array:
        xp, K, V = namespace(v), matrices(u), matrices(v)
        product = xp.matmul(xp.matrix_transpose(K), V)
        symmetric = (product + xp.matrix_transpose(product)) / (2 * scale**2)
        return xp.reshape(V - xp.matmul(K, symmetric), v.shape)

    return Constraint(manifold=Manifold(layout.slices.K, project, tangent))


def project_orthogonal(K: Array, scale: float) -> Array:
    """The nearest matrices to K, (…, n, n), that are `scale` times an orthogonal matrix.

    Of several, as there are where K is singular, one.  Not a number where K is not finite.

    Near the manifold, where ‖I - XᵀX‖₂ ≤ ¼ for X = K/scale, they are the limit of Newton and
    Schulz's iteration X ← X (I + ½ (I - XᵀX)), which squares that norm or better in each step, in
    products alone.  Matrices that may be farther away are decomposed first.

    Reference: Higham, "Functions of matrices" (2008), section 8.3.
    """
    xp, n = namespace(K), K.shape[-1]
    X = xp.reshape(K / scale, (-1, n, n))
    one = xp.eye(n, dtype=K.dtype, device=device(K))

    def defect(X: Array) -> Array:
        return one - xp.matmul(xp.matrix_transpose(X), X)

    X = changed_where(norm_bound(xp, defect(X)) > NEAR, _by_decomposition, X)
    for _ in range(ENOUGH):
        X = X + xp.matmul(X, defect(X)) / 2
    return scale * xp.reshape(X, K.shape)


def _by_decomposition(X: Array) -> Array:
    """The nearest orthogonal matrices, not a number where X is not finite."""
    xp = namespace(X)
    safe, finite = finite_matrices(xp, X)
    U, _, Vt = xp.linalg.svd(safe, full_matrices=False)
    return xp.where(finite[:, None, None], xp.matmul(U, Vt), X - X)
