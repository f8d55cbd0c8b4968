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

    Parameters
    ----------
    batch_size : int
        A batch has at most so many samples; those of an epoch differ in size by one at most.
    learning_rate, decay : float
        η₀ and its decay.
    rng : RandomState or Generator
        Its method ``permutation(n)`` gives the order of the samples.
    """

    batch_size: int
    learning_rate: float
    decay: float
    rng: Any


class Moments(NamedTuple):
    """What Adam remembers of every running member.

    Parameters
    ----------
    mu, nu : arrays of shape (running, controls)
        The running means μ of the gradients and ν of their squares.
    k : host array of int of shape (running,)
        The number of batches that they are made of.
    rate_factor : host array of shape (running,)
        The fraction of the learning rate that the member goes on with.
    """

    mu: Array
    nu: Array
    k: Array
    rate_factor: Array


class Arrival(NamedTuple):
    """Where an epoch has led: what `State.move` asks for, and whether all of it is finite.

    Parameters
    ----------
    u : array of shape (running, controls)
    g, r : arrays of shape (running, controls), or None
    steepness, J : host arrays of shape (running,)
    held_out : host array of shape (running,), or None
    finite : host array of bool of shape (running,)
    """

    u: Array
    g: Array | None
    r: Array | None
    steepness: Array
    J: Array
    held_out: Array | None
    finite: Array


class Adam:
    """Epochs of Adam.

    A member whose objective is no longer finite goes back to its best point, forgets μ and ν, and
    halves its η.

    Parameters
    ----------
    state : State
    schedule : Schedule
    moments : Moments, optional
        To go on with; by default zero.
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
        """Go through one epoch with every running member.

        Returns
        -------
        stuck : host array of bool of shape (running,)
            The members that cannot go on.
        """
        state, evaluate = self.state, self.state.objective.evaluate
        with quiet():
            if self._whole:
                u = self._update(state.u, state.g)
            else:
                u = state.u
                for part in self._batches():
                    u = self._update(u, part.evaluate(u, state.members).gradient)
                state.n_evaluations[state.running] += 1
            arrival = self._arrival(u, evaluate(u, state.members, gradient=self._whole))
            if not host.all(arrival.finite):
                u = chosen(arrival.finite, u, state.best)
                self._forget(~arrival.finite)
                arrival = self._arrival(u, evaluate(u, state.members, gradient=self._whole))
            everyone = host.ones_like(arrival.finite)
            state.move(everyone, *arrival[:-1])
        return self.moments.rate_factor < LEAST_FACTOR

    def _batches(self) -> Iterator[Objective]:
        """Yield the objectives of the batches of an epoch."""
        objective, size = self.state.objective, self.schedule.batch_size
        trained = objective.trained_rows
        m = trained.shape[0]
        order = placed(trained[self.schedule.rng.permutation(m)], self.state.u)
        n_batches = -(-m // size)
        ends = [m * (number + 1) // n_batches for number in range(n_batches)]
        for start, end in pairwise([0, *ends]):
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

    def _arrival(self, u: Array, found: Evaluation) -> Arrival:
        """Bring what is known of the new points to the host."""
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
        return Arrival(u, found.gradient, r, steepness, J, held_out, finite)

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
