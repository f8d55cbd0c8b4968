"""The objective J and its gradient, as a sum over blocks of samples.

    J(U) = Σi wi ℓ(W yᴺi + μ, ci) + ½ α (‖K‖² + ‖W‖² + ‖V‖²) + ½ β Σℓ ‖Uℓ⁺¹ - Uℓ‖²/h

for every member of the batch at once, and from the same forward pass the held-out loss, which is
the first sum with other weights.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from .arrays import Array, Namespace, Scratch, host, namespace, quiet, to_host
from .blocks import block_size, blocks, features
from .controls import Controls, Layer, Layout
from .implicit import Status
from .losses import Loss
from .networks import Network, readout
from .penalties import l2, smoothness
from .shares import Shares
from .stages import Step

__all__ = ["Evaluation", "Objective"]


class Evaluation(NamedTuple):
    """What an evaluation of the objective gives, for every member.

    J (members,) and the held-out loss (members,) are in float64.  The gradient has the shape of the
    controls; it and the held-out loss are None where they are not asked for.
    """

    J: Array
    gradient: Array | None
    held_out: Array | None


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
    free : collection of str, default=("K", "b", "W", "mu", "V", "nu")
        The parts of the controls to train; the gradient of the others is zero.
    shares : Shares, optional
        Which samples each member is trained on and which it is judged by; by default all, and none.
    smooth : tuple (beta, h), default=(0, 1)
        The penalty on controls that change from layer to layer, and the nominal step.
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
        free: Collection[str] = ("K", "b", "W", "mu", "V", "nu"),
        block_size: int | None = None,
        shares: Shares | None = None,
        smooth: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        self.network = network
        self.layout = layout
        self.loss = loss
        self.X = X
        self.targets = targets
        self.weights = weights
        self.alpha = alpha
        self.free = frozenset(free)
        self.shares = shares
        self.smooth = smooth
        self._mask = layout.mask(free, like=alpha)
        self._block_size = block_size
        self._scratch: dict[tuple[int, int], Scratch] = {}

    @cached_property
    def trained_rows(self) -> Array:
        """The samples that have a weight in the data loss of some member."""
        weights = to_host(self.weights)
        if self.shares is not None:
            some = host.any(to_host(self.shares.train), axis=0)
            weights = weights * some[to_host(self.shares.group)]
        return host.nonzero(weights)[0]

    def sample(self, rows: Array) -> Objective:
        """The objective of some trained rows, an unbiased estimate of the whole data loss."""
        xp = namespace(self.alpha)
        part = copy.copy(self)  # which shares the work arrays
        vars(part).pop("trained_rows", None)
        part.X, part.targets = (xp.take(a, rows, axis=0) for a in (self.X, self.targets))
        part.weights = xp.take(self.weights, rows) * (self.trained_rows.shape[0] / rows.shape[0])
        if self.shares is not None:
            group = xp.take(self.shares.group, rows)
            part.shares = replace(self.shares, group=group)
        return part

    def value_and_gradient(self, flat: Array, members: Array | None = None) -> tuple[Array, Array]:
        """J, (members,) in float64, and its gradient, of the shape of `flat`."""
        evaluation = self.evaluate(flat, members)
        return evaluation.J, evaluation.gradient

    def evaluate(
        self, flat: Array, members: Array | None = None, with_gradient: bool = True
    ) -> Evaluation:
        """J, its gradient and the held-out loss.

        Parameters
        ----------
        flat : array of shape (members, layout.size)
        members : array of int, optional
            Which members the rows are; all of them by default.
        with_gradient : bool, default=True
            Whether the gradient is wanted, which costs twice what the values cost.
        """
        xp = namespace(flat)
        U = self.layout.views(flat)
        shares = self.shares if self.shares is None or members is None else self.shares.of(members)
        with quiet():
            layers = self.network.layers(U)
            J, dU = self._penalty(U, members)
            gradient = self.layout.flatten(dU) if with_gradient else None
            held_out = None if shares is None else xp.zeros_like(J)
            for rows, scratch in self._blocks(flat):
                share = self._block(U, layers, rows, scratch, shares, with_gradient)
                J = J + share.J
                if gradient is not None:
                    gradient = gradient + share.gradient
                if held_out is not None:
                    held_out = held_out + share.held_out
            if gradient is not None:
                gradient = xp.where(self._mask, gradient, xp.zeros_like(gradient))
            return Evaluation(J, gradient, held_out)

    def _penalty(self, U: Controls, members: Array | None) -> tuple[Array, Controls]:
        """The penalties and their gradient."""
        alpha = self.alpha
        if members is not None:
            alpha = namespace(alpha).take(alpha, members, axis=0)
        value, dU = l2(U, alpha)
        beta, h = self.smooth
        if beta:
            rough, (dK, db) = smoothness(U, beta, h)
            value, dU = value + rough, dU._replace(K=dU.K + dK, b=dU.b + db)
        return value, dU

    def costates(self, flat: Array) -> Array:
        """The costates p⁰ … pᴺ = ∂J/∂y⁰ … ∂J/∂yᴺ, (members, n_layers + 1, n_channels, samples)."""
        xp = namespace(flat)
        U = self.layout.views(flat)
        blocks = []
        with quiet():
            layers = self.network.layers(U)
            for rows, scratch in self._blocks(flat):
                costates: list[Array] = []
                self._block(U, layers, rows, scratch, costates=costates)
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
        shares: Shares | None = None,
        with_gradient: bool = True,
        costates: list[Array] | None = None,
    ) -> Evaluation:
        """The share of one block in all that an evaluation gives; pᴺ … p⁰ to `costates`."""
        xp = scratch.xp
        x = features(self.X, rows, self.layout.n_channels, U, scratch)
        c = xp.astype(xp.permute_dims(self.targets[rows, :], (1, 0)), U.K.dtype, copy=False)
        w = xp.astype(self.weights[rows], U.K.dtype, copy=False)[None, :]
        w, w_held_out = (w, None) if shares is None else shares.weights(rows, w)

        steps: list[Step] | None = [] if with_gradient else None
        y, statuses = self.network.propagate(U, layers, x, scratch, steps)
        value, slope = self.loss.value_and_slope(xp, readout(U, y), c[None, ...])
        J = _sum(xp, w, value, statuses)
        held_out = None
        if w_held_out is not None:
            held_out = _sum(xp, w_held_out, value, statuses)
            held_out = xp.where(xp.isnan(held_out), xp.inf, held_out)  # so that it can be compared
        if steps is None:
            return Evaluation(J, None, held_out)

        dz = _weighted(xp, w[:, None, :], slope)
        if statuses:  # the gradient of what is unsolved is of no use; costates of zero cost nothing
            dz = xp.where(xp.isinf(J)[:, None, None], xp.zeros_like(dz), dz)
        dW_mu = xp.matmul(dz, xp.matrix_transpose(y.with_one))
        entry = self.network.entry(U, scratch, x.shape[2])
        p = xp.matmul(xp.matrix_transpose(U.W), dz, out=entry)
        p, (dK, db, dh) = self.network.pull_back(
            U,
            steps,
            p,
            scratch,
            with_h="h" in self.free,
            with_p=U.V is not None or costates is not None,
            costates=costates,
        )
        dU = Controls(dK, db, dh, dW_mu[..., :-1], dW_mu[..., -1])
        if U.V is not None:
            dV_nu = xp.matmul(p, xp.matrix_transpose(x))
            dU = dU._replace(V=dV_nu[..., :-1], nu=dV_nu[..., -1])
        return Evaluation(J, self.layout.flatten(dU), held_out)


def _weighted(xp: Namespace, w: Array, values: Array) -> Array:
    """w times the values; 0 where w is, so that samples without weight need not be finite."""
    product = w * values
    return xp.where(w > 0, product, xp.zeros_like(product))


def _sum(xp: Namespace, w: Array, value: Array, statuses: list[Status]) -> Array:
    """Σ w ℓ per member; +inf where a sample that has a weight is unsolved in some layer."""
    total = xp.sum(_weighted(xp, w, value), axis=1, dtype=xp.float64)
    for status in statuses:
        total = xp.where(xp.any(~status.converged & (w > 0), axis=1), xp.inf, total)
    return total
