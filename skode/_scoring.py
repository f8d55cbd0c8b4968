"""Selection of iterates and candidates by a score instead of the loss."""

from __future__ import annotations

import warnings
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer

from ._joining import equal
from .engine.arrays import placed, quiet, to_host
from .engine.prediction import mean_outputs


class FixedClassifier(ClassifierMixin, BaseEstimator):
    """A fitted classifier with fixed predictions, for a scorer.

    Parameters
    ----------
    kind : Classes or Labels
    log_proba : ndarray of shape (rows, n_samples)
        Logarithms of probabilities, as `Loss.mean` gives them.
    """

    def __init__(self, kind, log_proba):
        self.kind, self.log_proba = kind, log_proba
        self.classes_ = kind.classes

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return self.kind.chosen(self.log_proba)

    def predict_proba(self, X):
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X):
        return self.kind.log_proba(self.log_proba)

    def decision_function(self, X):
        return self.kind.decision(self.log_proba)


class FixedRegressor(RegressorMixin, BaseEstimator):
    """A fitted regressor with fixed predictions, for a scorer.

    Parameters
    ----------
    predictions : ndarray of shape (n_samples,) or (n_samples, n_targets)
    """

    def __init__(self, predictions):
        self.predictions = predictions

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return self.predictions


def negative_score(scoring, estimator, y, weights):
    """Return the negative score of predictions: the lower, the better.

    Parameters
    ----------
    scoring : str or callable (estimator, X, y) -> float
    estimator : FixedClassifier or FixedRegressor
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Labels, or targets in their units.
    weights : ndarray of shape (n_samples,)
        Passed to a scorer with a name, if they are not all equal.

    Returns
    -------
    float
        Infinite if the score is NaN or the scorer raises a ValueError.

    Raises
    ------
    TypeError
        If the score is not a number.
    """
    with warnings.catch_warnings():  # early in training, a network may predict only one class
        warnings.simplefilter("ignore", UserWarning)
        try:
            score = _score(scoring, estimator, y, weights)
        except ValueError:
            return np.inf
    return np.inf if np.isnan(score) else -float(score)


def _score(scoring, estimator, y, weights):
    options = {}
    if isinstance(scoring, str):
        scoring = get_scorer(scoring)
        if np.ptp(weights):
            options["sample_weight"] = weights
    score = scoring(estimator, np.zeros((len(y), 1)), y, **options)
    if not isinstance(score, Real) or isinstance(score, bool | np.bool_):
        raise TypeError(f"scoring must give one number; it gave {score!r}.")
    return score


def why_there_is_no_score(scoring, estimator, y, weights):
    """Return why these targets cannot be scored, or None if they can.

    Parameters
    ----------
    estimator : FixedClassifier or FixedRegressor
        The best possible predictions.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            score = _score(scoring, estimator, y, weights)
        except (UserWarning, ValueError) as error:
            return str(error).split("\n", 1)[0]
    return "The score is not finite." if not np.isfinite(score) else None


class Judge:
    """A function that replaces the held-out loss of an objective by a score.

    The loss is kept for splits whose held-out samples have no score.  ROC AUC, for example, has
    none without positive samples.

    Parameters
    ----------
    scoring : str or callable
    as_estimator, truth : callable (array) -> FixedClassifier or FixedRegressor
        The first converts `mean_outputs` to predictions, the second targets to the best possible
        predictions.
    data : Data
        Samples, with the columns that the networks use.
    splits : Splits

    Raises
    ------
    ValueError
        If no split has a score.
    """

    def __init__(self, scoring, as_estimator, truth, data, splits):
        self._scoring, self._as_estimator, self._held_out = scoring, as_estimator, {}
        for s in range(len(splits)):
            rows = splits.rows(s)
            rows = rows[data.given_weights[rows] > 0]
            y, weights = data.y[rows], data.given_weights[rows]
            reason = why_there_is_no_score(scoring, truth(data, rows), y, weights)
            if reason is None:
                self._held_out[s] = data.features(rows), y, weights
        if not self._held_out:
            raise ValueError(
                f"scoring={scoring!r} gives no score for what the splits hold out: {reason}"
            )

    def __eq__(self, other):
        """Whether both score the same samples in the same way."""
        if type(other) is not Judge or self._scoring != other._scoring:
            return False
        pairs = zip(self._held_out.values(), other._held_out.values(), strict=False)
        return self._held_out.keys() == other._held_out.keys() and all(
            equal(mine[0], its[0]) and all(map(np.array_equal, mine[1:], its[1:]))
            for mine, its in pairs
        )

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, problem, flat, split, loss):
        """Return the negative scores of networks, (members,); infinite for one without a score.

        `split`, (members,), is the split of each of them, and `loss` the held-out loss.
        """
        found = to_host(loss).copy()
        with quiet():
            for k, s in enumerate(to_host(split).tolist()):
                if s not in self._held_out:
                    continue
                X, y, weights = self._held_out[s]
                U = problem.layout.views(flat[k : k + 1, :])
                outputs = to_host(mean_outputs(problem.network, problem.loss, U, X))
                found[k] = np.inf
                if np.isfinite(outputs).all():
                    found[k] = negative_score(
                        self._scoring, self._as_estimator(outputs), y, weights
                    )
        return placed(found, flat)
