"""The networks of the estimators: a discretised ODE, or feed-forward layers."""

from __future__ import annotations

from sklearn.utils._param_validation import InvalidParameterError, StrOptions

from .engine.constraints import both, bounded_steps
from .engine.networks import feed_forward, ode_net
from .engine.schemes import as_tableau
from .engine.solvability import solvable_stages
from .engine.tableaux import ButcherTableau

__all__ = ["FeedForward", "ODENet"]

LONGEST_STEP = 2.0  # times h: the longest learned step of an implicit scheme with bounded controls


class ODENet:
    """Residual networks as Runge-Kutta discretisations of an ODE."""

    _parameter_constraints: dict = {
        "scheme": [str, ButcherTableau, tuple, list],
        "stage_guard": [StrOptions({"bound", "reject"})],
    }

    def _validate_params(self):
        super()._validate_params()
        try:
            as_tableau(self.scheme)
        except ValueError as error:
            name = type(self).__name__
            message = f"The 'scheme' parameter of {name} is not valid. {error}"
            raise InvalidParameterError(message) from None

    def _recipe(self):
        scheme = self.scheme
        if not isinstance(scheme, str):
            tableau = as_tableau(scheme)
            scheme = (tableau.A, tableau.b, tableau.c)
        return {"scheme": scheme, **super()._recipe()}

    def _network(self, recipe):
        return ode_net(as_tableau(recipe["scheme"]), recipe["activation"], recipe["lift"])

    @property
    def _exact_stages(self):
        """True if stage equations may have no or several solutions."""
        return self.stage_guard == "reject"

    def _spread(self):
        """The spread for white noise in time, so that many short steps do not weaken the flow."""
        return super()._spread() * (2 * self.h) ** -0.5

    def _more_advice(self, solver):
        advice = super()._more_advice(solver)
        if self.stage_guard == "bound" or self._fitted_network().tableau.explicit:
            return advice
        guard = "or stage_guard='bound', since stage equations may soon have no solution"
        return f"{advice}, {guard}"

    def _constraint(self, layout, network):
        steps = super()._constraint(layout, network)
        if self.stage_guard == "reject" or network.tableau.explicit:
            return steps
        longest = self.h
        if self.learn_step == "simplex":
            longest *= self.N
        elif self.learn_step:
            longest *= LONGEST_STEP
            steps = bounded_steps(layout, longest)
        free = self.learn_step and self.learn_step != "simplex"
        return both(steps, solvable_stages(layout, network.tableau, longest, either_sign=free))


class FeedForward:
    """Layers y⁺ = h σ(K y + b)."""

    def _spread(self):
        """The spread for which a layer preserves the variance, so that many layers lose nothing."""
        return super()._spread() / self.h

    def _network(self, recipe):
        return feed_forward(recipe["activation"], recipe["lift"])
