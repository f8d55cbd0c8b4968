"""A test whether a graph has the same outputs as the model, on samples."""

from __future__ import annotations

import warnings

import numpy as np
from onnxruntime import InferenceSession
from onnxruntime.capi import onnxruntime_pybind11_state as errors
from scipy.sparse import issparse
from sklearn.base import is_regressor

ROWS = 1000
TOLERANCES = {"float32": 1e-5, "float64": 1e-10}  # larger differences are not due to rounding
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}


def compare(model, graph, X):
    """Warn if the outputs of graph and model differ for the first samples.

    Only regressors, and classifiers with probabilities, are compared.

    Raises
    ------
    ValueError
        If onnxruntime does not run the graph.
    """
    if not is_regressor(model) and not hasattr(model, "predict_proba"):
        return
    X = X.iloc[:ROWS] if hasattr(X, "iloc") else X[:ROWS]
    method = "predict" if is_regressor(model) else "predict_proba"
    expected = np.asarray(getattr(model, method)(X))
    session = _session(graph)
    results = session.run(None, _fed(session, X))
    found = results[0] if method == "predict" else _probabilities(results)
    tolerance = TOLERANCES[found.dtype.name]
    expected = expected.reshape(len(expected), -1)
    size = np.abs(expected).max(axis=0) if method == "predict" else np.ones(expected.shape[1])
    difference = np.abs(np.reshape(found, expected.shape) - expected).max(axis=0)
    if not (difference <= tolerance * np.where(size > 0, size, 1.0)).all():
        warnings.warn(
            f"to_onnx: the graph and {type(model).__name__}.{method} differ by up to "
            f"{difference.max():.1e} on X. If the graph computes in float32, dtype=np.float64 may "
            "help; else skl2onnx converts one of the steps differently.",
            UserWarning,
            stacklevel=3,
        )


def _session(graph):
    try:
        return InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    except (errors.Fail, errors.InvalidGraph, errors.NotImplemented) as error:
        raise ValueError(
            f"onnxruntime does not run the graph: {error} If that is an operation on float64, "
            "which some steps of scikit-learn need, set dtype=np.float32."
        ) from error


def _fed(session, X):
    """Return the samples as inputs of the graph: as a whole, or one input per column."""
    inputs = session.get_inputs()
    if len(inputs) == 1 and not _is_column(inputs[0], X):
        X = X.toarray() if issparse(X) else X
        return {inputs[0].name: np.asarray(X, dtype=TYPES.get(inputs[0].type))}
    # skl2onnx gives columns such as "mean radius" other names, but keeps their order.
    names = [part.name for part in inputs]
    columns = names if set(names) <= set(X.columns) else X.columns
    return {
        part.name: X[[column]].to_numpy(dtype=TYPES.get(part.type))
        for part, column in zip(inputs, columns, strict=True)
    }


def _is_column(part, X):
    return hasattr(X, "columns") and part.name in X.columns


def _probabilities(results):
    """Return the probabilities from the results of a session, with or without zipmap."""
    second = results[1]
    if isinstance(second, list):
        return np.array([list(row.values()) for row in second], dtype=np.float32)
    return second if second.ndim == 2 else np.stack(results[1:], axis=1)
