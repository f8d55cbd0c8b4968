"""Candidates that are clearly behind leave early.

Candidates differ in their penalty; each has one member per fold and restart.  What counts is the
mean of the members' held-out losses, and the same folds are the same samples, so that differences
between two candidates are taken fold by fold.
"""

from __future__ import annotations

from .arrays import Array, host, quiet
from .record import BEHIND, Record

__all__ = ["Tournament"]

FIRST = 10  # the iteration of the first look
EVERY = 2  # iterations between two looks
WINDOW = 5  # the last iterations, whose progress has to be less than the gap
ERRORS = 1.0  # standard errors of the difference that make it clear


class Tournament:
    """Which candidates go on.

    Parameters
    ----------
    candidate : array of int of shape (members,)
        The candidate of each member, counted from 0; every candidate has equally many members, in
        the same order of folds.
    """

    def __init__(self, candidate: Array) -> None:
        self.candidate = candidate
        self._next = FIRST

    def behind(self, record: Record) -> Array:
        """The running members whose candidate is clearly behind, as a mask; notes down why they
        end.

        A candidate is clearly behind when the best held-out losses of its members exceed those of
        the leader by more than a standard error, and by more than what the last iterations have
        brought it.
        """
        running = record.running
        mask = host.zeros(running.shape, dtype=bool)
        if not running.size or host.min(record.n_iter[running]) < self._next:
            return mask
        self._next = int(host.min(record.n_iter[running])) + EVERY
        n_candidates = int(self.candidate.max()) + 1
        best = record.best_held_out.reshape(n_candidates, -1)
        before = host.take_along_axis(
            record.held_out_curve, host.maximum(record.n_iter - WINDOW, 0)[:, None], axis=1
        )[:, 0]
        with quiet():  # where a held-out loss is infinite nothing is clear, and nobody leaves
            leader = best[host.argmin(host.mean(best, axis=1))]
            gap = best - leader
            mean, folds = host.mean(gap, axis=1), gap.shape[1]
            error = host.std(gap, axis=1) / max(folds - 1, 1) ** 0.5
            progress = host.mean((before - record.held_out).reshape(n_candidates, -1), axis=1)
            out = (folds > 1) & (mean > ERRORS * error) & (mean > progress)
        mask = out[self.candidate[running]]
        record.reason[running[mask]] = BEHIND
        return mask
