"""The networks of the estimators: a discretised ODE, or feed-forward layers."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions

from .engine.constraints import both, bounded_steps, spectral_ball, structured
from .engine.contractivity import contractivity_radius
from .engine.fields import FIELDS
from .engine.networks import feed_forward, ode_net
from .engine.partitioned import PartitionedTableau
from .engine.schemes import as_tableau
from .engine.solvability import solvable_stages, solvable_stiffness
from .engine.tableaux import ButcherTableau

__all__ = ["FeedForward", "ODENet"]

LONGEST_STEP = 2.0  # times h, for learned steps where a bound of the controls depends on them
BELOW = 1 - 1e-6  # so that rounding takes no layer beyond the bound of a gradient flow


class ODENet:
    """Residual networks as Runge-Kutta discretisations of an ODE."""

    _parameter_constraints: dict = {
        "scheme": [str, ButcherTableau, tuple, list],
        "vector_field": [StrOptions(set(FIELDS))],
        "damping": [Interval(Real, 0, None, closed="left")],
        "stage_guard": [StrOptions({"bound", "reject"})],
    }

    def _validate_params(self):
        super()._validate_params()
        name = type(self).__name__
        try:
            tableau = as_tableau(self.scheme)
        except ValueError as error:
            message = f"The 'scheme' parameter of {name} is not valid. {error}"
            raise InvalidParameterError(message) from None
        self._refuse_a_field_without_its_scheme(name, tableau)
        if self.vector_field == "hamiltonian" and self.n_channels != "auto" and self.n_channels % 2:
            raise InvalidParameterError(
                "vector_field='hamiltonian' needs an even number of channels, one half for the "
                f"positions and one for the momenta; got n_channels={self.n_channels}."
            )

    def _refuse_a_field_without_its_scheme(self, name, tableau):
        partitioned = isinstance(tableau, PartitionedTableau)
        if partitioned and self.vector_field != "hamiltonian":
            raise InvalidParameterError(
                f"scheme={self.scheme!r} of {name} treats the halves of the channels differently, "
                "and is for vector_field='hamiltonian' alone; got "
                f"vector_field={self.vector_field!r}."
            )
        if self.vector_field == "gradient_flow" and contractivity_radius(tableau) == 0:
            raise InvalidParameterError(
                f"vector_field='gradient_flow' needs a scheme with positive weights b, which "
                f"scheme={tableau.name!r} has not: no step of it is non-expansive for certain. "
                "Take 'euler', 'heun', 'rk4' or an implicit scheme, for example."
            )

    def _recipe(self):
        scheme = self.scheme
        if not isinstance(scheme, str):
            tableau = as_tableau(scheme)
            scheme = (tableau.A, tableau.b, tableau.c)
        field = {"vector_field": self.vector_field, "damping": float(self.damping)}
        return {"scheme": scheme, **field, **super()._recipe()}

    def _network(self, recipe):
        return ode_net(
            as_tableau(recipe["scheme"]),
            recipe["activation"],
            recipe["lift"],
            recipe["vector_field"],
            recipe["damping"],
        )

    def _channel_multiple(self):
        return 2 if self.vector_field == "hamiltonian" else 1

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
        """The structure of K, its bound for the longest step, and a bound of learned steps."""
        field, learned = network.field, self.learn_step and self.learn_step != "simplex"
        guarded = self.stage_guard == "bound" and not network.tableau.explicit
        contracting = field.name == "gradient_flow"
        project = both(
            super()._constraint(layout, network), structured(layout, field, self.damping)
        )
        if not guarded and not contracting:
            return project
        longest = self.h * (self.N if self.learn_step == "simplex" else 1)
        if learned:
            longest *= LONGEST_STEP
            # Against the direction of time a gradient flow would drive states apart.
            project = both(
                project, bounded_steps(layout, 0.0 if contracting else -longest, longest)
            )
        if guarded and field.plain:
            stages = solvable_stages(layout, network.tableau, longest, either_sign=learned)
            return both(project, stages)
        most = np.inf
        if contracting:
            most = BELOW * 2 * contractivity_radius(network.tableau)
        if guarded:
            most = min(most, solvable_stiffness(network.tableau, field))
        if most == np.inf:
            return project
        return both(project, spectral_ball(layout, (most / longest) ** 0.5))


class FeedForward:
    """Layers y⁺ = h σ(K y + b)."""

    def _spread(self):
        """The spread for which a layer preserves the variance, so that many layers lose nothing."""
        return super()._spread() / self.h

    def _network(self, recipe):
        return feed_forward(recipe["activation"], recipe["lift"])
