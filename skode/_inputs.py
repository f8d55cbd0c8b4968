"""Checks of the arguments of `fit` other than X and y."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils._missing import is_pandas_na
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import _check_feature_names, check_consistent_length, column_or_1d

from ._devices import host_values
from ._sparse import like_features, stacked
from .engine.arrays import array_library, contiguous, converted, namespace, placed, quiet
from .engine.elsewhere import Elsewhere
from .engine.sparse_rows import SparseRows

# Attributes for scikit-learn's callbacks, which an estimator has only during `fit`.
OF_CALLBACKS = {"_callback_fit_ctx", "_skl_callbacks_to_teardown"}


@dataclass(frozen=True)
class Data:
    """Samples for training or validation.  All but the features are host arrays.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), or `SparseRows`, `Inputs` or `Joined`
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Labels, or targets in their units.
    targets : ndarray of shape (n_samples, n_outputs)
        The targets of the network's outputs.
    weights : ndarray of shape (n_samples,)
        Weights of the samples in the losses, including class weights.
    given_weights : ndarray of shape (n_samples,)
        Weights of the samples as they were given.
    codes : ndarray of shape (n_samples,) or None
        Classes as numbers; None for regression.
    """

    X: Any
    y: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    given_weights: np.ndarray
    codes: np.ndarray | None = None

    def __len__(self):
        return self.X.shape[0]

    @property
    def precision(self):
        """The precision of the features, as a NumPy type."""
        return precision(self.X)

    @property
    def like(self):
        """An array on the device of the features."""
        return getattr(self.X, "like", self.X)

    def of_columns(self, columns):
        """Return the same samples with a slice of the features, or inputs."""
        if columns == slice(0, self.X.shape[1]):
            return self
        if hasattr(self.X, "of_columns"):
            return replace(self, X=self.X.of_columns(columns))
        return replace(self, X=contiguous(self.X[:, columns]))

    def placed(self, values):
        """Copy host values to the device of the features."""
        return placed(values, self.like)

    def features(self, rows):
        """Return the features of some samples."""
        if array_library(self.X) is None:
            return self.X[rows]
        return namespace(self.X).take(self.X, self.placed(rows), axis=0)

    def __add__(self, other):
        """Return these samples followed by the others."""
        names = [f.name for f in fields(self) if f.name != "X"]
        pairs = [(getattr(self, name), getattr(other, name)) for name in names]
        rest = (None if one is None else np.concatenate([one, two]) for one, two in pairs)
        return Data(joined(self.X, other.X), *rest)


def precision(X):
    """Return the precision of X as a NumPy type."""
    bits = np.finfo(X.dtype).bits if array_library(X) is None else namespace(X).finfo(X.dtype).bits
    return np.dtype(f"float{bits}")


def cast(array, dtype):
    """Convert to the precision of X; overflow gives infinity, which training detects."""
    with quiet():
        return array.astype(dtype)


def joined(one, two):
    """Join the rows of two arrays, or of two sparse matrices."""
    if isinstance(one, SparseRows):
        return stacked(one, two)
    if isinstance(one, Elsewhere):
        return one.followed_by(two)
    if array_library(one) is None:
        return Joined(one, two)
    return namespace(one).concat([one, two], axis=0)


class Joined:
    """The rows of one array followed by those of another; neither is copied as a whole."""

    def __init__(self, one, two):
        self._one, self._two = one, two
        self.like = getattr(one, "like", one)
        self.shape = (len(one) + len(two), one.shape[1])
        self.dtype = one.dtype

    @property
    def parts(self):
        """The two arrays."""
        return self._one, self._two

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        rows = key[0] if isinstance(key, tuple) else key  # with all columns
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        return self.take(rows)

    def of_columns(self, columns):
        """Return the same rows with some of the columns."""
        return Joined(*(_of_columns(part, columns) for part in (self._one, self._two)))

    def take(self, rows, axis=0, out=None, mode="raise"):
        """Return the rows with these numbers; the signature is that of NumPy's method."""
        cut = len(self._one)
        found = np.empty((len(rows), self.shape[1]), self.dtype)
        first = rows < cut
        found[first], found[~first] = self._one[rows[first]], self._two[rows[~first] - cut]
        return found


def _of_columns(X, columns):
    return X.of_columns(columns) if hasattr(X, "of_columns") else X[:, columns]


def validation_data(estimator, X_val, y_val, X):
    """Return `X_val`, checked like X and on its device, and `y_val` as an array of that length."""
    if X_val is None and y_val is None:
        raise ValueError("sample_weight_val was given without X_val and y_val.")
    if X_val is None or y_val is None:
        given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
        raise ValueError(f"{given} was given without {missing}; validation takes both.")
    if not isinstance(X_val, Elsewhere):  # those rows are checked where they are
        X_val = _checked_like(estimator, X_val, X)
    y_val = np.asarray(host_values(y_val))
    if len(y_val.shape) == 0 or y_val.shape[0] != X_val.shape[0]:
        raise ValueError(
            f"X_val has {X_val.shape[0]} samples, but y_val has the shape {y_val.shape}."
        )
    return X_val, y_val


def _checked_like(estimator, X_val, X):
    """Return `X_val`, checked like X and on its device."""
    _check_feature_names(estimator, X_val, reset=False)
    if array_library(X) is None or array_library(X_val) is None:
        checks = {"dtype": precision(X), "input_name": "X_val", "accept_sparse": "csr"}
        X_val = like_features(check_array(host_values(X_val), **checks), X)
    else:
        X_val = check_array(converted(X_val, X), dtype=X.dtype, input_name="X_val")
    if X_val.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X_val has {X_val.shape[1]} features, but X has {estimator.n_features_in_}."
        )
    return X_val


def checked_weights(sample_weight, X, name="sample_weight"):
    """Return the weights as float64, (n_samples,), scaled to a maximum of 1."""
    if sample_weight is None:
        return np.broadcast_to(1.0, X.shape[0])  # takes no memory
    if isinstance(sample_weight, Real):
        sample_weight = np.full(X.shape[0], sample_weight)
    weights = host_values(sample_weight)
    weights = check_array(weights, ensure_2d=False, dtype=np.float64, input_name=name)
    if weights.shape != (X.shape[0],):
        raise ValueError(f"{name}.shape == {weights.shape}, expected {(X.shape[0],)}.")
    if np.any(weights < 0):
        raise ValueError(
            f"{name} must not be negative; its least entry is {weights.min()}. "
            "Leave samples out with a weight of 0."
        )
    if not np.any(weights > 0):
        raise ValueError(f"{name} is zero for all samples; at least one must be positive.")
    return weights / weights.max()  # so that no sum can overflow


def checked_groups(groups, X):
    """Return the groups as an array of shape (n_samples,), or None."""
    if groups is None:
        return None
    groups = column_or_1d(host_values(groups))
    check_consistent_length(X, groups)
    if any(group is None or is_pandas_na(group) or group != group for group in groups.tolist()):
        raise ValueError("groups must name the group of every sample; some are None or NaN.")
    return groups


def counted(sample_weight, X):
    """Return the number of samples that checked weights represent.

    Integer weights are counts: a weight of 2 is like two samples.  With other weights, the positive
    ones are counted, since their unit is unknown.  From 2⁵³ on, every float is an integer.
    """
    if sample_weight is None or isinstance(sample_weight, Real):
        return X.shape[0]
    weights = np.asarray(host_values(sample_weight), dtype=np.float64)
    if (weights == np.floor(weights)).all() and weights.max() < 2**53:
        return weights.sum()
    return (weights > 0).sum()


def class_factors(class_weight, classes, codes, weights):
    """Return the factor of each class, (n_classes,).

    "balanced" is w / (K w_c), where w is the total weight of all samples, w_c that of the class,
    and K the number of classes.  So a weight of 2 is like two samples.
    """
    if class_weight is None:
        return np.ones(len(classes))
    if class_weight == "balanced":
        of_class = np.bincount(codes, weights, len(classes))
        with np.errstate(divide="ignore"):
            factors = weights.sum() / ((of_class > 0).sum() * of_class)
        return np.where(of_class > 0, factors, 0.0)
    factors = compute_class_weight(class_weight, classes=classes, y=classes[codes])
    if not (np.isfinite(factors) & (factors >= 0)).all():
        raise ValueError(
            f"class_weight={class_weight!r} must hold finite weights that are not negative. "
            "Leave a class out with a weight of 0."
        )
    return factors


# Fragments of the errors of NumPy and scikit-learn for text, mixed dates, and missing values.
UNPREPARED = r"could not (convert|be promoted)|^float\(\) argument|Input X(_val)? contains NaN"


@contextmanager
def naming_the_remedy(estimator):
    """Add advice to errors about text or missing values in a table."""
    try:
        yield
    except (TypeError, ValueError) as error:
        first = str(error).split("\n", 1)[0]
        if re.search(UNPREPARED, first):
            raise type(error)(
                f"{first}\nFor tables with text, categories or missing values: {estimator._remedy}"
            ) from error
        raise


@contextmanager
def unchanged_on_error(estimator):
    """Restore the attributes of the estimator if the block raises.

    The attributes that scikit-learn needs to end the callbacks stay.
    """
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        names = vars(estimator).keys() & OF_CALLBACKS
        of_callbacks = {name: vars(estimator)[name] for name in names}
        vars(estimator).clear()
        vars(estimator).update(before | of_callbacks)
        raise
