"""The objective J and its gradient, as a sum over blocks of samples.

    J(U) = Σi wi ℓ(W yᴺi + μ, ci) + ½ α (‖K‖² + ‖W‖²)

for every member of the batch at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from .arrays import Array, Scratch, namespace, quiet
from .blocks import block_size, block_state, blocks
from .controls import Controls, Layer, Layout
from .losses import Loss
from .networks import Network, readout
from .penalties import l2
from .stages import Step

__all__ = ["Objective"]


class Objective:
    """J and its gradient by the costate equation, exact to rounding.

    Where the stage equations of an implicit scheme cannot be solved for every sample that has a
    weight, J is +inf.

    Parameters
    ----------
    network : Network
    layout : Layout
    loss : Loss
    X : array of shape (samples, n_features)
    targets : array of shape (samples, n_outputs)
    weights : array of shape (samples,)
        Factors wi of the samples' losses: 1/samples each for the mean, ones for the sum.
    alpha : array of shape (members,)
        The members' L2 penalties.
    free : collection of str, default=("K", "b", "W", "mu")
        The parts of the controls to train; the gradient of the others is zero.
    block_size : int, optional
        Samples per block; by default as many as suit the cache.
    """

    def __init__(
        self,
        network: Network,
        layout: Layout,
        loss: Loss,
        X: Array,
        targets: Array,
        weights: Array,
        alpha: Array,
        free: Collection[str] = ("K", "b", "W", "mu"),
        block_size: int | None = None,
    ) -> None:
        self.network = network
        self.layout = layout
        self.loss = loss
        self.X = X
        self.targets = targets
        self.weights = weights
        self.alpha = alpha
        self.free = frozenset(free)
        self._mask = layout.mask(free, like=alpha)
        self._block_size = block_size
        self._scratch: dict[tuple[int, int], Scratch] = {}

    def value_and_gradient(self, flat: Array, members: Array | None = None) -> tuple[Array, Array]:
        """J, (members,) in float64, and its gradient, of the shape of `flat`.

        Parameters
        ----------
        flat : array of shape (members, layout.size)
        members : array of int, optional
            Which members the rows are; all of them by default.
        """
        xp = namespace(flat)
        alpha = self.alpha if members is None else xp.take(self.alpha, members, axis=0)
        U = self.layout.views(flat)
        with quiet():
            layers = self.network.layers(U)
            J, dU = l2(U, alpha)
            gradient = self.layout.flatten(dU)
            for rows, scratch in self._blocks(flat):
                J_block, dU = self._block(U, layers, rows, scratch)
                J = J + J_block
                gradient = gradient + self.layout.flatten(dU)
            return J, xp.where(self._mask, gradient, xp.zeros_like(gradient))

    def costates(self, flat: Array) -> Array:
        """The costates p⁰ … pᴺ = ∂J/∂y⁰ … ∂J/∂yᴺ, (members, n_layers + 1, n_channels, samples)."""
        xp = namespace(flat)
        U = self.layout.views(flat)
        blocks = []
        with quiet():
            layers = self.network.layers(U)
            for rows, scratch in self._blocks(flat):
                costates: list[Array] = []
                self._block(U, layers, rows, scratch, costates)
                blocks.append(xp.stack(costates[::-1], axis=1))
        return xp.concat(blocks, axis=3)

    def _blocks(self, flat: Array) -> Iterator[tuple[slice, Scratch]]:
        """The blocks, each with the work arrays of its shape."""
        n_members = flat.shape[0]
        size = self._block_size or block_size(n_members, self.layout.n_channels, flat)
        if any(known != n_members for known, _ in self._scratch):
            self._scratch.clear()  # members have dropped out: their share of the memory goes too
        for rows in blocks(self.X.shape[0], size):
            shape = (n_members, rows.stop - rows.start)
            if shape not in self._scratch:
                self._scratch[shape] = Scratch(flat)
            yield rows, self._scratch[shape]

    def _block(
        self,
        U: Controls,
        layers: list[Layer],
        rows: slice,
        scratch: Scratch,
        costates: list[Array] | None = None,
    ) -> tuple[Array, Controls]:
        """The share of one block in the data loss and in its gradient; pᴺ … p⁰ to `costates`."""
        xp = scratch.xp
        y = block_state(self.X, rows, self.layout.n_channels, U.K, scratch)
        c = xp.astype(xp.permute_dims(self.targets[rows, :], (1, 0)), y.dtype)[None, ...]
        w = xp.astype(self.weights[rows], y.dtype, copy=False)[None, :]

        steps: list[Step] = []
        y, statuses = self.network.propagate(layers, y, scratch, steps)
        z = readout(U, y)
        value, slope = self.loss.value_and_slope(xp, z, c)
        J = xp.sum(w * value, axis=1, dtype=xp.float64)

        dz = w[:, None, :] * slope
        for status in statuses:
            unsolved = xp.any(~status.converged & (w > 0), axis=1)
            J = xp.where(unsolved, xp.inf, J)
            # Its gradient is of no use; costates of zero cost nothing.
            dz = xp.where(unsolved[:, None, None], xp.zeros_like(dz), dz)
        p = xp.matmul(xp.matrix_transpose(U.W), dz, out=scratch(y.shape, "p"))
        dW, dmu = xp.matmul(dz, xp.matrix_transpose(y)), xp.sum(dz, axis=2)
        _, (dK, db, dh) = self.network.pull_back(
            U, steps, p, scratch, with_h="h" in self.free, costates=costates
        )
        return J, Controls(dK, db, dh, dW, dmu)
