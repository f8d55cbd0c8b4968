"""Blocks of samples: how many fit the cache, and their channel-major features.

Whatever the engine computes over samples is a sum, or a sequence, over blocks.  That bounds its
memory whatever the number of samples is, and fixes the order of summation by the shapes alone.
Host memory has many blocks, each for the cache; a device has few, as large as its free memory
allows, so that there is much to do in every call.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .arrays import (
    Array,
    Scratch,
    ScratchPool,
    namespace,
    on_host,
    out_of_memory_errors,
    quiet,
    release_memory,
)
from .threads import Threads

__all__ = ["block_size", "blocks", "each", "features", "groups", "halving", "worth_threads"]

Result = TypeVar("Result")

STATE_BYTES = 240 * 1024  # one state of a block; a layer touches a few of them, and L2 holds those
FEWEST_SAMPLES = 128  # below this the calls themselves cost more than what they compute
# OpenBLAS has faster kernels for products of at most so many multiplications, which pays up to so
# many channels.
SMALL_PRODUCT, FEW_CHANNELS = 10**6, 32
GROUPS = 32  # at most, of blocks whose shares a thread adds up
LINE = 64  # bytes of a line of the cache
LEAST_WORK = 8 * 1024**2  # bytes of all states of all layers, below which threads lose
SHARE = 0.5  # of the free memory of a device


def block_size(
    n_members: int, n_channels: int, like: Array, room: int | None = None, n_states: int = 1
) -> int:
    """The number of samples in a block.

    In host memory their states, of all members, fill `STATE_BYTES` in the given dtype.  Or they are
    fewer, so that the product [K b] y can be a small one.  On a device with so much `room`, in
    bytes, as many arrays of the size of a state as there are at the same time fill a share of that.
    """
    bytes_of_state = n_members * n_channels * _itemsize(like)
    if room is not None:
        return max(FEWEST_SAMPLES, int(SHARE * room) // (n_states * bytes_of_state))
    size = STATE_BYTES // bytes_of_state
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
    """Whether the states of members, layers, channels and samples are so many that threads gain.

    Devices, and libraries other than NumPy, have threads of their own.
    """
    return on_host(like) and math.prod(shape) * _itemsize(like) >= LEAST_WORK


def groups(rows: list[slice]) -> list[list[slice]]:
    """The blocks in groups of consecutive ones, as few as give many threads enough to do."""
    number = min(len(rows), GROUPS)
    return [rows[k * len(rows) // number : (k + 1) * len(rows) // number] for k in range(number)]


def each(
    compute: Callable[[Any, Scratch], Any],
    items: list[Any],
    pool: ScratchPool,
    threads: Threads,
    alone: bool,
) -> Iterator[Any]:
    """What `compute` gives for every item, in their order, each thread with work arrays."""

    def with_scratch(item: Any) -> Any:
        # Every thread has to be told to be quiet.
        with quiet(), pool.borrowed() as scratch:
            return compute(item, scratch)

    return threads.map(with_scratch, items, alone or len(items) == 1)


def halving(
    compute: Callable[[int], Result], size: int, like: Array, forget: Callable[[], None]
) -> Result:
    """``compute(size)``, with half as many samples in a block as long as memory runs out.

    `forget` lets go of the memory of an attempt.

    Warns
    -----
    RuntimeWarning
        That memory has run out, and with how many samples it goes on.
    """
    while True:
        try:
            return compute(size)
        except out_of_memory_errors():
            if size == 1:
                raise
        # Here the exception is gone, and what it had kept alive.
        forget()
        release_memory(like)
        message = f"Memory ran out with {size} samples in a block; going on with {size // 2}."
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        size //= 2


def features(X: Array, rows: slice, scratch: Scratch) -> Array:
    """The features of the samples `rows` of `X`, channel-major, (n_features, samples).

    They come to the dtype of the work arrays block by block, here or where they are written to
    those, so that `X` may be a read-only memory map.
    """
    x = scratch.xp.permute_dims(X[rows, :], (1, 0))
    return x if scratch.in_place else scratch.xp.astype(x, scratch.dtype, copy=False)
