"""The warnings of `fit`."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning

from ._collapse import cause_of_collapse
from .engine.arrays import to_host
from .engine.training import MAX_ITER, MAX_TIME, SLOW, STALLED

# A warning is about what the caller of these packages did, so it points there.
INSIDE = tuple(str(Path(of_package).parent) + os.sep for of_package in (__file__, sklearn.__file__))


def _warn(message, category=ConvergenceWarning):
    """Warn, and point at the first line of the call stack that is neither ours nor sklearn's."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(INSIDE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def warn_of_other_splits():
    """Warn that networks may have been trained on samples that are now held out."""
    _warn(
        "warm_start=True goes on with other samples or other splits than before, or after splits "
        "that only chose: networks may have been trained on samples that are now held out, and "
        "oof_score_ is then too high. Set warm_start=False to start afresh.",
        UserWarning,
    )


def warn_of_an_unfinished_refit(max_time):
    """Warn that the networks of the splits are kept."""
    _warn(
        f"max_time={max_time} was up before the networks were trained on all samples. Those that "
        "were trained on the splits of cv are kept. Increase max_time.",
        ConvergenceWarning,
    )


def warn_of_idle_parameters(idle):
    """Warn about parameters that were set and have no effect, each with the reason."""
    for parameter, reason in idle.items():
        _warn(f"{parameter} has no effect here: {reason}.", UserWarning)


def warn_that_nothing_is_held_out(reason):
    """Warn that no samples are held out."""
    _warn(
        f"{reason} All networks are trained on all samples, as with cv=None.",
        UserWarning,
    )


def warn_of_classes_not_judged(classes):
    """Warn that the out-of-fold results leave out some classes."""
    shown = ", ".join(map(repr, classes[:5])) + (", …" if len(classes) > 5 else "")
    _warn(
        f"oof_score_ is NaN, because no sample of {_counted(classes)} is held out and judged: "
        f"{shown}. A class cannot be held out if it has one sample or is in one group only, or if "
        "the splits of cv leave it out.",
        UserWarning,
    )


def _counted(classes):
    return "1 class" if len(classes) == 1 else f"{len(classes)} classes"


def warn_unless_converged(estimator, solver, n_left_out=0):
    """Warn about networks that were left out, and about problems of at least half of the others."""
    reasons = np.array(estimator.stop_reason_)
    if _common(reasons == MAX_ITER):
        _warn(
            f"Training ended at max_iter={estimator.max_iter} before the objective settled "
            f"(tol={estimator.tol}). Increase max_iter or tol, or scale the data."
        )
    if n_left_out:
        _warn(
            f"max_time={estimator.max_time} was up before {n_left_out} networks had begun, which "
            "are left out. Increase max_time, or train fewer networks with a smaller cv or "
            "n_restarts."
        )
    elif _common(reasons == MAX_TIME):
        _warn(
            f"Training ended at max_time={estimator.max_time} before the objective settled "
            f"(tol={estimator.tol}); the best iterate of every network is kept. Increase max_time "
            "or tol, or scale the data."
        )
    for reason in (SLOW, STALLED):
        if _common(reasons == reason):
            least = estimator.network_n_iter_[reasons == reason].min()
            _warn(
                f"Training ended after {least} iterations ({reason}): the gradient is large, "
                "but only tiny steps lower the objective, or none. Scale X, for example with "
                "StandardScaler, or take a smaller h, or a smooth activation"
                f"{estimator._more_advice(solver)}."
            )


def warn_unless_learned(estimator, data, went_on, validation_was_given):
    """Warn if nothing was learned, with the cause if it is known."""
    loss, best = to_host(estimator.loss_).mean(), np.ones(1)
    if hasattr(estimator, "candidates_"):
        kept = estimator.candidates_["weight"] > 0
        curve = to_host(estimator.validation_curve_)[kept]
        curve = curve[~np.isnan(curve).all(axis=-1)]  # some may not have begun
        best = np.where(np.isnan(curve), np.inf, curve).argmin(axis=-1)
        if not estimator._by_score:
            losses, weights = (
                estimator.candidates_[name][kept] for name in ("validation_loss", "weight")
            )
            loss = losses @ weights
    constant = (data.targets == data.targets[0]).all()
    if cause := cause_of_collapse(estimator, data, loss):
        message = f"The model is hardly better than a constant, since {cause}."
    elif went_on or constant or not _common(best == 0):
        return
    elif estimator._by_score:
        message = (
            f"According to scoring={estimator.scoring!r}, no iterate was better than the start: "
            "training did not help on the held-out samples, or the predictions have no score."
        )
    else:
        message = (
            "The held-out loss was lowest before training: training did not help on the held-out "
            "samples."
        )
        if validation_was_given:
            message += " Is X_val scaled like X?"
    _warn(message, ConvergenceWarning)


def _common(mask):
    """Whether at least half of the networks have the property."""
    return 2 * np.sum(mask) >= np.size(mask)
