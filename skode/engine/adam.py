"""Adam on mini-batches, all members on the same samples.

With the gradient g of a batch, entry by entry,

    μ ← β₁ μ + (1 - β₁) g,   ν ← β₂ ν + (1 - β₂) g²,
    u ← project(u - η (μ / (1 - β₁ᵏ)) / (√(ν / (1 - β₂ᵏ)) + ε)),   k = 1, 2, …

with the learning rate η = η₀/(1 + decay · e) in epoch e.

Reference: Kingma, Ba, "Adam: a method for stochastic optimization" (ICLR 2015), algorithm 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .arrays import Array, device, host, quiet, to_host
from .objective import Evaluation
from .record import Record, inner

__all__ = ["Adam", "Schedule"]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
LEAST = 1e-6  # the share of the learning rate below which a member has no acceptable step


class Schedule(NamedTuple):
    """How Adam goes: samples per batch, η₀, its decay, and where the order of the samples is from.

    `rng` has a method ``permutation(n)`` that gives the numbers below n in random order.
    """

    batch_size: int
    learning_rate: float
    decay: float
    rng: Any


class Adam:
    """Epochs of Adam.

    A member whose objective is no longer finite goes back to its best point and halves its η.
    """

    def __init__(
        self, record: Record, schedule: Schedule, state: tuple[Array, Array, int] | None = None
    ) -> None:
        self.record, self.schedule = record, schedule
        zeros = record.xp.zeros_like(record.u)
        self._mu, self._nu, self._k = state or (zeros, zeros, 0)
        self._share = host.ones(record.running.shape)
        self._whole = schedule.batch_size >= record.objective.trained_rows.shape[0]
        if not self._whole:
            record.g = None  # that of all samples is never computed

    @property
    def state(self) -> tuple[Array, Array, int]:
        """μ, ν and the number of batches so far."""
        return self._mu, self._nu, self._k

    def round(self, tol: float) -> Array:
        """One epoch of every running member.

        Returns a mask of the members that cannot go on.
        """
        record = self.record
        with quiet():
            u = self._epoch()
            found, finite = self._evaluate(u)
            if not host.all(finite):
                lost = record.xp.asarray(~finite, device=device(u))[:, None]
                u = record.xp.where(lost, record.best, u)
                self._mu, self._nu = (
                    record.xp.where(lost, record.xp.zeros_like(u), part)
                    for part in (self._mu, self._nu)
                )
                self._share = host.where(finite, self._share, self._share / 2)
                found, _ = self._evaluate(u)
            J, everyone = to_host(found.J), host.ones_like(finite)
            held_out = J if found.held_out is None else to_host(found.held_out)
            record.move(everyone, u, found.gradient, J, held_out, tol)
        return self._share < LEAST

    def _epoch(self) -> Array:
        """Where one pass over the trained samples leads; an incomplete batch is left out."""
        record, size = self.record, self.schedule.batch_size
        u = record.u
        if self._whole:
            return self._step(u, record.g)
        trained = record.objective.trained_rows
        m = trained.shape[0]
        order = record.xp.asarray(trained[self.schedule.rng.permutation(m)], device=device(u))
        members = record.xp.asarray(record.running, device=device(u))
        for start in range(0, m - size + 1, size):
            part = record.objective.sample(order[start : start + size])
            u = self._step(u, part.evaluate(u, members).gradient)
        return u

    def _evaluate(self, u: Array) -> tuple[Evaluation, Array]:
        """The objective at u, and for which members it and what Adam remembers are finite."""
        record = self.record
        found = record.evaluate(u, with_gradient=self._whole)
        record.n_evaluations[record.running] += 1 if self._whole else 2
        finite = host.isfinite(to_host(found.J)) & host.isfinite(to_host(inner(u, u)))
        if found.gradient is not None:
            finite &= host.isfinite(to_host(inner(found.gradient, found.gradient)))
        return found, finite

    def _step(self, u: Array, g: Array) -> Array:
        """One update with the gradient of a batch."""
        record, xp = self.record, self.record.xp
        self._k += 1
        self._mu = BETA_1 * self._mu + (1 - BETA_1) * g
        self._nu = BETA_2 * self._nu + (1 - BETA_2) * g * g
        epoch = record.n_iter[record.running]
        eta = self.schedule.learning_rate * self._share / (1 + self.schedule.decay * epoch)
        rate = xp.asarray(eta / (1 - BETA_1**self._k), dtype=u.dtype, device=device(u))[:, None]
        root = (1 - BETA_2**self._k) ** -0.5
        return record.project(u - rate * self._mu / (root * xp.sqrt(self._nu) + EPSILON))

    def keep(self, staying: Array) -> None:
        """Members have left the batch: go on with the rows `staying`."""
        xp = self.record.xp
        self._mu, self._nu = (xp.take(part, staying, axis=0) for part in (self._mu, self._nu))
        self._share = self._share[to_host(staying)]
