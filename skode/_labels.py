"""What classifiers are asked for: one class of every sample, or any number of labels.

Both offer the same: how targets become numbers, and what logarithms of probabilities say.  These
are arrays (rows, n_samples), as `Loss.mean` gives them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import column_or_1d

from .engine.arrays import contiguous, namespace


class Classes(NamedTuple):
    """One class of every sample.

    Parameters
    ----------
    names : ndarray of shape (n_classes,)
        Their labels, sorted.
    """

    names: np.ndarray

    def __str__(self):
        return f"the classes {self.names}"

    def same_as(self, other):
        """Whether the others are the same classes."""
        return isinstance(other, Classes) and np.array_equal(self.names, other.names)

    @property
    def loss(self):
        """The name of the log-loss."""
        return "logistic" if len(self.names) == 2 else "softmax"

    @property
    def n_rows(self):
        """The number of logarithms of probabilities per sample."""
        return len(self.names)

    def codes(self, y, name="y", warn=False):
        """The places of the labels in `names`, of shape (n_samples,)."""
        if np.shape(y)[1:] not in {(), (1,)}:
            raise ValueError(f"{name} must be one column of labels; its shape is {np.shape(y)}.")
        y, names = np.asarray(column_or_1d(y, warn=warn)), self.names
        if names.dtype.kind == y.dtype.kind == "M":  # dates, maybe of two units
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
        """One column of zeros and ones for two classes, else one such column per class."""
        if len(self.names) == 2:
            return codes[:, None] == 1
        return codes[:, None] == np.arange(len(self.names))

    def log_proba(self, mean):
        """The logarithms of the probabilities of the classes, (n_samples, n_classes)."""
        return contiguous(mean.T)

    def decision(self, mean):
        """The log-odds of the second of two classes, (n_samples,), else `log_proba`."""
        return mean[1, :] - mean[0, :] if len(self.names) == 2 else self.log_proba(mean)

    @property
    def classes(self):
        """What `classes_` is."""
        return self.names

    def most_likely(self, mean):
        """The codes of the classes of the highest probability, (n_samples,)."""
        return namespace(mean).argmax(mean, axis=0)

    def chosen(self, mean):
        """The classes of the highest probability, (n_samples,), on the host."""
        return self.names[self.most_likely(mean)]

    def of_true(self, mean, codes):
        """Those of the true classes, (candidates, 1, n_samples), of what candidates say."""
        return mean[:, codes, np.arange(len(codes))][:, None, :]


class Labels(NamedTuple):
    """Any number of labels for every sample, out of `number`; each has a logistic output."""

    number: int

    def __str__(self):
        return f"{self.number} labels"

    def same_as(self, other):
        """Whether the others are as many labels."""
        return isinstance(other, Labels) and self.number == other.number

    @property
    def loss(self):
        """The name of the log-loss."""
        return "logistic"

    @property
    def n_rows(self):
        """The number of logarithms of probabilities per sample: absent, and then present."""
        return 2 * self.number

    def codes(self, y, name="y", warn=False):
        """Zeros and ones, of shape (n_samples, n_labels)."""
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
        """The same as booleans."""
        return codes == 1

    def log_proba(self, mean):
        """The logarithms of the probabilities of the labels, (n_samples, n_labels)."""
        return contiguous(mean[self.number :, :].T)

    def decision(self, mean):
        """The log-odds of the labels, (n_samples, n_labels)."""
        return contiguous((mean[self.number :, :] - mean[: self.number, :]).T)

    @property
    def classes(self):
        """What `classes_` is."""
        return np.arange(self.number)

    def chosen(self, mean):
        """Ones for labels that are more likely than not, (n_samples, n_labels), on the host."""
        return self.most_likely(mean)

    def most_likely(self, mean):
        """Ones for labels that are more likely than not, (n_samples, n_labels)."""
        xp = namespace(mean)
        return xp.astype(self.decision(mean) > 0, xp.int64)

    def of_true(self, mean, codes):
        """Those of what is true, (candidates, n_labels, n_samples), of what candidates say."""
        absent, present = mean[:, : self.number, :], mean[:, self.number :, :]
        return np.where(codes.T == 1, present, absent)
