"""Which network an estimator trains: a discretised ODE, or layers without one."""

from __future__ import annotations

from sklearn.utils._param_validation import InvalidParameterError, StrOptions

from .engine.constraints import bounded_steps, spectral_ball
from .engine.networks import feed_forward, ode_net
from .engine.schemes import as_tableau
from .engine.solvability import solvable_bounds, solvable_stages
from .engine.tableaux import ButcherTableau

__all__ = ["FeedForward", "ODENet"]

LONGEST_STEP = 2.0  # times h, for learned steps of implicit schemes whose controls are bounded


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
        """Some of them may lose their solution."""
        return self.stage_guard == "reject"

    def _spread(self):
        """White noise in time, so that the flow does not fade where steps are many and short."""
        return super()._spread() * (2 * self.h) ** -0.5

    def _more_advice(self, solver):
        advice = super()._more_advice(solver)
        if self.stage_guard == "bound" or self._fitted_network().tableau.explicit:
            return advice
        guard = "or stage_guard='bound', as stage equations may be about to lose their solution"
        return f"{advice}, {guard}"

    def _longest_step(self, network):
        """The longest step for which stage equations are kept solvable; None where none are."""
        if self.stage_guard == "reject" or network.tableau.explicit:
            return None
        factor = {"simplex": self.N, True: LONGEST_STEP, False: 1}[self.learn_step]
        return factor * self.h

    def _of_steps(self, layout, network):
        longest = self._longest_step(network)
        if longest is None or self.learn_step in (False, "simplex"):
            return super()._of_steps(layout, network)
        return bounded_steps(layout, longest)

    def _of_weights(self, layout, network):
        longest = self._longest_step(network)
        if longest is None:
            return super()._of_weights(layout, network)
        either_sign = self.learn_step not in (False, "simplex")
        if self.constraint is None:
            return solvable_stages(layout, network.tableau, longest, either_sign)
        most = solvable_bounds(network.tableau, longest, either_sign).of_norm
        if self.constraint == "spectral":  # the smaller ball lies in both sets
            return spectral_ball(layout, min(most, self.constraint_norm))
        # No norm of K is larger than that of orthogonal matrices, or of n rows, of this size.
        size = 1.0 if self.constraint == "orthogonal" else layout.n_channels**0.5
        if size * self.constraint_norm > most:
            raise ValueError(
                f"constraint={self.constraint!r} with constraint_norm={self.constraint_norm} does "
                f"not go with stage_guard='bound' for this scheme with h={self.h}: stage equations "
                "might lose their solution. Take a constraint_norm of at most "
                f"{most / size:.2g}, a smaller h, stage_guard='reject', or an explicit scheme."
            )
        return super()._of_weights(layout, network)


class FeedForward:
    """Layers y⁺ = h σ(K y + b)."""

    def _spread(self):
        """Each layer passes on about as much as it is given, so that nothing fades in many."""
        return super()._spread() / self.h

    def _network(self, recipe):
        return feed_forward(recipe["activation"], recipe["lift"])
