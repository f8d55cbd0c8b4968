"""What `fit` warns of."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .engine.training import INTERRUPTED, MAX_ITER, SLOW, STALLED

# The frame of the call of fit, after warn_of_other_splits, _watch, _fit, fit and its decorators.
USER = 7


def warn_of_other_splits():
    """Networks that training went on with may have known what was held out."""
    warnings.warn(
        "warm_start=True goes on with other samples or other splits than before: networks may have "
        "been trained on what is now held out, and oof_score_ then flatters. Set warm_start=False "
        "to start afresh.",
        UserWarning,
        stacklevel=USER,
    )


def warn_that_nothing_is_held_out(reason):
    """Nobody can judge the networks."""
    # One frame more: choose_splits and _own_splits, in place of _watch.
    warnings.warn(
        f"{reason} All networks are trained on all samples, as with cv=None.",
        UserWarning,
        stacklevel=USER + 1,
    )


def warn_of_classes_not_judged(classes):
    """The out-of-fold results say nothing of some classes."""
    shown = ", ".join(map(repr, classes[:5])) + (", …" if len(classes) > 5 else "")
    warnings.warn(
        f"oof_score_ is NaN, as no sample of {len(classes)} class(es) is held out and judged: "
        f"{shown}. They have one sample or are in one group alone, or the splits of cv leave them "
        "out.",
        UserWarning,
        stacklevel=USER,
    )


def warn_unless_converged(estimator, solver, training, went_on):
    """An interruption, and reasons to worry that half of the networks kept or more share."""

    def common(mask):
        return 2 * np.sum(mask) >= len(mask)

    def warn(message, category=ConvergenceWarning):
        # One frame more: this one, warn_unless_converged, _train and so on.
        warnings.warn(message, category, stacklevel=USER + 1)

    reasons = np.array(estimator.stop_reason_)
    if np.any(training.reason == INTERRUPTED):  # be it of candidates that are not kept
        warn("Training interrupted: the best iterate so far is kept.", UserWarning)
        return
    judged = hasattr(estimator, "validation_loss_")
    if judged and not went_on and common(estimator.best_iter_ == 0):
        warn(
            "The held-out loss was lowest before training: nothing that was learned serves for the "
            "samples that are held out. Is X_val scaled as X is?"
        )
    if common(reasons == MAX_ITER):
        warn(
            f"Training ended at max_iter={estimator.max_iter} before the objective settled "
            f"(tol={estimator.tol}). Increase max_iter or tol, or scale the data."
        )
    for reason in (SLOW, STALLED):
        if common(reasons == reason):
            least = estimator.n_iter_[reasons == reason].min()
            warn(
                f"Training ended after {least} iterations ({reason}): the objective is steep and "
                "yet only tiny steps lower it. Scale X, for example with StandardScaler, or take a "
                f"smaller h, or a smooth activation{estimator._more_advice(solver)}."
            )
