"""The scaling of targets in regression: their centre and scale.

Every function takes targets of shape (n_samples,) or (n_samples, n_targets) and weights of shape
(n_samples,), and returns the centre and the scale of every target.  Weights are like duplicates.
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from ._devices import host_values
from .engine.arrays import quiet

QUARTILES = 0.25, 0.5, 0.75
SAMPLE = 100_000  # targets that are enough for quartiles
INTERQUARTILE_RANGE = 1.349  # of a normal distribution with standard deviation one


def mean_and_deviation(y, weights):
    """Return mean and standard deviation; for a constant target, its value and one."""
    mean, deviation = _moments(y, weights)
    return mean, np.where(deviation > 0, deviation, 1.0)


def _moments(y, weights):
    """Return mean and standard deviation; for a constant target, its value and zero."""
    mean, used = _finite_mean(y, weights), y[weights > 0]
    largest = np.abs(used - mean).max(axis=0)
    unit = np.where(largest > 0, largest, 1.0)  # so that squares do not overflow
    deviation = unit * np.average(((used - mean) / unit) ** 2, 0, weights[weights > 0]) ** 0.5
    constant = deviation <= 10 * np.finfo(y.dtype).eps * np.abs(mean)
    # The computed mean of equal numbers may be off by rounding, which scaling would enlarge.
    return np.where(constant, used[0], mean), np.where(constant, 0.0, deviation)


def median_and_quartiles(y, weights):
    """Return median and interquartile range, scaled to the deviation of a normal distribution.

    Outliers do not change them.  If half of the samples have the same value, mean and standard
    deviation are returned instead.
    """
    mean, deviation = mean_and_deviation(y, weights)
    columns = y.reshape(len(y), -1).T
    quartiles = np.array([_quantiles(column, weights, QUARTILES) for column in columns])
    low, median, high = (part.reshape(mean.shape) for part in quartiles.T)
    spread = high / INTERQUARTILE_RANGE - low / INTERQUARTILE_RANGE
    narrow = spread <= 10 * np.finfo(y.dtype).eps * np.abs(median)
    return np.where(narrow, mean, median), np.where(narrow, deviation, spread)


def zero_and_mean(y, weights):
    """Return zero and the mean, for targets with a positive mean."""
    mean = _finite_mean(y, weights)
    if not (mean > 0).all():
        raise ValueError(
            "loss='poisson' predicts positive means, but y, or one of its columns, is zero for all "
            "samples that have a weight."
        )
    return np.zeros_like(mean), mean


class TwoPoints:
    """A summary of targets of any number: two points with the same mean and the same deviation.

    Parameters
    ----------
    units : callable
        One of the functions above that depends on these two alone.
    """

    def __init__(self, units):
        self._units, self._points, self._weights = units, [], []

    def add(self, y, weights):
        """Add targets with weights whose unit is the same every time."""
        y = _concatenated(*self._points, y)
        weights = np.concatenate([*self._weights, weights])
        mean, deviation = _moments(y, weights)
        self._points = [np.stack([mean - deviation, mean + deviation])]
        self._weights = [np.full(2, weights.sum() / 2)]

    def units(self):
        """Return centre and scale of all targets."""
        return self._units(self._points[0], self._weights[0])


class Sample:
    """A summary of targets of any number: some of those that have a weight, drawn at random.

    Parameters
    ----------
    units : callable
        One of the functions above.
    """

    def __init__(self, units):
        self._units, self._rng = units, np.random.RandomState(0)
        self._parts = []  # random numbers, targets and weights; the least random numbers are kept

    def add(self, y, weights):
        """Add targets with weights whose unit is the same every time."""
        used = weights > 0
        new = self._rng.random_sample(np.count_nonzero(used)), y[used], weights[used]
        parts = [_concatenated(*pair) for pair in zip(*self._parts, new, strict=True)]
        if len(parts[0]) > SAMPLE:
            kept = np.sort(np.argpartition(parts[0], SAMPLE)[:SAMPLE])
            parts = [part[kept] for part in parts]
        self._parts = [parts]

    def units(self):
        """Return centre and scale of all targets."""
        _, y, weights = self._parts[0]
        return self._units(y, weights / weights.max())


def refuse_dates(y, name):
    """Raise if targets are dates or durations, whose numbers depend on an unseen unit."""
    if np.asarray(host_values(y)).dtype.kind in "mM":
        raise TypeError(
            f"{name} must hold numbers, not dates or durations. Convert it, for example to days: "
            f"({name} - start) / np.timedelta64(1, 'D')."
        )


def require_counts(y, name):
    """Raise if targets are negative, which is impossible for a Poisson distribution."""
    if np.any(y < 0):
        raise ValueError(
            f"loss='poisson' needs targets that are not negative; the least entry of {name} is "
            f"{y.min()}. Take another loss."
        )


def least_poisson_loss(c):
    """Return the minimum c - c log c of the Poisson loss exp z - c z, at z = log c."""
    return c - xlogy(c, c)


def _concatenated(*parts):
    if len({part.shape[1:] for part in parts}) > 1:
        raise ValueError(
            f"y has the shape {parts[-1].shape}, but {(len(parts[-1]), *parts[0].shape[1:])} is "
            "expected, as in the blocks before."
        )
    return np.concatenate(parts)


def _finite_mean(y, weights):
    with quiet():
        mean = np.average(y, axis=0, weights=weights)
    if not np.isfinite(mean).all():
        raise ValueError("The sum of y is not finite. Give y in larger units.")
    return mean


def _quantiles(x, weights, levels):
    """Return the smallest values for which the cumulative weight reaches the levels."""
    order = np.argsort(x, kind="stable")
    share = np.cumsum(weights[order])
    # Slightly lower, so that the rounding of sums does not decide between two values.
    return x[order][np.searchsorted(share, np.array(levels) * (1 - 1e-9) * share[-1])]
