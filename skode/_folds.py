"""Which samples are trained on and which are held out, split by split, from `cv` and its kin."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from numbers import Integral

import joblib
import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

from ._devices import host_values
from ._sparse import matrix
from .engine.arrays import array_library, namespace, placed, quiet, to_host
from .engine.fold_weights import FoldWeights
from .engine.sparse_rows import SparseRows

__all__ = ["Splits", "choose_splits", "validation_split"]

FOLDS = 8  # of the default
SAMPLES = 10_000  # of all its splits together
FEWEST = 3  # splits, unless all of them together have more than MOST_SAMPLES
MOST_SAMPLES = 120_000  # of all splits together; but there is one split at least
# By whether there are classes, and groups.
K_FOLD = {
    (False, False): KFold,
    (True, False): StratifiedKFold,
    (False, True): GroupKFold,
    (True, True): StratifiedGroupKFold,
}
ONE_SPLIT = {
    (False, False): ShuffleSplit,
    (True, False): StratifiedShuffleSplit,
    (False, True): GroupShuffleSplit,
    (True, True): GroupShuffleSplit,
}
HUGE = 10**6  # samples, above which scikit-learn's stratified splitter takes too much memory
CHUNK = 2**16  # samples to be hashed at a time
FEWEST_OF_A_CLASS = 3  # the samples of a smaller class are trained on in every fold


@dataclass(frozen=True)
class Splits:
    """The splits of the samples, as groups of samples that always play the same part.

    Parameters
    ----------
    group : ndarray of shape (n_samples,)
        Number of the group of each sample.
    train, held_out : ndarrays of shape (n_splits, n_groups)
        How often the samples of a group occur on either side of each split.
    """

    group: np.ndarray
    train: np.ndarray
    held_out: np.ndarray

    @classmethod
    def from_indices(cls, splits, n_samples):
        """From pairs of index arrays, or of masks."""
        group = np.zeros(n_samples, dtype=np.uint8)
        tables = np.zeros((2, 0, 1))
        for s, pair in enumerate(splits):
            tables = np.pad(tables, ((0, 0), (0, 1), (0, 0)))
            for table, side in enumerate(_as_indices(s, pair, n_samples)):
                group, old, times = _parted(group, np.bincount(side, minlength=n_samples))
                tables = tables[:, :, old]
                tables[table, s] = times
        if not tables.shape[1]:
            raise ValueError("cv gives no splits; note that an iterator gives them only once.")
        return cls(group, *tables)

    def __len__(self):
        return len(self.train)

    def rows(self, split):
        """The samples that the split holds out."""
        return np.flatnonzero(self.held_out[split, self.group])

    def fingerprint(self, X):
        """A digest of the samples and of what each of them is for."""
        if array_library(X) is not None:
            # Sums that tell values and their order, so that X stays on its device.
            xp = namespace(X)
            rows = placed(np.linspace(-1.0, 1.0, X.shape[0])[None, :], X, X.dtype)
            X = to_host(xp.stack([xp.sum(X, axis=0), xp.matmul(rows, X)[0, :]]))
        of_samples = (X.data, X.indices, X.indptr) if isinstance(X, SparseRows) else (X,)
        parts = (*of_samples, self.group, self.train, self.held_out)
        return joblib.hash([_hash_of_rows(part) for part in parts])

    def check(self, weights, codes, classes):
        """Raise unless every split has weight on both sides, and every class in training.

        `codes` are the classes of the samples as numbers, or None for regression.
        """
        n_groups, n_classes = self.train.shape[1], max(1, len(classes))
        kind = self.group
        if codes is not None:
            kind = codes * np.int64(n_groups)
            kind += self.group
        # The weight of each class in each group.
        total = np.bincount(kind, weights, n_groups * n_classes).reshape(n_classes, n_groups)
        for s in range(len(self)):
            trained, held_out = total @ self.train[s], total @ self.held_out[s]
            for share, side in ((trained, "trains on"), (held_out, "holds out")):
                if not share.sum() > 0:
                    raise ValueError(
                        f"Split {s} of cv {side} no sample with a positive sample_weight. "
                        "Take fewer folds, or other splits."
                    )
            missing = (total.sum(axis=1) > 0) & ~(trained > 0)
            if codes is not None and missing.any():
                left_out = classes[missing].tolist()[0]
                raise ValueError(
                    f"Split {s} of cv leaves class {left_out!r} out of training. "
                    "Take splits that are stratified, such as cv=5 or StratifiedKFold; "
                    "with groups, the classes have to be in several of them."
                )

    def fold_weights(self, weights, dtype, n_alphas, n_restarts):
        """The fold weights of alphas × splits × restarts; the total of each side is one."""
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
    """Hash values, row by row, whatever the layout in memory; never all of the array at once."""
    starts = range(0, array.shape[0], CHUNK)
    return [joblib.hash(np.ascontiguousarray(array[k : k + CHUNK, ...])) for k in starts]


def _parted(group, count):
    """The groups parted by the count of each sample.

    Returns the new groups, in the smallest type of integer, and for each of them the group that it
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
    """Both sides of a split as arrays of indices."""
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


def choose_splits(estimator, data, groups, seed):
    """The splits of the estimator's `cv`, or None where nothing is held out."""
    cv, codes, n_samples = estimator.cv, data.codes, len(data)
    if cv is None and not estimator.early_stopping:
        return None
    if not (cv is None or isinstance(cv, str | Integral)):
        if hasattr(cv, "split"):
            X = matrix(data.X) if isinstance(data.X, SparseRows) else data.X
            cv = cv.split(X, data.y, groups)
        return Splits.from_indices(cv, n_samples)
    used = np.flatnonzero(data.weights > 0)  # so that a weight of 0 is like leaving a sample out
    rare = np.zeros(len(used), dtype=bool)
    if codes is not None:
        rare = _rare(codes[used], groups if groups is None else groups[used])
    always, others = used[rare], used[~rare]
    codes, groups = (part if part is None else part[others] for part in (codes, groups))
    splitter = _splitter(estimator, len(others), codes, groups, seed)
    if splitter is None:
        return None
    if cv == "auto" and groups is None and codes is not None and len(others) > HUGE:
        splits = [_stratified_split(codes, seed)]
    else:
        splits = splitter.split(np.zeros((len(others), 1)), codes, groups)
    if cv == "auto":
        splits = list(islice(splits, n_default_splits(len(used))))  # and free the splitter's memory
    if len(others) < n_samples:
        splits = ((np.append(others[train], always), others[test]) for train, test in splits)
    return Splits.from_indices(splits, n_samples)


def _stratified_split(codes, seed):
    """A split like one of `StratifiedKFold`, with a quarter of its memory."""
    rng = np.random.RandomState(seed)
    held_out = np.zeros(len(codes), dtype=bool)
    for k in np.flatnonzero(np.bincount(codes)):
        rows = np.flatnonzero(codes == k)
        held_out[rng.choice(rows, len(rows) // FOLDS, replace=False)] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _rare(codes, groups):
    """The samples of classes that are too rare to hold some out, and their groups, as a mask.

    Groups that are taken out may make other classes rare.
    """
    rare = np.zeros(len(codes), dtype=bool)
    while True:
        more = np.bincount(codes, ~rare)[codes] < FEWEST_OF_A_CLASS
        if groups is not None:
            more = np.isin(groups, groups[more])
        if np.array_equal(more, rare) or groups is None:
            return more
        rare = more


def _splitter(estimator, m, codes, groups, seed):
    """The splitter of m samples, or None where they are too few to hold some out.

    It keeps groups together where there are some, and classes in proportion.
    """
    smallest = m if codes is None else np.bincount(codes)[np.unique(codes)].min(initial=m)
    if groups is not None:
        smallest = min(smallest, len(np.unique(groups)))
    if smallest < 2:
        if groups is None and not isinstance(estimator.cv, Integral):
            return None
        kind_of = "" if codes is None else f" in classes of at least {FEWEST_OF_A_CLASS}"
        by = "" if groups is None else f" and {len(np.unique(groups))} group(s)"
        raise ValueError(
            f"cv={estimator.cv!r} can hold nothing out: there are n_samples={m}{kind_of}{by}. "
            "Set cv=None and give no groups, or give more samples."
        )
    kind = (codes is not None, groups is not None)
    if estimator.cv is not None:
        shuffle = {}  # as scikit-learn has it for a number of folds
        if estimator.cv == "auto":
            shuffle = {"shuffle": True, "random_state": seed}
        n_folds = min(FOLDS if estimator.cv == "auto" else estimator.cv, smallest)
        return K_FOLD[kind](n_folds, **shuffle)
    units, fewest, kind_of = m, 1, "samples"
    if groups is not None:
        units, kind_of = len(np.unique(groups)), "groups"
    elif codes is not None:  # each class has to be on either side
        fewest = len(np.unique(codes))
    n_held_out = max(int(np.ceil(estimator.validation_fraction * units)), fewest)
    if units - n_held_out < fewest:
        raise ValueError(
            f"validation_fraction={estimator.validation_fraction} holds out {n_held_out} of {units}"
            f" {kind_of}, and what is left is too little to train on. Take a smaller fraction."
        )
    return ONE_SPLIT[kind](1, test_size=n_held_out, random_state=seed)


def n_default_splits(n_samples):
    """How many of the eight splits of ``cv="auto"`` are made, by the number of samples."""
    fewest = min(FEWEST, max(1, MOST_SAMPLES // n_samples))
    return min(FOLDS, max(fewest, SAMPLES // n_samples))


def validation_split(n_samples, n_validation):
    """One split, whose held-out samples are those that come last."""
    train, held_out = np.arange(n_samples), n_samples + np.arange(n_validation)
    return Splits.from_indices([(train, held_out)], n_samples + n_validation)
