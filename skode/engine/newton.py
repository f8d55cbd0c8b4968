"""Newton's matrix of a block of implicit stages, and its inverse.

With Jj = ∂f/∂y = diag(σ′j) K at stage j of a block with coefficients A (k × k), the matrix is

    M = I - h (A ⊗ I) diag(J1, …, Jk),    of size k n, one per member and sample.

Reference: Hairer, Wanner, "Solving Ordinary Differential Equations II" (1996), section IV.8.
"""

from __future__ import annotations

from .arrays import Array, Namespace, host, inverses, namespace, placed
from .rooted_trees import Matrix

SMALL = 12  # largest size at which joint elimination is faster than LAPACK for each sample
ABOVE_ROUNDING = 1 + 1e-5  # makes a computed bound of a norm a true bound, in any precision


class StageMatrix:
    """M⁻¹ for one block of stages in one layer, as of the last computation; initially I.

    Parameters
    ----------
    A : tuple of tuples
        Coefficients of the block, k × k.
    K, h : arrays of shape (members, channels, channels) and (members, 1, 1)
    """

    def __init__(self, A: Matrix, K: Array, h: Array) -> None:
        self._A, self._minus_hK = A, -h * K
        self._inverse: Array | None = None

    @property
    def computed(self) -> bool:
        """Whether M⁻¹ has been computed; otherwise it is I."""
        return self._inverse is not None

    def compute(self, derivative: Array, checks: bool = True) -> None:
        """Compute M⁻¹ at the derivatives σ′, (members, channels, k, samples).

        Without `checks`, a matrix that needs pivoting is not detected.
        """
        xp = namespace(derivative)
        A = placed(host.asarray(self._A), derivative, derivative.dtype)
        # Rows are numbered by (channel, stage i), columns by (channel, stage j).
        minus_hAK = A[None, None, :, None, :] * self._minus_hK[:, :, None, :, None]
        E = minus_hAK[..., None] * derivative[:, :, None, None, :, :]
        size = E.shape[1] * E.shape[2]
        E = xp.reshape(E, (E.shape[0], size, size, E.shape[-1]))
        for i in range(size):
            E[:, i, i, :] += 1.0
        self._inverse = inverse(xp, E, checks)

    def solve(self, R: Array, transposed: bool = False) -> Array:
        """Return M⁻¹ R or M⁻ᵀ R; R and the result are (members, channels, k, samples)."""
        if self._inverse is None:
            return R
        xp, P = namespace(R), self._inverse
        if transposed:
            P = xp.permute_dims(P, (0, 2, 1, 3))
        return xp.reshape(product(xp, P, xp.reshape(R, (R.shape[0], -1, R.shape[3]))), R.shape)


def inverse(xp: Namespace, M: Array, checks: bool = True) -> Array:
    """Invert every matrix in M, (members, size, size, samples); the result has the same shape.

    The inverse of a singular matrix has entries that are not finite.  Without `checks`, for which
    a device has to wait, this also holds for a small matrix that has a pivot of zero.
    """
    if M.shape[1] <= SMALL:
        X = _eliminate(xp, M)
        if not checks or xp.isfinite(xp.sum(X)):
            return X
    # LAPACK pivots, but fails on all matrices if one of them is singular.
    try:
        return xp.permute_dims(inverses(xp.permute_dims(M, (0, 3, 1, 2))), (0, 2, 3, 1))
    except host.linalg.LinAlgError:
        return _eliminate(xp, M)


def _eliminate(xp: Namespace, M: Array) -> Array:
    """Invert by Gauss-Jordan elimination without pivoting; pivots of I - h λ J are near 1.

    A small pivot loses digits, which Newton's method and the refinement of the costates recover.
    """
    if M.shape[1] == 2:
        a, b, c, d = M[:, 0, 0, :], M[:, 0, 1, :], M[:, 1, 0, :], M[:, 1, 1, :]
        X = xp.stack([d, -b, -c, a], axis=1) / (a * d - b * c)[:, None, :]
        return xp.reshape(X, M.shape)
    X = xp.asarray(M, copy=True)
    for k in range(X.shape[1]):
        pivot = 1.0 / X[:, k, k, :]
        row = X[:, k, :, :] * pivot[:, None, :]
        row[:, k, :] = pivot
        column = xp.asarray(X[:, :, k, :], copy=True)
        column[:, k, :] = 0.0
        X[:, :, k, :] = 0.0
        X -= column[:, :, None, :] * row[:, None, :, :]
        X[:, k, :, :] = row
    return X


def product(xp: Namespace, P: Array, r: Array) -> Array:
    """Return P r for every sample: P (members, size, size, samples), r (members, size, samples)."""
    if P.shape[1] <= SMALL:
        return xp.sum(P * r[:, None, :, :], axis=2)
    x = xp.matmul(xp.permute_dims(P, (0, 3, 1, 2)), xp.permute_dims(r, (0, 2, 1))[..., None])
    return xp.permute_dims(x[..., 0], (0, 2, 1))


def finite_matrices(xp: Namespace, K: Array) -> tuple[Array, Array]:
    """Replace matrices in K, (…, n, n), that are not finite by zero; return K and the mask."""
    finite = xp.all(xp.isfinite(K), axis=(-2, -1))
    return xp.where(finite[..., None, None], K, xp.zeros_like(K)), finite


def norm_bound(xp: Namespace, M: Array) -> Array:
    """Return ‖(MᵀM)⁴‖^⅛ of each matrix in a stack, with the Frobenius norm.

    It is between ‖M‖₂ and n^(1/16) ‖M‖₂, or infinite if an entry is not finite.  It takes three
    products and does not wait for a device.
    """
    safe, finite = finite_matrices(xp, M)
    size = xp.max(xp.abs(safe), axis=(-2, -1))
    one = xp.ones_like(size)
    size = xp.where(size > 0, size, one)  # scaled twice, so that no square overflows or vanishes
    size = size * xp.maximum(xp.linalg.matrix_norm(safe / size[..., None, None]), one)
    power = safe / size[..., None, None]
    power = xp.matmul(xp.matrix_transpose(power), power)
    for _ in range(2):
        power = xp.matmul(power, power)
    bound = ABOVE_ROUNDING * size * xp.linalg.matrix_norm(power) ** (1 / 8)
    return xp.where(finite, bound, xp.full_like(bound, xp.inf))
