"""Sparse features: from SciPy's matrices to what the engine takes, and back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array, issparse, vstack

from .engine.arrays import converted, to_host
from .engine.sparse_rows import SparseRows


def rows_of(X):
    """Validated features as the engine takes them: sparse ones as `SparseRows`, others as they are.

    Parameters
    ----------
    X : array, or sparse matrix or sparse array of SciPy in CSR format
    """
    if not issparse(X):
        return X
    if not X.has_canonical_format:  # of the user's own, maybe, who wants it as it is
        X = X.copy()
        X.sum_duplicates()
    return _as_rows(X)


def _as_rows(X):
    """A CSR matrix in canonical format as `SparseRows`."""
    # V has a number for every column, so that there are never as many as 2³¹.
    indices, indptr = X.indices.astype(np.int32, copy=False), X.indptr.astype(np.int64, copy=False)
    return SparseRows(X.data, indices, indptr, X.shape[1])


def matrix(X):
    """`SparseRows` as a sparse array of SciPy."""
    mine = slice(X.indptr[0], X.indptr[-1])
    return csr_array((X.data[mine], X.indices[mine], X.indptr - mine.start), shape=X.shape)


def stacked(one, two):
    """The rows of two `SparseRows`."""
    return _as_rows(vstack([matrix(one), matrix(two)], format="csr"))


def like_features(X_val, X):
    """Validated features of the host, sparse or not, as those of X are and where those are."""
    if isinstance(X, SparseRows):
        return rows_of(csr_array(X_val))
    return converted(X_val.toarray() if issparse(X_val) else X_val, X)


def columns_of(X):
    """The columns of features one by one, as host arrays of shape (n_samples,)."""
    if not isinstance(X, SparseRows):
        yield from to_host(X).T
        return
    by_column = matrix(X).tocsc()
    for start, end in pairwise(by_column.indptr):
        column = np.zeros(len(X), X.dtype)
        column[by_column.indices[start:end]] = by_column.data[start:end]
        yield column
