"""The course of a fit: its time limit, progress reports, callbacks and interruption."""

from __future__ import annotations

import math
from time import monotonic

from ._callbacks import Tasks
from ._verbose import Report
from .engine.training import CALLBACK, INTERRUPTED


class Course:
    """The course of a fit, as a context manager.

    A fit consists of trainings, one for each view of the features, and a training consists of
    turns.  The fit ends early if `max_time` is up, a callback requests it, or Ctrl-C is pressed;
    the networks trained so far are kept.

    Parameters
    ----------
    estimator : estimator
    X, y, sample_weight
        The arguments of its `fit`.

    Attributes
    ----------
    interrupted : bool
        Whether Ctrl-C was pressed.
    """

    def __init__(self, estimator, X, y, sample_weight):
        limit = math.inf if estimator.max_time is None else float(estimator.max_time)
        self._deadline = monotonic() + limit
        self._report = Report(estimator) if estimator.verbose else None
        called = bool(getattr(estimator, "_skl_callbacks", ()))
        self._tasks = Tasks(estimator, X, y, sample_weight) if called else None
        self._stopped = self.interrupted = False

    def __enter__(self):
        if self._report is not None:
            self._report.__enter__()
        return self

    def __exit__(self, *exception):
        if self._report is not None:
            self._report.__exit__(*exception)

    @property
    def cut_short(self):
        """Whether a callback or Ctrl-C has ended training."""
        return self.interrupted or self._stopped

    @property
    def over(self):
        """Whether no further training may begin."""
        return self.cut_short or monotonic() >= self._deadline

    def begin(self, n_trainings):
        """Begin the fit."""
        self._n_left = n_trainings
        if self._tasks is not None:
            self._tasks.begin(n_trainings)

    def begin_training(self, what, n_iter, n_turns=1):
        """Begin a training with at most this many iterations and this many turns.

        The remaining time is divided equally among the remaining trainings, and among their turns.
        """
        self._what, self._n_iter, self._n_turns = what, n_iter, n_turns
        self._until, self._began = self._share(self._n_left, self._deadline), monotonic()
        self._n_left, self._n_done = self._n_left - 1, 0
        if self._tasks is not None:
            self._tasks.begin_training(f"train, {what}" if what else "train", n_iter)

    def begin_turn(self):
        """Begin a turn, and return its deadline."""
        deadline = self._share(self._n_turns, self._until)
        self._n_turns -= 1
        if self._tasks is not None:
            self._tasks.begin_iteration()
        return deadline

    def follower(self, n_candidates, n_iter, model):
        """Return a function for `train` to call in a turn of at most `n_iter` iterations.

        Return None if there are neither reports nor callbacks.  `model` computes the attributes of
        the model so far from a `Training`.
        """
        if self._report is None and self._tasks is None:
            return None

        def follow(state):
            if self._tasks is not None:
                if self._report is not None:
                    self._report.pause()
                self._stopped |= self._tasks.end_iteration(lambda: model(state.so_far(CALLBACK)))
                if not self._stopped and state.running.size and state.n_iter.max() < n_iter:
                    self._tasks.begin_iteration()
            if self._report is not None:
                left = self._seconds_left(int(state.n_iter.max()), n_iter)
                self._report.iteration(self._what, state, n_candidates, n_iter, left)
            return self._stopped

        return follow

    def end_turn(self, training):
        """Record how a turn has ended."""
        self.interrupted |= bool((training.reason == INTERRUPTED).any())
        self._n_done += int(training.n_iter.max())

    def end_training(self, model):
        """End a training; `model` computes the attributes of the model so far."""
        if self._tasks is not None and not self.interrupted:
            self._stopped |= self._tasks.end_training(model)

    def report_end(self, training, n_candidates, what=""):
        """Report how networks have ended."""
        if self._report is not None:
            self._report.end(what, training, n_candidates)

    def end(self):
        """End the fit."""
        if self._tasks is not None and not self.interrupted:
            self._tasks.end()

    def reraise_interruption(self):
        """Raise KeyboardInterrupt again, now that the estimator is fitted.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C was pressed.
        """
        if self.interrupted:
            raise KeyboardInterrupt(
                "Training was interrupted. The estimator is fitted: it keeps the best iterate of "
                "every network that was trained."
            )

    def _share(self, n_left, until):
        """Return the end of the first of `n_left` equal parts of the time until `until`."""
        now = monotonic()
        return now + (until - now) / max(1, n_left)

    def _seconds_left(self, n_now, n_iter):
        """Return a bound on the rest of the fit, after `n_now` of `n_iter` iterations of a turn."""
        each = (monotonic() - self._began) / (self._n_done + n_now)
        number = n_iter - n_now + self._n_turns * n_iter + self._n_left * self._n_iter
        return max(0.0, min(each * number, self._deadline - monotonic()))
