"""Two lines that an activation stays between on an interval.

The lower line is as high as is simple to compute, and the upper one as low: chords on the side to
which the function curves, and tangents on the other.  Every line is moved outwards by far more than
its rounding error.

Reference: Zhang, Weng, Chen, Hsieh, Daniel, "Efficient neural network robustness certification with
general activation functions" (NeurIPS 2018).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..engine.activations import IDENTITY, RELU, SOFTPLUS, TANH

BISECTIONS = 24
NARROW = 1e-6  # intervals on which a chord would mostly be rounding
ROUNDING = 1e-13  # times the size of the interval's ends: far above the rounding error of a line


class Lines(NamedTuple):
    """lower_slope x + lower_at ≤ σ(x) ≤ upper_slope x + upper_at, entry by entry."""

    lower_slope: np.ndarray
    lower_at: np.ndarray
    upper_slope: np.ndarray
    upper_at: np.ndarray


def lines_of(activation, low, high):
    """The lines of an activation on intervals [low, high], (samples, channels)."""
    half = (low.shape[1] + 1) // 2
    first, second = (OF_CODE[code] for code in activation.codes)
    with np.errstate(over="ignore", invalid="ignore"):
        if first is second:
            found = first(low, high)
        else:
            halves = first(low[:, :half], high[:, :half]), second(low[:, half:], high[:, half:])
            found = Lines(*(np.concatenate(both, axis=1) for both in zip(*halves, strict=True)))
        slack = ROUNDING * (1 + np.abs(low) + np.abs(high))
        return found._replace(lower_at=found.lower_at - slack, upper_at=found.upper_at + slack)


def _identity(low, high):
    one, zero = np.ones_like(low), np.zeros_like(low)
    return Lines(one, zero, one, zero)


def _relu(low, high):
    upper_slope, upper_at = _chord(
        lambda x: np.maximum(x, 0), lambda x: x > 0, low, high, np.maximum
    )
    # Below a kink, the better of the two lines σ = 0 and σ = x.
    lower_slope = (high > -low).astype(float)
    return Lines(lower_slope, np.zeros_like(low), upper_slope, upper_at)


def _softplus(low, high):
    middle = (low + high) / 2
    slope = _logistic(middle)
    upper_slope, upper_at = _chord(_softplus_value, _logistic, low, high, np.maximum)
    return Lines(slope, _softplus_value(middle) - slope * middle, upper_slope, upper_at)


def _softplus_value(x):
    return np.logaddexp(x, 0.0)


def _logistic(x):
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def _chord(function, derivative, low, high, outer):
    """Slope and constant of the chord; `outer` chooses the constant that is on the safe side.

    A convex function is below every line through which both ends are not above it, whatever the
    slope.
    """
    narrow = high - low < NARROW
    width = np.where(narrow, 1.0, high - low)
    slope = (function(high) - function(low)) / width
    slope = np.where(narrow, derivative((low + high) / 2), np.clip(slope, 0.0, 1.0))
    return slope, outer(function(low) - slope * low, function(high) - slope * high)


def _tanh(low, high):
    upper = _tanh_upper(low, high)
    lower_slope, minus_lower_at = _tanh_upper(-high, -low)  # tanh is odd
    return Lines(lower_slope, -minus_lower_at, *upper)


def _tanh_upper(low, high):
    """Slope and constant of a line above tanh, which is convex below 0 and concave above."""
    chord_slope, chord_at = _chord(np.tanh, _tanh_slope, low, high, np.maximum)
    at = np.maximum((low + high) / 2, 0.0)  # where the tangent touches: on concave intervals
    crossing = (low < 0) & (high > 0)
    # The tangent at a point d ≥ 0 is above tanh at `low`, and so everywhere, if d is large enough.
    by_tangent = (low >= 0) | (crossing & (_above(high, low) > 0))
    some = crossing & by_tangent
    if some.any():
        start, near, far = low[some], np.zeros(some.sum()), high[some]
        for _ in range(BISECTIONS):
            middle = (near + far) / 2
            enough = _above(middle, start) > 0
            near, far = np.where(enough, near, middle), np.where(enough, middle, far)
        at[some] = far
    slope = _tanh_slope(at)
    slope = np.where(by_tangent, slope, chord_slope)
    return slope, np.where(by_tangent, np.tanh(at) - slope * at, chord_at)


def _tanh_slope(x):
    return 1.0 - np.tanh(x) ** 2


def _above(d, x):
    """How far the tangent of tanh at d is above tanh at x."""
    return np.tanh(d) + _tanh_slope(d) * (x - d) - np.tanh(x)


def lines_of_clipping(bottom, top, low, high):
    """The lines of min(max(x, bottom), top) on intervals [low, high]."""

    def clipped(x):
        return np.minimum(np.maximum(x, bottom), top)

    with np.errstate(invalid="ignore", divide="ignore"):
        rise = clipped(high) - clipped(low)
        chord = np.where(high > low, rise / np.where(high > low, high - low, 1.0), 0.0)
        above, below = high > top, low < bottom
        kink_above = (np.minimum(top, high) - low > high - top).astype(float)
        kink_below = (high - bottom > bottom - low).astype(float)
        upper = np.where(above, np.where(below, (top - bottom) / (top - low), kink_above), chord)
        lower = np.where(
            below, np.where(above, (top - bottom) / (high - bottom), kink_below), chord
        )
        outside = (low >= top) | (high <= bottom)
        inside = ~(above | below)
        upper, lower = (
            np.where(outside, 0.0, np.where(inside, 1.0, slope)) for slope in (upper, lower)
        )
    # Both differences are linear between these points, whatever the slopes.
    points = [low, high, np.clip(bottom, low, high), np.clip(top, low, high)]
    upper_at = np.max([clipped(x) - upper * x for x in points], axis=0)
    lower_at = np.min([clipped(x) - lower * x for x in points], axis=0)
    slack = ROUNDING * (1 + np.abs(low) + np.abs(high))
    return Lines(lower, lower_at - slack, upper, upper_at + slack)


OF_CODE = {IDENTITY: _identity, TANH: _tanh, RELU: _relu, SOFTPLUS: _softplus}
