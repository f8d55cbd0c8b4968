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

__all__ = ["CONVERGED", "INTERRUPTED", "MAX_ITER", "STALLED", "Training", "train"]

CONVERGED = "converged"  # the objective has stopped falling, as `tol` has it
MAX_ITER = "max_iter"
STALLED = "no acceptable step"  # not even one so short that it hardly moves the controls
INTERRUPTED = "interrupted"


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
        A member has converged once its objective has fallen by less than `tol` over the last
        `n_iter_no_change` iterations; with ``tol=0`` it never does.
    on_iteration : callable (n_iter, J), optional
        Called when the foremost member has done another iteration; J is the lowest objective.

    Raises
    ------
    ValueError
        If the objective or its gradient is not finite at the start of a member.
    """
    run = _Run(objective, start, line_search, SOLVERS[solver], project, max_iter)
    foremost = 0
    try:
        while run.running.size:
            run.round()
            run.end_converged(tol, n_iter_no_change)
            if on_iteration is not None and host.max(run.n_iter) > foremost:
                foremost = int(host.max(run.n_iter))
                on_iteration(foremost, float(host.min(run.J)))
    except KeyboardInterrupt:
        run.end(host.ones(run.running.shape, dtype=bool), INTERRUPTED)
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
        max_iter: int,
    ) -> None:
        self.objective, self.line_search = objective, line_search
        self.direction, self.project, self.max_iter = direction, project, max_iter
        self.xp = namespace(start)
        self.u = project(start)
        J, self.g = objective.value_and_gradient(self.u)
        self.J = to_host(J).copy()
        with quiet():
            norm2 = to_host(_sum_of_products(self.g, self.g))
        if not host.all(host.isfinite(self.J) & host.isfinite(norm2)):
            raise ValueError(
                "The objective or its gradient is not finite at the start of training: scale X, "
                "for example with StandardScaler, or take a smaller h."
            )

        members = start.shape[0]
        self.running = host.arange(members)
        self.t = host.full(members, line_search.first_step)
        self.n_iter = host.zeros(members, dtype=int)
        self.n_evaluations = host.ones(members, dtype=int)
        self.n_rejected = host.zeros(members, dtype=int)  # since the last accepted step
        self.reason = host.full(members, MAX_ITER, dtype="<U20")
        self.curve = host.full((members, max_iter + 1), host.nan)
        self.curve[:, 0] = self.J
        self._ended: list[tuple[Array, Array]] = []  # members and their points

    def round(self) -> None:
        """One trial point for every running member: move there, or shorten the step."""
        xp, u, running, t = self.xp, self.u, self.running, self.t[self.running]
        step = xp.asarray(t, dtype=u.dtype, device=device(u))[:, None]
        with quiet():
            trial = self.project(u + step * self.direction(self.g))
            members = xp.asarray(running, device=device(u))
            J_trial, g_trial = self.objective.value_and_gradient(trial, members)
            move = trial - u
            # One transfer to the host for all that the decisions need.
            J_trial, slope, distance2, size2, norm2 = to_host(
                xp.stack(
                    [
                        J_trial,
                        _sum_of_products(self.g, move),
                        _sum_of_products(move, move),
                        _sum_of_products(u, u),
                        _sum_of_products(g_trial, g_trial),
                    ]
                )
            )
            accepted = host.isfinite(norm2) & self.line_search.accepts(
                self.J[running], J_trial, slope, distance2, t
            )
            # A point that rounding cannot tell from the present one is no progress.
            standing = distance2 <= xp.finfo(u.dtype).eps ** 2 * size2
        accepted &= ~standing
        mask = xp.asarray(accepted, device=device(u))[:, None]
        self.u, self.g = xp.where(mask, trial, u), xp.where(mask, g_trial, self.g)

        moved = running[accepted]
        self.J[moved] = J_trial[accepted]
        self.n_iter[moved] += 1
        self.curve[moved, self.n_iter[moved]] = self.J[moved]
        self.n_evaluations[running] += 1
        self.t[running] = self.line_search.next_step(t, accepted)
        first_trial = self.n_rejected[running] == 0
        self.n_rejected[running] = host.where(accepted, 0, self.n_rejected[running] + 1)

        self.reason[running[standing & first_trial]] = CONVERGED  # a full step leads nowhere
        self.reason[running[standing & ~first_trial]] = STALLED
        self.end(standing | (self.n_iter[running] >= self.max_iter))

    def end_converged(self, tol: float, n_iter_no_change: int) -> None:
        """End the members whose objective has stopped falling."""
        now = self.n_iter[self.running]
        before = self.curve[self.running, host.maximum(now - n_iter_no_change, 0)]
        still = before - self.J[self.running] < tol
        self.end((now >= n_iter_no_change) & still, CONVERGED)

    def end(self, which: Array, reason: str | None = None) -> None:
        """Take members out of the batch: `which` is a mask over the running ones."""
        if not host.any(which):
            return
        if reason is not None:
            self.reason[self.running[which]] = reason
        ended, staying = (
            self.xp.asarray(host.nonzero(mask)[0], device=device(self.u))
            for mask in (which, ~which)
        )
        self._ended.append((self.running[which], self.xp.take(self.u, ended, axis=0)))
        self.u = self.xp.take(self.u, staying, axis=0)
        self.g = self.xp.take(self.g, staying, axis=0)
        self.running = self.running[~which]

    def result(self) -> Training:
        members = host.concatenate([members for members, _ in self._ended])
        flat = self.xp.concat([u for _, u in self._ended], axis=0)
        order = self.xp.asarray(host.argsort(members), device=device(flat))
        return Training(
            flat=self.xp.take(flat, order, axis=0),
            J=self.J,
            curve=self.curve[:, : int(host.max(self.n_iter)) + 1],
            n_iter=self.n_iter,
            n_evaluations=self.n_evaluations,
            reason=self.reason,
        )


def _sum_of_products(x: Array, y: Array) -> Array:
    """⟨x, y⟩ per member, added up in float64."""
    xp = namespace(x)
    return xp.sum(x * y, axis=1, dtype=xp.float64)
