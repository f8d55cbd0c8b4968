"""Samples whose features are mostly zero, row by row."""

from __future__ import annotations

from typing import Any

from .arrays import Array, host


class SparseRows:
    """The rows of a sparse matrix in host memory, which can be the X of `Samples`.

    The entries of row i are ``data[indptr[i] : indptr[i + 1]]``, with columns in `indices`, as
    in a CSR matrix of SciPy.  A slice of the rows shares `data` and `indices` with the original.

    Parameters
    ----------
    data : host array of shape (n_entries,)
    indices : host array of int32 of shape (n_entries,)
    indptr : host array of int64 of shape (n_rows + 1,)
    n_columns : int

    Attributes
    ----------
    like : host array
        The data, which has the library, the device and the precision of X.
    shape : tuple of int
    """

    def __init__(self, data: Array, indices: Array, indptr: Array, n_columns: int) -> None:
        self.data = self.like = data
        self.indices, self.indptr = indices, indptr
        self.shape = (len(indptr) - 1, n_columns)
        self.dtype = data.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, key: Any) -> SparseRows:
        """Return some rows, with all their columns."""
        rows = key[0] if isinstance(key, tuple) else key
        if not isinstance(rows, slice):
            return self.take(rows)
        start, stop, step = rows.indices(len(self))
        if step != 1:
            return self.take(host.arange(start, stop, step))
        indptr = self.indptr[start : max(start, stop) + 1]
        return SparseRows(self.data, self.indices, indptr, self.shape[1])

    def take(self, rows: Array, axis: int = 0, out: None = None, mode: str = "raise") -> SparseRows:
        """Return the rows with these numbers; the signature is that of NumPy's method."""
        first, number = self.indptr[rows], host.diff(self.indptr)[rows]
        indptr = host.concatenate([host.zeros(1, dtype=host.int64), host.cumsum(number)])
        places = host.arange(indptr[-1]) + host.repeat(first - indptr[:-1], number)
        return SparseRows(self.data[places], self.indices[places], indptr, self.shape[1])

    def dense(self) -> Array:
        """Return the rows as an array, (n_rows, n_columns)."""
        found = host.zeros(self.shape, dtype=self.dtype)
        row = host.repeat(host.arange(len(self)), host.diff(self.indptr))
        mine = slice(self.indptr[0], self.indptr[-1])
        found[row, self.indices[mine]] = self.data[mine]
        return found
