"""The units of targets in regression: what is subtracted from them, and what divides them.

Every function takes targets of shape (n_samples,) or (n_samples, n_targets) and weights of shape
(n_samples,), and gives the centre and the scale of every target.  Weights are like duplicates.
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from .engine.arrays import quiet

QUARTILES = 0.25, 0.5, 0.75
INTERQUARTILE_RANGE = 1.349  # of a normal distribution of deviation one


def mean_and_deviation(y, weights):
    """Mean and standard deviation; a value and one where a target is constant."""
    mean, used = _finite_mean(y, weights), y[weights > 0]
    largest = np.abs(used - mean).max(axis=0)
    unit = np.where(largest > 0, largest, 1.0)  # so that no square is beyond the numbers
    deviation = unit * np.average(((used - mean) / unit) ** 2, 0, weights[weights > 0]) ** 0.5
    constant = deviation <= 10 * np.finfo(y.dtype).eps * np.abs(mean)
    # The mean of equal numbers is none of them, by a rounding that training would enlarge.
    return np.where(constant, used[0], mean), np.where(constant, 1.0, deviation)


def median_and_quartiles(y, weights):
    """Median and interquartile range, the latter as that of a normal distribution is to its one.

    Outliers do not change them.  Where half of the samples have one value, these are mean and
    standard deviation.
    """
    mean, deviation = mean_and_deviation(y, weights)
    columns = y.reshape(len(y), -1).T
    quartiles = np.array([_quantiles(column, weights, QUARTILES) for column in columns])
    low, median, high = (part.reshape(mean.shape) for part in quartiles.T)
    spread = high / INTERQUARTILE_RANGE - low / INTERQUARTILE_RANGE
    narrow = spread <= 10 * np.finfo(y.dtype).eps * np.abs(median)
    return np.where(narrow, mean, median), np.where(narrow, deviation, spread)


def zero_and_mean(y, weights):
    """Zero and the mean, for targets that are positive on the average."""
    mean = _finite_mean(y, weights)
    if not (mean > 0).all():
        raise ValueError(
            "loss='poisson' predicts positive means, but y, or one of its columns, is zero for all "
            "samples that have a weight."
        )
    return np.zeros_like(mean), mean


def require_counts(y, name):
    """Raise where targets are negative, which no Poisson distribution gives."""
    if np.any(y < 0):
        raise ValueError(
            f"loss='poisson' needs targets that are not negative; the least entry of {name} is "
            f"{y.min()}. Take another loss."
        )


def least_poisson_loss(c):
    """The Poisson loss exp z - c z at its minimum z = log c, c - c log c."""
    return c - xlogy(c, c)


def _finite_mean(y, weights):
    with quiet():
        mean = np.average(y, axis=0, weights=weights)
    if not np.isfinite(mean).all():
        raise ValueError("The sum of y is not finite. Give y in larger units.")
    return mean


def _quantiles(x, weights, levels):
    """The least values that so much of the weight does not exceed."""
    order = np.argsort(x, kind="stable")
    share = np.cumsum(weights[order])
    # A little lower, so that the rounding of sums does not decide between two values.
    return x[order][np.searchsorted(share, np.array(levels) * (1 - 1e-9) * share[-1])]
