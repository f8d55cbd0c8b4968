"""What trained networks do with samples: their outputs and their states, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from .arrays import (
    Array,
    Scratch,
    ScratchPool,
    free_memory,
    host,
    namespace,
    quiet,
    to_host,
)
from .blocks import block_size, blocks, each, features, halving, worth_threads
from .controls import Controls, without_idle_layers
from .implicit import Status
from .networks import Network, readout
from .ready import Ready
from .threads import Threads

__all__ = ["UnsolvedStagesError", "outputs", "trajectories"]


class UnsolvedStagesError(ValueError):
    """The stage equations of an implicit scheme could not be solved for some samples.

    Attributes
    ----------
    samples : list of int
        Rows of X, in ascending order.
    layers : list of int
        The first layer, counted from 0, at which each of them failed.
    residuals : list of float
        Largest entry of the residual of the stage equations there.
    """

    def __init__(self, samples: list[int], layers: list[int], residuals: list[float]) -> None:
        self.samples, self.layers, self.residuals = samples, layers, residuals
        shown = ", ".join(
            f"sample {i} at layer {layer} "
            f"({f'residual {residual:.1e}' if math.isfinite(residual) else 'overflow'})"
            for i, layer, residual in list(zip(samples, layers, residuals, strict=True))[:5]
        )
        super().__init__(
            f"The stage equations could not be solved for {len(samples)} samples: {shown}"
            f"{', …' if len(samples) > 5 else ''}. Leave them out if they are far from the data of "
            "the fit; or fit again with stage_guard='bound', a smaller h, or an explicit scheme."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.samples, self.layers, self.residuals)


def outputs(
    network: Network,
    U: Controls,
    X: Array,
    block: int | None = None,
    reduce: Callable[[Array], Array] | None = None,
    threads: Threads | None = None,
) -> Array:
    """The outputs W yᴺ + μ of every member for every row of `X`, or what they are reduced to.

    Parameters
    ----------
    network : Network
    U : Controls
    X : array of shape (samples, n_features)
    block : int, optional
        Samples per block; by default as many as suit the cache.
    reduce : callable, optional
        What to make of the outputs of a block, (members, n_outputs, samples), so that those of all
        members and samples are never there together.  The samples have to stay the last axis.
    threads : Threads, optional
        Compute the blocks; by default one.

    Returns
    -------
    array of shape (members, n_outputs, samples), or as reduced

    Raises
    ------
    UnsolvedStagesError
        If the stage equations of an implicit scheme could not be solved for some sample.
    """
    if network.carry:
        U = without_idle_layers(U)
    with quiet():
        ready = network.ready(U)

    def of_block(x: Array, scratch: Scratch) -> tuple[Array, list[Status]]:
        done = network.propagate(ready, x, scratch)
        z = readout(ready, done.y)
        return (z if reduce is None else reduce(z)), done.statuses

    # A pass forward keeps no more than two layers.
    z, statuses = _each(of_block, ready, X, block, network.n_states(2), threads)
    _refuse_unsolved(statuses)
    return namespace(U.K).concat(z, axis=-1)


def trajectories(network: Network, U: Controls, X: Array, block: int | None = None) -> Array:
    """The states y⁰ … yᴺ of every member for every row of `X`; otherwise as `outputs`.

    Returns
    -------
    array of shape (members, n_layers + 1, n_channels, samples)
    """
    xp = namespace(U.K)
    with quiet():
        ready = network.ready(U)

    def of_block(x: Array, scratch: Scratch) -> tuple[Array, list[Status]]:
        done = network.propagate(ready, x, scratch, keep=True)
        states = xp.permute_dims(done.states, (1, 0, 2, 3))
        return xp.asarray(states, copy=True), done.statuses

    n_states = network.n_states(len(ready.layers)) + len(ready.layers)  # and what is returned
    states, statuses = _each(of_block, ready, X, block, n_states)
    _refuse_unsolved(statuses)
    return xp.concat(states, axis=3)


def _refuse_unsolved(statuses: Iterable[list[Status]]) -> None:
    """Raise where a sample is unsolved; `statuses` are those of the layers, block by block."""
    samples, layers, residuals = [], [], []
    first = 0
    for block in statuses:
        failed = [~to_host(status.converged) for status in block]  # (members, samples) each
        for i in host.nonzero(host.any(failed, axis=(0, 1)))[0] if failed else []:
            layer = next(k for k, mask in enumerate(failed) if mask[:, i].any())
            samples.append(first + int(i))
            layers.append(layer)
            residual = to_host(block[layer].residual)[:, i]
            residuals.append(float(residual[failed[layer][:, i]].max()))
        first += block[0].residual.shape[1] if block else 0
    if samples:
        raise UnsolvedStagesError(samples, layers, residuals)


def _each(
    of_block: Callable[[Array, Scratch], tuple[Array, list[Status]]],
    ready: Ready,
    X: Array,
    block: int | None,
    n_states: int,
    threads: Threads | None = None,
) -> tuple[tuple[Array, ...], tuple[list[Status], ...]]:
    """What `of_block` makes of the features of every block, in their order.

    It has up to `n_states` arrays of the size of a state at the same time.
    """
    like, shape = ready.W_mu, (*ready.shape, len(ready.layers), X.shape[0])
    alone = not worth_threads(shape, like)

    def with_features(rows: slice, scratch: Scratch) -> tuple[Array, list[Status]]:
        return of_block(features(X, rows, scratch), scratch)

    def compute(size: int) -> Any:
        rows = blocks(X.shape[0], size, like)
        pool = ScratchPool(like, rows[0].stop - rows[0].start)
        return tuple(
            zip(*each(with_features, rows, pool, threads or Threads(), alone), strict=True)
        )

    size = block or block_size(*ready.shape, like, free_memory(like), n_states)
    z, statuses = halving(compute, min(size, X.shape[0]), like, forget=lambda: None)
    return z, statuses
