"""Arguments of `fit`: tables of Dask, or files that the workers read."""

from __future__ import annotations

import os
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask import delayed
from dask.base import is_dask_collection

from .._devices import host_values

PART_BYTES = 2**27  # of a part of a .npy file
PARQUET, CSV, NPY = {".parquet", ".pq"}, {".csv"}, {".npy"}


class Table(NamedTuple):
    """Features on the workers, in parts.

    Parameters
    ----------
    parts : list of Delayed
        Arrays or data frames of shape (n_rows, n_columns), one after the other.
    lengths : list of int, or None
        The numbers of rows of the parts, if they are known.
    n_columns : int
    dtype : dtype
        The precision to compute in: float32 stays, everything else becomes float64.
    names : list of str, or None
        The names of the columns of a data frame.
    """

    parts: list[Any]
    lengths: list[int] | None
    n_columns: int
    dtype: Any
    names: list | None


def features(X, n_workers=1, name="X"):
    """Return a table of Dask as a `Table`, if possible with a part for each worker.

    Errors call it by its name.

    Raises
    ------
    TypeError
        If X is no table of Dask.
    ValueError
        If X has not two dimensions.
    """
    if is_frame(X):
        single = _common_type(X.dtypes) == np.float32
        names = X.columns.tolist()
        return Table(list(X.to_delayed()), None, len(names), _precision(single), names)
    if not isinstance(X, da.Array):
        raise TypeError(
            f"{name} must be an array or a data frame of Dask, or files; it is {type(X).__name__}. "
            "For data in memory, use the estimator without Dask in its name."
        )
    if X.ndim != 2:
        raise ValueError(f"Expected 2D array, got {name} of shape {X.shape}.")
    rows, known = X.shape[0], not np.isnan(X.shape[0])
    few = known and len(X.chunks[0]) < n_workers
    X = X.rechunk({0: max(1, -(-rows // n_workers)), 1: -1} if few else {1: -1})
    lengths = list(X.chunks[0]) if known else None
    single = _precision(X.dtype == np.float32)
    return Table(np.ravel(X.to_delayed()).tolist(), lengths, X.shape[1], single, None)


def _common_type(dtypes):
    """Return NumPy's common type of the columns of a data frame; None if there is none."""
    try:
        return np.result_type(*dtypes)
    except TypeError:  # a type of pandas
        return None


def _precision(single):
    return np.dtype(np.float32 if single else np.float64)


def is_frame(values):
    """Whether these are a data frame of Dask."""
    return (
        is_dask_collection(values) and hasattr(values, "columns") and hasattr(values, "npartitions")
    )


@contextmanager
def naming_missing_columns():
    """Explain errors of pandas about columns that are missing in a part of a table."""
    try:
        yield
    except KeyError as error:
        raise ValueError(
            f"A file or part has other columns than the first: {error.args[0]}. All of them must "
            "have the same columns."
        ) from error


def on_host(client, values):
    """Return labels, weights or groups in the memory of this process."""
    if not is_dask_collection(values):
        return values
    if isinstance(values, da.Array) and values.ndim > 1:
        values = values.rechunk(dict.fromkeys(range(1, values.ndim), -1))
    parts = client.gather(client.compute(np.ravel(values.to_delayed()).tolist()))
    return np.concatenate([np.asarray(host_values(part)) for part in parts])


def opened(X, y, sample_weight, groups):
    """Return the arguments of `fit`; files and names of columns become tables of Dask."""
    if not _are_files(X):
        return X, y, sample_weight, groups
    table, rest = read(X), (y, sample_weight, groups)
    if not is_frame(table):
        return table, *(read(part) if _are_files(part) else part for part in rest)
    names = [part for part in rest if _are_files(part)]
    names = [name for part in names for name in ([part] if isinstance(part, str) else part)]
    if unknown := [name for name in names if name not in table.columns]:
        raise ValueError(
            f"The files have no column {unknown[0]!r}; they have {', '.join(table.columns)}. "
            "Labels in memory have to be an array."
        )
    return (
        table.drop(columns=names),
        *(table[_as_list(part)] if _are_files(part) else part for part in rest),
    )


def _as_list(names):
    return list(names) if isinstance(names, tuple) else names


def followed_by(table, other):
    """Join the rows of two tables; the second gets the precision of the first.

    Raises
    ------
    ValueError
        If they have other columns.
    """
    if table.names != other.names or table.n_columns != other.n_columns:
        raise ValueError(
            "X_val must have the same columns as X, and be a data frame if X is one. Columns of "
            f"X_val: {other.names or other.n_columns}; of X: {table.names or table.n_columns}."
        )
    known = table.lengths is not None and other.lengths is not None
    lengths = table.lengths + other.lengths if known else None
    return table._replace(parts=table.parts + other.parts, lengths=lengths)


def _are_files(X):
    """Whether X names files, or columns."""
    some = X if isinstance(X, list | tuple) else [X]
    return bool(some) and all(isinstance(name, str | os.PathLike) for name in some)


def read(files):
    """Return what the workers read from files, as a data frame or an array of Dask.

    Parameters
    ----------
    files : str, path or list of these
        Parquet files, or folders of them, of which each row group is a partition; CSV files; or
        ``.npy`` files, which are memory maps.

    Raises
    ------
    ValueError
        If the files are of different or unknown kinds.
    """
    files = files if isinstance(files, list | tuple) else [files]
    # Workers may have been started in another folder.
    files = [name if "://" in name else os.path.abspath(name) for name in map(os.fspath, files)]
    kinds = {".parquet" if Path(name).is_dir() else Path(name).suffix.lower() for name in files}
    if missing := [name for name in files if "*" in name and not glob(name)]:
        raise FileNotFoundError(f"There is no file {missing[0]}.")
    if kinds <= NPY:
        return da.concatenate([_mapped(name) for name in files])
    import dask.dataframe as dd

    if kinds <= PARQUET:
        return dd.read_parquet(files if len(files) > 1 else files[0], split_row_groups=True)
    if kinds <= CSV:
        return dd.read_csv(files)
    raise ValueError(
        f"The files end in {', '.join(sorted(kinds))}; they must all be .parquet, .csv or .npy. "
        "Read other files with Dask, and give its data frame."
    )


def _mapped(name):
    """Return an array whose parts are read from a ``.npy`` file by the workers."""
    X = np.load(name, mmap_mode="r")
    step = max(1, PART_BYTES // max(1, X[:1].nbytes))
    parts = [
        da.from_delayed(
            delayed(_rows_of_file)(name, start, start + step),
            (min(step, len(X) - start), *X.shape[1:]),
            X.dtype,
        )
        for start in range(0, max(1, len(X)), step)
    ]
    return da.concatenate(parts)


def _rows_of_file(name, start, stop):
    return np.load(name, mmap_mode="r")[start:stop]
