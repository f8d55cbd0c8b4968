"""The training loop: rounds of a solver, stopping, and members that drop out.

Whatever is decided, to accept, to stop, to keep an iterate, is decided for each member alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from .adam import Adam, Schedule
from .arrays import Array, host
from .constraints import unconstrained
from .descent import Backtracking
from .directions import LBFGS, Steepest
from .line_search import INTERPOLATION, LINE_SEARCHES
from .objective import Objective
from .racing import Race
from .record import Record, Stopping, Training

__all__ = ["SOLVERS", "train"]

DEFAULT = Stopping()
ADAM_SHARE = 0.6  # of the iterations, before L-BFGS takes over


def _gd(record: Record, line_search: str, schedule: Schedule | None) -> Backtracking:
    return Backtracking(record, Steepest(record), LINE_SEARCHES[line_search])


def _lbfgs(record: Record, line_search: str, schedule: Schedule | None) -> Backtracking:
    if record.n_iter.any():  # it takes over
        record.go_to_best()
    return Backtracking(record, LBFGS(record), INTERPOLATION)


def _adam(record: Record, line_search: str, schedule: Schedule | None) -> Adam:
    assert schedule is not None, "Adam needs a schedule"
    return Adam(record, schedule)


# The phases of each solver, with the share of the iterations at which they end.
SOLVERS: dict[str, list[tuple[Callable[..., Backtracking | Adam], float]]] = {
    "gd": [(_gd, 1.0)],
    "lbfgs": [(_lbfgs, 1.0)],
    "adam": [(_adam, 1.0)],
    "adam+lbfgs": [(_adam, ADAM_SHARE), (_lbfgs, 1.0)],
}


def train(
    objective: Objective,
    start: Array,
    solver: str = "lbfgs",
    *,
    line_search: str = "armijo",
    schedule: Schedule | None = None,
    project: Callable[[Array], Array] = unconstrained,
    stopping: Stopping = DEFAULT,
    race: Race | None = None,
    on_iteration: Callable[[int, float], None] | None = None,
) -> Training:
    """Minimise the objective of every member from `start`, (members, controls).

    Parameters
    ----------
    solver : {"gd", "lbfgs", "adam", "adam+lbfgs"}
        Gradient descent and L-BFGS with backtracking, Adam on mini-batches, or Adam for the first
        60 percent of the iterations, from whose best point L-BFGS goes on.  A plateau of Adam is
        where L-BFGS is wanted, so no member ends there before.
    line_search : {"armijo", "lipschitz"}
        The rule of gradient descent.
    schedule : Schedule, optional
        How Adam goes.
    project : callable
        Projection of flat controls onto the constraints, applied to every trial point.
    stopping : Stopping
        A member ends after `max_iter` iterations; or once its objective has fallen by less than
        `tol` over the last `n_iter_no_change` of them, which with ``tol=0`` never happens; or once
        its trial point is its present one up to rounding.  It has then converged, unless the
        gradient is still steep: ‖project(u - g) - u‖² > 100 `tol`, or 100 roundings of J where
        those are more.  And it ends, where there is a held-out loss, once that has not fallen by
        `tol` for `n_iter_no_change` iterations.
    race : Race, optional
        Ends members that have no chance any more to be chosen.
    on_iteration : callable (n_iter, J), optional
        Called when the foremost member has done another iteration; J is the lowest objective.

    Raises
    ------
    ValueError
        If the objective or its gradient is not finite at the start of a member.
    """
    record = Record(objective, start, project)
    foremost = 0
    try:
        for begin, share in SOLVERS[solver]:
            last = math.ceil(share * stopping.max_iter)
            if not record.running.size:
                break
            phase = begin(record, line_search, schedule)
            rule = stopping if share == 1.0 else _endless(stopping)
            while record.running.size and host.min(record.n_iter[record.running]) < last:
                standing = phase.round(stopping.tol)
                which = record.ending(standing, rule)
                if race is not None:
                    which = which | race.behind(record)
                staying = record.take_out(which)
                if staying is not None:
                    phase.keep(staying)
                if on_iteration is not None and host.max(record.n_iter) > foremost:
                    foremost = int(host.max(record.n_iter))
                    on_iteration(foremost, float(host.min(record.J)))
    except KeyboardInterrupt:
        record.interrupt()
    return record.result()


def _endless(stopping: Stopping) -> Stopping:
    """The same, but no member ends before `max_iter`."""
    return replace(stopping, tol=0.0, n_iter_no_change=stopping.max_iter)
