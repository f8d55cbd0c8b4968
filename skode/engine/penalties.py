"""Penalties on the controls: value per member and gradient."""

from __future__ import annotations

from .arrays import Array, namespace
from .controls import Controls

__all__ = ["l2", "smoothness"]


def l2(U: Controls, alpha: Array) -> tuple[Array, Controls]:
    """½ α (‖K‖² + ‖W‖² + ‖V‖²) and its gradient; `alpha` is (members,)."""
    xp = namespace(U.K)
    gradient = Controls(*(part if part is None else xp.zeros_like(part) for part in U))
    value = 0.0
    for name in ("K", "W", "V"):
        if (part := getattr(U, name)) is not None:
            weighted = xp.reshape(alpha, (-1, *[1] * (part.ndim - 1))) * part
            gradient = gradient._replace(**{name: weighted})
            value = value + 0.5 * _total(weighted * part)
    return value, gradient


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
