"""Newton's matrix of a block of implicit stages, and its inverse in three forms.

With Jj = ∂f/∂y = diag(σ′j) K at stage j of a block with coefficients A (k × k), the matrix is

    M = I - h (A ⊗ I) diag(J1, …, Jk),    of size k n, one per member and sample.

*full*: M as it is, which for a single stage is small.

*decoupled*: with one derivative σ̂′ for all stages and A = T Λ T⁻¹ it falls into k matrices of size
n, of which one of each complex pair is enough,

    M⁻¹ ≈ Re Σλ ωλ (T eλ)(eλᵀ T⁻¹) ⊗ (I - h λ diag(σ̂′) K)⁻¹,   ωλ = 2 for a pair, else 1.

*shared*: with the mean derivative of all samples it is one matrix per member, and a step is one
matrix product for all samples together.

Only the full form is Newton's method; the other two are right up to a contraction.  Reference:
Hairer, Wanner, "Solving Ordinary Differential Equations II" (1996), section IV.8.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from .arrays import Array, Namespace, host, placed, singular_matrix_errors
from .rooted_trees import Matrix

SMALL = 12  # the size up to which eliminating for all samples at once beats LAPACK for each
TINY = 4  # the size up to which an inverse costs little more than a step with it
GOOD_RATE = 0.3  # an inverse that is not cheap is good while it leaves less of the residual
WORST_EIGENBASIS = 1e4  # the condition of an eigenbasis of A with which decoupling loses digits


class StageMatrix:
    """M⁻¹ for one block of stages in one layer, as it was when last computed; at first, I.

    Parameters
    ----------
    A : tuple of tuples
        Coefficients of the block, k × k.
    K, h : arrays of shape (members, channels, channels) and (members, 1, 1)
    shared : bool, default=True
        Whether the shared form may be taken; the attribute says whether it is.
    exact : bool, default=False
        Whether it has to be Newton's matrix of the sample, in full form and computed at every step,
        so that what becomes of a sample does not depend on the others.

    Attributes
    ----------
    good_rate : float
        An inverse that leaves less than this fraction of the residual is cheaper to use again than
        to compute anew.
    """

    def __init__(
        self, xp: Namespace, A: Matrix, K: Array, h: Array, shared: bool = True, exact: bool = False
    ) -> None:
        self._xp, self._A = xp, A
        self._size = len(A) * K.shape[1]
        self._minus_hK = -h * K
        self._inverses: list[Array] = []
        small = self._size <= SMALL
        self.good_rate = 0.01 if small else GOOD_RATE
        if exact or self._size <= TINY:
            self.good_rate = 0.0
        self.shared = shared and not small and not exact
        self._decoupled = len(A) > 1 and not small and not exact and modes(A) is not None

    @property
    def computed(self) -> bool:
        """Whether M⁻¹ is more than I."""
        return bool(self._inverses)

    def improve(self) -> None:
        """Take the full form from now on."""
        self._decoupled = False

    def compute(self, derivative: Array) -> None:
        """Compute M⁻¹ at the derivatives σ′, (members, channels, k, samples)."""
        xp = self._xp
        self._computed_decoupled = self._decoupled and not self.shared
        if self.shared:
            self._inverses = [self._inverse(self._A, xp.mean(derivative, axis=3, keepdims=True))]
        elif self._computed_decoupled:
            mean = xp.mean(derivative, axis=2, keepdims=True)
            self._inverses = [
                self._inverse(((_scalar(xp, mode.value, like=mean),),), mean)
                for mode in modes(self._A) or ()
            ]
        else:
            self._inverses = [self._inverse(self._A, derivative)]

    def _inverse(self, A: Matrix, derivative: Array) -> Array:
        """The inverses of I - h (A ⊗ I) diag(J1, …, Jk), (members, size, size, samples)."""
        xp = self._xp
        if len(A) == 1:
            E = (A[0][0] * self._minus_hK)[..., None] * derivative[:, :, None, 0, :]
        else:
            A_ = placed(A, derivative, derivative.dtype)
            # Rows are numbered by (channel, stage i), columns by (channel, stage j).
            minus_hAK = A_[None, None, :, None, :] * self._minus_hK[:, :, None, :, None]
            E = minus_hAK[..., None] * derivative[:, :, None, None, :, :]
            E = xp.reshape(E, (E.shape[0], self._size, self._size, E.shape[-1]))
        for i in range(E.shape[1]):
            E[:, i, i, :] += 1.0
        return inverse(xp, E)

    def solve(self, R: Array, transposed: bool = False) -> Array:
        """M⁻¹ R, or M⁻ᵀ R, with R and the result of shape (members, channels, k, samples)."""
        xp = self._xp
        if not self._inverses:
            return R
        inverses = self._inverses
        if transposed:
            inverses = [xp.permute_dims(P, (0, 2, 1, 3)) for P in inverses]
        if not self._computed_decoupled:
            merged = xp.reshape(R, (R.shape[0], self._size, R.shape[3]))
            return xp.reshape(product(xp, inverses[0], merged), R.shape)
        total = xp.zeros_like(R)
        for P, (_, left, right) in zip(inverses, modes(self._A) or (), strict=True):
            if transposed:
                left, right = right, left
            x = [_scalar(xp, v, like=R) * R[:, :, j, :] for j, v in enumerate(left)]
            x = product(xp, P, sum(x[1:], start=x[0]))
            total = total + xp.stack([_real(xp, _scalar(xp, v, like=R) * x) for v in right], axis=2)
        return total


def inverse(xp: Namespace, M: Array) -> Array:
    """The inverse of every matrix in M, (members, size, size, samples), in the same shape.

    Where a matrix is singular, some entries are not finite.
    """
    if M.shape[1] <= SMALL:
        X = _eliminate(xp, M)
        if xp.isfinite(xp.sum(X)):
            return X
    # LAPACK searches for pivots, but gives up on all matrices when one of them is singular.
    try:
        return xp.permute_dims(xp.linalg.inv(xp.permute_dims(M, (0, 3, 1, 2))), (0, 2, 3, 1))
    except singular_matrix_errors():
        return _eliminate(xp, M)


def _eliminate(xp: Namespace, M: Array) -> Array:
    """Gauss-Jordan elimination without a search for pivots, which are near 1 in I - h λ J.

    A small pivot costs digits, which Newton's method and the refinement of the costates win back.
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
    """P r for every sample: P (members, size, size, samples or 1), r (members, size, samples)."""
    if P.shape[3] == 1:
        return xp.matmul(P[..., 0], r)
    if P.shape[1] <= SMALL:
        return xp.sum(P * r[:, None, :, :], axis=2)
    x = xp.matmul(xp.permute_dims(P, (0, 3, 1, 2)), xp.permute_dims(r, (0, 2, 1))[..., None])
    return xp.permute_dims(x[..., 0], (0, 2, 1))


def finite_matrices(xp: Namespace, K: Array) -> tuple[Array, Array]:
    """K, (…, n, n), with zero in place of matrices that LAPACK would refuse, and where it is K."""
    finite = xp.all(xp.isfinite(K), axis=(-2, -1))
    return xp.where(finite[..., None, None], K, xp.zeros_like(K)), finite


def spectral_norm(xp: Namespace, K: Array) -> Array:
    """‖K‖₂ of a stack of matrices; infinite where an entry is not finite."""
    safe, finite = finite_matrices(xp, K)
    norm = xp.max(xp.linalg.svdvals(safe), axis=-1)
    return xp.where(finite, norm, placed(xp.inf, K, K.dtype))


class _Mode(NamedTuple):
    """An eigenvalue λ of A, with eλᵀ T⁻¹ and ωλ T eλ."""

    value: complex
    left: tuple[complex, ...]
    right: tuple[complex, ...]


@cache
def modes(A: Matrix) -> tuple[_Mode, ...] | None:
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


def _scalar(xp: Namespace, x: complex, like: Array) -> Array:
    """x in the precision of `like`, as an array without dimensions; real where it is."""
    if x.imag == 0.0:
        return placed(x.real, like, like.dtype)
    dtype = xp.complex64 if like.dtype == xp.float32 else xp.complex128
    return placed(x, like, dtype)


def _real(xp: Namespace, x: Array) -> Array:
    return xp.real(x) if xp.isdtype(x.dtype, "complex floating") else x
