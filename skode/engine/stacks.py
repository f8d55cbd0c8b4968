"""A state and its slopes side by side in memory, so that a combination of them is one product.

A Runge-Kutta step is made of sums Σ cj xj over a state x0 = y and slopes x1 = F1, …, and its adjoint
of sums over a costate and what the stages add to it.  As rows of one matrix they take one product
with the row c, one pass over memory, whatever their number.  The state has one more channel, which
is always 1, so that K y + b is one product with the matrix [K b].

Where libraries do not write in place, a stack is a list of arrays, put together when needed.
"""

from __future__ import annotations

from .arrays import Array, Scratch

__all__ = ["Stack", "Stacks"]


class Stack:
    """The arrays x0, …, xs of one layer, (members, channels, samples) each.

    `out[j]` is where a function is to write xj, or None.

    Parameters
    ----------
    scratch : Scratch
    memory : array of shape (members, 1 + s, channels + 1, samples) or None
        Where they are kept, side by side.
    s : int
    """

    def __init__(self, scratch: Scratch, memory: Array | None, s: int) -> None:
        self._scratch = scratch
        self._memory = memory
        self.x: list[Array] = [None] * (1 + s)
        self.out = self.x.copy()
        if memory is None:
            return
        members, _, height, samples = memory.shape
        memory[:, 0, height - 1, :] = 1.0
        self.x = [memory[:, j, :-1, :] for j in range(1 + s)]
        self.out = self.x.copy()
        self._with_one = memory[:, 0, ...]
        rows = scratch.xp.reshape(memory, (members, 1 + s, -1))[..., : (height - 1) * samples]
        self._row = rows[:, :1, :]
        # The rows from the first or the second to just before the j-th.
        self._rows = [[rows[:, i:j, :] for j in range(2 + s)] for i in (0, 1)]

    def put(self, j: int, x: Array) -> None:
        """Let xj be x, which is copied unless it was written to ``out[j]``."""
        if self._memory is None:
            self.x[j] = x
        elif x is not self.out[j]:
            self.out[j][...] = x

    @property
    def with_one(self) -> Array:
        """x0 and below it the channel that is 1, (members, channels + 1, samples)."""
        if self._memory is not None:
            return self._with_one
        return self._scratch.xp.concat([self.x[0], self._scratch.xp.ones_like(self.x[0][:, :1, :])], axis=1)

    def combination(self, c: Array, first: int, target: Stack) -> None:
        """Let x0 of the target be Σ cj xj over j = first, first + 1, …; c is (members or 1, 1, j)."""
        xp, last = self._scratch.xp, first + c.shape[2]
        if self._memory is None:
            target.x[0] = self.combinations(c, first)[:, 0, ...]
        else:
            xp.matmul(c, self._rows[first][last], out=target._row)

    def combinations(self, c: Array, first: int) -> Array:
        """Σ cj xj for every row of c, (members, rows, channels, samples)."""
        xp, last = self._scratch.xp, first + c.shape[2]
        shape = (self.x[0].shape[0], c.shape[1], *self.x[0].shape[1:])
        if self._memory is None:
            rows = xp.reshape(xp.stack(self.x[first:last], axis=1), (shape[0], last - first, -1))
        else:
            rows = self._rows[first][last]
        return xp.reshape(xp.matmul(c, rows), shape)


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
        self._scratch = scratch
        self._memory = scratch((n_layers, members, 1 + s, channels + 1, samples), name)
        self._stacks = [
            Stack(scratch, None if self._memory is None else self._memory[layer, ...], s)
            for layer in range(n_layers)
        ]

    def __getitem__(self, layer: int) -> Stack:
        return self._stacks[layer]

    def states(self, n_layers: int) -> Array:
        """x0 of the first layers, (n_layers, members, channels, samples)."""
        if self._memory is not None:
            return self._memory[:n_layers, :, 0, :-1, :]
        return self._scratch.xp.stack([stack.x[0] for stack in self._stacks[:n_layers]])

    def slopes(self, n_layers: int) -> Array:
        """x1 … xs of the first layers, (n_layers, members, s, channels, samples)."""
        xp = self._scratch.xp
        if self._memory is not None:
            return self._memory[:n_layers, :, 1:, :-1, :]
        return xp.stack([xp.stack(stack.x[1:], axis=1) for stack in self._stacks[:n_layers]])
