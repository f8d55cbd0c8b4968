"""Conversion of sparse features between SciPy's matrices and the engine."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array, issparse, vstack

from .engine.arrays import converted, to_host
from .engine.elsewhere import Elsewhere
from .engine.sparse_rows import SparseRows


def rows_of(X):
    """Convert validated features for the engine: sparse ones to `SparseRows`.

    Parameters
    ----------
    X : array, or sparse matrix or sparse array of SciPy in CSR format
    """
    if not issparse(X):
        return X
    if not X.has_canonical_format:  # X may be the caller's matrix, which must not change
        X = X.copy()
        X.sum_duplicates()
    return _as_rows(X)


def _as_rows(X):
    """Convert a CSR matrix in canonical format to `SparseRows`."""
    # V has a number for every column, so there are always fewer than 2³¹ columns.
    indices, indptr = X.indices.astype(np.int32, copy=False), X.indptr.astype(np.int64, copy=False)
    return SparseRows(X.data, indices, indptr, X.shape[1])


def matrix(X):
    """Convert `SparseRows` to a sparse array of SciPy."""
    mine = slice(X.indptr[0], X.indptr[-1])
    return csr_array((X.data[mine], X.indices[mine], X.indptr - mine.start), shape=X.shape)


def stacked(one, two):
    """Join the rows of two `SparseRows`."""
    return _as_rows(vstack([matrix(one), matrix(two)], format="csr"))


def like_features(X_val, X):
    """Convert validated host features, sparse or not, to the format and the device of X."""
    if isinstance(X, SparseRows):
        return rows_of(csr_array(X_val))
    return converted(X_val.toarray() if issparse(X_val) else X_val, X)


def columns_of(X):
    """Yield the columns of features one by one, as host arrays of shape (n_samples,)."""
    if isinstance(X, Elsewhere):
        for j in range(X.shape[1]):
            yield np.concatenate(X.apply(partial(_column, j)))
        return
    if not isinstance(X, SparseRows):
        yield from to_host(X).T
        return
    by_column = matrix(X).tocsc()
    for start, end in pairwise(by_column.indptr):
        column = np.zeros(len(X), X.dtype)
        column[by_column.indices[start:end]] = by_column.data[start:end]
        yield column


def _column(j, X, start):
    """Return a column of a part of the rows."""
    return to_host(X[:, j])


def gathered(X):
    """Return features as they are, or an array of those that are elsewhere."""
    return np.concatenate(X.apply(_rows)) if isinstance(X, Elsewhere) else X


def _rows(X, start):
    return to_host(X[:, :])
