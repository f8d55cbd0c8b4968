"""The plane in which trajectories are drawn, and the decisions of the readout in it.

The readout z = W y + μ is affine.  So its decisions are bounded by straight lines, and the regions
are polygons, exact at any zoom.  They are correct if z, or for classes the differences of its
entries, depends on a state only through its point in the plane.  This holds for states of one or
two channels, and for any number of channels if the plane contains all directions that z depends on.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

TINY = 1e-10  # relative to the largest singular value: smaller ones count as zero


class Plane(NamedTuple):
    """Trajectories in the plane.

    Parameters
    ----------
    paths : ndarray of shape (N + 1, n_samples, 2)
        The states as points of the plane.
    W : ndarray of shape (n_outputs, 2) or None
        Weights of the readout as a function of the points.  None if the points do not determine its
        decisions.
    labels : tuple of str
        Labels of the axes.
    equal : bool
        Whether both axes have the same unit.
    """

    paths: np.ndarray
    W: np.ndarray | None
    labels: tuple[str, str]
    equal: bool


def plane_of(states, W, projection, channels):
    """Return the plane for states of shape (N + 1, n_samples, n_channels).

    Parameters
    ----------
    states : ndarray of shape (N + 1, n_samples, n_channels)
        The states.
    W : ndarray of shape (n_outputs, n_channels)
        Weights of the readout.
    projection : {"readout", "pca"}
        Which plane, if there are more than two channels.
    channels : sequence of str
        The names of the channels, if there are at most two.

    Returns
    -------
    Plane
    """
    n_layers, n_samples, n = len(states) - 1, states.shape[1], states.shape[2]
    if n == 1:  # one channel: draw over the layers
        layer = np.broadcast_to(np.arange(n_layers + 1.0)[:, None], (n_layers + 1, n_samples))
        paths = np.stack([layer, states[:, :, 0]], axis=2)
        return Plane(paths, W @ np.array([[0.0, 1.0]]), ("layer", channels[0]), False)
    if n == 2:
        return Plane(states, W, tuple(channels), True)
    seen = readout_directions(W) if projection == "readout" else np.empty((0, n))
    centred = states - states.mean(axis=(0, 1))
    axes, names = plane_axes(centred.reshape(-1, n), seen)
    shares = ((centred @ axes.T) ** 2).sum(axis=(0, 1)) / max(np.sum(centred**2), TINY)
    labels = tuple(
        f"{name} ({share:.0%} of variance)" for name, share in zip(names, shares, strict=True)
    )
    exact = projection == "readout" and len(seen) <= 2
    return Plane(states @ axes.T, W @ axes.T if exact else None, labels, False)


def readout_directions(W):
    """Return an orthonormal basis of the directions in state space that the readout depends on.

    With several outputs only differences count.  A single output increases along its direction.
    """
    if len(W) == 1:
        size = np.linalg.norm(W)
        return W / size if size > 0 else np.empty((0, W.shape[1]))
    _, size, directions = np.linalg.svd(W - W.mean(axis=0), full_matrices=False)
    return directions[size > TINY * max(size[0], TINY)]


def plane_axes(points, seen):
    """Return two orthonormal axes for points of shape (n_points, n), and their names.

    The axes are the principal directions within the directions `seen`.  If this is a single
    direction, the second axis is the principal direction of the rest.
    """
    n = points.shape[1]
    if len(seen) == 1:
        rest = points - (points @ seen.T) @ seen
        return (
            np.vstack([seen, principal_directions(rest, 1)]),
            (f"readout direction of {n} channels", "principal component of the rest"),
        )
    if len(seen):
        axes = principal_directions(points @ seen.T, 2) @ seen
        return axes, tuple(f"readout axis {k} of {n} channels" for k in (1, 2))
    axes = principal_directions(points, 2)
    return axes, tuple(f"principal component {k} of {n} channels" for k in (1, 2))


def principal_directions(points, number):
    """Return the first principal directions of centred points; their largest entry is positive."""
    directions = np.linalg.svd(points, full_matrices=False)[2][:number]
    largest = np.abs(directions).argmax(axis=1)
    return directions * np.sign(directions[np.arange(number), largest])[:, None]


def decision(z, n_classes):
    """Return the classes for outputs of shape (..., n_outputs)."""
    if z.shape[-1] == 1 and n_classes == 2:
        return (z[..., 0] > 0).astype(int)
    return z.argmax(axis=-1)


def class_polygons(W, mu, n_classes, rectangle):
    """Return the part of a rectangle for each class; the polygon is empty if there is none."""
    if len(W) == 1 and n_classes == 2:
        W, mu = np.vstack([np.zeros(2), W]), np.append(0.0, mu)
    polygons = []
    for k in range(n_classes):
        polygon = rectangle
        for j in range(n_classes):
            if j != k:
                polygon = cut(polygon, W[k] - W[j], mu[k] - mu[j])
        polygons.append(polygon)
    return polygons


def strips(w, mu, levels, rectangle):
    """Return the parts of a rectangle between neighbouring levels of ⟨w, x⟩ + μ, and the rest."""
    ends = np.concatenate([[-np.inf], levels, [np.inf]])
    polygons = []
    for low, high in pairwise(ends):
        polygon = rectangle if np.isneginf(low) else cut(rectangle, w, mu - low)
        polygons.append(polygon if np.isposinf(high) else cut(polygon, -w, high - mu))
    return polygons


def cut(polygon, w, c):
    """Clip a convex polygon of shape (n_corners, 2) to the half-plane ⟨w, x⟩ + c ≥ 0.

    Sutherland and Hodgman, "Reentrant polygon clipping" (1974).
    """
    if not len(polygon):
        return polygon
    value = polygon @ w + c
    corners = []
    for x, v, x_next, v_next in zip(
        polygon, value, np.roll(polygon, -1, axis=0), np.roll(value, -1), strict=True
    ):
        if v >= 0:
            corners.append(x)
        if (v >= 0) != (v_next >= 0):
            corners.append(x + v / (v - v_next) * (x_next - x))
    return np.array(corners).reshape(-1, 2)
