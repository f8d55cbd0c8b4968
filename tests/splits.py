"""Code shared by the tests of splits: the results of `choose_splits` as counts per sample."""

from types import SimpleNamespace

import numpy as np

from skode._folds import choose_splits
from skode._inputs import Data


def chosen(cv, codes=None, n_samples=60, weights=None, groups=None, seed=0, **more):
    """Return the result of `choose_splits` for an estimator with these parameters."""
    options = {"early_stopping": False, "validation_fraction": 0.1, **more}
    weights = np.ones(n_samples if codes is None else len(codes)) if weights is None else weights
    return choose_splits(SimpleNamespace(cv=cv, **options), samples(weights, codes), groups, seed)


def samples(weights, codes=None):
    """Return data with these weights and classes."""
    m = len(weights)
    y = np.arange(m) if codes is None else np.array(list("abcdefgh"))[codes]
    return Data(np.arange(2 * m).reshape(m, 2), y, np.zeros((m, 1)), weights, weights, codes)


def counts(splits):
    """Return how often every sample is trained on and held out, (2, n_splits, n_samples)."""
    return np.stack([splits.train[:, splits.group], splits.held_out[:, splits.group]])


def counts_of(pairs, n_samples):
    return np.stack(
        [[np.bincount(pair[side], minlength=n_samples) for pair in pairs] for side in (0, 1)]
    )
