"""The tolerance of the stage equations of implicit schemes during training.

The residuals R of the stage equations change J by Σ ⟨V, R⟩ to first order, where V are the costates
of the stages.  With residuals up to a tolerance τ, J is therefore off by no more than c τ, and the
kernel computes c along with the gradient.  The tolerance for a trial point ũ is::

    τ = min(LOOSEST, FRACTION · |⟨g, ũ - u⟩| / c),

so that errors are much smaller than the decrease of J that the gradient predicts.  If they could
still change a decision, both points are evaluated again, to rounding.

Reference: Becker, Rannacher, "An optimal control approach to a posteriori error estimation in
finite element methods" (Acta Numerica 10, 2001), on errors of J from costates and residuals.
"""

from __future__ import annotations

from typing import NamedTuple

from ..arrays import Array, host
from ..implicit import ROUNDINGS

LOOSEST = 1e-6  # τ
FRACTION = 1e-3  # of the predicted decrease


class Exactness(NamedTuple):
    """Data on the errors of J at the current points, as host arrays of shape (running,)."""

    sensitivity: Array  # c
    tolerance: Array  # τ
    tightest: float  # the tolerance that means solving to rounding

    @classmethod
    def of(cls, sensitivity: Array | None, eps: float) -> Exactness | None:
        """Return the data for points solved to rounding; None if this is always so."""
        if sensitivity is None:
            return None
        tightest = ROUNDINGS * eps
        return cls(sensitivity, host.full(sensitivity.shape, tightest), tightest)

    @property
    def error(self) -> Array:
        """Return a bound on the error of J."""
        return self.sensitivity * self.tolerance

    def of_trials(self, directional: Array) -> Array:
        """Return the tolerances for trial points, from ⟨g, ũ - u⟩."""
        wanted = FRACTION * host.abs(directional) / self.sensitivity  # NaN or infinite if c = 0
        return host.maximum(host.where(wanted < LOOSEST, wanted, LOOSEST), self.tightest)

    def at(self, sensitivity: Array, tolerance: Array) -> Exactness:
        """Return the data for other points."""
        return self._replace(sensitivity=sensitivity, tolerance=tolerance)

    def moved(self, where: Array, other: Exactness) -> Exactness:
        """Return these data, with those of other points for the members in a mask."""
        pairs = zip(other[:2], self[:2], strict=True)
        return self.at(*(host.where(where, new, old) for new, old in pairs))

    def select(self, rows: Array) -> Exactness:
        """Return the data of some of the members."""
        return self.at(self.sensitivity[rows], self.tolerance[rows])
