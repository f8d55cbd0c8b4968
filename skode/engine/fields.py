"""Activations and vector fields: the value and the two transposed derivatives.

The field is f(y, U) = σ(K y + b) with the controls U = (K, b) of one layer.  Every activation
here has a derivative that is a function of its *value* s = σ(z), so that K y + b need not be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .arrays import Array, Namespace, Scratch, positive_part

__all__ = ["ACTIVATIONS", "Activation", "AffineField", "softplus"]


@dataclass(frozen=True)
class Activation:
    """An activation σ, applied entry by entry, with 0 ≤ σ′ ≤ 1.

    Parameters
    ----------
    value : callable (xp, z, out) -> array
        s = σ(z); may overwrite z, which is `out`.
    transposed : callable (xp, s, gamma, out) -> array
        σ′(z)∘Γ, computed from s = σ(z).
    """

    value: Callable[[Namespace, Array, Array | None], Array]
    transposed: Callable[[Namespace, Array, Array, Array | None], Array]


def _tanh_transposed(xp: Namespace, s: Array, gamma: Array, out: Array | None) -> Array:
    # σ′ = 1 - s², so σ′∘Γ = Γ - s∘s∘Γ.
    out = xp.multiply(s, s, out=out)
    out = xp.multiply(out, gamma, out=out)
    return xp.subtract(gamma, out, out=out)


def _relu_transposed(xp: Namespace, s: Array, gamma: Array, out: Array | None) -> Array:
    # σ′ = 1 where s > 0, else 0; the convention σ′(0) = 0.
    out = xp.sign(s, out=out)
    return xp.multiply(out, gamma, out=out)


def softplus(xp: Namespace, z: Array, out: Array | None = None) -> Array:
    """log(1 + exp z) = max(z, 0) + log(1 + exp(-|z|)), which never overflows."""
    tail = xp.log1p(xp.exp(-xp.abs(z)))
    out = positive_part(xp, z, out)
    return xp.add(out, tail, out=out)


def _softplus_transposed(xp: Namespace, s: Array, gamma: Array, out: Array | None) -> Array:
    # σ′ = 1/(1 + exp(-z)) = 1 - exp(-s) = -expm1(-s).
    out = xp.negative(s, out=out)
    out = xp.expm1(out, out=out)
    out = xp.multiply(out, gamma, out=out)
    return xp.negative(out, out=out)


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(lambda xp, z, out: xp.tanh(z, out=out), _tanh_transposed),
    "relu": Activation(positive_part, _relu_transposed),
    "softplus": Activation(softplus, _softplus_transposed),
    "identity": Activation(lambda xp, z, out: z, lambda xp, s, gamma, out: gamma),
}


@dataclass(frozen=True)
class AffineField:
    """The vector field f(y, U) = σ(K y + b), U = (K, b), on a block of every member.

    Shapes: y is (members, channels, samples), or (1, channels, samples) where all members start
    from the same data; K is (members, channels, channels), b is (members, channels).
    """

    activation: Activation

    def value(self, y: Array, K: Array, b: Array, scratch: Scratch, *name: object) -> Array:
        """F = σ(K y + b), kept in the work array `name`."""
        xp = scratch.xp
        F = scratch((*K.shape[:2], y.shape[2]), *name)
        F = xp.matmul(K, y, out=F)
        F = xp.add(F, b[:, :, None], out=F)
        return self.activation.value(xp, F, F)

    def slope(self, F: Array, scratch: Scratch) -> Array:
        """σ′, of the shape of F = f(y, U); ∂f/∂y is diag(σ′) K."""
        xp = scratch.xp
        return self.activation.transposed(xp, F, xp.ones_like(F), None)

    def scaled(self, F: Array, gamma: Array, scratch: Scratch) -> Array:
        """G = σ′∘Γ, where F = f(y, U)."""
        return self.activation.transposed(scratch.xp, F, gamma, scratch(F.shape, "G"))

    def transposed(self, K: Array, G: Array, scratch: Scratch, *name: object) -> Array:
        """JᵀΓ = KᵀG, kept in the work array `name`, with J = ∂f/∂y and G = σ′∘Γ."""
        xp = scratch.xp
        return xp.matmul(xp.matrix_transpose(K), G, out=scratch(G.shape, "JtG", *name))

    def gradient(self, y: Array, G: Array, scratch: Scratch) -> tuple[Array, Array]:
        """(∂f/∂K)ᵀΓ = G yᵀ and (∂f/∂b)ᵀΓ, the row sums of G."""
        xp = scratch.xp
        return xp.matmul(G, xp.matrix_transpose(y)), xp.sum(G, axis=2)
