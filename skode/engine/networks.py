"""Networks as discretised flows: propagate a block forward, pull the costate back."""

from __future__ import annotations

from dataclasses import dataclass

from .arrays import Array, Scratch, namespace, to_host
from .controls import Controls, Layer
from .fields import ACTIVATIONS, AffineField
from .implicit import Status
from .linear import TINY, spectral_norm
from .schemes import TABLEAUX
from .solvability import uniquely_solvable
from .stages import Step, adjoint_step, step
from .tableaux import ButcherTableau

__all__ = ["Network", "feed_forward", "lift", "ode_net", "readout"]


@dataclass(frozen=True)
class Network:
    """Layers y⁺ = α y + h Σi bi f(Yi) of a Runge-Kutta scheme.

    Parameters
    ----------
    tableau : ButcherTableau
        The scheme.
    field : AffineField
        The vector field f.
    carry : float
        1 for an ODE network, 0 for a feed-forward network.
    """

    tableau: ButcherTableau
    field: AffineField
    carry: float

    def propagate(
        self, layers: list[Layer], y: Array, scratch: Scratch, steps: list[Step] | None = None
    ) -> tuple[Array, list[Status]]:
        """The state yᴺ of every member from the state y⁰ of a block.

        Parameters
        ----------
        layers : list of Layer
            What `layers` makes of the controls, once for all blocks.
        y : array of shape (members or 1, n_channels, samples)
        scratch : Scratch
            The result lies in it, until it is used again.
        steps : list, optional
            Filled with what `pull_back` needs, layer by layer.

        Returns
        -------
        y : array of shape (members, n_channels, samples)
        statuses : list of Status
            How the stage equations of each layer were solved; empty for explicit schemes.
        """
        statuses: list[Status] = []
        for number, layer in enumerate(layers):
            # Layers that are not kept need two sets of work arrays in turn.
            slot = number if steps is not None else number % 2
            y, done = step(self.tableau, self.field, self.carry, y, layer, scratch, slot)
            statuses += done.status
            if steps is not None:
                steps.append(done)
        return y, statuses

    def pull_back(
        self,
        U: Controls,
        steps: list[Step],
        p: Array,
        scratch: Scratch,
        with_h: bool,
        with_p: bool = True,
        costates: list[Array] | None = None,
    ) -> tuple[Array | None, tuple[Array, Array, Array]]:
        """The costate p⁰ = ∂J/∂y⁰ from pᴺ, and the gradient with respect to K, b and h.

        p⁰ is None unless `with_p`; where nothing depends on it, that saves a matrix product.

        The work array of `p` is overwritten.  The gradient with respect to h is zero unless
        `with_h`, which saves a pass over every stage where the steps are fixed.  Copies of
        pᴺ … p⁰ are appended to `costates`.
        """
        xp = scratch.xp
        gradients = []
        if costates is not None:
            costates.append(xp.asarray(p, copy=True))
        for number in reversed(range(len(steps))):
            p, gradient = adjoint_step(
                self.tableau,
                self.field,
                self.carry,
                steps[number],
                p,
                scratch,
                number % 2,
                with_h,
                with_p=number > 0 or with_p,
            )
            gradients.append(gradient)
            if costates is not None and p is not None:
                costates.append(xp.asarray(p, copy=True))
        dK, db, dh = zip(*reversed(gradients), strict=True)
        return p, (
            U.h[:, :, None, None] * xp.stack(dK, axis=1),
            U.h[:, :, None] * xp.stack(db, axis=1),
            xp.stack(dh, axis=1) if with_h else xp.zeros_like(U.h),
        )

    def layers(self, U: Controls) -> list[Layer]:
        """The controls layer by layer, with what implicit schemes have to know of them."""
        layers = [
            Layer(U.K[:, number, ...], U.b[:, number, ...], U.h[:, number, None, None])
            for number in range(U.K.shape[1])
        ]
        if self.tableau.explicit:
            return layers
        xp = namespace(U.K)
        stiffness = xp.abs(U.h) * spectral_norm(xp, U.K)
        unique = [False] * len(layers)
        # Tiny matrices are Newton's anyway.
        if U.K.shape[2] * max(len(block.A) for block in self.tableau.blocks) > TINY:
            unique = to_host(xp.all(uniquely_solvable(self.tableau, U.K, U.h), axis=0)).tolist()
        return [
            layer._replace(stiffness=stiffness[:, number, None], unique=unique[number])
            for number, layer in enumerate(layers)
        ]


def ode_net(tableau: ButcherTableau, activation: str = "tanh") -> Network:
    """The ODE network y′ = σ(K y + b), discretised by a Runge-Kutta scheme."""
    return Network(tableau, AffineField(ACTIVATIONS[activation]), carry=1.0)


def feed_forward(activation: str = "tanh") -> Network:
    """The feed-forward baseline y⁺ = h σ(K y + b), which is no ODE."""
    return Network(TABLEAUX["euler"], AffineField(ACTIVATIONS[activation]), carry=0.0)


def lift(U: Controls, x: Array, scratch: Scratch) -> Array:
    """The state y⁰ = V x + ν of the features x, or x itself where there is no such map."""
    if U.V is None:
        return x
    xp = scratch.xp
    y = xp.matmul(U.V, x, out=scratch((*U.nu.shape, x.shape[2]), "lift"))
    return xp.add(y, U.nu[:, :, None], out=y)


def readout(U: Controls, y: Array) -> Array:
    """The outputs z = W y + μ, (members, n_outputs, samples)."""
    return namespace(y).matmul(U.W, y) + U.mu[:, :, None]
