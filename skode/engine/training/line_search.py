"""Line searches: how far to go in a direction, and which trial points to accept.

Both rules of the published experiments are one rule with different numbers.  For the step t, the
trial point ũ = project(u + t d) is accepted where

    J(ũ) ≤ J + θ ⟨g, ũ - u⟩ + (κ / 2t) ‖ũ - u‖².

*Lipschitz* is θ = 1, κ = 1 with t = 1/L.  *Armijo* is κ = 0; for ũ = u - t g it reads
J(ũ) ≤ J - θ t ‖g‖².  Along a quasi-Newton direction, whose natural step is 1, *interpolation* asks
for little.  After a rejected trial it goes to the minimum of the parabola through J and J(ũ) that
has the directional derivative ⟨g, ũ - u⟩ at u.

Reference: Nocedal, Wright, "Numerical Optimization" (2006), section 3.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..arrays import Array, host


@dataclass(frozen=True)
class LineSearch:
    """A backtracking rule.

    With `least_reduction`, a rejected step is multiplied by the place of the parabola's minimum,
    but by no less than this factor and no more than `reduction`.
    """

    decrease: float  # θ, the fraction of the linear prediction by which the objective has to fall
    curvature: float  # κ, how much of a quadratic with curvature 1/t is allowed for
    first_step: float
    largest_step: float
    growth: float  # the factor of the step after an accepted trial
    reduction: float  # the factor of the step after a rejected trial
    least_reduction: float | None = None

    def accepts(
        self, J: Array, J_trial: Array, directional: Array, distance2: Array, t: Array
    ) -> Array:
        """Return which trials are good enough; one that is not a number is not.

        All arguments are host arrays of shape (members,): the objective at u and at ũ,
        ⟨g, ũ - u⟩, ‖ũ - u‖², and the step.
        """
        return J_trial <= self.bound(J, directional, distance2, t)  # False where it is NaN or +inf

    def bound(self, J: Array, directional: Array, distance2: Array, t: Array) -> Array:
        """Return what the objective at ũ may be at most; the arguments are those of `accepts`."""
        return J + self.decrease * directional + self.curvature / (2 * t) * distance2

    def next_step(
        self, t: Array, accepted: Array, J: Array, J_trial: Array, directional: Array
    ) -> Array:
        """Return the steps of the next trials; the arguments are those of `accepts`."""
        shorter = host.full_like(t, self.reduction)
        if self.least_reduction is not None:
            minimum = -directional / (2 * (J_trial - J - directional))  # in units of t
            minimum = host.where(host.isfinite(minimum), minimum, self.reduction)
            shorter = host.clip(minimum, self.least_reduction, self.reduction)
        return host.where(accepted, host.minimum(t * self.growth, self.largest_step), t * shorter)


LINE_SEARCHES: dict[str, LineSearch] = {
    # L₀ = 0.1; L ← 0.99 L after an accepted step, 1.5 L after a rejected one.  The bound on the
    # step keeps L from underflowing in a long run.
    "lipschitz": LineSearch(
        decrease=1.0,
        curvature=1.0,
        first_step=10.0,
        largest_step=1e12,
        growth=1 / 0.99,
        reduction=1 / 1.5,
    ),
    # First trial min(10, 2 × last step), then halved.
    "armijo": LineSearch(
        decrease=0.4, curvature=0.0, first_step=1.0, largest_step=10.0, growth=2.0, reduction=0.5
    ),
}

INTERPOLATION = LineSearch(
    decrease=1e-4,
    curvature=0.0,
    first_step=1.0,
    largest_step=1.0,
    growth=math.inf,  # each iteration begins with the natural step
    reduction=0.5,
    least_reduction=0.1,
)
