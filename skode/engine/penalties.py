"""Penalties on the controls: value per member and gradient."""

from __future__ import annotations

from .arrays import Array, namespace
from .controls import Controls

__all__ = ["l2"]


def l2(U: Controls, alpha: Array) -> tuple[Array, Controls]:
    """½ α (‖K‖² + ‖W‖²) and its gradient; `alpha` is (members,), 0 where there is no penalty."""
    xp = namespace(U.K)

    def weight(part: Array) -> Array:
        return xp.reshape(alpha, (-1, *[1] * (part.ndim - 1)))

    gradient = Controls(
        weight(U.K) * U.K,
        xp.zeros_like(U.b),
        xp.zeros_like(U.h),
        weight(U.W) * U.W,
        xp.zeros_like(U.mu),
    )
    value = 0.5 * (
        xp.sum(gradient.K * U.K, axis=(1, 2, 3), dtype=xp.float64)
        + xp.sum(gradient.W * U.W, axis=(1, 2), dtype=xp.float64)
    )
    return value, gradient
