"""Adam on mini-batches, all members on the same samples.

With the gradient g of a batch, entry by entry,

    μ ← β₁ μ + (1 - β₁) g,   ν ← β₂ ν + (1 - β₂) g²,
    u ← project(u - η (μ / (1 - β₁ᵏ)) / (√(ν / (1 - β₂ᵏ)) + ε)),   k = 1, 2, …

with the learning rate η = η₀/(1 + decay · e) in epoch e.

Reference: Kingma, Ba, "Adam: a method for stochastic optimization" (ICLR 2015), algorithm 1.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from .arrays import Array, host, placed, quiet, to_host
from .objective import Evaluation
from .record import Record, inner

__all__ = ["Adam", "Schedule", "State"]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
LEAST = 1e-6  # the share of the learning rate below which a member has no acceptable step


class Schedule(NamedTuple):
    """How Adam goes: samples per batch, η₀, its decay, and where the order of the samples is from.

    A batch has at most `batch_size` samples, and all of an epoch have as many, up to one. `rng` has
    a method ``permutation(n)`` that gives the numbers below n in random order.
    """

    batch_size: int
    learning_rate: float
    decay: float
    rng: Any


class State(NamedTuple):
    """What Adam remembers of every member.

    μ and ν are (members, controls); the host arrays k, the number of batches that they are made of,
    and the share of the learning rate are (members,).
    """

    mu: Array
    nu: Array
    k: Array
    share: Array


class Adam:
    """Epochs of Adam.

    A member whose objective is no longer finite goes back to its best point, forgets μ and ν, and
    halves its η.
    """

    def __init__(self, record: Record, schedule: Schedule, state: State | None = None) -> None:
        self.record, self.schedule = record, schedule
        if state is None:
            zeros, shape = record.xp.zeros_like(record.u), record.running.shape
            state = State(zeros, zeros, host.zeros(shape, dtype=int), host.ones(shape))
        self.state = state
        self._whole = schedule.batch_size >= record.objective.trained_rows.shape[0]
        if not self._whole:
            record.g = None  # that of all samples is never computed

    def round(self, tol: float) -> Array:
        """One epoch of every running member.

        Returns a mask of the members that cannot go on.
        """
        record = self.record
        with quiet():
            u = self._epoch()
            found, finite = self._evaluate(u)
            if not host.all(finite):
                lost = placed(~finite, u)[:, None]
                u = record.xp.where(lost, record.best, u)
                self._forget(~finite)
                found, _ = self._evaluate(u)
            J, everyone = to_host(found.J), host.ones_like(finite)
            held_out = J if found.held_out is None else to_host(found.held_out)
            record.move(everyone, u, found.gradient, J, held_out, tol)
        return self.state.share < LEAST

    def _epoch(self) -> Array:
        """Where one pass over the trained samples leads."""
        record, size = self.record, self.schedule.batch_size
        u = record.u
        if self._whole:
            return self._step(u, record.g)
        trained = record.objective.trained_rows
        m = trained.shape[0]
        order = placed(trained[self.schedule.rng.permutation(m)], u)
        members = placed(record.running, u)
        n_batches = -(-m // size)
        ends = [m * (number + 1) // n_batches for number in range(n_batches)]
        for start, end in pairwise([0, *ends]):
            part = record.objective.sample(order[start:end])
            u = self._step(u, part.evaluate(u, members).gradient)
        record.n_evaluations[record.running] += 1
        return u

    def _evaluate(self, u: Array) -> tuple[Evaluation, Array]:
        """The objective at u, and for which members it and what Adam remembers are finite."""
        record = self.record
        found = record.evaluate(u, gradient=self._whole)
        record.n_evaluations[record.running] += 1
        finite = host.isfinite(to_host(found.J)) & host.isfinite(to_host(inner(u, u)))
        if found.gradient is not None:
            finite &= host.isfinite(to_host(inner(found.gradient, found.gradient)))
        return found, finite

    def _step(self, u: Array, g: Array) -> Array:
        """One update with the gradient of a batch."""
        record, xp = self.record, self.record.xp
        mu = BETA_1 * self.state.mu + (1 - BETA_1) * g
        nu = BETA_2 * self.state.nu + (1 - BETA_2) * g * g
        k, share = self.state.k + 1, self.state.share
        self.state = State(mu, nu, k, share)
        epoch = record.n_iter[record.running]
        eta = self.schedule.learning_rate * share / (1 + self.schedule.decay * epoch)
        rate, root = (
            placed(factor, u, u.dtype)[:, None]
            for factor in (eta / (1 - BETA_1**k), (1 - BETA_2**k) ** -0.5)
        )
        return record.project(u - rate * mu / (root * xp.sqrt(nu) + EPSILON))

    def _forget(self, which: Array) -> None:
        """Begin anew, with half the learning rate, for the members in the mask `which`."""
        xp, (mu, nu, k, share) = self.record.xp, self.state
        mask = placed(which, mu)[:, None]
        mu, nu = (xp.where(mask, xp.zeros_like(part), part) for part in (mu, nu))
        self.state = State(mu, nu, host.where(which, 0, k), host.where(which, share / 2, share))

    def keep(self, staying: Array) -> None:
        """Members have left the batch: go on with the rows `staying`."""
        xp, (mu, nu, k, share) = self.record.xp, self.state
        mu, nu = (xp.take(part, staying, axis=0) for part in (mu, nu))
        rows = to_host(staying)
        self.state = State(mu, nu, k[rows], share[rows])
