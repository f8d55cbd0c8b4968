"""Networks as discretised flows: propagate a block forward, pull the costate back."""

from __future__ import annotations

from dataclasses import dataclass

from .arrays import Array, Scratch, namespace
from .controls import Controls
from .fields import ACTIVATIONS, AffineField
from .stages import Step, explicit_adjoint_step, explicit_step
from .tableaux import TABLEAUX, ButcherTableau

__all__ = ["Network", "feed_forward", "ode_net", "readout"]


@dataclass(frozen=True)
class Network:
    """Layers y⁺ = α y + h Σi bi f(Yi) of a Runge-Kutta scheme.

    Parameters
    ----------
    tableau : ButcherTableau
        An explicit scheme.
    field : AffineField
        The vector field f.
    carry : float
        1 for an ODE network, 0 for a feed-forward network.

    Raises
    ------
    ValueError
        If the tableau is implicit.
    """

    tableau: ButcherTableau
    field: AffineField
    carry: float

    def __post_init__(self) -> None:
        if not self.tableau.explicit:
            raise ValueError(
                f"scheme {self.tableau.name!r} is implicit; an explicit one is needed, with A "
                f"strictly lower triangular. Got A={self.tableau.A}."
            )

    def propagate(
        self, U: Controls, y: Array, scratch: Scratch, steps: list[Step] | None = None
    ) -> Array:
        """The state yᴺ of every member from the state y⁰ of a block.

        Parameters
        ----------
        U : Controls
        y : array of shape (members or 1, n_channels, samples)
        scratch : Scratch
            The result lies in it, until it is used again.
        steps : list, optional
            Filled with what `pull_back` needs, layer by layer.

        Returns
        -------
        array of shape (members, n_channels, samples)
        """
        for layer in range(U.K.shape[1]):
            # Layers that are not kept need two sets of work arrays in turn.
            slot = layer if steps is not None else layer % 2
            K, b, h = U.K[:, layer, ...], U.b[:, layer, ...], U.h[:, layer, None, None]
            y, step = explicit_step(self.tableau, self.field, self.carry, y, K, b, h, scratch, slot)
            if steps is not None:
                steps.append(step)
        return y

    def pull_back(
        self, U: Controls, steps: list[Step], p: Array, scratch: Scratch, with_h: bool
    ) -> tuple[Array, tuple[Array, Array, Array]]:
        """The costate p⁰ = ∂J/∂y⁰ from pᴺ, and the gradient with respect to K, b and h.

        The work array of `p` is overwritten.  The gradient with respect to h is zero unless
        `with_h`, which saves a pass over every stage where the steps are fixed.
        """
        xp = scratch.xp
        gradients = []
        for layer in reversed(range(len(steps))):
            K, h = U.K[:, layer, ...], U.h[:, layer, None, None]
            p, gradient = explicit_adjoint_step(
                self.tableau,
                self.field,
                self.carry,
                steps[layer],
                p,
                K,
                h,
                scratch,
                layer % 2,
                with_h,
            )
            gradients.append(gradient)
        dK, db, dh = zip(*reversed(gradients), strict=True)
        return p, (
            U.h[:, :, None, None] * xp.stack(dK, axis=1),
            U.h[:, :, None] * xp.stack(db, axis=1),
            xp.stack(dh, axis=1) if with_h else xp.zeros_like(U.h),
        )


def ode_net(tableau: ButcherTableau, activation: str = "tanh") -> Network:
    """The ODE network y′ = σ(K y + b), discretised by an explicit scheme."""
    return Network(tableau, AffineField(ACTIVATIONS[activation]), carry=1.0)


def feed_forward(activation: str = "tanh") -> Network:
    """The feed-forward baseline y⁺ = h σ(K y + b), which is no ODE."""
    return Network(TABLEAUX["euler"], AffineField(ACTIVATIONS[activation]), carry=0.0)


def readout(U: Controls, y: Array) -> Array:
    """The outputs z = W y + μ, (members, n_outputs, samples)."""
    return namespace(y).matmul(U.W, y) + U.mu[:, :, None]
