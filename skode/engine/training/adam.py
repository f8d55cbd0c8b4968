"""Adam on mini-batches, all members on the same samples.

With the gradient g of a batch, entry by entry,

    μ ← β₁ μ + (1 - β₁) g,   ν ← β₂ ν + (1 - β₂) g²,
    u ← project(u - η (μ / (1 - β₁ᵏ)) / (√(ν / (1 - β₂ᵏ)) + ε)),   k = 1, 2, …

with the learning rate η = η₀/(1 + decay · e) in epoch e.

Reference: Kingma, Ba, "Adam: a method for stochastic optimization" (ICLR 2015), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from ..arrays import Array, host, placed, quiet, to_host
from ..objective import Evaluation, Objective
from .state import State, chosen, inner

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
LEAST_FACTOR = 1e-6  # of the learning rate; below, a member has no acceptable step


class Schedule(NamedTuple):
    """The batches and the learning rate of Adam.

    A batch has at most `batch_size` samples; those of an epoch differ in size by one at most.  The
    method ``permutation(n)`` of `rng`, a RandomState or Generator, gives the order of the samples.
    """

    batch_size: int
    learning_rate: float  # η₀
    decay: float
    rng: Any


class Moments(NamedTuple):
    """What Adam remembers of every running member.

    μ and ν, (running, controls), are the running means of the gradients and of their squares.  The
    others are host arrays of shape (running,).
    """

    mu: Array
    nu: Array
    k: Array  # the number of batches that μ and ν are made of
    rate_factor: Array  # the fraction of the learning rate that the member goes on with


class Adam:
    """Epochs of Adam, which go on with `moments`; by default these are zero.

    A member whose objective is no longer finite goes back to its best point, forgets μ and ν, and
    halves its η.
    """

    def __init__(self, state: State, schedule: Schedule, moments: Moments | None = None) -> None:
        self.state, self.schedule = state, schedule
        if moments is None:
            zeros, shape = state.xp.zeros_like(state.u), state.running.shape
            moments = Moments(zeros, zeros, host.zeros(shape, dtype=int), host.ones(shape))
        self.moments = moments
        self._whole = schedule.batch_size >= state.objective.trained_rows.shape[0]
        if not self._whole:  # the gradient on all samples is never computed
            state.g = state.r = None
            state.steepness = host.zeros(state.running.shape)

    def round(self) -> Array:
        """Go through one epoch with every running member; return a host mask of who is stuck."""
        state, evaluate = self.state, self.state.objective.evaluate
        with quiet():
            u = state.u
            if self._whole:
                u = self._update(u, state.g)
            else:
                for part in self._batches():
                    u = self._update(u, part.evaluate(u, state.members).gradient)
                state.n_evaluations[state.running] += 1
            arrival, finite = self._arrival(u, evaluate(u, state.members, gradient=self._whole))
            if not host.all(finite):
                u = chosen(finite, u, state.best)
                self._forget(~finite)
                arrival, _ = self._arrival(u, evaluate(u, state.members, gradient=self._whole))
            state.move(host.ones_like(finite), *arrival)
        return self.moments.rate_factor < LEAST_FACTOR

    def _batches(self) -> Iterator[Objective]:
        """Yield the objectives of the batches of an epoch."""
        objective, size = self.state.objective, self.schedule.batch_size
        trained = objective.trained_rows
        m = trained.shape[0]
        order = placed(trained[self.schedule.rng.permutation(m)], self.state.u)
        n_batches = -(-m // size)
        for start, end in pairwise(m * number // n_batches for number in range(n_batches + 1)):
            yield objective.sample(order[start:end])

    def _update(self, u: Array, g: Array) -> Array:
        """Make one step with the gradient of a batch."""
        state, xp = self.state, self.state.xp
        mu = BETA_1 * self.moments.mu + (1 - BETA_1) * g
        nu = BETA_2 * self.moments.nu + (1 - BETA_2) * g * g
        k, rate_factor = self.moments.k + 1, self.moments.rate_factor
        self.moments = Moments(mu, nu, k, rate_factor)
        epoch = state.n_iter[state.running]
        eta = self.schedule.learning_rate * rate_factor / (1 + self.schedule.decay * epoch)
        factors = host.stack([eta / (1 - BETA_1**k), (1 - BETA_2**k) ** -0.5])
        on_device = placed(factors[..., None], u, u.dtype)
        rate, root = on_device[0, :, :], on_device[1, :, :]
        return state.project(u - rate * mu / (root * xp.sqrt(nu) + EPSILON))

    def _arrival(self, u: Array, found: Evaluation) -> tuple[tuple[Array, ...], Array]:
        """Return what `State.move` asks for of new points, and for whom all of it is finite."""
        state = self.state
        state.n_evaluations[state.running] += 1
        r, facts = None, [found.J, inner(u, u)]
        if found.gradient is not None:
            r = state.projected_gradient(u, found.gradient)
            facts.append(inner(r, r))
        if found.held_out is not None:
            facts.append(found.held_out)
        J, size2, *rest = to_host(state.xp.stack(facts))
        steepness = host.zeros_like(J) if r is None else rest[0]
        finite = host.isfinite(J) & host.isfinite(size2) & host.isfinite(steepness)
        held_out = rest[-1] if state.judged else None
        return (u, found.gradient, r, steepness, J, held_out), finite

    def _forget(self, which: Array) -> None:
        """Begin anew, with half the learning rate, for the members in the host's mask."""
        mu, nu, k, rate_factor = self.moments
        mu, nu = (chosen(which, self.state.xp.zeros_like(part), part) for part in (mu, nu))
        rate_factor = host.where(which, rate_factor / 2, rate_factor)
        self.moments = Moments(mu, nu, host.where(which, 0, k), rate_factor)

    def select(self, rows: Array) -> None:
        """Go on with these rows, an array on the host: the other members have ended."""
        mu, nu, k, rate_factor = self.moments
        mu, nu = (self.state.xp.take(part, placed(rows, part), axis=0) for part in (mu, nu))
        self.moments = Moments(mu, nu, k[rows], rate_factor[rows])
