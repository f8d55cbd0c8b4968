"""Racing: candidates that are clearly worse end early.

Candidates differ in their penalty; each has one member per fold and restart.  They are compared by
the held-out loss, averaged over the restarts of a fold.  Since folds are the same samples for all
candidates, the difference between two candidates is computed fold by fold.

Reference: Maron, Moore, "Hoeffding races: accelerating model selection search for classification
and function approximation" (NIPS 1993), with bounds in place of the standard errors used here.
"""

from __future__ import annotations

from ..arrays import Array, host, quiet
from .state import State
from .stopping import BEHIND

FIRST = 10  # the iteration of the first comparison
EVERY = 2  # iterations between two comparisons
WINDOW = 5  # the last iterations, whose progress has to be less than the gap
ERRORS = 1.0  # standard errors of the difference that count as clear


class Race:
    """Selects candidates to continue; members are candidates × folds × restarts, in this order."""

    def __init__(self, n_candidates: int, n_folds: int) -> None:
        self.shape = (n_candidates, n_folds, -1)
        self._next = FIRST

    def behind(self, state: State) -> Array:
        """Return a mask of the running members that are clearly behind, and record why they end.

        A candidate is clearly behind when its best held-out losses exceed those of the leader by
        more than a standard error over the folds, and by more than its improvement in the last
        iterations.  A single fold has no standard error, and no member ends.
        """
        running = state.running
        mask = host.zeros(running.shape, dtype=bool)
        if not running.size or host.min(state.n_iter[running]) < self._next:
            return mask
        self._next = int(host.min(state.n_iter[running])) + EVERY
        before = host.take_along_axis(
            state.held_out_curve, host.maximum(state.n_iter - WINDOW, 0)[:, None], axis=1
        )[:, 0]
        with quiet():  # if a held-out loss is infinite, no difference is clear, and no member ends
            best, progress = (
                host.mean(host.reshape(losses, self.shape), axis=2)
                for losses in (state.best_held_out, before - state.held_out)
            )
            gap = best - best[host.argmin(host.mean(best, axis=1))]
            mean, n_folds = host.mean(gap, axis=1), gap.shape[1]
            error = host.std(gap, axis=1) / max(n_folds - 1, 1) ** 0.5
            out = (n_folds > 1) & (mean > ERRORS * error) & (mean > host.mean(progress, axis=1))
        mask = host.repeat(out, state.reason.size // out.size)[running]
        state.reason[running[mask]] = BEHIND
        return mask
