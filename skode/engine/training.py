"""The training loop: trial points, history, stopping, and what ended it.

Every round evaluates one trial point per running member, all in one batch.  A member whose
trial is accepted moves there; the others take a shorter step in the next round.  No member waits
for the line search of another, and members that have ended drop out of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .arrays import Array, device, host, namespace, quiet, to_host
from .constraints import unconstrained
from .descent import SOLVERS
from .line_search import LineSearch
from .objective import Objective

__all__ = ["CONVERGED", "INTERRUPTED", "MAX_ITER", "SLOW", "STALLED", "Training", "train"]

CONVERGED = "converged"  # the objective has stopped falling, as `tol` has it
MAX_ITER = "max_iter"
STALLED = "no acceptable step"  # not even one so short that it hardly moves the controls
SLOW = "slow progress"  # the objective hardly falls, although its gradient is steep
INTERRUPTED = "interrupted"

# A gradient is steep where the step t = 1 would lower the objective by this many `tol`, or by this
# many roundings, as far as the linear prediction goes.  Where only much shorter steps are accepted,
# the problem is badly scaled.
STEEP = 100.0


@dataclass(frozen=True)
class Training:
    """What came out of a training; all but `flat` are host arrays.

    Parameters
    ----------
    flat : array of shape (members, controls)
        The last accepted point of each member, which is its best one.
    J : array of shape (members,)
        The objective there.
    curve : array of shape (members, iterations + 1)
        The objective at the start and after every iteration; NaN after a member has ended.
    n_iter, n_evaluations : arrays of shape (members,)
        Accepted steps, and evaluations of the objective.
    reason : array of str of shape (members,)
        Why the member ended.
    """

    flat: Array
    J: Array
    curve: Array
    n_iter: Array
    n_evaluations: Array
    reason: Array


def train(
    objective: Objective,
    start: Array,
    line_search: LineSearch,
    *,
    solver: str = "gd",
    project: Callable[[Array], Array] = unconstrained,
    max_iter: int = 200,
    tol: float = 0.0,
    n_iter_no_change: int = 10,
    on_iteration: Callable[[int, float], None] | None = None,
) -> Training:
    """Minimise the objective of every member from `start`, (members, controls).

    Parameters
    ----------
    project : callable
        Projection of flat controls onto the constraints, applied to every trial point.
    tol, n_iter_no_change : float, int
        A member ends once its objective has fallen by less than `tol` over the last
        `n_iter_no_change` iterations, which with ``tol=0`` never happens, or once its trial point
        is its present one up to rounding.  It has then converged, unless the gradient is still
        steep: ‖project(u - g) - u‖² > 100 `tol`, or 100 roundings of J where those are more.
    on_iteration : callable (n_iter, J), optional
        Called when the foremost member has done another iteration; J is the lowest objective.

    Raises
    ------
    ValueError
        If the objective or its gradient is not finite at the start of a member.
    """
    run = _Run(objective, start, line_search, SOLVERS[solver], project)
    foremost = 0
    try:
        while run.running.size:
            standing = run.round()
            run.end_members(standing, max_iter, tol, n_iter_no_change)
            if on_iteration is not None and host.max(run.n_iter) > foremost:
                foremost = int(host.max(run.n_iter))
                on_iteration(foremost, float(host.min(run.J)))
    except KeyboardInterrupt:
        run.reason[run.running] = INTERRUPTED
        run.take_out(host.ones(run.running.shape, dtype=bool))
    return run.result()


class _Run:
    """A training under way.

    Host arrays count all members; `u`, `g` and `running` only those that have not ended.
    """

    def __init__(
        self,
        objective: Objective,
        start: Array,
        line_search: LineSearch,
        direction: Callable[[Array], Array],
        project: Callable[[Array], Array],
    ) -> None:
        self.objective, self.line_search = objective, line_search
        self.direction, self.project = direction, project
        self.xp = namespace(start)
        self.u = project(start)
        J, self.g = objective.value_and_gradient(self.u)
        self.J = to_host(J)
        with quiet():
            norm2 = to_host(_inner(self.g, self.g))
        if not host.all(host.isfinite(self.J) & host.isfinite(norm2)):
            raise ValueError(
                "The objective or its gradient is not finite at the start of training, or the "
                "stage equations of an implicit scheme could not be solved: scale X, for example "
                "with StandardScaler, or take a smaller h, or stage_guard='bound'."
            )

        members = start.shape[0]
        self.running = host.arange(members)
        self.t = host.full(members, line_search.first_step)
        self.n_iter = host.zeros(members, dtype=int)
        self.n_evaluations = host.ones(members, dtype=int)
        self.reason = host.full(members, MAX_ITER, dtype="<U20")
        self.curve = self.J[:, None]
        self.ended: list[tuple[Array, Array]] = []  # members and their points

    def round(self) -> Array:
        """One trial point for every running member: move there, or shorten the step.

        Returns a mask of the members whose trial rounding cannot tell from their present point.
        """
        xp, u, running, t = self.xp, self.u, self.running, self.t[self.running]
        step = xp.asarray(t, dtype=u.dtype, device=device(u))[:, None]
        members = xp.asarray(running, device=device(u))
        with quiet():
            trial = self.project(u + step * self.direction(self.g))
            J_trial, g_trial = self.objective.value_and_gradient(trial, members)
            move = trial - u
            inner = [
                _inner(self.g, move),
                _inner(move, move),
                _inner(u, u),
                _inner(g_trial, g_trial),
            ]
            # One transfer to the host for all that the decisions need.
            J_trial, slope, distance2, size2, norm2 = to_host(xp.stack([J_trial, *inner]))
            standing = distance2 <= xp.finfo(u.dtype).eps ** 2 * size2
            accepted = (
                self.line_search.accepts(self.J[running], J_trial, slope, distance2, t)
                & host.isfinite(norm2)
                & ~standing
            )
        self._move(accepted, trial, g_trial, J_trial)
        self.n_evaluations[running] += 1
        self.t[running] = self.line_search.next_step(t, accepted)
        return standing

    def _move(self, accepted: Array, trial: Array, g_trial: Array, J_trial: Array) -> None:
        mask = self.xp.asarray(accepted, device=device(trial))[:, None]
        u = self.xp.where(mask, trial, self.u)
        g = self.xp.where(mask, g_trial, self.g)
        moved = self.running[accepted]
        J, n_iter = self.J.copy(), self.n_iter.copy()
        J[moved] = J_trial[accepted]
        n_iter[moved] += 1
        if moved.size and host.max(n_iter) == self.curve.shape[1]:  # full: make it twice as long
            self.curve = host.pad(
                self.curve, ((0, 0), (0, self.curve.shape[1])), constant_values=host.nan
            )
        self.curve[moved, n_iter[moved]] = J[moved]
        # In one statement, so that an interruption (in CPython) finds a point with its objective.
        self.u, self.g, self.J, self.n_iter = u, g, J, n_iter

    def end_members(
        self, standing: Array, max_iter: int, tol: float, n_iter_no_change: int
    ) -> None:
        """End the members that have converged, cannot move, or have done all their iterations."""
        running, now = self.running, self.n_iter[self.running]
        before = self.curve[running, host.maximum(now - n_iter_no_change, 0)]
        resting = (now >= n_iter_no_change) & (before - self.J[running] < tol)
        self.reason[running[resting | standing]] = CONVERGED
        if host.any(resting | standing):
            rounding = self.xp.finfo(self.u.dtype).eps * host.abs(self.J[running])
            steep = self._steepness() > STEEP * host.maximum(tol, rounding)
            self.reason[running[resting & steep]] = SLOW
            self.reason[running[standing & steep]] = STALLED
        self.take_out(resting | standing | (now >= max_iter))

    def _steepness(self) -> Array:
        """‖project(u - g) - u‖², which is ‖g‖² where there is no constraint."""
        with quiet():
            move = self.project(self.u - self.g) - self.u
            return to_host(_inner(move, move))

    def take_out(self, which: Array) -> None:
        """Take members out of the batch: `which` is a mask over the running ones."""
        if not host.any(which):
            return
        leaving, staying = (
            self.xp.asarray(host.nonzero(mask)[0], device=device(self.u))
            for mask in (which, ~which)
        )
        ended = [*self.ended, (self.running[which], self.xp.take(self.u, leaving, axis=0))]
        u, g = (self.xp.take(array, staying, axis=0) for array in (self.u, self.g))
        # In one statement, so that an interruption (in CPython) finds each member in one place.
        self.ended, self.u, self.g, self.running = ended, u, g, self.running[~which]

    def result(self) -> Training:
        members = host.concatenate([members for members, _ in self.ended])
        flat = self.xp.concat([u for _, u in self.ended], axis=0)
        order = self.xp.asarray(host.argsort(members), device=device(flat))
        done = host.arange(self.curve.shape[1]) <= self.n_iter[:, None]
        curve = host.where(done, self.curve, host.nan)  # without what an interruption has left
        return Training(
            flat=self.xp.take(flat, order, axis=0),
            J=self.J,
            curve=curve[:, : int(host.max(self.n_iter)) + 1],
            n_iter=self.n_iter,
            n_evaluations=self.n_evaluations,
            reason=self.reason,
        )


def _inner(x: Array, y: Array) -> Array:
    """⟨x, y⟩ per member, added up in float64."""
    xp = namespace(x)
    return xp.sum(x * y, axis=1, dtype=xp.float64)
