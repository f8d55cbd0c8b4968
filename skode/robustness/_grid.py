"""The exhaustive attack on two features: every point of a fine grid in the ball is tried."""

from __future__ import annotations

import numpy as np

ROWS = 2**16  # of the points that are predicted at a time


def unit_grid(n_points, norm):
    """Points of the unit ball of two dimensions and its border, the nearest to the centre first.

    In the square of the maximum norm there are n_points × n_points points. In the disc there are
    those of them that are inside, and as many on the circle that they have the same distance.
    """
    line = np.linspace(-1, 1, n_points)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    if norm == 2:
        angle = np.linspace(0, 2 * np.pi, int(np.ceil(np.pi * (n_points - 1))), endpoint=False)
        circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        points = np.concatenate([points[np.linalg.norm(points, axis=1) < 1], circle])
    order = np.argsort(np.linalg.norm(points, ord=norm, axis=1), kind="stable")
    return points[order]


def grid_attack(classifier, X, codes, eps, project, points):
    """The nearest point of the grid that is misclassified, or X itself if there is none.

    Parameters
    ----------
    classifier : AttackedClassifier
    X : ndarray of shape (n_samples, 2)
    codes : ndarray of shape (n_samples,)
        Their classes.
    eps : float
        The radius.
    project : callable (X, moved) -> ndarray
        What the ball allows of moved samples.
    points : ndarray of shape (n_points, 2)
        Those of `unit_grid` to try.
    """
    found = X.copy()
    at_once = max(1, ROWS // len(points))
    for start in range(0, len(X), at_once):
        some = slice(start, start + at_once)
        around = np.repeat(X[some], len(points), axis=0)
        moved = around + eps * np.tile(points, (len(X[some]), 1))
        moved = project(around, moved)
        wrong = classifier.codes(moved).reshape(-1, len(points)) != codes[some, None]
        first = wrong.argmax(axis=1)
        chosen = moved.reshape(-1, len(points), 2)[np.arange(len(first)), first]
        fooled = wrong.any(axis=1)
        found[some][fooled] = chosen[fooled]
    return found
