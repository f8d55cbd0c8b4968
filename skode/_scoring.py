"""A score in place of the loss, to choose among iterates and candidates by."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer

from .engine.arrays import placed, quiet, to_host
from .engine.prediction import mean_outputs


class ClassesSaid(ClassifierMixin, BaseEstimator):
    """What networks say of samples, as a fitted classifier that a scorer can ask.

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


class NumbersSaid(RegressorMixin, BaseEstimator):
    """What networks say of samples, as a fitted regressor that a scorer can ask.

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


def negative_score(scoring, said, y, weights):
    """How bad the predictions of samples are, by a scorer: the lower, the better.

    Parameters
    ----------
    scoring : str or callable (estimator, X, y) -> float
    said : ClassesSaid or NumbersSaid
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Labels, or targets in their units.
    weights : ndarray of shape (n_samples,)
        A scorer is given them if it has a name, and they are not all the same.

    Returns
    -------
    float
        Infinite where the score is NaN.

    Raises
    ------
    ValueError
        If the score is no number.
    """
    options = {}
    if isinstance(scoring, str):
        scoring = get_scorer(scoring)
        if np.ptp(weights):
            options["sample_weight"] = weights
    with warnings.catch_warnings():  # a network may name one class alone, for a while
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        score = scoring(said, np.zeros((len(y), 1)), y, **options)
    if np.ndim(score) or not np.isreal(score):
        raise ValueError(f"scoring must give one number; it gave {score!r}.")
    return np.inf if np.isnan(score) else -float(score)


class Judge:
    """What an objective has in place of the held-out loss.

    Parameters
    ----------
    scoring : str or callable
    said : callable (array) -> ClassesSaid or NumbersSaid
        Of what `mean_outputs` gives for samples.
    data : Data
        Samples, in the columns that the networks see.
    splits : Splits
    """

    def __init__(self, scoring, said, data, splits):
        self._scoring, self._said, self._data, self._splits = scoring, said, data, splits
        self._held_out = cache(self._held_out_by)

    def _held_out_by(self, split):
        """The features, the targets and the weights of the samples that the split holds out."""
        data, rows = self._data, self._splits.rows(split)
        rows = rows[data.given_weights[rows] > 0]
        return data.features(rows), data.y[rows], data.given_weights[rows]

    def __call__(self, problem, flat, split):
        """The negative scores of networks, (members,); infinite where there is no score.

        `split`, (members,), is the split of each of them.
        """
        found = np.full(flat.shape[0], np.inf)
        with quiet():
            for k, s in enumerate(to_host(split).tolist()):
                X, y, weights = self._held_out(s)
                U = problem.layout.views(flat[k : k + 1, :])
                said = to_host(mean_outputs(problem.network, problem.loss, U, X))
                if np.isfinite(said).all():
                    found[k] = negative_score(self._scoring, self._said(said), y, weights)
        return placed(found, flat)
