"""Adam on mini-batches, which are the same for all members.

With the gradient g of a batch, entry by entry,

    μ ← β₁ μ + (1 - β₁) g,   ν ← β₂ ν + (1 - β₂) g²,
    u ← project(u - η (μ / (1 - β₁ᵏ)) / (√(ν / (1 - β₂ᵏ)) + ε)),   k = 1, 2, …

with the learning rate η = η₀/(1 + decay · e) in epoch e.  The point of a member is not u, which
fluctuates with the noise of the batches, but a running mean of u that forgets old values,

    ū ← ū + γ (u - ū),   γ = (1 + c) / (k + c).

On a manifold, g and the step of u are projected onto the tangent space, and μ is transported to the
next u; the step of ū is tangent too, and followed by the projection onto the manifold.

References: Kingma, Ba, "Adam: a method for stochastic optimization" (ICLR 2015), algorithm 1;
Shamir, Zhang, "Stochastic gradient descent for non-smooth optimization: convergence results and
optimal averaging schemes" (ICML 2013), section 4, for the mean; Tripuraneni, Flammarion, Bach,
Jordan, "Averaging stochastic gradient descent on Riemannian manifolds" (COLT 2018), for that on a
manifold.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from ..arrays import Array, host, namespace, placed, quiet, to_host
from ..objective import Evaluation, Objective
from .exactness import LOOSEST
from .state import State, chosen, inner

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
FADING = 9  # c: the mean is over about the last tenth of the u
LEAST_FACTOR = 1e-6  # of the learning rate; below it, a member stops with "no acceptable step"


class Schedule(NamedTuple):
    """The batches and the learning rate of Adam.

    A batch has at most `batch_size` samples; the sizes within an epoch differ by at most one.  The
    method ``permutation(n)`` of `rng`, a RandomState or Generator, determines their order.
    """

    batch_size: int
    learning_rate: float  # η₀
    decay: float
    rng: Any


class Moments(NamedTuple):
    """The state of Adam for every running member.

    μ and ν, (running, controls), are the running means of the gradients and of their squares, and u
    is the point for the next batch.  The others are host arrays of shape (running,).
    """

    mu: Array
    nu: Array
    u: Array
    k: Array  # the number of batches in μ, ν and the mean of the u
    rate_factor: Array  # the current fraction of the learning rate

    @classmethod
    def none(cls, u: Array) -> Moments:
        """Return the moments of members that start at `u`."""
        zeros, members = namespace(u).zeros_like(u), u.shape[0]
        return cls(zeros, zeros, u, host.zeros(members, dtype=int), host.ones(members))


class Adam:
    """Epochs of Adam, which continue from the given `moments`.

    If a batch holds all samples there is no noise, and the point of a member is u.  A member whose
    objective becomes infinite or NaN returns to its best point, resets μ and ν, and halves η.
    """

    def __init__(self, state: State, schedule: Schedule, moments: Moments | None = None) -> None:
        self.state, self.schedule = state, schedule
        # If a call continues from moments, its samples are only a part of a stream.
        n_samples = state.objective.trained_rows.shape[0]
        self._whole = moments is None and schedule.batch_size >= n_samples
        self.moments = Moments.none(state.u) if moments is None else moments
        if not self._whole:  # the gradient on all samples is never computed
            state.g = state.r = None
            state.steepness = host.zeros(state.running.shape)

    def round(self) -> Array:
        """Train every running member for one epoch; return a host mask of those that are stuck."""
        state, evaluate, loosely = self.state, self.state.objective.evaluate, {}
        if state.exactness is not None:  # the noise of the batches is much larger
            loosely["tolerance"] = host.full(state.running.shape, LOOSEST)
        with quiet():
            if self._whole:
                self._update(state.g)
                mean = self.moments.u
            else:
                mean = state.u
                for part in self._batches():
                    u = self.moments.u
                    derivative = part.evaluate(u, state.members, **loosely).gradient
                    self._update(state.constraint.tangent(u, derivative))
                    mean = self._averaged(mean)
                state.n_evaluations[state.running] += 1
            found = evaluate(mean, state.members, self._whole, **loosely)
            arrival, finite = self._arrival(mean, found)
            if not host.all(finite):
                mean = chosen(finite, mean, state.best)
                self._forget(~finite)
                found = evaluate(mean, state.members, self._whole, **loosely)
                arrival, _ = self._arrival(mean, found)
            state.move(host.ones_like(finite), *arrival)
        return self.moments.rate_factor < LEAST_FACTOR

    def _batches(self) -> Iterator[Objective]:
        """Yield the objectives of the batches of an epoch."""
        objective, size = self.state.objective, self.schedule.batch_size
        trained = objective.trained_rows
        m = trained.shape[0]
        if m == 0:
            return
        order = placed(trained[self.schedule.rng.permutation(m)], self.state.u)
        n_batches = -(-m // size)
        for start, end in pairwise(m * number // n_batches for number in range(n_batches + 1)):
            yield objective.sample(order[start:end])

    def _update(self, g: Array) -> None:
        """Take one step with the gradient of a batch."""
        state, xp, u = self.state, self.state.xp, self.moments.u
        mu = BETA_1 * self.moments.mu + (1 - BETA_1) * g
        nu = BETA_2 * self.moments.nu + (1 - BETA_2) * g * g
        k, rate_factor = self.moments.k + 1, self.moments.rate_factor
        epoch = state.n_iter[state.running]
        eta = self.schedule.learning_rate * rate_factor / (1 + self.schedule.decay * epoch)
        factors = host.stack([eta / (1 - BETA_1**k), (1 - BETA_2**k) ** -0.5])
        on_device = placed(factors[..., None], u, u.dtype)
        rate, root = on_device[0, :, :], on_device[1, :, :]
        step = rate * mu / (root * xp.sqrt(nu) + EPSILON)
        u = state.constraint.project(u - state.constraint.tangent(u, step))
        self.moments = Moments(state.constraint.tangent(u, mu), nu, u, k, rate_factor)

    def _averaged(self, mean: Array) -> Array:
        """Update the mean of the u, from the mean before the last step."""
        u, k = self.moments.u, self.moments.k
        gamma = placed(((1 + FADING) / (k + FADING))[:, None], u, u.dtype)
        step, constraint = gamma * (u - mean), self.state.constraint
        if constraint.manifold is None:  # means stay in a convex set
            return mean + step
        return constraint.project(mean + constraint.tangent(mean, step))

    def _arrival(self, u: Array, found: Evaluation) -> tuple[tuple[Array, ...], Array]:
        """Return the arguments of `State.move` for new points, and a mask of the finite ones."""
        state = self.state
        state.n_evaluations[state.running] += 1
        g, r, facts = None, None, [found.J, inner(u, u)]
        if found.gradient is not None:
            g, r = state.gradients(u, found.gradient)
            facts.append(inner(r, r))
        if found.held_out is not None:
            facts.append(found.held_out)
        J, size2, *rest = to_host(state.xp.stack(facts))
        steepness = host.zeros_like(J) if r is None else rest[0]
        finite = host.isfinite(J) & host.isfinite(size2) & host.isfinite(steepness)
        held_out = rest[-1] if state.judged else None
        return (u, g, r, steepness, J, held_out), finite

    def _forget(self, which: Array) -> None:
        """Reset the members in the host mask, with half the learning rate."""
        mu, nu, u, k, rate_factor = self.moments
        mu, nu = (chosen(which, self.state.xp.zeros_like(part), part) for part in (mu, nu))
        u = chosen(which, self.state.best, u)
        rate_factor = host.where(which, rate_factor / 2, rate_factor)
        self.moments = Moments(mu, nu, u, host.where(which, 0, k), rate_factor)

    def select(self, rows: Array) -> None:
        """Keep only these rows, a host array; the other members have ended."""

        def some(part: Array) -> Array:
            return self.state.xp.take(part, placed(rows, part), axis=0)

        mu, nu, u, k, rate_factor = self.moments
        self.moments = Moments(some(mu), some(nu), some(u), k[rows], rate_factor[rows])
