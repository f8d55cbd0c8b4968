"""Networks as discretised flows: lift, layers and readout, forward and backward.

    y⁰ = σ₀(V x + ν),   y¹ … yᴺ by steps of the scheme,   z = W yᴺ + μ

Features x are (n_features, samples), states (members, channels, samples), outputs z
(members, n_outputs, samples).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

from .activations import ACTIVATIONS, Activation
from .arrays import Array, device, namespace
from .controls import Controls
from .fields import FIELDS, VectorField
from .implicit import CAREFUL, Effort, Layer, Status, worse
from .newton import norm_bound
from .partitioned import Scheme
from .schemes import TABLEAUX
from .steps import Dynamics, Stages, step, step_adjoint


class Forward(NamedTuple):
    """The results of a forward pass: outputs, states, and every layer's stages and status."""

    z: Array
    y: list[Array]  # y⁰ … yᴺ; only yᴺ unless recorded
    stages: list[Stages]  # empty unless recorded
    layers: list[Layer]
    statuses: list[Status]  # how the stage equations were solved; empty for explicit schemes


@dataclass(frozen=True)
class Network:
    """Layers y⁺ = α y + h Σi bi f(Yi) of a Runge-Kutta scheme.

    Parameters
    ----------
    tableau : ButcherTableau or PartitionedTableau
        The scheme.
    activation : Activation
        σ.
    skip : float
        α: 1 for an ODE network, 0 for a feed-forward network.
    lift : Activation
        σ₀ of the map from the features to y⁰, if the controls have V and ν; the identity for a
        linear lift.  Without V and ν, the features are padded with zeros.
    field : VectorField
        f, up to σ.
    damping : float
        γ, where the field has one.
    """

    tableau: Scheme
    activation: Activation
    skip: float
    lift: Activation = ACTIVATIONS["identity"]
    field: VectorField = FIELDS["standard"]
    damping: float = 0.0

    @property
    def dynamics(self) -> Dynamics:
        """What the steps depend on except for their controls."""
        return Dynamics(self.tableau, self.skip, self.activation, self.field)

    def forward(
        self, U: Controls, x: Array, record: bool = False, effort: Effort = CAREFUL
    ) -> Forward:
        """Return the outputs of every member; with `record`, also all that `backward` needs."""
        xp, layers = namespace(U.K), self.layers(U)
        y = self.lifted(U, x)
        states, recorded, statuses = [y], [], []
        for layer in layers:
            y, stages = step(self.dynamics, layer, y, effort)
            if stages.solved:
                statuses.append(reduce(worse, (found.status for found in stages.solved.values())))
            if record:
                states.append(y)
                recorded.append(stages)
        z = xp.matmul(U.W, y) + U.mu[..., None]
        return Forward(z, states if record else [y], recorded, layers, statuses)

    def backward(self, U: Controls, x: Array, done: Forward, dz: Array) -> Controls:
        """Return the gradient with respect to the controls, from ∂J/∂z."""
        xp = namespace(dz)
        dW, dmu = xp.matmul(dz, xp.matrix_transpose(done.y[-1])), xp.sum(dz, axis=2)
        p, layers = xp.matmul(xp.matrix_transpose(U.W), dz), []
        for layer, stages in zip(done.layers[::-1], done.stages[::-1], strict=True):
            p, of_layer = step_adjoint(self.dynamics, layer, stages, p)
            layers.append(of_layer)
        dK, db, dh = (xp.stack(parts[::-1], axis=1) for parts in zip(*layers, strict=True))
        dU = Controls(dK, db[..., 0], dh[..., 0, 0], dW, dmu)
        if U.V is None:
            return dU
        G = self.lift.derivative(xp, done.y[0]) * p
        return dU._replace(V=xp.matmul(G, xp.matrix_transpose(x)), nu=xp.sum(G, axis=2))

    def costates(self, U: Controls, done: Forward, dz: Array) -> list[Array]:
        """Return the costates p⁰ … pᴺ = ∂J/∂y⁰ … ∂J/∂yᴺ, from ∂J/∂z."""
        xp = namespace(dz)
        p = [xp.matmul(xp.matrix_transpose(U.W), dz)]
        for layer, stages in zip(done.layers[::-1], done.stages[::-1], strict=True):
            before, _ = step_adjoint(self.dynamics, layer, stages, p[-1])
            p.append(before)
        return p[::-1]

    def features_adjoint(self, U: Controls, y: Array, p: Array, n_features: int) -> Array:
        """Return ∂J/∂x summed over the members, (n_features, samples), from y⁰ and p⁰ = ∂J/∂y⁰."""
        xp = namespace(p)
        if U.V is None:
            return xp.sum(p[:, :n_features, :], axis=0)
        G = self.lift.derivative(xp, y) * p
        return xp.sum(xp.matmul(xp.matrix_transpose(U.V), G), axis=0)

    def lifted(self, U: Controls, x: Array) -> Array:
        """Return the state y⁰ of every member."""
        xp, (members, _, n) = namespace(U.K), U.b.shape
        if U.V is not None:
            return self.lift.value(xp, xp.matmul(U.V, x) + U.nu[..., None])
        below = xp.zeros((n - x.shape[0], x.shape[1]), dtype=x.dtype, device=device(x))
        y = xp.concat([x, below], axis=0)
        return xp.broadcast_to(y[None, ...], (members, *y.shape))

    def layers(self, U: Controls) -> list[Layer]:
        """Return the controls of every layer."""
        K, b, h = U.K, U.b[..., None], U.h[..., None, None]
        layers = [Layer(K[:, k, ...], b[:, k, ...], h[:, k, ...]) for k in range(K.shape[1])]
        if self.tableau.explicit:
            return layers
        norm = norm_bound(namespace(K), K)
        stiffness = namespace(K).abs(U.h) * (norm if self.field.plain else norm**2)
        return [layer._replace(stiffness=stiffness[:, k, None]) for k, layer in enumerate(layers)]


def ode_net(
    tableau: Scheme,
    activation: str = "tanh",
    lift: str = "identity",
    field: str = "standard",
    damping: float = 0.0,
) -> Network:
    """Return the ODE network y′ = f(y), discretised by a Runge-Kutta scheme."""
    sigma, of_lift = ACTIVATIONS[activation], ACTIVATIONS[lift]
    return Network(tableau, sigma, 1.0, of_lift, FIELDS[field], damping)


def feed_forward(activation: str = "tanh", lift: str = "identity") -> Network:
    """Return the feed-forward baseline y⁺ = h σ(K y + b), which does not discretise an ODE."""
    return Network(TABLEAUX["euler"], ACTIVATIONS[activation], 0.0, ACTIVATIONS[lift])
