"""The members of a training under way: where they are, their histories, and why they ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .arrays import Array, host, namespace, placed, quiet, to_host
from .objective import Evaluation, Objective, Verdict

__all__ = [
    "BEHIND",
    "CONVERGED",
    "EARLY",
    "INTERRUPTED",
    "MAX_ITER",
    "SLOW",
    "STALLED",
    "Record",
    "Stopping",
    "Training",
    "inner",
]

RUNNING = ""  # no reason yet
CONVERGED = "converged"  # the objective has stopped falling, as `tol` has it
EARLY = "early stopping"  # the held-out loss has
BEHIND = "behind"  # other candidates are clearly better
MAX_ITER = "max_iter"
STALLED = "no acceptable step"  # not even one so short that it hardly moves the controls
SLOW = "slow progress"  # the objective hardly falls, although its gradient is steep
INTERRUPTED = "interrupted"

# A gradient is steep where the step t = 1 would lower the objective by this many `tol`, or by this
# many roundings, as far as the linear prediction goes.  Where only much shorter steps are accepted,
# the problem is badly scaled.
STEEP = 100.0


@dataclass(frozen=True)
class Stopping:
    """When a member ends; see `train`."""

    max_iter: int = 200
    tol: float = 0.0
    n_iter_no_change: int = 10


@dataclass(frozen=True)
class Training:
    """What came out of a training; all but `flat` are host arrays.

    Parameters
    ----------
    flat : array of shape (members, controls)
        The best point of each member: that of the lowest held-out loss where there is one, else of
        the lowest objective.
    J : array of shape (members,)
        The objective there.
    curve : array of shape (members, iterations + 1)
        The objective at the start and after every iteration; NaN after a member has ended.
    held_out, held_out_curve : arrays like `J` and `curve`
        The same of the held-out loss; NaN where there is none.
    n_iter, n_evaluations : arrays of shape (members,)
        Iterations, and evaluations of the objective on all samples.
    best_iter : array of shape (members,)
        The iteration of the best point.
    reason : array of str of shape (members,)
        Why the member ended.
    """

    flat: Array
    J: Array
    curve: Array
    held_out: Array
    held_out_curve: Array
    n_iter: Array
    n_evaluations: Array
    best_iter: Array
    reason: Array


class Record:
    """A training under way.

    Host arrays count all members; `u`, `g`, `best` and `running` only those that have not ended.

    Raises
    ------
    ValueError
        If the objective or its gradient is not finite at the start of a member.
    """

    def __init__(
        self, objective: Objective, start: Array, project: Callable[[Array], Array]
    ) -> None:
        self.objective, self.project = objective, project
        self.xp = namespace(start)
        self.u = self.best = project(start)
        first = objective.evaluate(self.u)
        self.g: Array = first.gradient
        self.J = to_host(first.J)
        with quiet():
            norm2 = to_host(inner(self.g, self.g))
        if not host.all(host.isfinite(self.J) & host.isfinite(norm2)):
            raise ValueError(
                "The objective or its gradient is not finite at the start of training, or the "
                "stage equations of an implicit scheme could not be solved: scale X, for example "
                "with StandardScaler, and y; or take a smaller h, alpha or smoothness, or "
                "stage_guard='bound'."
            )
        members = start.shape[0]
        self.judged = first.held_out is not None
        self.held_out = to_host(first.held_out) if self.judged else host.full(members, host.nan)
        self.running = host.arange(members)
        self.n_iter = host.zeros(members, dtype=int)
        self.n_evaluations = host.ones(members, dtype=int)
        self.reason = host.full(members, RUNNING, dtype="<U20")
        self.curve, self.held_out_curve = self.J[:, None], self.held_out[:, None]
        # The lowest objective so far, since Adam's goes up and down; begun anew at a hand-over.
        self.lowest_curve, self.begin = self.curve.copy(), host.zeros(members, dtype=int)
        self.best_J, self.best_held_out = self.J, self.held_out
        self.best_iter = host.zeros(members, dtype=int)
        # The last iteration that made the held-out loss better by more than `tol`, and that loss.
        self.gain_iter, self.gain = self.best_iter, self.held_out
        self._ended: list[tuple[Array, Array]] = []  # members and their points

    def evaluate(self, flat: Array, gradient: bool | Verdict = True) -> Evaluation:
        """The objective of the running members."""
        members = placed(self.running, flat)
        return self.objective.evaluate(flat, members, gradient)

    def move(
        self, moved: Array, u: Array, g: Array | None, J: Array, held_out: Array, tol: float
    ) -> None:
        """Another iteration of the members in the mask `moved`, over the running ones.

        They are at u now, where they have gradient, objective and held-out loss.
        """
        xp, running = self.xp, self.running
        who = running[moved]
        n_iter = _changed(self.n_iter, who, self.n_iter[who] + 1)
        J = _changed(self.J, who, J[moved])
        held_out = _changed(self.held_out, who, held_out[moved]) if self.judged else self.held_out
        self._write(who, n_iter, J, held_out)

        better = held_out < self.best_held_out if self.judged else self.best_J > J
        mask = placed(moved & better[running], u)[:, None]
        best = xp.where(mask, u, self.best)
        mask = placed(moved, u)[:, None]
        u = xp.where(mask, u, self.u)
        if g is not None and self.g is not None:
            g = xp.where(mask, g, self.g)
        with quiet():  # from one infinite loss to the next is no reason to end, hence not `>`
            gained = ~(self.gain - held_out <= tol)
        self.gain_iter = host.where(gained, n_iter, self.gain_iter)
        self.gain = host.where(gained, held_out, self.gain)
        # In one statement, so that an interruption (in CPython) finds a point with its objective.
        self.best, self.best_J, self.best_held_out, self.best_iter = (
            best,
            host.where(better, J, self.best_J),
            host.where(better, held_out, self.best_held_out),
            host.where(better, n_iter, self.best_iter),
        )
        self.u, self.g, self.J, self.held_out, self.n_iter = u, g, J, held_out, n_iter

    def _write(self, who: Array, n_iter: Array, J: Array, held_out: Array) -> None:
        if who.size and host.max(n_iter) == self.curve.shape[1]:  # full: make it twice as long
            self.curve, self.held_out_curve, self.lowest_curve = (
                host.pad(curve, ((0, 0), (0, curve.shape[1])), constant_values=host.nan)
                for curve in (self.curve, self.held_out_curve, self.lowest_curve)
            )
        self.curve[who, n_iter[who]] = J[who]
        lowest = host.minimum(self.lowest_curve[who, n_iter[who] - 1], J[who])
        self.lowest_curve[who, n_iter[who]] = lowest
        self.held_out_curve[who, n_iter[who]] = held_out[who]

    def ending(self, standing: Array, stopping: Stopping) -> Array:
        """The running members that end now, as a mask; `standing` is one of those that cannot move.

        Notes down why they end.
        """
        running, now = self.running, self.n_iter[self.running]
        before = now - stopping.n_iter_no_change
        lowest = self.lowest_curve[running, host.maximum(before, 0)]
        fallen = lowest - self.lowest_curve[running, now]
        resting = (before >= self.begin[running]) & (fallen < stopping.tol)
        self.reason[running[now >= stopping.max_iter]] = MAX_ITER
        if self.judged:
            self.reason[running[now - self.gain_iter[running] >= stopping.n_iter_no_change]] = EARLY
        self.reason[running[resting | standing]] = CONVERGED
        if host.any(resting | standing):
            rounding = self.xp.finfo(self.u.dtype).eps * host.abs(self.J[running])
            steep = self._steepness() > STEEP * host.maximum(stopping.tol, rounding)
            self.reason[running[resting & steep]] = SLOW
            # Without a gradient on all samples: a rate that has become nothing is no minimum.
            self.reason[running[standing & (steep | (self.g is None))]] = STALLED
        return self.reason[running] != RUNNING

    def residual(self) -> Array:
        """u - project(u - g), which is g, to the last bit, where there is no constraint."""
        goal = self.u - self.g
        return self.g + (goal - self.project(goal))

    def _steepness(self) -> Array:
        """‖project(u - g) - u‖², which is ‖g‖² where there is no constraint; 0 without gradient."""
        if self.g is None:
            return host.zeros(self.running.shape)
        with quiet():
            r = self.residual()
            return to_host(inner(r, r))

    def go_to_best(self) -> None:
        """Put the running members where they were best, with their gradients there.

        Both criteria of stopping begin anew.
        """
        found = self.evaluate(self.best)
        self.n_evaluations[self.running] += 1
        J = _changed(self.J, self.running, to_host(found.J))
        held_out = _changed(self.held_out, self.running, self.best_held_out[self.running])
        self.u, self.g, self.J, self.held_out = self.best, found.gradient, J, held_out
        self.begin = _changed(self.begin, self.running, self.n_iter[self.running])
        self.gain_iter = _changed(self.gain_iter, self.running, self.n_iter[self.running])
        self.lowest_curve[self.running, self.begin[self.running]] = J[self.running]

    def interrupt(self) -> None:
        """End all members as they are."""
        self.reason[self.running] = INTERRUPTED
        self.take_out(host.ones(self.running.shape, dtype=bool))

    def take_out(self, which: Array) -> Array | None:
        """Take members out of the batch: `which` is a mask over the running ones.

        Returns the rows of those that stay, or None where all do.
        """
        if not host.any(which):
            return None
        leaving, staying = (placed(host.nonzero(mask)[0], self.u) for mask in (which, ~which))
        out = (self.running[which], self.xp.take(self.best, leaving, axis=0))
        u, g, best = (
            array if array is None else self.xp.take(array, staying, axis=0)
            for array in (self.u, self.g, self.best)
        )
        # In one statement, so that an interruption (in CPython) finds each member in one place.
        self._ended, self.u, self.g, self.best, self.running = (
            [*self._ended, out],
            u,
            g,
            best,
            self.running[~which],
        )
        return staying

    def result(self) -> Training:
        """What has come out, once all members have ended."""
        members = host.concatenate([members for members, _ in self._ended])
        flat = self.xp.concat([best for _, best in self._ended], axis=0)
        order = placed(host.argsort(members), flat)
        done = host.arange(self.curve.shape[1]) <= self.n_iter[:, None]
        # Without what an interruption has left.
        curves = (host.where(done, c, host.nan) for c in (self.curve, self.held_out_curve))
        curve, held_out_curve = (c[:, : int(host.max(self.n_iter)) + 1] for c in curves)
        return Training(
            flat=self.xp.take(flat, order, axis=0),
            J=self.best_J,
            curve=curve,
            held_out=self.best_held_out,
            held_out_curve=held_out_curve,
            n_iter=self.n_iter,
            n_evaluations=self.n_evaluations,
            best_iter=self.best_iter,
            reason=self.reason,
        )


def inner(x: Array, y: Array) -> Array:
    """⟨x, y⟩ per member, added up in float64."""
    xp = namespace(x)
    return xp.sum(x * y, axis=1, dtype=xp.float64)


def _changed(values: Array, where: Array, new: Array) -> Array:
    """A copy of host `values` with other entries."""
    values = values.copy()
    values[where] = new
    return values
