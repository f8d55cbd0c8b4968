"""Balls around samples: their norms and radii, and the nearest point in them."""

from __future__ import annotations

from numbers import Real

import numpy as np


def checked_norm(norm):
    """The norm as 2 or np.inf."""
    if isinstance(norm, str) and norm == "inf":
        return np.inf
    if isinstance(norm, Real) and not isinstance(norm, bool) and norm in (2, np.inf):
        return 2 if norm == 2 else np.inf
    raise ValueError(f'norm must be "inf" or 2; got {norm!r}.')


def checked_eps(eps):
    """The radii as an array of floats, of any shape."""
    try:
        radii = np.asarray(eps)
    except ValueError:  # lists of different lengths
        radii = np.empty(1, dtype=object)
    if not radii.size:
        raise ValueError("eps must hold at least one radius.")
    if radii.dtype.kind not in "iuf":
        raise TypeError(f"eps must be a number or an array of numbers; got {eps!r}.")
    if not np.isfinite(radii).all() or (radii < 0).any():
        raise ValueError(f"eps must be finite and not negative; got {eps!r}.")
    return radii.astype(np.float64)


def checked_box(clip_values, n_features):
    """The least and the largest values of the features, both (n_features,), or None.

    If the number of features is None, they are as they were given.
    """
    if clip_values is None:
        return None
    try:
        low, high = clip_values
        shape = np.broadcast(low, high).shape if n_features is None else (n_features,)
        low, high = (np.broadcast_to(end, shape).astype(np.float64) for end in (low, high))
    except (TypeError, ValueError) as error:
        raise ValueError(
            "clip_values must be two numbers or arrays of one number per feature, the least and "
            f"the largest value; got {clip_values!r}."
        ) from error
    if not (low < high).all():
        raise ValueError(f"clip_values must be increasing; got {clip_values!r}.")
    return low, high


def into_ball(X, moved, eps, norm, box=None):
    """Pull moved samples back into the ball of radius eps around X, and then into the box.

    The box is left out for features in which the sample itself lies outside.
    """
    change = moved - X
    if norm == 2:
        size = np.linalg.norm(change, axis=1, keepdims=True)
        change = change * np.minimum(1, eps / np.where(size > 0, size, 1))
    else:
        change = np.clip(change, -eps, eps)
    inside = X + change
    if box is None:
        return inside
    low, high = box
    return np.clip(inside, np.minimum(X, low), np.maximum(X, high))
