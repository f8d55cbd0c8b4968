"""When a member ends, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from ..arrays import Array, host, quiet

if TYPE_CHECKING:
    from .state import State

CONVERGED = "converged"  # the objective has stopped falling, as `tol` has it
EARLY = "early stopping"  # the held-out loss has stopped falling
BEHIND = "behind"  # other candidates are clearly better
MAX_ITER = "max_iter"
MAX_TIME = "max_time"
STALLED = "no acceptable step"  # not even one so short that it hardly changes the controls
SLOW = "slow progress"  # the objective hardly falls, although its gradient is steep
CALLBACK = "callback"  # one asked for the end
INTERRUPTED = "interrupted"
NOT_BEGUN = "not begun"  # training ended before it was the member's turn
REFIT = "refit"  # after as many iterations as were asked for
CUT_SHORT = MAX_TIME, CALLBACK, INTERRUPTED, NOT_BEGUN

# A gradient is steep if the step t = 1 would lower the objective by this many times `tol`, or by
# this many roundings of J, as far as the linear prediction goes.  Where only much shorter steps are
# accepted, the problem is badly scaled.
STEEP = 100.0


@dataclass(frozen=True)
class Stopping:
    """When a member ends.

    Parameters
    ----------
    max_iter : int, default=200
        It ends after so many iterations.
    tol : float, default=0
        It ends once its objective has fallen by less than `tol` over the last `n_iter_no_change`
        iterations, which never happens with ``tol=0``; or once its trial point is its present one
        up to rounding.  It has then converged, unless the gradient is still steep:
        ‖u - project(u - g)‖² > 100 `tol`, or more than 100 roundings of J if those are more.
    n_iter_no_change : int, default=10
        If there is a held-out loss, the member ends once that has not fallen by more than `tol` for
        so many iterations.
    deadline : float, default=inf
        It ends after the first iteration that is not over before this time of `time.monotonic`.
    """

    max_iter: int = 200
    tol: float = 0.0
    n_iter_no_change: int = 10
    deadline: float = math.inf


def ending(state: State, stuck: Array, stopping: Stopping) -> Array:
    """Return a mask of the running members that end now, and note down why.

    `stuck` is a mask of those that cannot take another step.
    """
    running, now = state.running, state.n_iter[state.running]
    settled = _settled(state, stopping)
    state.reason[running[now >= stopping.max_iter]] = MAX_ITER
    leaving = (now >= stopping.max_iter) | settled | stuck
    if monotonic() >= stopping.deadline:
        late = now > 0  # nobody ends untrained
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
        # Without a gradient on all samples, a learning rate that has vanished proves no minimum.
        state.reason[running[stuck & (steep | (state.g is None))]] = STALLED
    return leaving


def _settled(state: State, stopping: Stopping) -> Array:
    """Return which running members' objectives have hardly fallen over the last iterations."""
    running, now = state.running, state.n_iter[state.running]
    before = now - stopping.n_iter_no_change
    lowest = state.lowest_curve[running, host.maximum(before, 0)]
    fallen = lowest - state.lowest_curve[running, now]
    return (before >= state.phase_start[running]) & (fallen < stopping.tol)


def _early(state: State, stopping: Stopping) -> Array:
    """Return which running members' held-out losses have not fallen for long enough."""
    running, now = state.running, state.n_iter[state.running]
    held_out, mark = state.held_out[running], state.mark[running]
    with quiet():  # from one infinite loss to the next is no reason to end, hence not `>`
        fallen = ~(mark - held_out <= stopping.tol)
    state.mark[running] = host.where(fallen, held_out, mark)
    state.mark_iter[running] = host.where(fallen, now, state.mark_iter[running])
    return now - state.mark_iter[running] >= stopping.n_iter_no_change
