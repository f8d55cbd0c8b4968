"""Arrows along some of the paths."""

from __future__ import annotations

import numpy as np

LEAST_MOVE = 0.02  # of the extent of the drawing; shorter paths have no arrow
DARKER = 0.65  # factor for the colour of an arrow, relative to its path


def draw_arrows(ax, paths, rows, colours, number, arrow_kw=None):
    """Draw arrows halfway along some of the paths in `rows`, far from each other.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw on.
    paths : ndarray of shape (N + 1, n_samples, 2)
        All paths.
    rows : ndarray of int
        The samples that may have an arrow.
    colours : ndarray of shape (1, 4) or (n_samples, 4)
        One colour, or one for each sample.
    number : int
        Number of arrows, if enough paths are long enough.
    arrow_kw : dict, default=None
        Keywords of the arrows.

    Returns
    -------
    list of FancyArrowPatch
    """
    from matplotlib.patches import FancyArrowPatch

    extent = np.ptp(paths, axis=(0, 1))
    extent[extent == 0] = 1.0
    middle, ahead, length = _halfway(paths[:, rows] / extent)
    moved = np.flatnonzero(length > LEAST_MOVE)
    arrows = []
    for i in moved[_spread(middle[moved], number)]:
        options = {
            "arrowstyle": "-|>",
            "mutation_scale": 12,
            "shrinkA": 0,
            "shrinkB": 0,
            "linewidth": 0.9,
            "color": DARKER * colours[rows[i] % len(colours), :3],
            "zorder": 2.5,
            **(arrow_kw or {}),
        }
        ends = middle[i] - ahead[i], middle[i] + ahead[i]
        arrows.append(ax.add_patch(FancyArrowPatch(*(end * extent for end in ends), **options)))
    return arrows


def _halfway(paths):
    """Return the point halfway along each path, a point half an arrow further, and the length."""
    pieces = np.diff(paths, axis=0)
    lengths = np.linalg.norm(pieces, axis=2)
    walked = np.cumsum(lengths, axis=0)
    layer = (walked < walked[-1] / 2).sum(axis=0).clip(max=len(pieces) - 1)
    every = np.arange(paths.shape[1])
    piece, length = pieces[layer, every], lengths[layer, every]
    left = walked[layer, every] - walked[-1] / 2  # of the piece, beyond the middle
    unit = piece / np.where(length > 0, length, 1.0)[:, None]
    return paths[layer + 1, every] - left[:, None] * unit, 0.01 * unit, walked[-1]


def _spread(points, number):
    """Return the indices of `number` points that are far from each other."""
    if not len(points) or number < 1:
        return np.empty(0, dtype=int)
    chosen = [int(np.argmin(np.linalg.norm(points - np.median(points, axis=0), axis=1)))]
    distance = np.full(len(points), np.inf)
    while len(chosen) < min(number, len(points)):
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(distance)))
    return np.array(chosen)
