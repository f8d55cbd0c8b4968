"""The choice of held-out samples: from `cv` and related parameters to splits."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from numbers import Integral

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

from ._copies import units_of_equal_rows
from ._sparse import matrix
from ._splits import Splits
from ._warnings import warn_that_nothing_is_held_out
from .engine.sparse_rows import SparseRows

__all__ = ["choose_splits", "validation_split"]

FOLDS = 8  # by default
SAMPLES = 10_000  # of all default splits together
FEWEST = 3  # splits at least, unless all of them together have more than MOST_SAMPLES
MOST_SAMPLES = 120_000  # of all splits together; but there is at least one split
# By whether there are classes, and whether there are groups.
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
HUGE = 10**6  # samples, above which scikit-learn's stratified splitter needs too much memory
COPIES = 0.5  # of a fold: more equal rows than this are a coincidence, not copies
JUDGED = 0.5  # of the classes and of the weight: if less can be held out, nothing is


def choose_splits(estimator, data, groups, seed):
    """Return the splits for the estimator's `cv`, or None if nothing is held out.

    No network is validated on a class that it was not trained on.  If a split lacks a class in
    training, or a splitter does not hold out all samples equally often, the splits are only used to
    choose, and the networks are then trained on all samples.
    """
    cv = estimator.cv
    if cv is None and not estimator.early_stopping:
        return None
    own = cv is None or isinstance(cv, str | Integral)
    if own:
        cv = _own_splits(estimator, data, groups, seed)
        if cv is None:
            return None
    elif hasattr(cv, "split"):
        X = matrix(data.X) if isinstance(data.X, SparseRows) else data.X
        cv = cv.split(X, data.y, groups)
    splits = Splits.from_indices(cv, len(data))
    splits.check(data.weights)
    judged, complete = splits.judged_where_known(data.weights, data.codes)
    if not len(judged):
        raise ValueError(
            "Every split of cv leaves all classes out of training that it holds out. Take "
            "stratified splits, such as cv=5 or StratifiedKFold."
        )
    times = splits.times_held_out()[data.weights > 0]
    fair = own or times.min() == times.max()
    return replace(judged, refit=not (fair and complete))


def _own_splits(estimator, data, groups, seed):
    """Return both sides of the splits of "auto", of a number of folds, or of early stopping.

    Units, which are groups or the copies of a row, are not divided.  Units with a class that no
    other unit has are used for training in every split.
    """
    used = np.flatnonzero(data.weights > 0)  # so that a weight of 0 is like leaving a sample out
    codes = None if data.codes is None else data.codes[used]
    if groups is None:
        n_folds = estimator.cv if isinstance(estimator.cv, Integral) else FOLDS
        first, unit = units_of_equal_rows(data.X, used, COPIES * len(used) / n_folds)
    else:
        groups = groups[used]
        _, first, unit = np.unique(groups, return_index=True, return_inverse=True)
    free = ~_has_a_class_alone(codes, unit, len(first))
    if not _enough(free, unit, codes, data.weights[used]):
        kind = "sample" if groups is None else "group"
        message = (
            f"cv={estimator.cv!r} can hold nothing out of n_samples={len(used)}: there are fewer "
            f"than two {kind}s to hold out, or more than half of the classes, or of the weight, "
            f"cannot be held out, because a class has only one {kind}."
        )
        if isinstance(estimator.cv, Integral):
            raise ValueError(message)
        warn_that_nothing_is_held_out(message)
        return None
    # One row represents its copies; a splitter of groups gets all rows.
    rows = first[free] if groups is None else np.flatnonzero(free[unit])
    codes, groups = (part if part is None else part[rows] for part in (codes, groups))
    n_made = n_default_splits(len(used)) if estimator.cv == "auto" else None
    split, n_splits = np.full(len(first), -1), 0  # the split that holds out each unit
    for held_out in islice(_held_out(estimator, len(rows), codes, groups, seed, n_made), n_made):
        split[unit[rows[held_out]]] = n_splits
        n_splits += 1
    split = split[unit]
    return [(used[split != k], used[split == k]) for k in range(n_splits)]


def _has_a_class_alone(codes, unit, n_units):
    """Return a mask of the units with a class that no other unit has."""
    if codes is None:
        return np.zeros(n_units, dtype=bool)
    pairs = np.unique(codes * np.int64(n_units) + unit)
    code, of_unit = pairs // n_units, pairs % n_units
    return np.isin(np.arange(n_units), of_unit[np.bincount(code)[code] == 1])


def _enough(free, unit, codes, weights):
    """Whether enough of the classes and of the weight can be split."""
    some = free[unit]
    if np.count_nonzero(free) < 2 or weights[some].sum() < JUDGED * weights.sum():
        return False
    return codes is None or len(np.unique(codes[some])) >= JUDGED * len(np.unique(codes))


def _held_out(estimator, m, codes, groups, seed, n_made):
    """Yield, for each split, the indices of the held-out ones of m rows.

    With "auto", only the first `n_made` splits are used.  Groups are kept together, and classes in
    proportion.  A class with fewer samples than there are folds has at most one of them in each.
    """
    if estimator.cv is None:
        yield _one_share(estimator, m, codes, groups, seed)
        return
    most, of_what = m, "samples to hold out"
    if groups is not None:
        most, of_what = len(np.unique(groups)), "groups to hold out"
    rare = np.zeros(m, dtype=bool)
    if codes is not None:
        count = np.bincount(codes)
        if count.max() < most:
            most, of_what = count.max(), "samples of the largest class"
    n_folds = min(FOLDS, most) if estimator.cv == "auto" else estimator.cv
    if n_folds > most:
        copies = "" if groups is not None else ", where copies of a row count once"
        raise ValueError(
            f"cv={n_folds} cannot be greater than the number of {of_what}{copies}: {most}."
        )
    if codes is not None:
        rare = count[codes] < n_folds
        if groups is not None:  # groups determine the split of samples of rare classes
            codes, rare = np.where(rare, count.argmax(), codes), np.zeros(m, dtype=bool)
    shuffle = {}  # the default of scikit-learn for a number of folds
    order = np.flatnonzero(rare)
    if estimator.cv == "auto":
        shuffle = {"shuffle": True, "random_state": seed}
        order = np.random.RandomState(seed).permutation(order)
    if codes is not None:
        order = order[np.argsort(codes[order], kind="stable")]
    dealt = np.arange(len(order)) % min(n_folds, max(2, n_made or n_folds))
    others = np.flatnonzero(~rare)
    codes, groups = (part if part is None else part[others] for part in (codes, groups))
    if shuffle and groups is None and codes is not None and len(others) > HUGE:
        yield np.append(others[_an_eighth(codes, seed)], order[dealt == 0])
        return
    splitter = K_FOLD[codes is not None, groups is not None](n_folds, **shuffle)
    splits = splitter.split(np.zeros((len(others), 1)), codes, groups)
    for k, (_, held_out) in enumerate(splits):
        yield np.append(others[held_out], order[dealt == k])


def _an_eighth(codes, seed):
    """Return the held-out rows of one split of `StratifiedKFold`, with a quarter of its memory."""
    rng = np.random.RandomState(seed)
    rows = [np.flatnonzero(codes == k) for k in np.flatnonzero(np.bincount(codes))]
    return np.concatenate([rng.choice(some, len(some) // FOLDS, replace=False) for some in rows])


def _one_share(estimator, m, codes, groups, seed):
    """Return the share of m rows that early stopping holds out."""
    units, fewest, kind = m, 1, "samples"
    if groups is not None:
        units, kind = len(np.unique(groups)), "groups"
    elif codes is not None:  # each class has to be on both sides
        count = np.bincount(codes)
        codes = np.where(count[codes] < 2, count.argmax(), codes)
        fewest = len(np.unique(codes))
    n_held_out = max(int(np.ceil(estimator.validation_fraction * units)), fewest)
    if units - n_held_out < fewest:
        raise ValueError(
            f"validation_fraction={estimator.validation_fraction} holds out {n_held_out} of {units}"
            f" {kind}, and what is left is too little to train on. Take a smaller fraction."
        )
    splitter = ONE_SPLIT[codes is not None, groups is not None]
    splits = splitter(1, test_size=n_held_out, random_state=seed)
    return next(splits.split(np.zeros((m, 1)), codes, groups))[1]


def n_default_splits(n_samples):
    """Return how many of the eight splits of ``cv="auto"`` are made, by the number of samples."""
    fewest = min(FEWEST, max(1, MOST_SAMPLES // n_samples))
    return min(FOLDS, max(fewest, SAMPLES // n_samples))


def validation_split(n_samples, n_validation):
    """Return one split that holds out the last samples."""
    train, held_out = np.arange(n_samples), n_samples + np.arange(n_validation)
    return Splits.from_indices([(train, held_out)], n_samples + n_validation)
