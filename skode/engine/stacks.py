"""A state and its slopes side by side in memory, so that a combination of them is one product.

A Runge-Kutta step is made of sums Σ cj xj over a state x0 = y and slopes x1 = F1, …, and its
adjoint of sums over a costate and what the stages add to it.  As rows of one matrix they take one
product with the row c, one pass over memory, whatever their number.  The state has one more
channel, which is always 1, so that K y + b is one product with the matrix [K b].

Where libraries do not write in place, a stack is a list of arrays, put together when needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .arrays import Array, Scratch

__all__ = ["Columns", "Stack", "Stacks", "nonzero_columns"]

Columns = tuple[int, int, int]  # first, end and step, as of a slice


class Stack:
    """The arrays x0, …, xs of one layer, (members, channels, samples) each.

    `x` holds them, `out[j]` is where a function is to write xj, or None, and `with_one` is x0 and
    below it the channel that is 1.

    Parameters
    ----------
    scratch : Scratch
    memory : array of shape (members, 1 + s, channels + 1, samples) or None
        Where they are kept, side by side.
    s : int
    """

    def __init__(self, scratch: Scratch, memory: Array | None, s: int) -> None:
        self._xp = scratch.xp
        self._memory = memory
        self.x: list[Array] = [None] * (1 + s)
        self.out = self.x.copy()
        self.with_one: Array = None
        if memory is None:
            return
        members, _, height, samples = memory.shape
        memory[:, 0, height - 1, :] = 1.0
        self.x = [memory[:, j, :-1, :] for j in range(1 + s)]
        self.out = self.x.copy()
        self.with_one = memory[:, 0, ...]
        rows = self._xp.reshape(memory, (members, 1 + s, -1))[..., : (height - 1) * samples]
        self._rows, self._row = rows, rows[:, :1, :]
        self._chosen: dict[Columns, Array] = {}

    def put(self, j: int, x: Array) -> None:
        """Let xj be x, which is copied unless it was written to ``out[j]``."""
        if x is self.out[j]:
            return
        if self._memory is not None:
            self.out[j][...] = x
            return
        self.x[j] = x
        if j == 0:
            self.with_one = self._xp.concat([x, self._xp.ones_like(x[:, :1, :])], axis=1)

    def combination(self, c: Array, columns: Columns, target: Stack) -> None:
        """Let x0 of the target be Σ cj xj over the columns; c is (members or 1, 1, number)."""
        if self._memory is None:
            target.put(0, self.combinations(c, columns)[:, 0, ...])
        else:
            # BLAS is slow where it has nothing to add up.
            product = self._xp.multiply if c.shape[2] == 1 else self._xp.matmul
            product(c, self._chosen_rows(columns), out=target._row)

    def combinations(self, c: Array, columns: Columns) -> Array:
        """Σ cj xj for every row of c, (members, rows, channels, samples)."""
        xp = self._xp
        if self._memory is None:
            chosen = xp.stack(self.x[slice(*columns)], axis=1)
            rows = xp.reshape(chosen, (*chosen.shape[:2], -1))
        else:
            rows = self._chosen_rows(columns)
        shape = (self.x[0].shape[0], c.shape[1], *self.x[0].shape[1:])
        return xp.reshape(xp.matmul(c, rows), shape)

    def _chosen_rows(self, columns: Columns) -> Array:
        chosen = self._chosen.get(columns)
        if chosen is None:
            chosen = self._chosen[columns] = self._rows[:, slice(*columns), :]
        return chosen


def nonzero_columns(row: Sequence[float]) -> Columns:
    """The columns that a combination takes: at equal distances, and all those that are not zero.

    Where all are zero, the first.
    """
    found = [j for j, c in enumerate(row) if c] or [0]
    step = math.gcd(*(j - found[0] for j in found)) or 1
    return found[0], found[-1] + 1, step


class Stacks:
    """The stacks of some layers, whose arrays of one kind lie in one work array.

    Parameters
    ----------
    scratch : Scratch
    name : str
    n_layers, s : int
    shape : tuple (members, channels, samples)
    """

    def __init__(
        self, scratch: Scratch, name: str, n_layers: int, s: int, shape: tuple[int, int, int]
    ) -> None:
        members, channels, samples = shape
        self.shape = (s, shape)
        self._xp = scratch.xp
        self._memory = scratch((n_layers, members, 1 + s, channels + 1, samples), name)
        self.layers = [
            Stack(scratch, None if self._memory is None else self._memory[layer, ...], s)
            for layer in range(n_layers)
        ]

    def states(self, n_layers: int) -> Array:
        """x0 of the first layers, (n_layers, members, channels, samples)."""
        if self._memory is not None:
            return self._memory[:n_layers, :, 0, :-1, :]
        return self._xp.stack([stack.x[0] for stack in self.layers[:n_layers]])

    def slopes(self, n_layers: int) -> Array:
        """x1 … xs of the first layers, (n_layers, members, s, channels, samples)."""
        if self._memory is not None:
            return self._memory[:n_layers, :, 1:, :-1, :]
        each = [self._xp.stack(stack.x[1:], axis=1) for stack in self.layers[:n_layers]]
        return self._xp.stack(each)

    def slope(self, i: int, n_layers: int) -> Array:
        """The i-th of them, (n_layers, members, channels, samples)."""
        if self._memory is not None:
            return self._memory[:n_layers, :, 1 + i, :-1, :]
        return self._xp.stack([stack.x[1 + i] for stack in self.layers[:n_layers]])

    def put_slopes(self, slopes: Array, out: Array | None) -> None:
        """Let x1 … xs of the first layers be these, which are copied unless written to `out`."""
        if self._memory is not None:
            if slopes is not out:
                out[...] = slopes  # type: ignore[index]
            return
        for layer in range(slopes.shape[0]):
            for j in range(slopes.shape[2]):
                self.layers[layer].put(1 + j, slopes[layer, :, j, ...])
