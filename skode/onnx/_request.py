"""Arguments for skl2onnx: the types of the inputs, and the options of classifiers."""

from __future__ import annotations

import numpy as np
from scipy.sparse import issparse
from skl2onnx.algebra.type_helper import guess_initial_types
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from .._classification import NetworkClassifier
from .._estimator import NetworkEstimator
from .._inputs import precision
from ._converters import exported_classes


def input_types(model, X, dtype):
    """Return names and types of the inputs; see `to_onnx`.

    Raises
    ------
    ValueError
        If they cannot be determined without X.
    """
    whole = isinstance(model, NetworkEstimator)
    if X is None and (not hasattr(model, "n_features_in_") or _by_columns(model)):
        raise ValueError(
            "to_onnx needs X (a few rows are enough) or initial_types, since the types of the "
            f"columns for {type(model).__name__} are unknown otherwise."
        )
    if X is None or whole:
        dtype = dtype or _precision(model, X)
        return [("X", _floats(dtype, [None, model.n_features_in_]))]
    if not hasattr(X, "columns"):
        X = X[:1].toarray() if issparse(X) else np.asarray(X)
    types = guess_initial_types(X, None)
    if dtype is None:
        return types
    given = (DoubleTensorType, FloatTensorType)
    return [
        (name, _floats(dtype, type_.shape) if isinstance(type_, given) else type_)
        for name, type_ in types
    ]


def _floats(dtype, shape):
    return (DoubleTensorType if np.dtype(dtype) == np.float64 else FloatTensorType)(shape)


def _precision(model, X):
    """Return float32 if X has this type, or if the networks were fitted to such features."""
    if X is not None:
        X = X[:1] if hasattr(X, "dtype") else np.asarray(X[:1])
        if X.dtype == np.float32:
            return np.float32
    final = last_step(model)
    return precision(final.K_) if isinstance(final, NetworkEstimator) else np.float64


def _by_columns(model):
    first = model
    while isinstance(first, Pipeline):
        first = first.steps[0][1]
    return isinstance(first, ColumnTransformer)


def last_step(model):
    """Return the estimator that a pipeline ends in, or the model itself."""
    while isinstance(model, Pipeline):
        model = model.steps[-1][1]
    return model


def options_of(model, zipmap, options):
    """Return the options of the caller, and `zipmap` for a classifier."""
    options = {key: dict(value) for key, value in (options or {}).items()}
    if is_classifier(model):
        final = last_step(model)
        if isinstance(final, NetworkClassifier) and not final._multilabel:
            exported_classes(final)  # the error of skl2onnx would be less clear
        options.setdefault(id(final), {}).setdefault("zipmap", zipmap)
    return options or None
