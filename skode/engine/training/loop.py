"""The training loop: rounds of a solver until every member has ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from ..arrays import Array, host
from ..constraints import Constraint, unconstrained
from ..objective import Objective
from .adam import Adam, Schedule
from .backtracking import Backtracking, Steepest
from .lbfgs import LBFGS
from .line_search import INTERPOLATION, LINE_SEARCHES
from .racing import Race
from .state import State, Training
from .stopping import CALLBACK, INTERRUPTED, Stopping, ending
from .transported import TransportedLBFGS

DEFAULT = Stopping()
ADAM_FRACTION = 0.6  # of the iterations, after which L-BFGS takes over


def _gd(state: State, line_search: str, schedule: Schedule | None) -> Backtracking:
    return Backtracking(state, Steepest(), LINE_SEARCHES[line_search])


def _lbfgs(state: State, line_search: str, schedule: Schedule | None) -> Backtracking:
    if state.n_iter.any():  # L-BFGS takes over from Adam
        state.go_to_best()
    direction = LBFGS(state.u)
    if state.constraint.manifold is not None:
        direction = TransportedLBFGS(state.u, state.constraint.tangent)
    return Backtracking(state, direction, INTERPOLATION)


def _adam(state: State, line_search: str, schedule: Schedule | None) -> Adam:
    assert schedule is not None, "Adam needs a schedule"
    return Adam(state, schedule)


# The phases of each solver, with the fraction of the iterations at which each ends.
SOLVERS: dict[str, list[tuple[Callable[..., Backtracking | Adam], float]]] = {
    "gd": [(_gd, 1.0)],
    "lbfgs": [(_lbfgs, 1.0)],
    "adam": [(_adam, 1.0)],
    "adam+lbfgs": [(_adam, ADAM_FRACTION), (_lbfgs, 1.0)],
}


def train(
    objective: Objective,
    start: Array,
    solver: str = "lbfgs",
    *,
    line_search: str = "armijo",
    schedule: Schedule | None = None,
    constraint: Constraint = unconstrained,
    stopping: Stopping = DEFAULT,
    race: Race | None = None,
    on_iteration: Callable[[State], bool] | None = None,
    exact_stages: bool = False,
) -> Training:
    """Minimise the objective of every member from `start`, (members, controls), or until Ctrl-C.

    Parameters
    ----------
    solver : {"gd", "lbfgs", "adam", "adam+lbfgs"}
        Gradient descent and L-BFGS with backtracking; Adam on mini-batches; or Adam for the first
        60 percent of the iterations, even on a plateau, and then L-BFGS from the best point.
    line_search : {"armijo", "lipschitz"}
        The rule of gradient descent.
    schedule : Schedule
        Required for Adam; otherwise ignored.
    constraint : Constraint
        The constraint on the controls; every trial is projected onto it.
    race : Race, or any object with its method, optional
        Ends members that can no longer be selected.
    on_iteration : callable (state) -> bool, optional
        Called when the largest number of iterations increases.  Training ends if it returns True.
    exact_stages : bool, default=False
        See `State`.

    Raises
    ------
    ValueError
        If the objective or its gradient is not finite at the start of a member.
    """
    foremost, state = 0, State(objective, start, constraint, exact_stages)
    patient = replace(stopping, n_iter_no_change=stopping.max_iter + 1)  # a plateau ends no member
    try:
        for begin, fraction in SOLVERS[solver]:
            last = math.ceil(fraction * stopping.max_iter)
            if not state.running.size:
                break
            phase = begin(state, line_search, schedule)
            rule = stopping if fraction == 1.0 else patient
            while state.running.size and host.min(state.n_iter[state.running]) < last:
                leaving = ending(state, phase.round(), rule)
                if race is not None:
                    leaving = leaving | race.behind(state)
                if host.any(leaving):
                    phase.select(state.take_out(leaving))
                if on_iteration is not None:
                    foremost = _follow(state, foremost, on_iteration)
    except KeyboardInterrupt:
        if not state.running.size:  # no reason would mention the interruption
            raise
        state.end_all(INTERRUPTED)
    return state.result()


def _follow(state: State, foremost: int, on_iteration: Callable[[State], bool]) -> int:
    """Call `on_iteration` if a member has passed `foremost`; return the most iterations so far."""
    now = int(host.max(state.n_iter))
    if now > foremost and on_iteration(state) and state.running.size:
        state.end_all(CALLBACK)
    return now
