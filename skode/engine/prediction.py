"""What trained networks do with samples: their outputs and their states, block by block."""

from __future__ import annotations

from collections.abc import Iterator

from .arrays import Array, Scratch, namespace, quiet
from .blocks import block_size, block_state, blocks
from .controls import Controls
from .networks import Network, readout
from .stages import Step

__all__ = ["outputs", "trajectories"]


def outputs(network: Network, U: Controls, X: Array, block: int | None = None) -> Array:
    """The outputs W yᴺ + μ of every member for every row of `X`.

    Parameters
    ----------
    network : Network
    U : Controls
    X : array of shape (samples, n_features)
    block : int, optional
        Samples per block; by default as many as suit the cache.

    Returns
    -------
    array of shape (members, n_outputs, samples)
    """
    with quiet():
        z = [readout(U, network.propagate(U, y, scratch)) for y, scratch in _inputs(U, X, block)]
    return namespace(U.K).concat(z, axis=2)


def trajectories(network: Network, U: Controls, X: Array, block: int | None = None) -> Array:
    """The states y⁰ … yᴺ of every member for every row of `X`; parameters as in `outputs`.

    Returns
    -------
    array of shape (members, n_layers + 1, n_channels, samples)
    """
    xp = namespace(U.K)
    all_states = []
    with quiet():
        for y, scratch in _inputs(U, X, block):
            steps: list[Step] = []
            y = network.propagate(U, y, scratch, steps)
            # The first stage of an explicit scheme lies at the state itself.
            states = [step.Y[0] for step in steps] + [y]
            all_states.append(xp.stack([xp.broadcast_to(s, y.shape) for s in states], axis=1))
    return xp.concat(all_states, axis=3)


def _inputs(U: Controls, X: Array, block: int | None) -> Iterator[tuple[Array, Scratch]]:
    """The states y⁰ of the blocks, and the work arrays that all blocks share."""
    members, _, n_channels, _ = U.K.shape
    scratch = Scratch(U.K)
    for rows in blocks(X.shape[0], block or block_size(members, n_channels, U.K)):
        yield block_state(X, rows, n_channels, U.K, scratch), scratch
