"""The reports of `verbose`, through the logger "skode" or in a line of the terminal."""

from __future__ import annotations

import logging
import math
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from time import monotonic

import numpy as np

from ._terminal import Line, is_terminal
from .engine.arrays import quiet
from .engine.training import NOT_BEGUN

logger = logging.getLogger("skode")
PAUSE = 0.1  # seconds between two changes of the line, so that they cost little


class Audience:
    """Makes the logger's INFO messages visible while there is at least one listener.

    They go to the handlers that the application has configured, whatever their level for others, or
    to stderr without any.  Several fits may run at the same time, in threads: the last one that
    ends restores the logger.  Only one of them at a time can use the line of the terminal.
    """

    def __init__(self):
        self._lock, self._listening = threading.Lock(), 0
        self._handler, self._level = None, logging.NOTSET
        self._line_is_free = False

    def join(self):
        with self._lock:
            if not self._listening:
                self._level = logger.level
                if not logger.hasHandlers():
                    self._line_is_free = is_terminal(sys.stderr)
                    self._handler = Line() if self._line_is_free else logging.StreamHandler()
                    logger.addHandler(self._handler)
                if not logger.isEnabledFor(logging.INFO):
                    logger.setLevel(logging.INFO)
            self._listening += 1

    def leave(self):
        with self._lock:
            self._listening -= 1
            if not self._listening:
                logger.setLevel(self._level)
                if self._handler is not None:
                    logger.removeHandler(self._handler)
                    self._handler = None
                self._line_is_free = False

    def take_line(self):
        """Return the line of the terminal; None if there is none, or another fit uses it."""
        with self._lock:
            free, self._line_is_free = self._line_is_free, False
            return self._handler if free else None

    def give_line_back(self):
        """Make the line available to other fits."""
        with self._lock:
            self._line_is_free = True


AUDIENCE = Audience()


@contextmanager
def audible(verbose):
    """Show INFO messages during the context."""
    if not verbose:
        yield
        return
    AUDIENCE.join()
    try:
        yield
    finally:
        AUDIENCE.leave()


class Report:
    """The progress report of a fit, as a context manager.

    On a terminal with ``verbose=1`` it is a changing line; otherwise it consists of messages.

    Parameters
    ----------
    estimator : estimator
    """

    def __init__(self, estimator):
        self._name, self._verbose = type(estimator).__name__, estimator.verbose
        self._every = 1 if self._verbose > 1 else max(1, estimator.max_iter // 10)
        self._began = monotonic()

    def __enter__(self):
        self._line, self._last = (AUDIENCE.take_line() if self._verbose == 1 else None), -math.inf
        return self

    def __exit__(self, *exception):
        if self._line is not None:
            self._line.erase()
            AUDIENCE.give_line_back()

    def pause(self):
        """Clear the line for other output."""
        if self._line is not None:
            self._line.erase()
            self._last = -math.inf

    def iteration(self, what, state, n_candidates, n_iter, seconds_left):
        """Report an iteration of the training of `what`, which takes at most `n_iter`.

        `seconds_left` is the longest time that the fit may still take.
        """
        number, now = int(state.n_iter.max()), monotonic()
        if self._line is not None:
            if now - self._last < PAUSE:
                return
            self._last = now
        elif number % self._every:
            return
        losses = _losses(*_best_running(state, n_candidates))
        running = f"{len(state.running)}/{len(state.n_iter)} networks running"
        times = f"{duration(now - self._began)}, at most {duration(seconds_left)} left"
        text = f"iteration {number}/{n_iter}: {losses}, {running}, {times}"
        if self._line is None:
            logger.info("%s%s", _prefix(self._name, what), text)
        else:
            short = text.removeprefix("iteration ").replace(" loss ", " ").replace(" networks", "")
            self._line.show(_prefix(self._name, what) + text, text, short)

    def end(self, what, training, n_candidates):
        """Report how training ended: for each network with ``verbose=2``, and for all together."""
        prefix = _prefix(self._name, what)
        if self._verbose > 1:
            each = (training.reason, training.n_iter, training.J, training.held_out)
            for k, (reason, n_iter, *losses) in enumerate(zip(*each, strict=True)):
                text = f"network {k} ended ({reason}) after {n_iter} iterations: {_losses(*losses)}"
                logger.info("%s%s", prefix, text)
        counts = Counter(training.reason.tolist()).most_common()
        how = ", ".join(f"{number} {reason}" for reason, number in counts)
        begun = training.reason != NOT_BEGUN
        losses = _losses(*_best(training.J[begun], training.held_out[begun], n_candidates))
        took, n_iter = duration(monotonic() - self._began), training.n_iter.max()
        iterations = "1 iteration" if n_iter == 1 else f"{n_iter} iterations"
        text = f"ended after {took} and {iterations} (networks: {how}): {losses}"
        logger.info("%s%s", prefix, text)


def _prefix(name, what):
    """Return the beginning of a message."""
    return f"{name}, {what}: " if what else f"{name} "


def _best_running(state, n_candidates):
    """Return objective and held-out loss of the best candidate in training, if there is one."""
    losses = state.best_held_out if state.judged else state.best_J
    runs = np.zeros(len(losses), dtype=bool)
    runs[state.running if len(state.running) else slice(None)] = True
    of_candidates = runs.reshape(n_candidates, -1).any(axis=1)
    return _best(state.J, state.held_out, n_candidates, losses, of_candidates)


def _best(J, held_out, n_candidates, losses=None, eligible=True):
    """Return the means of objective and held-out loss over the networks of the best candidate.

    The best candidate has the lowest mean of `losses`, by default of the held-out loss if there is
    one, otherwise of the objective.
    """
    if losses is None:
        losses = J if np.isnan(held_out).all() else held_out
    with quiet():
        J, held_out, mean = (
            part.reshape(n_candidates, -1).mean(axis=1) for part in (J, held_out, losses)
        )
    k = np.argmin(np.where(eligible & ~np.isnan(mean), mean, np.inf))
    return J[k], held_out[k]


def _losses(J, held_out):
    """Return the objective, and the held-out loss if there is one."""
    if math.isnan(held_out):
        return f"objective {J:.4g}"
    return f"objective {J:.4g}, held-out loss {held_out:.4g}"


def duration(seconds):
    """A time in words."""
    if seconds < 99.5:
        return f"{seconds:.{1 if seconds < 9.95 else 0}f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"
