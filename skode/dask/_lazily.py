"""Predictions by blocks, computed by the workers when they are needed."""

from __future__ import annotations

from uuid import uuid4

import dask.array as da
import numpy as np
from dask import delayed

from ._tables import is_frame


def by_blocks(estimator, method, X, columns, dtype):
    """Return what a method of a fitted estimator predicts, as an array of Dask.

    Parameters
    ----------
    estimator : estimator
        It is sent to the workers.
    method : str
        The name of the method.
    X : dask array or data frame of shape (n_samples, n_features)
    columns : tuple of int
        The shape of the result for a sample.
    dtype : dtype
        The type of the result.
    """
    frame = is_frame(X)
    if not frame and X.ndim != 2:
        raise ValueError(f"Expected 2D array, got X of shape {X.shape}.")
    if not frame:
        X = X.rechunk({1: -1})
    name, model = f"skode-{method.replace('_', '-')}-{uuid4().hex}", delayed(estimator)
    lengths = X.npartitions * [np.nan] if frame else X.chunks[0]
    parts = [
        da.from_delayed(
            delayed(_predicted)(model, method, part, columns, dtype, dask_key_name=(name, k)),
            (length, *columns),
            dtype,
        )
        for k, (part, length) in enumerate(zip(np.ravel(X.to_delayed()), lengths, strict=True))
    ]
    return da.concatenate(parts)


def _predicted(estimator, method, part, columns, dtype):
    if not part.shape[0]:
        return np.empty((0, *columns), dtype)
    return getattr(estimator, method)(part)
