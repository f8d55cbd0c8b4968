"""Vector fields f of the layers, as a table.

    standard        f(y) = σ(K y + b)
    antisymmetric   f(y) = σ(K y + b)         with K + Kᵀ = -2γ I
    gradient_flow   f(y) = -Kᵀ σ(K y + b)
    hamiltonian     f(y) = Ω Kᵀ σ(K y + b)    with K = diag(K₁, K₂) and Ω = [0 I; -I 0]

So a field is σ(K y + b), or T Kᵀ σ(K y + b) with an orthogonal matrix T, which is -I or Ω.  K may
have to have a structure: a linear space of matrices, moved by -γ I.

- Antisymmetric: the eigenvalues of the Jacobian diag(σ′) K have real parts from -γ max σ′ to 0.  So
  the flow does not explode, and with a small damping γ it does not forget.  K is written as
  W - Wᵀ - γ I by Haber, Ruthotto, "Stable architectures for deep neural networks" (2017), and
  Chang, Chen, Haber, Chi, "AntisymmetricRNN" (2019).
- Gradient flow: f = -∇E with E(y) = Σ σ̂(K y + b) and σ̂′ = σ, which is convex because σ does not
  fall.  So the flow brings any two states closer together; see `contractivity`.
- Hamiltonian: with the halves y = (q, p) of the channels, q′ = K₂ᵀ σ(K₂ p + b₂) = ∂H/∂p and
  p′ = -K₁ᵀ σ(K₁ q + b₁) = -∂H/∂q, for H = Σ σ̂(K y + b), which is conserved, as is volume.  Chang,
  Meng, Haber, Ruthotto, Begert, Holtham, "Reversible architectures for arbitrarily deep residual
  neural networks" (2018).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .arrays import Array, Namespace, device

# What the compiled kernels call T.
NONE, MINUS, ROTATION = range(3)


def _halves(K: Array) -> tuple[slice, slice]:
    """The halves of the channels."""
    half = K.shape[1] // 2
    return slice(None, half), slice(half, None)


def _antisymmetric(xp: Namespace, K: Array, damping: float) -> Array:
    skew = (K - xp.matrix_transpose(K)) / 2
    if not damping:
        return skew
    return skew - damping * xp.eye(K.shape[-1], dtype=K.dtype, device=device(K))


def _block_diagonal(xp: Namespace, K: Array, damping: float) -> Array:
    half = xp.arange(K.shape[-1], device=device(K)) < K.shape[-1] // 2
    return xp.where(half[:, None] == half[None, :], K, xp.zeros_like(K))


@dataclass(frozen=True)
class VectorField:
    """A vector field, up to the activation.

    Parameters
    ----------
    name : str
    turn : int, default=NONE
        Which T it has, if any.
    structure : callable (xp, K, damping) -> array, optional
        The nearest matrices, (…, n, n), that have the structure; None if all have.
    """

    name: str
    turn: int = NONE
    structure: Callable[[Namespace, Any, float], Array] | None = None

    @property
    def plain(self) -> bool:
        """Whether the field is σ(K y + b) itself."""
        return self.turn == NONE

    def value(self, xp: Namespace, K: Array, S: Array) -> Array:
        """f(y) from S = σ(K y + b)."""
        return S if self.plain else self.turned(xp, xp.matmul(xp.matrix_transpose(K), S))

    def adjoint(self, xp: Namespace, K: Array, gamma: Array) -> Array:
        """D = ∂/∂S from Γ = ∂/∂f: K TᵀΓ, or Γ itself."""
        return gamma if self.plain else xp.matmul(K, self.turned_back(xp, gamma))

    def turned(self, xp: Namespace, x: Array) -> Array:
        """T x; the channels are on the second axis."""
        if self.turn == MINUS:
            return -x
        upper, lower = _halves(x)
        return xp.concat([x[:, lower, ...], -x[:, upper, ...]], axis=1)

    def turned_back(self, xp: Namespace, x: Array) -> Array:
        """Tᵀ x."""
        if self.turn == MINUS:
            return -x
        upper, lower = _halves(x)
        return xp.concat([-x[:, lower, ...], x[:, upper, ...]], axis=1)


FIELDS: dict[str, VectorField] = {
    field.name: field
    for field in (
        VectorField("standard"),
        VectorField("antisymmetric", structure=_antisymmetric),
        VectorField("gradient_flow", MINUS),
        VectorField("hamiltonian", ROTATION, _block_diagonal),
    )
}
