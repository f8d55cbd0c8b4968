"""A fitted classifier as attacks see it: a function of rows of numbers in the user's units."""

from __future__ import annotations

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_array
from sklearn.utils.validation import _check_feature_names, check_consistent_length

from .._devices import host_values
from ..inspection._input_gradients import Derivatives
from ..inspection._pipelines import first_step, network_of, steps_before, transformed


class AttackedClassifier:
    """A classifier of skode, or a pipeline that ends in one, as functions of an array of floats.

    Classes are numbers 0, 1, … in the order of `classes_`.

    Parameters
    ----------
    estimator : classifier of skode or Pipeline
        Fitted.

    Raises
    ------
    NotFittedError
        If it has not been fitted.
    TypeError
        If it is no classifier of skode, or one of several labels.
    """

    def __init__(self, estimator):
        self.estimator = estimator
        self.network = network_of(estimator)
        if not is_classifier(self.network):
            raise TypeError(f"Attacks are for classifiers; got {self.network!r}.")
        if self.network._multilabel:
            raise TypeError(
                "Attacks are for classes that exclude each other, but this "
                f"{type(self.network).__name__} was fitted to several labels per sample."
            )
        self._steps = steps_before(estimator)
        self._derivatives = Derivatives(self.network, self._steps)
        self._first = first_step(estimator)
        self._names = getattr(self._first, "feature_names_in_", None)
        self.n_features = getattr(self._first, "n_features_in_", None)  # some steps do not say
        self.n_classes = len(self.network._labels)

    def numbers(self, X):
        """X as an array of floats, (n_samples, n_features)."""
        _check_feature_names(self._first, X, reset=False)
        X = check_array(host_values(X), dtype=np.float64, input_name="X")
        if self.n_features not in (None, X.shape[1]):
            raise ValueError(
                f"X has {X.shape[1]} features, but {self.n_features} were seen in fit."
            )
        return X

    def numbers_and_codes(self, X, y):
        """X as an array of floats, and the classes as numbers."""
        X = self.numbers(X)
        y = host_values(y)
        check_consistent_length(X, y)
        return X, self.network._kind.codes(y)

    def table(self, X):
        """The array as a table with the names of the features, if the fit has seen names."""
        if self._names is None:
            return X
        import pandas as pd  # the fit was given such a table

        return pd.DataFrame(X, columns=self._names)

    def log_proba(self, X):
        """The logarithms of the probabilities of the classes, (n_samples, n_classes)."""
        return self.network.predict_log_proba(transformed(self._steps, self.table(X)))

    def codes(self, X):
        """The most probable classes, (n_samples,)."""
        return self.log_proba(X).argmax(axis=1)

    def derivatives(self, X, of_log_proba):
        """The derivatives of functions of `log_proba`, (functions, n_samples, n_features).

        `of_log_proba` is a callable (log_proba, rows) that gives the derivatives of the functions
        with respect to the logarithms of some rows, both (…, classes, samples).
        """
        return self._derivatives.of(self.table(X), of_log_proba, checked=True)
