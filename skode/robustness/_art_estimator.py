"""An estimator of the Adversarial Robustness Toolbox (ART). This module imports ART."""

from __future__ import annotations

import numpy as np
from art.estimators.classification.classifier import ClassGradientsMixin, ClassifierMixin
from art.estimators.estimator import BaseEstimator, LossGradientsMixin

from ._losses import LOSSES

REDUCTIONS = {"none": lambda values: values, "mean": np.mean, "sum": np.sum}


class SkodeClassifier(ClassGradientsMixin, ClassifierMixin, LossGradientsMixin, BaseEstimator):
    """A fitted classifier as ART's attacks see it; see `art_classifier`.

    Parameters
    ----------
    classifier : AttackedClassifier
    output : {"log_proba", "proba"}
    loss : {"cross_entropy", "difference_logits_ratio"}
    box : tuple of two ndarrays of shape (n_features,), or None
    """

    def __init__(self, classifier, output, loss, box):
        super().__init__(model=classifier.estimator, clip_values=box, preprocessing=None)
        self.nb_classes = classifier.n_classes
        self._classifier, self._output, self._loss = classifier, output, loss

    def __repr__(self):
        return f"art_classifier({self.model!r}, output={self._output!r}, loss={self._loss!r})"

    @property
    def input_shape(self):
        """The shape of a sample."""
        return (self._classifier.n_features,)

    def fit(self, x, y, **kwargs):
        """Raise an error, as the estimator has been fitted."""
        raise NotImplementedError("Fit the estimator of skode, and wrap it again.")

    def predict(self, x, **kwargs):
        """The logarithms of the probabilities, or these themselves, (n_samples, n_classes).

        Some attacks ask for logits by a keyword; that and the size of batches make no difference.
        """
        log_proba = self._classifier.log_proba(_numbers(x))
        return log_proba if self._output == "log_proba" else np.exp(log_proba)

    def compute_loss(self, x, y, reduction="none", **kwargs):
        """The loss of every sample, or their mean or sum."""
        values, _ = LOSSES[self._loss](self._classifier.log_proba(_numbers(x)), _codes(y))
        return REDUCTIONS[reduction](values)

    def loss_gradient(self, x, y, **kwargs):
        """The derivatives of the loss of every sample, of the shape of x."""
        codes, loss = _codes(y), LOSSES[self._loss]
        return self._classifier.derivatives(
            _numbers(x), lambda log_proba, rows: loss(log_proba.T, codes[rows])[1].T[None]
        )[0]

    def class_gradient(self, x, label=None, **kwargs):
        """The derivatives of what `predict` returns, of all classes or of some label.

        The shape is (n_samples, n_classes, n_features), or (n_samples, 1, n_features) for one
        label or a label for every sample.
        """
        chosen = self._chosen(label, len(x))

        def of_log_proba(log_proba, rows):
            slopes = chosen[:, :, rows]
            return slopes if self._output == "log_proba" else slopes * np.exp(log_proba)

        return np.moveaxis(self._classifier.derivatives(_numbers(x), of_log_proba), 0, 1)

    def _chosen(self, label, n_samples):
        """Ones where a class is differentiated, (functions, n_classes, n_samples)."""
        identity = np.eye(self.nb_classes)
        if label is None:
            return np.broadcast_to(identity[:, :, None], (*identity.shape, n_samples))
        labels = np.broadcast_to(np.asarray(label, dtype=int).ravel(), n_samples)
        return identity[:, labels][None]


def _numbers(x):
    """Points that ART gives, in double precision, as they may be single."""
    return np.asarray(x, dtype=np.float64)


def _codes(y):
    """Classes as numbers, from numbers or from rows of zeros and a one."""
    y = np.asarray(y)
    return y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.ravel().astype(int)
