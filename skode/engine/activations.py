"""Activations σ, each with its derivatives as functions of its value.

Because σ′ and σ″ are functions of s = σ(z), the argument z = K y + b need not be stored.  Every
activation has 0 ≤ σ′ ≤ 1.  Arrays have the channels on their second axis: (members, channels, …).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .arrays import Array, Namespace, positive_part

Function = Callable[[Namespace, Array], Array]

# Codes of the functions in the compiled kernels.
IDENTITY, TANH, RELU, SOFTPLUS = range(4)


@dataclass(frozen=True)
class Activation:
    """An activation σ, applied entry by entry.

    Parameters
    ----------
    value : callable (xp, z) -> array
        s = σ(z).
    derivative : callable (xp, s) -> array
        σ′(z), computed from s = σ(z).
    second_derivative : callable (xp, s) -> array
        σ″(z), computed from s = σ(z); 0 at kinks.
    codes : tuple (int, int)
        The codes of the functions on the first half of the channels and on the second, for the
            compiled kernels.  With an odd number of channels, the first half is the larger one.
    """

    value: Function
    derivative: Function
    second_derivative: Function
    codes: tuple[int, int]


def _by_half(first: Function, second: Function) -> Function:
    """Return a function: `first` on the first half of the channels, `second` on the rest."""

    def of_both(xp: Namespace, x: Array) -> Array:
        half = (x.shape[1] + 1) // 2
        return xp.concat([first(xp, x[:, :half, ...]), second(xp, x[:, half:, ...])], axis=1)

    return of_both


_TANH = Activation(
    value=lambda xp, z: xp.tanh(z),
    derivative=lambda xp, s: 1.0 - s * s,
    second_derivative=lambda xp, s: -2.0 * s * (1.0 - s * s),
    codes=(TANH, TANH),
)
# σ′ = 1 where s > 0, else 0; the convention is σ′(0) = 0.
_RELU = Activation(
    value=positive_part,
    derivative=lambda xp, s: xp.sign(s),
    second_derivative=lambda xp, s: xp.zeros_like(s),
    codes=(RELU, RELU),
)

ACTIVATIONS: dict[str, Activation] = {
    "tanh": _TANH,
    "relu": _RELU,
    # σ = log(1 + exp z), hence σ′ = 1/(1 + exp(-z)) = 1 - exp(-s), and σ″ = σ′ (1 - σ′).
    "softplus": Activation(
        value=lambda xp, z: xp.logaddexp(z, xp.zeros_like(z)),
        derivative=lambda xp, s: -xp.expm1(-s),
        second_derivative=lambda xp, s: -xp.expm1(-s) * xp.exp(-s),
        codes=(SOFTPLUS, SOFTPLUS),
    ),
    "identity": Activation(
        value=lambda xp, z: z,
        derivative=lambda xp, s: xp.ones_like(s),
        second_derivative=lambda xp, s: xp.zeros_like(s),
        codes=(IDENTITY, IDENTITY),
    ),
    # tanh on the first half of the channels, relu on the others.
    "mixed": Activation(
        value=_by_half(_TANH.value, _RELU.value),
        derivative=_by_half(_TANH.derivative, _RELU.derivative),
        second_derivative=_by_half(_TANH.second_derivative, _RELU.second_derivative),
        codes=(TANH, RELU),
    ),
}
