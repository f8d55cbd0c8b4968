"""The conditions under which a member ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from ..arrays import Array, host, quiet

if TYPE_CHECKING:
    from .state import State

CONVERGED = "converged"  # the objective no longer falls by more than `tol`
EARLY = "early stopping"  # the held-out loss no longer falls
BEHIND = "behind"  # other candidates are clearly better
MAX_ITER = "max_iter"
MAX_TIME = "max_time"
STALLED = "no acceptable step"  # even a step that hardly changes the controls is rejected
SLOW = "slow progress"  # the objective hardly falls, although its gradient is steep
CALLBACK = "callback"  # a callback ended training
INTERRUPTED = "interrupted"
NOT_BEGUN = "not begun"  # training ended before it was the member's turn
REFIT = "refit"  # the requested number of iterations is complete
CUT_SHORT = MAX_TIME, CALLBACK, INTERRUPTED, NOT_BEGUN

# A gradient is steep if the step t = 1 would, by the linear prediction, lower the objective by this
# many times `tol` or rounding errors of J.  If only much shorter steps are accepted, the problem is
# badly scaled.
STEEP = 100.0


@dataclass(frozen=True)
class Stopping:
    """Conditions under which a member ends.

    Parameters
    ----------
    max_iter : int, default=200
        The largest number of iterations.
    tol : float, default=0
        The member ends when its objective has fallen by less than `tol` over the last
        `n_iter_no_change` iterations, which never happens with ``tol=0``; or when its trial point
        equals the current point up to rounding.  The reason is "converged", unless the gradient is
        still steep: ‖u - project(u - g)‖² > 100 `tol`, or 100 rounding errors of J if more.
    n_iter_no_change : int, default=10
        If there is a held-out loss, the member ends when this has not fallen by more than `tol`
        for this many iterations.
    deadline : float, default=inf
        The member ends after the first iteration that ends after this time of `time.monotonic`.
    """

    max_iter: int = 200
    tol: float = 0.0
    n_iter_no_change: int = 10
    deadline: float = math.inf


def ending(state: State, stuck: Array, stopping: Stopping) -> Array:
    """Return a mask of the running members that end now, and record why.

    `stuck` is a mask of the members that cannot take another step.
    """
    running, now = state.running, state.n_iter[state.running]
    settled = _settled(state, stopping)
    state.reason[running[now >= stopping.max_iter]] = MAX_ITER
    leaving = (now >= stopping.max_iter) | settled | stuck
    if monotonic() >= stopping.deadline:
        late = now > 0  # every member is trained for at least one iteration
        state.reason[running[late & ~leaving]] = MAX_TIME
        leaving |= late
    if state.judged:
        early = _early(state, stopping)
        state.reason[running[early]] = EARLY
        leaving |= early
    if host.any(settled | stuck):
        state.reason[running[settled | stuck]] = CONVERGED
        rounding = state.xp.finfo(state.u.dtype).eps * host.abs(state.J[running])
        steep = state.steepness > STEEP * host.maximum(stopping.tol, rounding)
        state.reason[running[settled & steep]] = SLOW
        # Without a full gradient, a vanishing learning rate does not imply a minimum.
        state.reason[running[stuck & (steep | (state.g is None))]] = STALLED
    return leaving


def _settled(state: State, stopping: Stopping) -> Array:
    """Return a mask of the running members whose objective has hardly fallen recently."""
    running, now = state.running, state.n_iter[state.running]
    before = now - stopping.n_iter_no_change
    lowest = state.lowest_curve[running, host.maximum(before, 0)]
    fallen = lowest - state.lowest_curve[running, now]
    return (before >= state.phase_start[running]) & (fallen < stopping.tol)


def _early(state: State, stopping: Stopping) -> Array:
    """Return a mask of the running members whose held-out loss has not fallen for long enough."""
    running, now = state.running, state.n_iter[state.running]
    held_out, mark = state.held_out[running], state.mark[running]
    with quiet():  # `>` would end members with two infinite losses in a row
        fallen = ~(mark - held_out <= stopping.tol)
    state.mark[running] = host.where(fallen, held_out, mark)
    state.mark_iter[running] = host.where(fallen, now, state.mark_iter[running])
    return now - state.mark_iter[running] >= stopping.n_iter_no_change
