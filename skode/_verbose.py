"""What `verbose` reports, through the logger "skode"."""

from __future__ import annotations

import logging
import math
import threading
from contextlib import contextmanager

logger = logging.getLogger("skode")


class Audience:
    """Makes the logger's INFO messages visible while somebody listens.

    They go where the application has configured logging to go, whatever level that has for others;
    to stderr where it has not.  Several fits may run side by side, in threads: the last one that
    ends puts the logger back as it was.
    """

    def __init__(self):
        self._lock, self._listening = threading.Lock(), 0
        self._handler, self._level = None, logging.NOTSET

    def join(self):
        with self._lock:
            if not self._listening:
                self._level = logger.level
                if not logger.hasHandlers():
                    self._handler = logging.StreamHandler()
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


AUDIENCE = Audience()


@contextmanager
def audible(verbose):
    """Show INFO messages for a while."""
    if not verbose:
        yield
        return
    AUDIENCE.join()
    try:
        yield
    finally:
        AUDIENCE.leave()


def iteration_reporter(estimator, view):
    """A callback that logs every tenth of `max_iter`, or every iteration with ``verbose=2``.

    The view of the features is named where others are trained too.
    """
    name = type(estimator).__name__
    if len(estimator.feature_map_.views) > 1:
        name += f", features {view}:"
    every = 1 if estimator.verbose > 1 else max(1, estimator.max_iter // 10)

    def report(n_iter, J, held_out):
        if n_iter % every == 0:
            logger.info("%s iteration %d: %s", name, n_iter, _shown(J, held_out))

    return report if estimator.verbose else None


def report_end(estimator, training):
    """Log how the training of each member ended."""
    if estimator.verbose:
        name = type(estimator).__name__
        each = (training.reason, training.n_iter, training.J, training.held_out)
        for reason, n_iter, J, held_out in zip(*each, strict=True):
            shown = _shown(J, held_out)
            logger.info("%s ended (%s) after %d iterations: %s", name, reason, n_iter, shown)


def _shown(J, held_out):
    """The objective, and the held-out loss where there is one."""
    if math.isnan(held_out):
        return f"objective {J:.6g}"
    return f"objective {J:.6g}, held-out loss {held_out:.6g}"
