"""The four toy problems of the published experiments: points in the plane, two classes.

Source: the settings of Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as optimal
control problems: models and numerical methods", Journal of Computational Dynamics 6 (2019).
"""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state, check_scalar, shuffle

__all__ = ["make_donut1d", "make_donut2d", "make_spirals", "make_squares"]

_RING_RADIUS = 0.5
_DENSITY_WIDTH = 0.1  # standard deviation of both classes' densities, across the ring
_SQUARE = 0.7  # half the side of the square


def make_donut1d(n_samples=500, *, noise=0.1, random_state=None):
    """Generate an interval of class 1 between two intervals of class 0, on a line in the plane.

    Positions lie on a grid of 100 points on [-1, 1]. A third of them, class 1, has the density
    exp(-x²/(2·0.1²)), up to a factor. The others, class 0, have exp(-(abs(x) - 0.5)²/(2·0.1²)). The
    second coordinate is zero before noise is added.

    Parameters
    ----------
    n_samples : int, default=500
        Number of points.
    noise : float, default=0.1
        Standard deviation of the normal noise on both coordinates. With the default, the
        best possible accuracy is 0.949.
    random_state : int, RandomState instance or None, default=None
        Seed of positions, noise and order.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        The points.
    y : ndarray of shape (n_samples,)
        Their labels, 0 or 1.

    Raises
    ------
    TypeError, ValueError
        If `n_samples` is not an integer >= 2 or `noise` not a finite number >= 0.

    Examples
    --------
    >>> from skode.datasets import make_donut1d
    >>> X, y = make_donut1d(random_state=0)
    >>> X.shape, y.shape
    ((500, 2), (500,))
    """
    x = np.linspace(-1, 1, 100)
    grid = np.column_stack([x, np.zeros_like(x)])
    return _donut(grid, n_samples, 3, noise, random_state)


def make_donut2d(n_samples=1000, *, noise=0.1, random_state=None):
    """Generate a disc of class 1 inside a ring of class 0.

    Positions lie on a grid of 100 x 100 points on [-1, 1]². Half of them, class 1, have the density
    exp(-r²/(2·0.1²)), up to a factor, where r is the distance from the origin. The others, class 0,
    have exp(-(r - 0.5)²/(2·0.1²)).

    Parameters
    ----------
    n_samples : int, default=1000
        Number of points.
    noise : float, default=0.1
        Standard deviation of the normal noise on both coordinates. With the default, the
        best possible accuracy is 0.931.
    random_state : int, RandomState instance or None, default=None
        Seed of positions, noise and order.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        The points.
    y : ndarray of shape (n_samples,)
        Their labels, 0 or 1.

    Raises
    ------
    TypeError, ValueError
        If `n_samples` is not an integer >= 2 or `noise` not a finite number >= 0.

    Examples
    --------
    >>> from skode.datasets import make_donut2d
    >>> X, y = make_donut2d(random_state=0)
    >>> X.shape, y.shape
    ((1000, 2), (1000,))
    """
    x = np.linspace(-1, 1, 100)
    grid = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    return _donut(grid, n_samples, 2, noise, random_state)


def make_squares(n_samples=1000, *, noise=0.1, random_state=None):
    """Generate a chequerboard of four squares; opposite squares have the same class.

    Positions are uniform on [-0.7, 0.7]². The label is 1 if the product x₁x₂ is positive.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of points.
    noise : float, default=0.1
        Standard deviation of the normal noise on both coordinates. With the default, the
        best possible accuracy is 0.892.
    random_state : int, RandomState instance or None, default=None
        Seed of positions and noise.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        The points.
    y : ndarray of shape (n_samples,)
        Their labels, 0 or 1.

    Raises
    ------
    TypeError, ValueError
        If `n_samples` is not an integer >= 2 or `noise` not a finite number >= 0.

    Examples
    --------
    >>> from skode.datasets import make_squares
    >>> X, y = make_squares(random_state=0)
    >>> X.shape, y.shape
    ((1000, 2), (1000,))
    """
    _check(n_samples, noise)
    rng = check_random_state(random_state)
    X = rng.uniform(-_SQUARE, _SQUARE, (n_samples, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    return X + rng.normal(0, noise, X.shape), y


def make_spirals(n_samples=1000, *, noise=0.05, random_state=None):
    """Generate two interleaved spirals of one turn, from radius 0.1 to radius 1.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of points. If it is odd, label 1 has one more.
    noise : float, default=0.05
        Standard deviation of the normal noise on both coordinates. With the default, the
        best possible accuracy is 0.9995.
    random_state : int, RandomState instance or None, default=None
        Seed of noise and order.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        The points.
    y : ndarray of shape (n_samples,)
        Their labels, 0 or 1.

    Raises
    ------
    TypeError, ValueError
        If `n_samples` is not an integer >= 2 or `noise` not a finite number >= 0.

    Examples
    --------
    >>> from skode.datasets import make_spirals
    >>> X, y = make_spirals(random_state=0)
    >>> X.shape, y.shape
    ((1000, 2), (1000,))
    """
    _check(n_samples, noise)
    rng = check_random_state(random_state)
    n_one = -(-n_samples // 2)

    def arm(n, turn):
        radius, angle = np.linspace(0.1, 1, n), np.linspace(0.1, 2 * np.pi, n) + turn
        return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])

    X = np.concatenate([arm(n_one, np.pi), arm(n_samples - n_one, 0)])
    y = np.repeat([1, 0], [n_one, n_samples - n_one])
    return _noisy_and_shuffled(X, y, noise, rng)


def _donut(grid, n_samples, share, noise, random_state):
    """Draw one in `share` points around the origin, class 1; the others on the ring, class 0."""
    _check(n_samples, noise)
    rng = check_random_state(random_state)
    n_one = -(-n_samples // share)
    r = np.hypot(*grid.T)

    def draw(distance, n):
        density = np.exp(-(distance**2) / (2 * _DENSITY_WIDTH**2))
        return grid[rng.choice(len(grid), n, p=density / density.sum())]

    X = np.concatenate([draw(r, n_one), draw(r - _RING_RADIUS, n_samples - n_one)])
    y = np.repeat([1, 0], [n_one, n_samples - n_one])
    return _noisy_and_shuffled(X, y, noise, rng)


def _noisy_and_shuffled(X, y, noise, rng):
    return shuffle(X + rng.normal(0, noise, X.shape), y, random_state=rng)


def _check(n_samples, noise):
    check_scalar(n_samples, "n_samples", Integral, min_val=2)
    check_scalar(noise, "noise", Real, min_val=0)
    if not np.isfinite(noise):
        raise ValueError(f"noise == {noise}, must be finite.")
