"""The objective J and its gradient, as a sum over blocks of samples.

    J(U) = Σi wi ℓ(W yᴺi + μ, ci) + ½ α (‖K‖² + ‖W‖² + ‖V‖²) + ½ β Σℓ ‖Uℓ⁺¹ - Uℓ‖²/h

for every member of the batch at once, and from the same forward pass the held-out loss, which is
the first sum with other weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any, NamedTuple, TypeVar

from .arrays import (
    Array,
    Namespace,
    Scratch,
    ScratchPool,
    free_memory,
    host,
    namespace,
    placed,
    quiet,
    to_host,
)
from .blocks import block_size, blocks, each, features, groups, halving, worth_threads
from .controls import Controls, Layout
from .implicit import Status
from .losses import Loss
from .networks import Network, Sums, pulled_back, readout
from .penalties import l2, smoothness
from .ready import Ready
from .shares import Shares
from .threads import Threads

__all__ = ["Evaluation", "Objective", "Verdict"]


class Evaluation(NamedTuple):
    """What an evaluation of the objective gives, for every member.

    J (members,) and the held-out loss (members,) are in float64.  The gradient has the shape of the
    controls; it and the held-out loss are None where they are not asked for.
    """

    J: Array
    gradient: Array | None
    held_out: Array | None


Verdict = Callable[[Evaluation], Array]
Result = TypeVar("Result")
WORKPLACES = 3  # numbers of members for which work arrays are kept


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
        Samples per block; by default as many as suit the cache, or the free memory of a device.
        They are halved, with a warning, where memory runs out.
    threads : Threads, optional
        Compute the blocks; by default one.
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
        threads: Threads | None = None,
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
        # Where h alone is fixed, its gradient is zero already.
        self._masked = not self.free >= set(Controls._fields) - {"h"}
        self._penalised = layout.mask(("K", "W", "V"), like=alpha)
        self.threads = Threads() if threads is None else threads
        self._memory = _Memory(block_size)

    @cached_property
    def trained_rows(self) -> Array:
        """The samples that have a weight in the data loss of some member."""
        weights = to_host(self.weights)
        if self.shares is not None:
            some = host.any(to_host(self.shares.train), axis=0)
            weights = weights * some[to_host(self.shares.group)]
        return host.nonzero(weights)[0]

    @cached_property
    def _targets(self) -> Array:
        """The targets, channel-major and in the dtype of the controls, (n_outputs, samples)."""
        xp = namespace(self.alpha)
        c = xp.astype(self.targets, self.alpha.dtype, copy=False)
        return xp.permute_dims(c, (1, 0))

    @cached_property
    def _weights(self) -> Array:
        """The weights in the dtype of the controls, (1, samples)."""
        xp = namespace(self.alpha)
        return xp.astype(self.weights, self.alpha.dtype, copy=False)[None, :]

    @cached_property
    def _room(self) -> int | None:
        """The free memory of the device before the first evaluation; None in host memory."""
        return free_memory(self.alpha)

    @cached_property
    def _everywhere(self) -> bool:
        """Whether every sample has a weight for every member."""
        return self.shares is None and bool(host.all(to_host(self.weights) > 0))

    def sample(self, rows: Array) -> Objective:
        """The objective of some trained rows, an unbiased estimate of the whole data loss."""
        xp = namespace(self.alpha)
        part = copy.copy(self)  # which shares the memory
        for derived in ("trained_rows", "_targets", "_weights"):
            vars(part).pop(derived, None)
        part._everywhere = self.shares is None  # which saves asking a device for every batch
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
        self, flat: Array, members: Array | None = None, gradient: bool | Verdict = True
    ) -> Evaluation:
        """J, its gradient and the held-out loss.

        Parameters
        ----------
        flat : array of shape (members, layout.size)
        members : array of int, optional
            Which members the rows are; all of them by default.
        gradient : bool or callable, default=True
            Whether the gradient is wanted, which costs twice what the values cost.  A callable is
            given the values and says for which members, in a mask on the host.  For the others the
            gradient is then of no use.
        """

        def evaluate(rows: list[slice]) -> Evaluation:
            if callable(gradient) and len(rows) > 1:  # the verdict is on the sums over all blocks
                return self._evaluate_for_some(flat, members, gradient)
            return self._evaluate(flat, members, gradient, rows)

        return self._by_blocks(evaluate, flat)

    def _evaluate(
        self, flat: Array, members: Array | None, gradient: bool | Verdict, rows: list[slice]
    ) -> Evaluation:
        """The same by these blocks."""
        xp = namespace(flat)
        U = self.layout.views(flat)
        shares = self.shares if self.shares is None or members is None else self.shares.of(members)
        with quiet():
            pool, ready = self._workplace(U)
            J, of_penalty = self._penalty(flat, U, members)
            total = _Share(J, None if shares is None else xp.zeros_like(J))

            def wanted(share: _Share) -> bool:
                if not callable(gradient):
                    return gradient
                return bool(host.any(gradient(_sum(total, share).values)))  # one block has all

            def of_group(group: list[slice], scratch: Scratch) -> _Share:
                keep = bool(gradient)
                of_blocks = (
                    self._block(ready, rows, scratch, shares, keep, wanted) for rows in group
                )
                return reduce(_sum, of_blocks)

            total = reduce(_sum, self._each(of_group, groups(rows), pool, ready), total)
            if total.K is None:
                return total.values
            dJ = self.layout.flatten(self._gradient(U, total)) + of_penalty
            if self._masked:
                dJ = xp.where(self._mask, dJ, xp.zeros_like(dJ))
            return total.values._replace(gradient=dJ)

    def _gradient(self, U: Controls, share: _Share) -> Controls:
        """The gradient of the data loss."""
        dK, db, dh = self.network.gradient(U, Sums(share.K, share.b, share.h))
        dU = Controls(dK, db, dh, share.W_mu[..., :-1], share.W_mu[..., -1])
        if share.V_nu is not None:
            dU = dU._replace(V=share.V_nu[..., :-1], nu=share.V_nu[..., -1])
        return dU

    def _evaluate_for_some(
        self, flat: Array, members: Array | None, verdict: Verdict
    ) -> Evaluation:
        """The values for all members, then the gradient for those that the verdict names."""
        xp = namespace(flat)
        found = self.evaluate(flat, members, gradient=False)
        some = verdict(found)
        if not host.any(some):
            return found
        rows = placed(host.nonzero(some)[0], flat)
        members = rows if members is None else xp.take(members, rows)
        part = self.evaluate(xp.take(flat, rows, axis=0), members)
        place = placed(host.maximum(host.cumsum(some) - 1, 0), flat)
        return found._replace(gradient=xp.take(part.gradient, place, axis=0))

    def _penalty(self, flat: Array, U: Controls, members: Array | None) -> tuple[Array, Array]:
        """The penalties and their gradient, a flat row per member."""
        xp, alpha = namespace(flat), self.alpha
        if members is not None:
            alpha = xp.take(alpha, members, axis=0)
        value, gradient = l2(flat, self._penalised, alpha)
        beta, h = self.smooth
        if beta:
            rough, (dK, db) = smoothness(U, beta, h)
            zero = Controls(*(part if part is None else xp.zeros_like(part) for part in U))
            value = value + rough
            gradient = gradient + self.layout.flatten(zero._replace(K=dK, b=db))
        return value, gradient

    def costates(self, flat: Array) -> Array:
        """The costates p⁰ … pᴺ = ∂J/∂y⁰ … ∂J/∂yᴺ, (members, n_layers + 1, n_channels, samples)."""
        xp = namespace(flat)
        U = self.layout.views(flat)

        def costates(rows: list[slice]) -> Array:
            with quiet():
                pool, ready = self._workplace(U)

            def of_block(rows: slice, scratch: Scratch) -> Array:
                p: list[Array] = []
                self._block(ready, rows, scratch, keep=True, costates=p)
                return xp.stack(p[::-1], axis=1)

            return xp.concat(list(self._each(of_block, rows, pool, ready)), axis=3)

        return self._by_blocks(costates, flat)

    def _by_blocks(self, compute: Callable[[list[slice]], Result], flat: Array) -> Result:
        """What `compute` makes of the blocks; of smaller ones, from now on, if memory runs out."""
        rows = self._blocks(flat)

        def attempt(size: int) -> Result:
            if size == rows[0].stop:
                return compute(rows)
            self._memory.block_size = size
            return compute(self._blocks(flat))

        return halving(attempt, rows[0].stop, flat, self._memory.workplaces.clear)

    def _blocks(self, flat: Array) -> list[slice]:
        """The blocks of samples."""
        shape = (flat.shape[0], self.layout.n_channels)
        n_states = self.network.n_states(self.layout.n_layers)
        size = self._memory.block_size or block_size(*shape, flat, self._room, n_states)
        return blocks(self.X.shape[0], size, flat)

    def _workplace(self, U: Controls) -> tuple[ScratchPool, Ready]:
        """Work arrays, and the controls in the forms that all blocks need."""
        members, workplaces = U.K.shape[0], self._memory.workplaces
        found = workplaces.pop(members, None)
        if found is not None and found[1].suits(U):
            pool, ready = found
            ready.put(U)
        else:
            pool = ScratchPool(U.h, widest=self._blocks(U.h)[0].stop)
            ready = self.network.ready(U)
        # The newest last; members drop out, and their share of the memory goes too.
        workplaces[members] = pool, ready
        while len(workplaces) > WORKPLACES:
            del workplaces[next(iter(workplaces))]
        return pool, ready

    def _each(
        self,
        compute: Callable[[Any, Scratch], Any],
        items: list[Any],
        pool: ScratchPool,
        ready: Ready,
    ) -> Iterator[Any]:
        """What `compute` gives for every item, blocks or groups of them, in their order."""
        members, n_channels = ready.shape
        shape = (members, self.layout.n_layers, n_channels, self.X.shape[0])
        alone = not worth_threads(shape, ready.W_mu)
        return each(compute, items, pool, self.threads, alone)

    def _block(
        self,
        ready: Ready,
        rows: slice,
        scratch: Scratch,
        shares: Shares | None = None,
        keep: bool = False,
        wanted: Callable[[_Share], bool] | None = None,
        costates: list[Array] | None = None,
    ) -> _Share:
        """The share of one block in the data loss, its gradient and the held-out loss.

        The gradient only where the pass forward is kept, and it is `wanted`; pᴺ … p⁰ are appended
        to `costates`.
        """
        xp = scratch.xp
        c, w = self._targets[:, rows], self._weights[:, rows]
        w, w_held_out = (w, None) if shares is None else shares.weights(rows, w)

        done = self.network.propagate(ready, features(self.X, rows, scratch), scratch, keep)
        statuses = done.statuses
        value, slope = self.loss.value_and_slope(xp, readout(ready, done.y), c[None, ...])
        weighted = _product if self._everywhere else _product_where_weighted
        share = _Share(_total(xp, w, weighted(xp, w, value), statuses))
        if w_held_out is not None:
            held_out = _total(xp, w_held_out, weighted(xp, w_held_out, value), statuses)
            infinite = xp.full_like(held_out, xp.inf)  # which can be compared
            held_out = xp.where(xp.isnan(held_out), infinite, held_out)
            share = share._replace(held_out=held_out)
        if not keep or (wanted is not None and not wanted(share)):
            return share

        dz = weighted(xp, w[:, None, :], slope)
        if statuses:  # the gradient of what is unsolved is of no use, and zero costs nothing
            dz = xp.where(xp.isinf(share.J)[:, None, None], xp.zeros_like(dz), dz)
        W_mu = xp.matmul(dz, xp.matrix_transpose(done.y.with_one.array))
        p, sums = self.network.pull_back(
            done,
            pulled_back(ready, dz, done.entry),
            scratch,
            with_h="h" in self.free,
            with_p=ready.V_nu is not None or costates is not None,
            costates=costates,
        )
        V_nu = None if done.x is None else xp.matmul(p, xp.matrix_transpose(done.x))
        return _Share(share.J, share.held_out, *sums, W_mu, V_nu)


@dataclass
class _Memory:
    """What an objective and its samples have of the machine's memory.

    Samples per block, where it is not left to the cache or the device; and by the number of members
    the work arrays, and the controls in the forms that all blocks need.
    """

    block_size: int | None
    workplaces: dict[int, tuple[ScratchPool, Ready]] = field(default_factory=dict)


class _Share(NamedTuple):
    """What a block adds to J, to the held-out loss, and to the sums that the gradient is made of.

    `W_mu` and `V_nu` are the gradients with respect to [W μ] and [V ν].
    """

    J: Array
    held_out: Array = None
    K: Array = None
    b: Array = None
    h: Array = None
    W_mu: Array = None
    V_nu: Array = None

    @property
    def values(self) -> Evaluation:
        """The evaluation without the gradient."""
        return Evaluation(self.J, None, self.held_out)


def _sum(one: _Share, other: _Share) -> _Share:
    """The sum of two shares; what one of them has not got is that of the other."""
    return _Share(
        *(x if y is None else y if x is None else x + y for x, y in zip(one, other, strict=True))
    )


def _product(xp: Namespace, w: Array, values: Array) -> Array:
    """w times the values."""
    return w * values


def _product_where_weighted(xp: Namespace, w: Array, values: Array) -> Array:
    """w times the values; 0 where w is, so that samples without weight need not be finite."""
    product = w * values
    return xp.where(w > 0, product, xp.zeros_like(product))


def _total(xp: Namespace, w: Array, weighted: Array, statuses: list[Status]) -> Array:
    """Σ w ℓ per member; +inf where a sample that has a weight is unsolved in some layer."""
    total = xp.sum(weighted, axis=1, dtype=xp.float64)
    for status in statuses:
        unsolved = xp.any(~status.converged & (w > 0), axis=1)
        total = xp.where(unsolved, xp.full_like(total, xp.inf), total)
    return total
