"""Newton's matrix of a block of implicit stages, one per member and sample, and its inverse.

With Jj = ∂f/∂y = diag(σ′j) K at stage j of a block with coefficients A (k × k), the matrix is

    M = I - h (A ⊗ I) diag(J1, …, Jk),    of size k n.

It is inverted as it is, or, where that saves work, in *decoupled* form: with one slope σ̂′ for all
stages and A = T Λ T⁻¹ it falls into k matrices I - h λ diag(σ̂′) K of size n, of which one of each
complex pair is enough (Hairer, Wanner, "Solving Ordinary Differential Equations II" (1996), section
IV.8; Butcher 1976):

    M⁻¹ ≈ Re Σλ ωλ (T eλ)(eλᵀ T⁻¹) ⊗ (I - h λ diag(σ̂′) K)⁻¹,   ωλ = 2 for a pair, else 1.

With one stage the two forms are the same.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from .arrays import Array, Namespace, SingularMatrixError, device, host

__all__ = ["StageMatrix", "inverse", "product", "spectral_norm"]

Coefficients = tuple[tuple[float, ...], ...]

# Up to this size, eliminating side by side for all samples beats one call of LAPACK per sample.
SMALL = 12


def inverse(xp: Namespace, M: Array) -> Array:
    """The inverse of every matrix in M, (members, size, size, samples), in the same shape.

    Where a matrix is singular, some entries are not finite.
    """
    if M.shape[1] <= SMALL:
        X = _eliminate(xp, M)
        if xp.all(xp.isfinite(X)):
            return X
    # LAPACK searches for pivots, but gives up on all matrices when one of them is singular.
    try:
        return xp.permute_dims(xp.linalg.inv(xp.permute_dims(M, (0, 3, 1, 2))), (0, 2, 3, 1))
    except SingularMatrixError:
        return _eliminate(xp, M)


def _eliminate(xp: Namespace, M: Array) -> Array:
    """Gauss-Jordan elimination without a search for pivots, which are near 1 in I - h λ J.

    A small pivot costs digits, which Newton's method and the refinement of the costates win back.
    """
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
    """P r for every sample: P (members, size, size, samples), r (members, size, samples)."""
    if P.shape[1] <= SMALL:
        return xp.sum(P * r[:, None, :, :], axis=2)
    x = xp.matmul(xp.permute_dims(P, (0, 3, 1, 2)), xp.permute_dims(r, (0, 2, 1))[..., None])
    return xp.permute_dims(x[..., 0], (0, 2, 1))


def spectral_norm(xp: Namespace, K: Array) -> Array:
    """‖K‖₂ of a stack of matrices; infinite where an entry is not finite."""
    finite = xp.all(xp.isfinite(K), axis=(-2, -1))
    safe = xp.where(finite[..., None, None], K, xp.zeros_like(K))
    norm = xp.max(xp.linalg.svdvals(safe), axis=-1)
    return xp.where(finite, norm, xp.asarray(xp.inf, dtype=K.dtype, device=device(K)))


class _Mode(NamedTuple):
    """An eigenvalue of A, with eλᵀ T⁻¹ and ωλ T eλ."""

    value: complex
    left: tuple[complex, ...]
    right: tuple[complex, ...]


@cache
def modes(A: Coefficients) -> tuple[_Mode, ...] | None:
    """The eigenvalues of A with Im λ ≥ 0, or None where A has no well-conditioned eigenbasis."""
    values, T = host.linalg.eig(host.asarray(A, dtype=host.float64))
    if host.linalg.cond(T) > WORST_EIGENBASIS:
        return None
    T_inverse = host.linalg.inv(T)
    return tuple(
        _Mode(
            value.item(),
            tuple(T_inverse[i, :].tolist()),
            tuple(((2 if value.imag else 1) * T[:, i]).tolist()),
        )
        for i, value in enumerate(values)
        if value.imag >= 0
    )


# An eigenbasis costs its condition number in digits of a direction that is corrected anyway.
WORST_EIGENBASIS = 1e4


class StageMatrix:
    """M⁻¹ for one block of stages in one layer, as it was when last computed; at first, I.

    Parameters
    ----------
    A : tuple of tuples
        Coefficients of the block, k × k.
    K : array of shape (members, channels, channels)
    h : array of shape (members, 1, 1)
    """

    def __init__(self, xp: Namespace, A: Coefficients, K: Array, h: Array) -> None:
        self._xp, self._A, self._K, self._h = xp, A, K, h
        self.size = len(A) * K.shape[1]
        self.decoupled = len(A) > 1 and self.size > SMALL and modes(A) is not None
        self._inverses: list[Array] = []

    @property
    def computed(self) -> bool:
        """Whether M⁻¹ is more than I."""
        return bool(self._inverses)

    @property
    def cheap(self) -> bool:
        """Whether computing the inverse costs little more than a step with it."""
        return self.size <= SMALL

    def compute(self, slope: Array, decoupled: bool) -> None:
        """Compute M⁻¹ at the slopes σ′, (members, channels, k, samples)."""
        self.decoupled = decoupled
        if decoupled:
            self._inverses = [self._mode_inverse(mode, slope) for mode in modes(self._A) or ()]
        else:
            self._inverses = [self._full_inverse(slope)]

    def _full_inverse(self, slope: Array) -> Array:
        xp, k = self._xp, len(self._A)
        n, m = self._K.shape[1], slope.shape[3]
        A = xp.asarray(self._A, dtype=self._K.dtype, device=device(self._K))
        # Rows are numbered by (channel, stage i), columns by (channel, stage j).
        minus_hAK = -self._h[..., None, None] * (
            A[None, None, :, None, :] * self._K[:, :, None, :, None]
        )
        E = minus_hAK[..., None] * slope[:, :, None, None, :, :]
        E = xp.reshape(E, (E.shape[0], n * k, n * k, m))
        return inverse(xp, E + xp.eye(n * k, dtype=E.dtype, device=device(E))[None, :, :, None])

    def _mode_inverse(self, mode: _Mode, slope: Array) -> Array:
        xp = self._xp
        mean = xp.mean(slope, axis=2)
        minus_hK = self._scalar(mode.value) * (-self._h * self._K)
        E = minus_hK[..., None] * mean[:, :, None, :]
        n = self._K.shape[1]
        return inverse(xp, E + xp.eye(n, dtype=E.dtype, device=device(E))[None, :, :, None])

    def _scalar(self, x: complex) -> Array:
        """x as an array without dimensions, real where it is."""
        xp, like = self._xp, self._K
        if isinstance(x, float) or x.imag == 0.0:
            return xp.asarray(float(x.real), dtype=like.dtype, device=device(like))
        dtype = xp.complex64 if like.dtype == xp.float32 else xp.complex128
        return xp.asarray(x, dtype=dtype, device=device(like))

    def solve(self, R: Array, transposed: bool = False) -> Array:
        """M⁻¹ R, or M⁻ᵀ R, with R and the result of shape (members, channels, k, samples)."""
        xp = self._xp
        if not self._inverses:
            return R
        if not self.decoupled:
            (P,) = self._inverses
            P = xp.permute_dims(P, (0, 2, 1, 3)) if transposed else P
            merged = xp.reshape(R, (R.shape[0], self.size, R.shape[3]))
            return xp.reshape(product(xp, P, merged), R.shape)
        total = xp.zeros_like(R)
        for mode, inverse_ in zip(modes(self._A) or (), self._inverses, strict=True):
            P, left, right = inverse_, mode.left, mode.right
            if transposed:
                P, left, right = xp.permute_dims(P, (0, 2, 1, 3)), right, left
            x = product(xp, P, sum(self._scalar(v) * R[:, :, j, :] for j, v in enumerate(left)))
            total = total + xp.stack([_real(xp, self._scalar(v) * x) for v in right], axis=2)
        return total


def _real(xp: Namespace, x: Array) -> Array:
    return xp.real(x) if xp.isdtype(x.dtype, "complex floating") else x
