"""Line searches: the step along a direction, and the acceptance of trial points.

Both rules of the published experiments are the same rule with different numbers.  For the step t,
the trial point ũ = project(u + t d) is accepted if

    J(ũ) ≤ J + θ ⟨g, ũ - u⟩ + (κ / 2t) ‖ũ - u‖².

*Lipschitz* is θ = 1, κ = 1 with t = 1/L.  *Armijo* is κ = 0; for ũ = u - t g it reads
J(ũ) ≤ J - θ t ‖g‖².  *Interpolation* is for quasi-Newton directions, whose natural step is 1; its
θ is small.  After a rejected trial, t becomes the minimiser of the parabola through J and J(ũ) that
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

    With `least_reduction`, a rejected step is multiplied by the minimiser of the parabola, but by
    no less than this factor and no more than `reduction`.
    """

    decrease: float  # θ, the fraction of the predicted decrease that is required
    curvature: float  # κ, the allowance for a quadratic with curvature 1/t
    first_step: float
    largest_step: float
    growth: float  # the factor of the step after an accepted trial
    reduction: float  # the factor of the step after a rejected trial
    least_reduction: float | None = None

    def accepts(
        self, J: Array, J_trial: Array, directional: Array, distance2: Array, t: Array
    ) -> Array:
        """Return a mask of the accepted trials; NaN is never accepted.

        All arguments are host arrays of shape (members,): the objective at u and at ũ,
        ⟨g, ũ - u⟩, ‖ũ - u‖², and the step.
        """
        return J_trial <= self.bound(J, directional, distance2, t)  # False if NaN or +inf

    def bound(self, J: Array, directional: Array, distance2: Array, t: Array) -> Array:
        """Return the largest acceptable objective at ũ; for the arguments see `accepts`."""
        return J + self.decrease * directional + self.curvature / (2 * t) * distance2

    def next_step(
        self, t: Array, accepted: Array, J: Array, J_trial: Array, directional: Array
    ) -> Array:
        """Return the steps of the next trials; for the arguments see `accepts`."""
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
    growth=math.inf,  # each iteration starts with the natural step
    reduction=0.5,
    least_reduction=0.1,
)
