"""Descent with backtracking, in which members do not wait for each other.

Every round evaluates one trial point per running member, all in one batch.  A member moves to its
trial if that is accepted, and otherwise takes a shorter step in the next round.

A round waits for the device at most twice: for the numbers that decide about the trials, and for
those from which the next directions are computed.

If other processes hold the samples, a round costs more than an evaluation.  Then gradients are
computed with every trial.  If the first step is often rejected, and the rule knows the second one
in advance, both are tried in the same round.  Members arrive at the same points, to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple

from ..arrays import Array, host, placed, quiet, spread, to_host
from ..objective import Evaluation
from .exactness import Exactness
from .line_search import LineSearch
from .state import State, chosen, chosen_rows, inner

# J with its gradient takes three times as long as J alone, and a separate gradient repeats the
# forward pass.  So both are computed together if more than this fraction of the trials is
# accepted.
MOSTLY = 0.7
LEARNING = 0.2  # the weight of the last round in that fraction


class Steepest:
    """Gradient descent, d = -g; also the interface of directions with a memory.

    A direction gives the line along which backtracking searches, for every running member.
    """

    def measure(self, accepted: Array, s: Array, r: Array, r_new: Array) -> Array | None:
        """Compute the inputs of `solve` on the device, (running, any number) in float64; here none.

        `accepted` is a host mask of the members whose trial ũ was accepted.  Their rows of s are
        the steps ũ - u; the other rows are meaningless.  r and `r_new`, (running, controls), are
        the projected gradients of all running members before and after those steps.  On a manifold,
        all are tangent vectors at ũ.
        """
        return None

    def transport(self, accepted: Array, u: Array) -> None:
        """Carry what is remembered along the manifold, to the points u of members that move.

        `accepted` is a host mask that has them; u are the points of all running members.
        """

    def solve(self, state: State, accepted: Array, products: Array | None) -> Array:
        """Return the directions d at the current points.

        `accepted` is a host mask of the members that have moved.  `products`, on the host, is the
        result of `measure`, or None if no member has moved or the result was None.
        """
        return -state.g

    def forget(self, which: Array) -> Array:
        """Reset the host mask's members to steepest descent; return a mask of those it changes."""
        return host.zeros_like(which)

    def select(self, rows: Array) -> None:
        """Keep only these rows, a host array; the other members have ended."""


class Trial(NamedTuple):
    """Trial points ũ = project(u + t d) of the running members, and data that decide about them.

    On a manifold, t d takes the place of ũ - u: the derivative of J along it is ⟨g, t d⟩.

    u, `step`, g and r are of shape (running, controls), and the others host arrays of shape
    (running,).  g, r and `steepness` are None unless they were computed with J.
    """

    u: Array  # ũ
    step: Array  # ũ - u
    J: Array  # the objective at ũ
    directional: Array  # ⟨g, ũ - u⟩ with the gradient at u
    distance2: Array  # ‖ũ - u‖²
    size2: Array  # ‖u‖²
    held_out: Array | None  # the held-out loss at ũ, if there is one
    g: Array | None  # the gradient at ũ
    r: Array | None  # the projected gradient at ũ
    steepness: Array | None  # ‖r‖² at ũ
    direction2: Array | None  # ‖d‖², if there is a constraint
    exactness: Exactness | None  # of J; None if it is known to rounding


class Backtracking:
    """Rounds of trial points along a direction."""

    def __init__(self, state: State, direction: Steepest, line_search: LineSearch) -> None:
        self.state, self.direction, self.line_search = state, direction, line_search
        self.t = host.full(state.running.shape, line_search.first_step)  # steps of the next trials
        self.acceptance = 1.0  # a running mean of the fraction of accepted trials
        none_moved = host.zeros(state.running.shape, dtype=bool)
        with quiet():
            self.d = direction.solve(state, none_moved, None)  # the directions, (running, controls)

    def round(self) -> Array:
        """Try one point for every running member: move there, or shorten the step.

        Return a host mask of the members that are stuck: their trials equal their current points up
        to rounding.
        """
        state, t, evaluate = self.state, self.t, self.state.objective.evaluate
        mostly, elsewhere = self.acceptance > MOSTLY, state.objective.elsewhere
        with quiet():
            if state.exactness is not None:
                trial = self._exact_enough(self._point(t), state.exactness)
            elif elsewhere and not mostly and self.line_search.least_reduction is None:
                trial, t = self._two_tried()
            else:
                u = self._point(t)
                trial = self._trial(u, t, evaluate(u, state.members, mostly or elsewhere))
            u, first = trial.u, t == self.t
            J = state.J[state.running]
            nothing2 = state.xp.finfo(u.dtype).eps ** 2 * trial.size2
            stuck = trial.distance2 <= nothing2
            if trial.direction2 is not None:  # rounding may move u itself in the projection
                stuck |= t**2 * trial.direction2 <= nothing2
            downhill = trial.directional <= 0  # False for NaN
            enough = self.line_search.accepts(J, trial.J, trial.directional, trial.distance2, t)
            accepted, products = enough & downhill & ~stuck, None
            if trial.steepness is not None:
                accepted &= host.isfinite(trial.steepness)
            if host.any(accepted):
                if trial.g is None:
                    rows = host.nonzero(accepted)[0]
                    found = evaluate(*self._some(u, rows))
                    derivative = spread(found.gradient, rows, accepted.size)
                    g, r = state.gradients(u, derivative)
                    trial = trial._replace(g=g, r=r)
                accepted, products = self._move(trial, accepted)
            state.n_evaluations[state.running] += host.where(first, 1, 2)
            self.acceptance += LEARNING * (float(host.mean(accepted & first)) - self.acceptance)
            self.t = self.line_search.next_step(t, accepted, J, trial.J, trial.directional)
            # If a direction fails, its memory may be the reason.
            renewed = self.direction.forget((stuck | ~downhill) & ~accepted)
            self.t[renewed] = self.line_search.first_step
            if host.any(accepted | renewed):
                d = self.direction.solve(state, accepted, products)
                self.d = chosen(accepted | renewed, d, self.d)
        return stuck & ~renewed

    def _scaled(self, t: Array) -> Array:
        """Return t d."""
        return placed(t, self.d, self.d.dtype)[:, None] * self.d

    def _point(self, t: Array) -> Array:
        """Return the trial points for steps t."""
        return self.state.constraint.project(self.state.u + self._scaled(t))

    def _step(self, u: Array, t: Array) -> Array:
        """Return the steps to the trial points u, as tangent vectors where the members are."""
        constraint = self.state.constraint
        d = self.d if constraint.manifold is None else self._scaled(t)
        return constraint.step(self.state.u, d, u)

    def _two_tried(self) -> tuple[Trial, Array]:
        """Return the trials and their steps: the first ones, or second ones where these fail."""
        state, t, xp = self.state, self.t, self.state.xp
        steps, n = (t, t * self.line_search.reduction), t.size
        points = [self._point(step) for step in steps]
        members = xp.concat([state.members, state.members])
        both = state.objective.evaluate(xp.concat(points), members, True)
        parts = (
            Evaluation(*(each if each is None else each[rows, ...] for each in both))
            for rows in (slice(0, n), slice(n, 2 * n))
        )
        first, second = map(self._trial, points, steps, parts)
        J = state.J[state.running]
        enough = self.line_search.accepts(J, first.J, first.directional, first.distance2, t)
        return _chosen_trial(enough, first, second), host.where(enough, *steps)

    def _exact_enough(self, u: Array, exactness: Exactness) -> Trial:
        """Evaluate trial points so exactly that errors do not affect decisions about them.

        This may also update J at the current points.
        """
        state, evaluate, tightest = self.state, self.state.objective.evaluate, exactness.tightest
        here, there = (
            exactness.tolerance,
            exactness.of_trials(to_host(inner(state.g, self._step(u, self.t)))),
        )
        found = evaluate(u, state.members, True, there)
        trial = self._trial(u, self.t, found, exactness.at(found.sensitivity, there))
        J = state.J[state.running]
        bound = self.line_search.bound(J, trial.directional, trial.distance2, self.t)
        doubtful = host.abs(trial.J - bound) <= found.sensitivity * there + exactness.error
        doubtful &= host.maximum(here, there) > tightest
        if not host.any(doubtful):
            return trial
        here, there = (host.where(doubtful, tightest, each) for each in (here, there))
        found = evaluate(state.u, state.members, True, here)
        state.improve(doubtful, to_host(found.J), exactness.at(found.sensitivity, here))
        found = evaluate(u, state.members, True, there)
        state.n_evaluations[state.running[doubtful]] += 2
        return self._trial(u, self.t, found, exactness.at(found.sensitivity, there))

    def _trial(
        self, u: Array, t: Array, found: Evaluation, exactness: Exactness | None = None
    ) -> Trial:
        """Copy the numbers that decide about the trials to the host."""
        state, step, g, r = self.state, self._step(u, t), None, None
        facts = {
            "J": found.J,
            "directional": inner(state.g, step),
            "distance2": inner(step, step),
            "size2": state.size2,
            "held_out": found.held_out,
            "steepness": None,
            "direction2": None if state.constraint.nothing else inner(self.d, self.d),
        }
        if found.gradient is not None:
            g, r = state.gradients(u, found.gradient)
            facts["steepness"] = inner(r, r)
        known = [name for name, fact in facts.items() if fact is not None]
        on_host = to_host(state.xp.stack([facts[name] for name in known]))
        facts.update(zip(known, on_host, strict=True))
        return Trial(u=u, step=step, g=g, r=r, exactness=exactness, **facts)

    def _some(self, u: Array, rows: Array) -> tuple[Array, Array]:
        """Return the points of some running members, and their indices."""
        state, xp = self.state, self.state.xp
        if rows.size == u.shape[0]:
            return u, state.members
        some = placed(rows, u)
        return xp.take(u, some, axis=0), xp.take(state.members, some)

    def _move(self, trial: Trial, accepted: Array) -> tuple[Array, Array | None]:
        """Move the members in the mask `accepted` to their trials, whose g and r are known.

        Return a mask of the members that have moved, and the result of `measure`, on the host.  A
        trial whose gradient was not computed along with J is rejected if that is not finite.
        """
        state, xp, steepness = self.state, self.state.xp, trial.steepness
        u, g, r, columns = trial.u, trial.g, trial.r, []
        changes = [(u, state.u), (g, state.g)]
        if not (r is g and state.r is state.g):  # without a convex set, they are the same array
            changes.append((r, state.r))
        if steepness is None:
            r2 = inner(r, r)
            finite = xp.isfinite(r2)[:, None]
            changes = [(xp.where(finite, new, old), old) for new, old in changes]
            columns.append(r2[:, None])
        u, g, *others = chosen_rows(accepted, changes)
        r = others[0] if others else g
        self.direction.transport(accepted, u)
        s, r_old = (state.constraint.tangent(u, each) for each in (trial.step, state.r))
        measured = self.direction.measure(accepted, s, r_old, r)
        columns += [] if measured is None else [measured]
        products: Array = None
        if columns:
            products = to_host(columns[0] if len(columns) == 1 else xp.concat(columns, axis=1))
        if steepness is None:
            steepness, products = products[:, 0], products[:, 1:]
            accepted = accepted & host.isfinite(steepness)
        steepness = host.where(accepted, steepness, state.steepness)
        state.move(accepted, u, g, r, steepness, trial.J, trial.held_out)
        if state.exactness is not None and trial.exactness is not None:
            state.exactness = state.exactness.moved(accepted, trial.exactness)
        return accepted, products

    def select(self, rows: Array) -> None:
        """Keep only these rows, a host array; the other members have ended."""
        self.d = self.state.xp.take(self.d, placed(rows, self.d), axis=0)
        self.t = self.t[rows]
        self.direction.select(rows)


def _chosen_trial(which: Array, first: Trial, second: Trial) -> Trial:
    """Return the first trials of the members in a host mask, and the second ones of the others."""

    def each(one: Array, other: Array) -> Array:
        if one is None:
            return None
        return host.where(which, one, other) if one.ndim == 1 else chosen(which, one, other)

    return Trial(*map(each, first, second))
