"""Penalties on the controls: value per member and gradient."""

from __future__ import annotations

from .arrays import Array, namespace
from .controls import Controls

__all__ = ["l2", "smoothness"]


def l2(flat: Array, penalised: Array, alpha: Array) -> tuple[Array, Array]:
    """½ α (‖K‖² + ‖W‖² + ‖V‖²) and its gradient, from flat rows of controls.

    `penalised` is True on K, W and V, (controls,), and `alpha` is (members,).
    """
    xp = namespace(flat)
    gradient = alpha[:, None] * xp.where(penalised, flat, xp.zeros_like(flat))
    return 0.5 * _total(xp.where(penalised, gradient * flat, xp.zeros_like(flat))), gradient


def smoothness(U: Controls, beta: float, h: float) -> tuple[Array, tuple[Array, Array]]:
    """½ β Σ ‖Uℓ⁺¹ - Uℓ‖²/h over the layers, with U = (K, b), and its gradient (∂K, ∂b).

    It is ½ β ∫ ‖dU/dt‖² dt of controls that are interpolated in time.  Steps that are learned do
    not enter: h is the nominal one.
    """
    xp = namespace(U.K)
    value, gradient = 0.0, []
    for part in (U.K, U.b):
        rise = part[:, 1:, ...] - part[:, :-1, ...]
        value = value + 0.5 * beta / h * _total(rise * rise)
        end = xp.zeros_like(part[:, :1, ...])
        pull = xp.concat([end, rise], axis=1) - xp.concat([rise, end], axis=1)
        gradient.append(beta / h * pull)
    return value, (gradient[0], gradient[1])


def _total(values: Array) -> Array:
    """The sum over all axes but the first, in float64."""
    xp = namespace(values)
    return xp.sum(values, axis=tuple(range(1, values.ndim)), dtype=xp.float64)
