"""The networks of the estimators: a discretised ODE, or feed-forward layers."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions

from .engine.constraints import both, bounded_steps, spectral_ball, structured, unconstrained
from .engine.contractivity import contractivity_radius
from .engine.fields import FIELDS
from .engine.networks import feed_forward, ode_net
from .engine.partitioned import PartitionedTableau
from .engine.schemes import as_tableau
from .engine.solvability import solvable_bounds, solvable_stages, solvable_stiffness
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
        self._refuse_a_field_without_its_constraint()
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
                "vector_field='gradient_flow' needs a scheme with positive weights b, but some "
                f"weights of scheme={tableau.name!r} are not positive, so that its steps may drive "
                "states apart. Use, for example, 'euler', 'heun', 'rk4' or 'implicit_midpoint'."
            )

    def _refuse_a_field_without_its_constraint(self):
        damped = self.vector_field == "antisymmetric" and self.damping > 0
        structured = FIELDS[self.vector_field].structure is not None
        if self.constraint is None or not structured:
            return
        if damped or self.constraint != "spectral":
            raise InvalidParameterError(
                f"constraint={self.constraint!r} cannot be combined with "
                f"vector_field={self.vector_field!r}, because its matrices K have a structure of "
                "their own. Use constraint='spectral' with damping=0, or no constraint."
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

    def _guards_stages(self, network):
        """Whether stage equations are kept solvable."""
        return self.stage_guard == "bound" and not network.tableau.explicit

    @property
    def _steps_are_free(self):
        """Whether each step is learned by itself."""
        return self.learn_step not in (False, "simplex")

    def _longest_step(self):
        """The longest step that bounds of the weights have to reckon with."""
        return {"simplex": self.N, True: LONGEST_STEP, False: 1}[self.learn_step] * self.h

    def _of_steps(self, layout, network):
        contracting = network.field.name == "gradient_flow"
        if not self._steps_are_free or not (contracting or self._guards_stages(network)):
            return super()._of_steps(layout, network)
        longest = self._longest_step()
        # Backwards in time, a gradient flow would drive states apart.
        return bounded_steps(layout, 0.0 if contracting else -longest, longest)

    def _of_weights(self, layout, network):
        structure = structured(layout, network.field, self.damping)
        return both(structure, self._of_norms(layout, network))

    def _of_norms(self, layout, network):
        """The bounds of the weights: those of the field and the stages, and `constraint`."""
        most = self._largest_norm(network)
        if self.constraint is None:
            if network.field.plain and self._guards_stages(network):
                longest, either_sign = self._longest_step(), self._steps_are_free
                return solvable_stages(layout, network.tableau, longest, either_sign)
            return unconstrained if most == np.inf else spectral_ball(layout, most)
        if self.constraint == "spectral":  # the smaller ball lies in both sets
            return spectral_ball(layout, min(most, self.constraint_norm))
        # No norm of K is larger than that of orthogonal matrices, or of n rows, of this size.
        size = 1.0 if self.constraint == "orthogonal" else layout.n_channels**0.5
        if size * self.constraint_norm > most:
            why = f"vector_field={self.vector_field!r}"
            if self._guards_stages(network):
                why += f" and stage_guard={self.stage_guard!r}"
            digits = 10.0 ** (1 - np.floor(np.log10(most / size)))
            advised = np.floor(most / size * digits) / digits
            raise ValueError(
                f"constraint={self.constraint!r} with constraint_norm={self.constraint_norm} "
                f"allows matrices K of norm {size * self.constraint_norm:.3g}, but {why} needs "
                f"norms of at most {most:.3g} for this scheme with h={self.h}. Use a "
                f"constraint_norm of at most {advised:.2g}, or a smaller h."
            )
        return super()._of_weights(layout, network)

    def _largest_norm(self, network):
        """The largest ‖K‖₂ for which the flow contracts and stage equations can be solved."""
        tableau, field, longest = network.tableau, network.field, self._longest_step()
        most = np.inf
        if field.name == "gradient_flow":
            most = (BELOW * 2 * contractivity_radius(tableau) / longest) ** 0.5
        if not self._guards_stages(network):
            return most
        if field.plain:
            return min(most, solvable_bounds(tableau, longest, self._steps_are_free).of_norm)
        return min(most, (solvable_stiffness(tableau, field) / longest) ** 0.5)


class FeedForward:
    """Layers y⁺ = h σ(K y + b)."""

    def _spread(self):
        """The spread for which a layer preserves the variance, so that many layers lose nothing."""
        return super()._spread() / self.h

    def _network(self, recipe):
        return feed_forward(recipe["activation"], recipe["lift"])
