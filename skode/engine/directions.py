"""Descent directions: steepest, and L-BFGS for every member of the batch."""

from __future__ import annotations

from typing import Protocol

from .arrays import Array, device, host, placed, to_host
from .record import Record, inner

__all__ = ["LBFGS", "Direction", "Steepest"]


class Direction(Protocol):
    """What backtracking goes along, for every running member."""

    def __call__(self, record: Record, moved: Array, s: Array | None) -> Array:
        """The directions d, after the members in the mask `moved` have made the steps s."""

    def forget(self, which: Array) -> Array:
        """Go steepest next with the members in the mask `which`; those for which that is news."""

    def keep(self, staying: Array) -> None:
        """Members have left the batch: go on with the rows `staying`."""


class Steepest:
    """Gradient descent: d = -g.  It has no memory."""

    def __init__(self, record: Record) -> None:
        pass

    def __call__(self, record: Record, moved: Array, s: Array | None) -> Array:
        """-g of every running member."""
        return -record.g

    def forget(self, which: Array) -> Array:
        """There is nothing to forget."""
        return host.zeros_like(which)

    def keep(self, staying: Array) -> None:
        """There is nothing to keep."""


class LBFGS:
    """The limited-memory BFGS direction d = -H g in its compact form.

    With the last pairs s = ũ - u, y = g̃ - g as columns of S and Y, R the upper triangle of SᵀY, D
    its diagonal and γ = ⟨s, y⟩/⟨y, y⟩ of the last pair,

        H g = γ g + S R⁻ᵀ ((D + γ YᵀY) R⁻¹ Sᵀg - γ Yᵀg) - γ Y R⁻¹ Sᵀg.

    So a direction takes two products with the memory; everything between them is small, and done on
    the host.  A pair whose curvature ⟨s, y⟩ is not clearly positive is left out.

    Reference: Byrd, Nocedal, Schnabel, "Representations of quasi-Newton matrices and their use in
    limited memory methods" (Mathematical Programming 63, 1994), equation (3.1).

    Under constraints, the residual r = u - project(u - g) takes the place of g.

    Parameters
    ----------
    record : Record
        The members at their start.
    memory : int, default=10
        Number of pairs that are kept.
    """

    def __init__(self, record: Record, memory: int = 10) -> None:
        xp = self._xp = record.xp
        members, size = record.u.shape
        self._memory = memory
        self._r = record.residual()
        # S and Y: the pairs of member k are in the rows count - 1, count - 2, … modulo memory.
        self._pairs = xp.zeros(
            (members, 2 * memory, size), dtype=record.u.dtype, device=device(record.u)
        )
        self._count = host.zeros(members, dtype=int)
        self._valid = host.zeros(members, dtype=int)
        self._SY = host.zeros((members, memory, memory))
        self._YY = host.zeros((members, memory, memory))

    def __call__(self, record: Record, moved: Array, s: Array | None) -> Array:
        """-H r of every running member; at first -r, no longer than 1."""
        r = record.residual()
        if s is not None:
            self._learn(moved, s, r - self._r)
        self._r = r
        xp, p = self._xp, self._memory
        order, empty = self._order()
        products = to_host(xp.matmul(self._pairs, r[..., None])[..., 0])
        Sr, Yr = (
            host.where(empty, 0.0, host.take_along_axis(part, order, axis=1))
            for part in (products[:, :p], products[:, p:])
        )
        a, b, gamma = self._coefficients(Sr, Yr, order, empty)
        gamma = host.where(self._valid, gamma, 1 / host.maximum(1.0, to_host(inner(r, r)) ** 0.5))
        coefficients = host.zeros((len(order), 2 * p))
        host.put_along_axis(coefficients[:, :p], order, a, axis=1)
        host.put_along_axis(coefficients[:, p:], order, b, axis=1)
        coefficients, gamma = (
            placed(part, r, r.dtype) for part in (coefficients[:, None, :], gamma[:, None])
        )
        return -gamma * r - xp.matmul(coefficients, self._pairs)[:, 0, :]

    def _order(self) -> tuple[Array, Array]:
        """The columns of every member from its oldest pair to its newest, and which are empty."""
        age = host.arange(self._memory)[None, :]
        order = (self._count[:, None] + age) % self._memory
        return order, age < self._memory - self._valid[:, None]

    def _coefficients(
        self, Sr: Array, Yr: Array, order: Array, empty: Array
    ) -> tuple[Array, Array, Array]:
        """The coefficients of S, of Y and of r in H r."""
        rows, columns = order[:, :, None], order[:, None, :]
        member = host.arange(len(order))[:, None, None]
        gone = empty[:, :, None] | empty[:, None, :]
        SY, YY = (
            host.where(gone, 0.0, part[member, rows, columns]) for part in (self._SY, self._YY)
        )
        one = host.eye(self._memory)
        R = host.triu(SY) + one * empty[:, :, None]
        newest_sy, newest_yy = SY[:, -1, -1], YY[:, -1, -1]
        gamma = host.where(self._valid, newest_sy / host.where(newest_yy > 0, newest_yy, 1.0), 1.0)
        x = host.linalg.solve(R, Sr[..., None])
        right = (SY * one + gamma[:, None, None] * YY) @ x - gamma[:, None, None] * Yr[..., None]
        a = host.linalg.solve(host.matrix_transpose(R), right)
        return a[..., 0], -gamma[:, None] * x[..., 0], gamma

    def _learn(self, moved: Array, s: Array, y: Array) -> None:
        """Keep the pairs of the members in `moved`, in place of their oldest ones."""
        xp, p = self._xp, self._memory
        new = xp.stack([s, y], axis=2)
        sy, yy = to_host(xp.stack([inner(s, y), inner(y, y)]))
        learning = host.nonzero(moved & (sy > xp.finfo(s.dtype).eps * yy))[0].tolist()
        for k in learning:
            row = int(self._count[k]) % p
            self._pairs[k, row, :] = s[k, :]
            self._pairs[k, p + row, :] = y[k, :]
        products = to_host(xp.matmul(self._pairs, new))  # (members, 2p, 2): with s and with y
        for k in learning:
            row = int(self._count[k]) % p
            self._SY[k, :, row], self._SY[k, row, :] = products[k, :p, 1], products[k, p:, 0]
            self._YY[k, :, row] = self._YY[k, row, :] = products[k, p:, 1]
            self._SY[k, row, row] = sy[k]
            self._count[k] += 1
            self._valid[k] = min(self._valid[k] + 1, p)

    def forget(self, which: Array) -> Array:
        """Forget the pairs of the members in the mask `which`; those that had some."""
        news = which & (self._valid > 0)
        self._valid[news] = 0
        return news

    def keep(self, staying: Array) -> None:
        """Members have left the batch: go on with the rows `staying`."""
        self._pairs, self._r = (
            self._xp.take(part, staying, axis=0) for part in (self._pairs, self._r)
        )
        rows = to_host(staying)
        self._count, self._valid = self._count[rows], self._valid[rows]
        self._SY, self._YY = self._SY[rows], self._YY[rows]
