"""Tables of the samples on which each network is trained and validated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import joblib
import numpy as np

from ._copies import hashes_of_rows
from ._devices import host_values
from .engine.arrays import array_library, namespace, placed, quiet, to_host
from .engine.elsewhere import Elsewhere
from .engine.fold_weights import FoldWeights
from .engine.sparse_rows import SparseRows

CHUNK = 2**16  # samples that are hashed at a time


@dataclass(frozen=True)
class Splits:
    """The splits of the samples, by groups of samples with the same role in all splits.

    Parameters
    ----------
    group : ndarray of shape (n_samples,)
        Number of the group of each sample.
    train, held_out : ndarrays of shape (n_splits, n_groups)
        How often the samples of a group occur on each side of each split.
    refit : bool
        Whether the splits are only used to choose, and networks are then trained on all samples.
    """

    group: np.ndarray
    train: np.ndarray
    held_out: np.ndarray
    refit: bool = False

    @classmethod
    def from_indices(cls, splits, n_samples):
        """Create splits from pairs of index arrays, or of masks."""
        group = np.zeros(n_samples, dtype=np.uint8)
        tables = np.zeros((2, 0, 1))
        for s, pair in enumerate(splits):
            tables = np.pad(tables, ((0, 0), (0, 1), (0, 0)))
            for table, side in enumerate(_as_indices(s, pair, n_samples)):
                group, old, times = _parted(group, np.bincount(side, minlength=n_samples))
                tables = tables[:, :, old]
                tables[table, s] = times
        if not tables.shape[1]:
            raise ValueError("cv yields no splits; note that an iterator yields them only once.")
        return cls(group, *tables)

    def __len__(self):
        return len(self.train)

    def rows(self, split):
        """Return the samples that the split holds out."""
        return np.flatnonzero(self.held_out[split, self.group])

    def fingerprint(self, X):
        """Return a digest of the samples and of their roles."""
        if array_library(X) is not None:
            # Sums that depend on values and their order, so that X stays on its device.
            xp = namespace(X)
            rows = placed(np.linspace(-1.0, 1.0, X.shape[0])[None, :], X, X.dtype)
            X = to_host(xp.stack([xp.sum(X, axis=0), xp.matmul(rows, X)[0, :]]))
        if isinstance(X, Elsewhere):
            X = hashes_of_rows(X)
        of_samples = (X.data, X.indices, X.indptr) if isinstance(X, SparseRows) else (X,)
        parts = (*of_samples, self.group, self.train, self.held_out)
        return joblib.hash([_hash_of_rows(part) for part in parts])

    def judged_where_known(self, weights, codes):
        """Return these splits without held-out samples of classes that are not trained on.

        Parameters
        ----------
        weights : ndarray of shape (n_samples,)
        codes : ndarray of int of shape (n_samples,) or None
            The classes of the samples; None for regression.

        Returns
        -------
        splits : Splits
            Those splits that still hold samples out.
        complete : bool
            Whether every split trains on all classes.
        """
        if codes is None:
            return self, True
        n_groups, n_classes = self.train.shape[1], int(codes.max()) + 1
        kind = codes * np.int64(n_groups)
        kind += self.group
        # The weight of each class in each group.
        total = np.bincount(kind, weights, n_groups * n_classes).reshape(n_classes, n_groups)
        unknown = (total.sum(axis=1) > 0) & ~(self.train @ total.T > 0)  # (splits, classes)
        if not unknown.any():
            return self, True
        group, tables = self.group, np.stack([self.train, self.held_out])
        for s in np.flatnonzero(unknown.any(axis=1)):
            group, old, is_unknown = _parted(group, unknown[s, codes].astype(int))
            tables = tables[:, :, old]
            tables[1, s, is_unknown > 0] = 0
        left = tables[1] @ np.bincount(group, weights, tables.shape[2]) > 0
        return replace(self, group=group, train=tables[0, left], held_out=tables[1, left]), False

    def check(self, weights):
        """Raise unless every split has positive weight on both sides."""
        total = np.bincount(self.group, weights, self.train.shape[1])
        for table, side in ((self.train, "trains on"), (self.held_out, "holds out")):
            if (empty := np.flatnonzero(~(table @ total > 0))).size:
                raise ValueError(
                    f"Split {empty[0]} of cv {side} no sample with a positive sample_weight. "
                    "Take fewer folds, or other splits."
                )

    def times_held_out(self):
        """Return in how many splits each sample is held out, (n_samples,)."""
        return (self.held_out > 0).sum(axis=0)[self.group]

    def fold_weights(self, weights, dtype, n_alphas, n_restarts):
        """Return the fold weights of alphas × splits × restarts; each side has the total one."""
        tables, n_groups = [], self.train.shape[1]
        of_group = np.bincount(self.group, weights, n_groups)
        with quiet():
            in_dtype = np.bincount(self.group, weights.astype(dtype), n_groups)
        for table in (self.train, self.held_out):
            with quiet():
                table = (table / (table @ of_group)[:, None]).astype(dtype)
                total = table @ in_dtype
            if not np.allclose(total, 1.0, rtol=1e-2):
                raise ValueError(
                    f"sample_weight spans too many orders of magnitude for X in {dtype}: a side of "
                    "a split of cv loses its weight. Leave out what hardly counts, or take float64."
                )
            tables.append(table)
        split = np.tile(np.repeat(np.arange(len(self)), n_restarts), n_alphas)
        return FoldWeights(self.group, *tables, split)


def _hash_of_rows(array):
    """Hash an array row by row, for any memory layout, and never as a whole."""
    starts = range(0, array.shape[0], CHUNK)
    return [joblib.hash(np.ascontiguousarray(array[k : k + CHUNK, ...])) for k in starts]


def _parted(group, count):
    """Split the groups by the count of each sample.

    Return the new groups, in the smallest type of integer, and for each of them the group that it
    was part of and its count.
    """
    base = int(count.max(initial=0)) + 1
    kinds = group.astype(np.min_scalar_type(base * (int(group.max(initial=0)) + 1)))
    kinds *= base
    kinds += count.astype(kinds.dtype)
    del count
    found = np.flatnonzero(np.bincount(kinds))
    number = np.zeros(found.max(initial=0) + 1, dtype=np.min_scalar_type(len(found)))
    number[found] = np.arange(len(found))
    return number[kinds], found // base, found % base


def _as_indices(number, pair, n_samples):
    """Convert both sides of a split to index arrays."""
    message = f"Split {number} of cv must be a pair of arrays of indices or masks"
    try:
        sides = [np.asarray(host_values(side)) for side in pair]
    except (TypeError, ValueError):
        raise ValueError(f"{message}; got {pair!r}.") from None
    for k, side in enumerate(sides):
        if side.dtype == bool and side.shape == (n_samples,):
            sides[k] = np.flatnonzero(side)
        elif not side.size:
            sides[k] = np.zeros(0, dtype=np.intp)
    if len(sides) != 2 or any(side.ndim != 1 or side.dtype.kind not in "iu" for side in sides):
        raise ValueError(f"{message}; got {pair!r}.")
    for side in sides:
        if (wrong := side[(side < 0) | (side >= n_samples)]).size:
            raise ValueError(
                f"Split {number} of cv names sample {wrong[0]}, but the {n_samples} samples are "
                f"numbered from 0 to {n_samples - 1}."
            )
    return sides
