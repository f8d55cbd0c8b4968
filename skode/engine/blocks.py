"""Blocks of samples: how many fit the cache, and their channel-major features.

Whatever the engine computes over samples is a sum, or a sequence, over blocks.  That bounds its
memory whatever the number of samples is, and fixes the order of summation by the shapes alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from .arrays import Array, Scratch, ScratchPool, device, namespace, quiet
from .networks import Ready
from .threads import Threads

__all__ = ["block_size", "blocks", "each_block", "features", "worth_threads"]

STATE_BYTES = 240 * 1024  # one state of a block; a layer touches a few of them, and L2 holds those
FEWEST_SAMPLES = 192  # below this the calls themselves cost more than what they compute
# OpenBLAS has faster kernels for products of at most so many multiplications, which pays up to so
# many channels.
SMALL_PRODUCT, FEW_CHANNELS = 10**6, 32
LINE = 64  # bytes of a line of the cache
LEAST_WORK = 8 * 1024**2  # bytes of all states of all layers, below which threads lose


def block_size(n_members: int, n_channels: int, like: Array, n_stages: int = 1) -> int:
    """The number of samples whose states, of all members, fill `STATE_BYTES` in the given dtype.

    Where a layer has more than two stages, it touches more states, and each is to be smaller.  And
    where the product [K b] y can be a small one, it is.
    """
    most = STATE_BYTES * 2 // max(2, n_stages)
    size = most // (n_members * n_channels * _itemsize(like))
    if n_channels <= FEW_CHANNELS:
        size = min(size, SMALL_PRODUCT // (n_channels * (n_channels + 1)))
    return max(FEWEST_SAMPLES, size)


def blocks(n_samples: int, size: int, like: Array) -> list[slice]:
    """Consecutive slices of about `size` samples.

    Two or any other even number of them, as a rule, so that two threads have the same to do.  The
    samples of a channel take an odd number of lines of the cache, so that channels do not compete
    for the same places in it, as with a power of two.
    """
    number = -(-n_samples // size)
    if number > 1:
        in_line = max(1, LINE // _itemsize(like))
        lines = -(-n_samples // (number + number % 2) // in_line)
        most = max(1, size // in_line)
        size = min(size, min(lines | 1, most - 1 | 1) * in_line)
    return [slice(start, min(start + size, n_samples)) for start in range(0, n_samples, size)]


def _itemsize(like: Array) -> int:
    return int(namespace(like).finfo(like.dtype).bits) // 8


def worth_threads(shape: tuple[int, ...], like: Array) -> bool:
    """Whether the states of members, layers, channels and samples are so many that threads gain."""
    return math.prod(shape) * _itemsize(like) >= LEAST_WORK


def each_block(
    of_block: Callable[[slice, Scratch], Any],
    rows: list[slice],
    pool: ScratchPool,
    threads: Threads,
    alone: bool,
) -> Iterator[Any]:
    """What `of_block` gives for every block, in their order, each thread with work arrays."""

    def with_scratch(rows: slice) -> Any:
        # Every thread has to be told to be quiet.
        with quiet(), pool.borrowed(rows.stop - rows.start) as scratch:
            return of_block(rows, scratch)

    return threads.map(with_scratch, rows, alone or len(rows) == 1)


def features(X: Array, rows: slice, ready: Ready, scratch: Scratch) -> Array:
    """The features of the samples `rows` of `X`, channel-major, (1, height, samples).

    Where no map of the network's own lifts them to the channels, they are padded with zeros to as
    many, so that they are the state y⁰; elsewhere there is a row of ones below them.  The block
    alone is brought to the dtype of the controls and to channel-major order, so that `X` may be a
    read-only memory map.
    """
    xp = scratch.xp
    block = xp.astype(xp.permute_dims(X[rows, :], (1, 0)), ready.W_mu.dtype, copy=False)
    n_features, size = block.shape
    below, fill = (ready.shape[1] - n_features, 0.0) if ready.V_nu is None else (1, 1.0)
    x = scratch((1, n_features + below, size), "input")
    if x is None:
        filling = xp.full((below, size), fill, dtype=block.dtype, device=device(X))
        return xp.concat([block, filling], axis=0)[None, ...]
    x[0, :n_features, :] = block
    x[0, n_features:, :] = fill
    return x
