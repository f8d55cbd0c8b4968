"""Penalties on the controls.

    ½ α (‖K‖² + ‖W‖² + ‖V‖²) + ½ β Σℓ ‖Uℓ⁺¹ - Uℓ‖²/h,    U = (K, b)

The second term is ½ β ∫ ‖dU/dt‖² dt for controls that are interpolated in time.  Learned steps do
not enter: h is the nominal step.
"""

from __future__ import annotations

from typing import NamedTuple

from .arrays import Array, namespace
from .controls import Controls, Layout


class Penalties(NamedTuple):
    """The strengths of the penalties: α, β, and the nominal step h.

    α is an array of shape (members,).  β and h are numbers, or arrays like it in float64.
    """

    alpha: Array
    beta: Array | float = 0.0
    h: Array | float = 1.0

    def of(self, members: Array | None) -> Penalties:
        """Return the penalties of some of the members."""
        if members is None:
            return self
        take = namespace(self.alpha).take
        return Penalties(
            *(part if _is_number(part) else take(part, members, axis=0) for part in self)
        )

    def value_and_gradient(
        self, layout: Layout, squared: Array, flat: Array
    ) -> tuple[Array, Array]:
        """Return the penalties, (members,) in float64, and their gradient, (members, controls).

        `squared` is 1 on the parts K, W and V of a flat row and 0 elsewhere.
        """
        gradient = self.alpha[:, None] * (squared * flat)
        value = 0.5 * _total(gradient * flat)
        if not _is_number(self.beta) or self.beta:
            rough, of_controls = self._smoothness(layout.views(flat))
            value, gradient = value + rough, gradient + layout.flatten(of_controls)
        return value, gradient

    def _smoothness(self, U: Controls) -> tuple[Array, Controls]:
        """Return ½ β Σ ‖Uℓ⁺¹ - Uℓ‖²/h over the layers, and its gradient."""
        xp = namespace(U.K)
        value, gradient, strength = 0.0, [], self.beta / self.h
        for part in (U.K, U.b):
            of_part = strength
            if not _is_number(strength):
                shape = (part.shape[0], *(part.ndim - 1) * (1,))
                of_part = xp.reshape(xp.astype(strength, part.dtype, copy=False), shape)
            rise = part[:, 1:, ...] - part[:, :-1, ...]
            value = value + 0.5 * strength * _total(rise * rise)
            end = xp.zeros_like(part[:, :1, ...])
            pull = xp.concat([end, rise], axis=1) - xp.concat([rise, end], axis=1)
            gradient.append(of_part * pull)
        zero = Controls(*(part if part is None else xp.zeros_like(part) for part in U))
        return value, zero._replace(K=gradient[0], b=gradient[1])


def _is_number(value: Array | float) -> bool:
    """Whether a strength is one number for all members."""
    return isinstance(value, int | float)


def _total(values: Array) -> Array:
    """Return the sum over all axes but the first, in float64."""
    xp = namespace(values)
    return xp.sum(values, axis=tuple(range(1, values.ndim)), dtype=xp.float64)
