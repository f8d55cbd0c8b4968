"""Blocks of samples: how many fit the cache, and their channel-major features.

Whatever the engine computes over samples is a sum, or a sequence, over blocks.  That bounds its
memory whatever the number of samples is, and fixes the order of summation by the shapes alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from .arrays import Array, Scratch, device, namespace
from .controls import Controls

__all__ = ["block_size", "blocks", "features"]

STATE_BYTES = 512 * 1024  # one state of a block; a layer touches a few of them, and L2 holds those
FEWEST_SAMPLES = 384  # below this the calls themselves cost more than what they compute


def block_size(n_members: int, n_channels: int, like: Array) -> int:
    """The number of samples whose states, of all members, fill `STATE_BYTES` in the given dtype."""
    itemsize = int(namespace(like).finfo(like.dtype).bits) // 8
    return max(FEWEST_SAMPLES, STATE_BYTES // (n_members * n_channels * itemsize))


def blocks(n_samples: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` samples."""
    for start in range(0, n_samples, size):
        yield slice(start, min(start + size, n_samples))


def features(X: Array, rows: slice, n_channels: int, U: Controls, scratch: Scratch) -> Array:
    """The features of the samples `rows` of `X`, channel-major, (1, height, samples).

    Where no map of the network's own lifts them to the channels, they are padded with zeros to as
    many, so that they are the state y⁰; elsewhere there is a row of ones below them.  The block
    alone is brought to the dtype of the controls and to channel-major order, so that `X` may be a
    read-only memory map.
    """
    xp = scratch.xp
    block = xp.astype(xp.permute_dims(X[rows, :], (1, 0)), U.K.dtype, copy=False)
    n_features, size = block.shape
    below = n_channels - n_features if U.V is None else 1
    fill = 0.0 if U.V is None else 1.0
    x = scratch((1, n_features + below, size), "input")
    if x is None:
        filling = xp.full((below, size), fill, dtype=block.dtype, device=device(X))
        return xp.concat([block, filling], axis=0)[None, ...]
    x[0, :n_features, :] = block
    x[0, n_features:, :] = fill
    return x
