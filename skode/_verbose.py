"""What `verbose` reports, through the logger "skode"."""

from __future__ import annotations

import logging
from contextlib import contextmanager

logger = logging.getLogger("skode")


@contextmanager
def audible(verbose):
    """Show INFO messages on stderr for a while, unless the application has configured logging."""
    if not verbose or logger.hasHandlers():
        yield
        return
    handler, level = logging.StreamHandler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def iteration_reporter(estimator, view):
    """A callback that logs every tenth of `max_iter`, or every iteration with ``verbose=2``.

    The view of the features is named where others are trained too.
    """
    name = type(estimator).__name__
    if len(estimator.feature_map_.views) > 1:
        name += f", features {view}:"
    every = 1 if estimator.verbose > 1 else max(1, estimator.max_iter // 10)

    def report(n_iter, J):
        if n_iter % every == 0:
            logger.info("%s iteration %d: objective %.6g", name, n_iter, J)

    return report if estimator.verbose else None


def report_end(estimator, training):
    """Log how the training of each member ended."""
    if estimator.verbose:
        name = type(estimator).__name__
        for reason, n_iter, J in zip(training.reason, training.n_iter, training.J, strict=True):
            logger.info(
                "%s ended (%s) after %d iterations: objective %.6g", name, reason, n_iter, J
            )
