"""The chain rule through the steps of a pipeline before the network."""

from __future__ import annotations

from functools import reduce

import numpy as np
from scipy.sparse import issparse
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils import _safe_indexing
from sklearn.utils._indexing import _get_column_indices

from ._pipelines import active


def through_steps(steps, X):
    """Transform X by fitted steps, one after the other.

    Parameters
    ----------
    steps : list of (str, transformer)
        Steps that do something, see `active`.
    X : array-like or sparse matrix of shape (n_samples, n_features)

    Returns
    -------
    X : array-like or sparse matrix of shape (n_samples, n_inputs)
        The transformed X.
    pull_back : callable
        Maps derivatives with respect to the transformed X, (..., n_samples, n_inputs), to
        derivatives with respect to X, (..., n_samples, n_features).

    Raises
    ------
    TypeError
        If there is no rule for a step.
    """
    rules = []
    for _, step in steps:
        rules.append(_rule(step, X))
        X = step.transform(X)
    return X, lambda G: reduce(lambda found, rule: rule(found), reversed(rules), G)


def _rule(step, X):
    """Return the function that maps derivatives for the output of a transformer to those for X."""
    # A subclass may transform differently.
    if type(step) in (StandardScaler, RobustScaler):
        return lambda G: G if step.scale_ is None else G / step.scale_
    if type(step) is MaxAbsScaler:
        inside = _within(step, X, 1 / step.scale_, 0.0, (-1, 1))
        return lambda G: G * inside / step.scale_
    if type(step) is MinMaxScaler:
        inside = _within(step, X, step.scale_, step.min_, step.feature_range)
        return lambda G: G * inside * step.scale_
    if type(step) in (PCA, IncrementalPCA):
        return lambda G: (G / _deviations(step)) @ step.components_
    if type(step) is TruncatedSVD:
        return lambda G: G @ step.components_
    if type(step) is FunctionTransformer and step.func is None:
        return lambda G: G
    if type(step) is Pipeline:
        return through_steps(active(step.steps), X)[1]
    if type(step) is ColumnTransformer:
        return _rule_of_columns(step, X)
    raise TypeError(
        f"input_gradients has no chain rule for {step!r}. It supports StandardScaler, "
        "MinMaxScaler, MaxAbsScaler, RobustScaler, PCA, IncrementalPCA, TruncatedSVD, "
        "'passthrough', and a Pipeline or ColumnTransformer of these. Give input_gradients the "
        "part of the pipeline that follows this step, such as pipeline[1:], and X as it is there, "
        "pipeline[:1].transform(X)."
    )


def _rule_of_columns(step, X):
    parts = []
    for name, transformer, columns in step.transformers_:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        places = _get_column_indices(X, columns)
        if len(places):
            steps = active([(name, transformer)])
            rule = through_steps(steps, _safe_indexing(X, columns, axis=1))[1]
            parts.append((places, rule, step.output_indices_[name]))

    def pull_back(G):
        found = np.zeros((*G.shape[:-1], step.n_features_in_))
        for places, rule, outputs in parts:
            part = rule(G[..., outputs])
            for k, place in enumerate(places):  # a column may occur several times
                found[..., place] += part[..., k]
        return found

    return pull_back


def _within(scaler, X, scale, shift, ends):
    """Return 1 where a scaler does not clip, 0 where it does, and ½ at the ends of its range."""
    if not getattr(scaler, "clip", False):
        return 1.0
    scaled = np.asarray(X.toarray() if issparse(X) else X, dtype=np.float64) * scale + shift
    low, high = ends
    right = (low <= scaled) & (scaled < high)
    left = (low < scaled) & (scaled <= high)
    return (left / 2) + (right / 2)


def _deviations(pca):
    """Return the divisors of the components in whitening."""
    if not pca.whiten:
        return 1.0
    deviations = np.sqrt(pca.explained_variance_)
    return np.maximum(deviations, np.finfo(deviations.dtype).eps)
