"""Equal rows: copies of a sample, which contain no new information."""

from __future__ import annotations

import numpy as np

from .engine.arrays import to_host
from .engine.elsewhere import Elsewhere
from .engine.sparse_rows import SparseRows

CHUNK = 2**20  # entries of X that are hashed at a time; at least one row


def units_of_equal_rows(X, used, most):
    """Group rows of X that are equal.

    Equal rows are found by a hash of 64 bits.  Among a million rows, the probability that two
    different rows have the same hash is 3e-8.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), SparseRows or Elsewhere
        Finite numbers.  Rows are read in slices, so that X is never copied as a whole.
    used : ndarray of int of shape (n_used,)
        The rows.
    most : float
        Larger groups of equal rows are considered a coincidence, for example with features of few
        values, and not copies: each of their rows is a unit.

    Returns
    -------
    first : ndarray of int of shape (n_units,)
        The first row of every unit, in ascending order, as an index into `used`.
    unit : ndarray of int of shape (n_used,)
        The unit of every row, as an index into `first`.
    """
    hashes = hashes_of_rows(X)[used]
    _, first, unit, count = np.unique(
        hashes, return_index=True, return_inverse=True, return_counts=True
    )
    rows = np.arange(len(unit))
    first_of_row = np.where(count[unit] > most, rows, first[unit])
    first = np.flatnonzero(first_of_row == rows)
    return first, np.searchsorted(first, first_of_row)


def hashes_of_rows(X, start=0):
    """Return a hash of 64 bits of every row."""
    if isinstance(X, Elsewhere):
        return np.concatenate(X.apply(hashes_of_rows))
    m, step = X.shape[0], max(1, CHUNK // max(1, X.shape[1]))
    parts = (X[k : min(k + step, m), ...] for k in range(0, m, step))
    return np.concatenate([_hashes(part) for part in parts])


def _hashes(X):
    """Return a hash of every row: Σ rⱼ bits(xⱼ) modulo 2⁶⁴, with the bits mixed before and after.

    The factors rⱼ are odd and random, so that different rows rarely have the same hash.  Zeros add
    nothing, so sparse rows have the same hashes as dense ones.
    """
    factors = np.random.RandomState(0).randint(2**63 - 1, size=X.shape[1], dtype=np.int64)
    factors = 2 * factors.astype(np.uint64) + np.uint64(1)
    if not isinstance(X, SparseRows):
        return _mixed((_bits(to_host(X)) * factors).sum(axis=1))
    mine = slice(X.indptr[0], X.indptr[-1])
    sums = np.cumsum(_bits(X.data[mine]) * factors[X.indices[mine]])
    sums = np.append(np.uint64(0), sums)[X.indptr - X.indptr[0]]
    return _mixed(np.diff(sums))


def _bits(x):
    """Return the bits of numbers as mixed integers; zero becomes zero."""
    x = np.ascontiguousarray(x, dtype=np.float64) + 0.0  # turns -0.0 into 0.0
    return _mixed(x.view(np.uint64))


def _mixed(x):
    """Spread 64 bits by a one-to-one map (the finaliser of Steele et al., SplitMix)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
