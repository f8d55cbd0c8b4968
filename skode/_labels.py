"""The target types of classifiers: one class per sample, or any number of labels.

Both classes below have the same interface: conversion of targets to numbers, and predictions from
log-probabilities.  These are arrays (rows, n_samples), as `Loss.mean` returns them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import column_or_1d

from .engine.arrays import contiguous, namespace


class Classes(NamedTuple):
    """One class per sample.

    Parameters
    ----------
    names : ndarray of shape (n_classes,)
        The class labels, sorted.
    """

    names: np.ndarray

    def __str__(self):
        return f"the classes {self.names}"

    def same_as(self, other):
        """Whether the other classes are the same."""
        return isinstance(other, Classes) and np.array_equal(self.names, other.names)

    @property
    def loss(self):
        """The name of the log-loss."""
        return "logistic" if len(self.names) == 2 else "softmax"

    @property
    def n_rows(self):
        """The number of log-probabilities per sample."""
        return len(self.names)

    def codes(self, y, name="y", warn=False):
        """Return the indices of the labels in `names`, of shape (n_samples,)."""
        if np.shape(y)[1:] not in {(), (1,)}:
            raise ValueError(f"{name} must be one column of labels; its shape is {np.shape(y)}.")
        y, names = np.asarray(column_or_1d(y, warn=warn)), self.names
        if names.dtype.kind == y.dtype.kind == "M":  # dates, possibly with different units
            unit = np.promote_types(names.dtype, y.dtype)
            names, y = names.astype(unit), y.astype(unit)
        index = {label: k for k, label in enumerate(names.tolist())}
        if new := set(y.tolist()) - index.keys():
            raise ValueError(
                f"{name} holds labels that are not among the classes {self.names}: "
                f"{', '.join(sorted(map(repr, new))[:5])}."
            )
        return np.array([index[label] for label in y.tolist()], dtype=int)

    def targets(self, codes):
        """Return a column of zeros and ones for two classes, else one such column per class."""
        if len(self.names) == 2:
            return codes[:, None] == 1
        return codes[:, None] == np.arange(len(self.names))

    def log_proba(self, mean):
        """Return the logarithms of the class probabilities, (n_samples, n_classes)."""
        return contiguous(mean.T)

    def decision(self, mean):
        """Return the log-odds of the second of two classes, (n_samples,), otherwise `log_proba`."""
        return mean[1, :] - mean[0, :] if len(self.names) == 2 else self.log_proba(mean)

    @property
    def classes(self):
        """The value of `classes_`."""
        return self.names

    def most_likely(self, mean):
        """Return the indices of the most probable classes, (n_samples,)."""
        return namespace(mean).argmax(mean, axis=0)

    def chosen(self, mean):
        """Return the most probable classes, (n_samples,), on the host."""
        return self.names[self.most_likely(mean)]

    def of_true(self, mean, codes):
        """Select the log-probabilities of the true classes, (candidates, 1, n_samples)."""
        return mean[:, codes, np.arange(len(codes))][:, None, :]


class Labels(NamedTuple):
    """Any number of labels per sample, out of `number`; each has a logistic output."""

    number: int

    def __str__(self):
        return f"{self.number} labels"

    def same_as(self, other):
        """Whether the others have the same number of labels."""
        return isinstance(other, Labels) and self.number == other.number

    @property
    def loss(self):
        """The name of the log-loss."""
        return "logistic"

    @property
    def n_rows(self):
        """The number of log-probabilities per sample: first absent, then present."""
        return 2 * self.number

    def codes(self, y, name="y", warn=False):
        """Return zeros and ones, of shape (n_samples, n_labels)."""
        y = y.toarray() if issparse(y) else np.asarray(y)
        if y.ndim != 2 or y.shape[1] != self.number:
            raise ValueError(
                f"{name} has the shape {y.shape}, but {(len(y), self.number)} is expected: one "
                "column per label."
            )
        if not np.isin(y, (0, 1)).all():
            raise ValueError(f"The columns of {name} are labels, and must hold zeros and ones.")
        return y.astype(int)

    def targets(self, codes):
        """Return the targets as booleans."""
        return codes == 1

    def log_proba(self, mean):
        """Return the logarithms of the label probabilities, (n_samples, n_labels)."""
        return contiguous(mean[self.number :, :].T)

    def decision(self, mean):
        """Return the log-odds of the labels, (n_samples, n_labels)."""
        return contiguous((mean[self.number :, :] - mean[: self.number, :]).T)

    @property
    def classes(self):
        """The value of `classes_`."""
        return np.arange(self.number)

    def chosen(self, mean):
        """Return ones for labels more likely than not, (n_samples, n_labels), on the host."""
        return self.most_likely(mean)

    def most_likely(self, mean):
        """Return ones for labels that are more likely than not, (n_samples, n_labels)."""
        xp = namespace(mean)
        return xp.astype(self.decision(mean) > 0, xp.int64)

    def of_true(self, mean, codes):
        """Select the log-probabilities of the true values, (candidates, n_labels, n_samples)."""
        absent, present = mean[:, : self.number, :], mean[:, self.number :, :]
        return np.where(codes.T == 1, present, absent)
