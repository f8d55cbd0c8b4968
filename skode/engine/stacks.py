"""A state and its slopes side by side in memory, so that a combination of them is one product.

A Runge-Kutta step is made of sums Σ cj xj over a state x0 = y and slopes x1 = F1, …, and its
adjoint of sums over a costate and what the stages add to it.  As rows of one matrix they take one
product with the row c, one pass over memory, whatever their number.  The state has one more
channel, which is always 1, so that K y + b is one product with the matrix [K b].

In memory the members are the last axis but one: then each of these arrays is one run, and what is
done to every entry is done in one go, whatever the number of members.

Where libraries do not write in place, a stack is a list of arrays, put together when needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial, reduce
from operator import add

from .arrays import Array, Namespace, Scratch, fusible
from .places import Call, Place, call

__all__ = ["Columns", "Stack", "Stacks", "nonzero_columns"]

Columns = tuple[int, int, int]  # first, end and step, as of a slice


class Stack:
    """The arrays x0, …, xs of one layer, (members, channels, samples) each.

    `x` has the places of them, `with_one` that of x0 and below it the channel that is 1, and
    `operand` the one of both that K is multiplied with: that with 1 where it is there anyway.

    Parameters
    ----------
    scratch : Scratch
    memory : array of shape (1 + s, channels + 1, members, samples) or None
        Where they are kept.  Each of them is one run of memory, whatever the number of members.
    s : int
    shape : tuple (members, channels, samples)
    """

    def __init__(
        self, scratch: Scratch, memory: Array | None, s: int, shape: tuple[int, int, int]
    ) -> None:
        self._scratch, self._xp = scratch, scratch.xp
        self._memory, self._shape = memory, shape
        if memory is None:
            self.x = [Place() for _ in range(1 + s)]
            self.with_one: Place = _WithOne(self._xp, self.x[0])
            self.operand = self.x[0]
        else:
            members_first = self._xp.permute_dims(memory, (0, 2, 1, 3))
            self.x = [Place(members_first[j, :, :-1, :]) for j in range(1 + s)]
            self.with_one = self.operand = Place(members_first[0, ...])

    def put_padded(self, x: Array) -> None:
        """Let x0 be x, (channels, samples), and zeros below it, for every member."""
        n, y = x.shape[0], self.x[0]
        if y.fixed:
            y.array[:, :n, :] = x
            y.array[:, n:, :] = 0.0
            return
        _, channels, samples = self._shape
        if n < channels:
            below = self._scratch.full((channels - n, samples), 0.0)
            x = self._xp.concat([x, below], axis=0)
        y.put(self._xp.broadcast_to(x, self._shape))

    def combining(self, c: Place, columns: Columns, target: Stack) -> Call:
        """A call that lets x0 of the target be Σ cj xj over the columns.

        c is (members, 1, number), or (1, 1, number) for one row for all members.
        """
        matmul = self._xp.matmul
        if self._memory is None:
            end, x = target.x[0], self.x[slice(*columns)]
            return lambda: end.put(
                _weighted(
                    self._xp,
                    *(c.array[:, :, j : j + 1] for j in range(len(x))),
                    *(place.array for place in x),
                )
            )
        if len(range(*columns)) == 1:  # BLAS is slow where it has nothing to add up
            return call(self._xp.multiply, c, self.x[columns[0]], to=target.x[0])
        if c.array.shape[0] == 1:
            return partial(
                matmul, c.array, self._runs[:, slice(*columns), :], target._runs[:, :1, :]
            )
        rows, row = self._rows(columns), target._rows((0, 1, 1))
        return partial(matmul, c.array[:, None, ...], rows, row)

    def combinations(self, c: Array, columns: Columns) -> Array:
        """Σ cj xj for every row of c, (members, channels, rows, samples)."""
        return self._xp.matmul(c[:, None, ...], self._rows(columns))

    @property
    def _runs(self) -> Array:
        """x0, …, xs as they lie in memory, (1, 1 + s, channels · members · samples)."""
        runs = self._xp.reshape(self._memory, (1, len(self.x), -1))
        return runs[:, :, : math.prod(self._shape)]

    def _rows(self, columns: Columns) -> Array:
        """The columns as rows of each channel, (members, channels, number, samples)."""
        if self._memory is None:
            return self._xp.stack([place.array for place in self.x[slice(*columns)]], axis=2)
        return self._xp.permute_dims(self._memory[slice(*columns), :-1, ...], (2, 1, 0, 3))


@fusible
def _weighted(xp: Namespace, *parts: Array) -> Array:
    """Σ cj xj of c1, …, ck, x1, …, xk."""
    k = len(parts) // 2
    return reduce(add, (c * x for c, x in zip(parts[:k], parts[k:], strict=True)))


class _WithOne(Place):
    """A state and below it the channel that is 1, put together when it is asked for."""

    def __init__(self, xp: Namespace, state: Place) -> None:
        self._xp, self._state = xp, state
        self.fixed = False

    @property
    def array(self) -> Array:
        x = self._state.array
        return self._xp.concat([x, self._xp.ones_like(x[:, :1, :])], axis=1)


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
        self._memory = scratch((n_layers, 1 + s, channels + 1, members, samples), name)
        self.layers = [
            Stack(scratch, None if self._memory is None else self._memory[layer, ...], s, shape)
            for layer in range(n_layers)
        ]

    def put_ones(self) -> None:
        """The channel below the state is 1."""
        if self._memory is not None:
            self._memory[:, 0, -1, ...] = 1.0

    def states(self, n_layers: int) -> Array:
        """x0 of the first layers, (n_layers, members, channels, samples)."""
        return self._of_layers(0, n_layers)

    def parts(self, j: int, n_layers: int) -> list[Array]:
        """xj of the first layers as they are in memory: one array, or one for each layer.

        Of shape (n_layers or 1, members, channels, samples).
        """
        if self._memory is not None:
            return [self._of_layers(j, n_layers)]
        return [stack.x[j].array[None, ...] for stack in self.layers[:n_layers]]

    def _of_layers(self, j: int, n_layers: int) -> Array:
        if self._memory is None:
            return self._xp.stack([stack.x[j].array for stack in self.layers[:n_layers]])
        return self._xp.permute_dims(self._memory[:n_layers, j, :-1, ...], (0, 2, 1, 3))

    def slopes(self, n_layers: int) -> Array:
        """Their x1 … xs, (n_layers, s, channels, members, samples)."""
        if self._memory is not None:
            return self._memory[:n_layers, 1:, :-1, ...]
        each = [self._of_layers(j, n_layers) for j in range(1, 1 + self.shape[0])]
        return self._xp.permute_dims(self._xp.stack(each), (1, 0, 3, 2, 4))

    def put_slopes(self, slopes: Array, out: Array | None) -> None:
        """Let x1 … xs of the first layers be these, which are copied unless written to `out`."""
        if self._memory is not None:
            if slopes is not out:
                out[...] = slopes  # type: ignore[index]
            return
        for layer in range(slopes.shape[0]):
            for j in range(slopes.shape[1]):
                x = self._xp.permute_dims(slopes[layer, j, ...], (1, 0, 2))
                self.layers[layer].x[1 + j].put(x)
