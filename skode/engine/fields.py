"""Activations and vector fields: the value, and the slope that both derivatives are made of.

The field is f(y, U) = σ(K y + b) with the controls U = (K, b) of one layer.  Every activation
here has a derivative that is a function of its *value* s = σ(z), so that K y + b need not be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .arrays import Array, Namespace, fusible, placed, positive_part

__all__ = ["ACTIVATIONS", "Activation", "AffineField", "softplus"]


@dataclass(frozen=True)
class Activation:
    """An activation σ, applied entry by entry, with 0 ≤ σ′ ≤ 1.

    Parameters
    ----------
    value : callable (xp, z, out=None) -> array
        s = σ(z); may overwrite z, which is `out`.
    slope : callable (xp, s, out) -> array
        σ′(z), computed from s = σ(z), which may be `out`.
    of_sum : callable (xp, z, b) -> array, optional
        σ(z + b) in one kernel.
    slope_times : callable (xp, s, Γ) -> array, optional
        σ′(z)∘Γ in one kernel, from s = σ(z).
    """

    value: Callable[..., Array]
    slope: Callable[[Namespace, Array, Array | None], Array]
    of_sum: Callable[[Namespace, Array, Array], Array] | None = None
    slope_times: Callable[[Namespace, Array, Array], Array] | None = None


def _tanh(xp: Namespace, z: Array, out: Array | None = None) -> Array:
    return xp.tanh(z, out=out)


def _tanh_slope(xp: Namespace, s: Array, out: Array | None) -> Array:
    # σ′ = 1 - s²
    out = xp.multiply(s, s, out=out)
    return xp.subtract(placed(1.0, s, s.dtype), out, out=out)


@fusible
def _tanh_of_sum(xp: Namespace, z: Array, b: Array) -> Array:
    return xp.tanh(z + b)


@fusible
def _tanh_slope_times(xp: Namespace, s: Array, gamma: Array) -> Array:
    return gamma - s * s * gamma


def _softplus_slope(xp: Namespace, s: Array, out: Array | None) -> Array:
    # σ′ = 1/(1 + exp(-z)) = 1 - exp(-s) = -expm1(-s).
    out = xp.negative(s, out=out)
    out = xp.expm1(out, out=out)
    return xp.negative(out, out=out)


def _identity(xp: Namespace, z: Array, out: Array | None = None) -> Array:
    return z


def softplus(xp: Namespace, z: Array, out: Array | None = None) -> Array:
    """log(1 + exp z) = max(z, 0) + log(1 + exp(-|z|)), which never overflows."""
    tail = xp.log1p(xp.exp(-xp.abs(z)))
    out = positive_part(xp, z, out)
    return xp.add(out, tail, out=out)


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(_tanh, _tanh_slope, _tanh_of_sum, _tanh_slope_times),
    # σ′ = 1 where s > 0, else 0; the convention σ′(0) = 0.
    "relu": Activation(positive_part, lambda xp, s, out: xp.sign(s, out=out)),
    "softplus": Activation(softplus, _softplus_slope),
    "identity": Activation(_identity, lambda xp, s, out: xp.ones_like(s)),
}


@dataclass(frozen=True)
class AffineField:
    """The vector field f(y, U) = σ(K y + b), U = (K, b), on a block of every member.

    Shapes: y is (members, channels, samples), K is (members, channels, channels) and b is
    (members, channels).  Where y has one more channel, that is 1, and K one more column, that is b,
    σ(K y) is the field already, by one product.
    """

    activation: Activation

    def value(
        self, xp: Namespace, y: Array, K: Array, b: Array | None = None, out: Array | None = None
    ) -> Array:
        """F = f(y, U)."""
        F = xp.matmul(K, y, out=out)
        if b is not None:
            F = xp.add(F, b[:, :, None], out=out)
        return self.activation.value(xp, F, out)

    def slope(self, xp: Namespace, F: Array, out: Array | None = None) -> Array:
        """σ′, of the shape of F = f(y, U); ∂f/∂y is diag(σ′) K."""
        return self.activation.slope(xp, F, out)

    def of_sum(self, xp: Namespace, z: Array, b: Array) -> Array:
        """σ(z + b), for libraries that do not write in place."""
        if self.activation.of_sum is not None:
            return self.activation.of_sum(xp, z, b)
        return self.activation.value(xp, z + b)

    def slope_times(self, xp: Namespace, F: Array, gamma: Array) -> Array:
        """G = σ′∘Γ, for libraries that do not write in place."""
        if self.activation.slope_times is not None:
            return self.activation.slope_times(xp, F, gamma)
        return self.activation.slope(xp, F, None) * gamma
