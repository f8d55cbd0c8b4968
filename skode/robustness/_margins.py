"""How far the outputs near a sample keep its class ahead of the others, network by network.

And when that is enough for the average of the networks' probabilities.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._enclosures import LinearBounds, interval_bounds
from ._lipschitz import ROUNDING, spectral_norm

BATCH = 2_000_000  # numbers in an array of linear functions
SURE = 1e-13  # a difference of probabilities above this is no rounding


class Margins(NamedTuple):
    """Bounds that hold near each sample, of every network.

    `ahead` and `at_most`, (networks, samples, classes), are bounds of za - zb, where a is the class
    of the sample: lower and upper ones.  `low` and `high`, of the same shape, are bounds of zb,
    where the loss asks for them.
    """

    ahead: np.ndarray
    at_most: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def class_readout(net):
    """W and μ with a row per class: of two classes, the output of the first is 0."""
    if net.W.shape[1] > 1:
        return net.W, net.mu
    return np.concatenate([0 * net.W, net.W], 1), np.concatenate([0 * net.mu, net.mu], 1)


def margins_by_lipschitz(net, L, z, codes, radius, separate):
    """From outputs z (networks, samples, classes) at the samples, and the bounds L of the states.

    Parameters
    ----------
    net : Unrolled
    L : ndarray of shape (networks,)
        Of the maps from features to last states.
    z : ndarray of shape (networks, samples, classes)
    codes : ndarray of shape (samples,)
    radius : ndarray of shape (samples,)
        Of the balls in the 2-norm.
    separate : bool
        Whether bounds of the single outputs are wanted too.
    """
    W, _ = class_readout(net)
    pairs = np.linalg.norm(W[:, :, None] - W[:, None], axis=-1) * (1 + ROUNDING * W.shape[2])
    moved = L[:, None, None] * radius[:, None]
    own = np.take_along_axis(z, codes[None, :, None], axis=2)
    with np.errstate(invalid="ignore"):
        apart, spread = own - z, pairs[:, codes] * moved
        found = Margins(apart - spread, apart + spread)
        if separate:
            single = spectral_norm(W[:, :, None, :])[:, None] * moved
            found = found._replace(low=z - single, high=z + single)
    return found


def margins_by_enclosure(net, method, x, u, codes, eps, norm, separate):
    """From bounds by lines, ``method="linear"``, or by intervals, ``"interval"``."""
    size = net.nu.shape[1]
    rows = max(2 * size, 4 * net.W.shape[1])
    batch = max(1, BATCH // (rows * max(size, net.V.shape[2])))
    parts = []
    for start in range(0, len(codes), batch):
        some = slice(start, start + batch)
        parts.append(
            [
                _of_network(
                    net, k, method, x[some], u[some], codes[some], eps[some], norm, separate
                )
                for k in range(len(net.weights))
            ]
        )
    stacked = [[np.stack(values) for values in zip(*part, strict=True)] for part in parts]
    return Margins(*(np.concatenate(values, axis=1) for values in zip(*stacked, strict=True)))


def _of_network(net, k, method, x, u, codes, eps, norm, separate):
    """The margins of one network, as a tuple."""
    W, mu = (part[k] for part in class_readout(net))
    C, c = W[codes][:, None] - W, mu[codes][:, None] - mu
    if separate:
        every, constants = np.broadcast_to(W, C.shape), np.broadcast_to(mu, c.shape)
        C, c = np.concatenate([C, every], axis=1), np.concatenate([c, constants], axis=1)
    C, c = np.concatenate([C, -C], axis=1), np.concatenate([c, -c], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        if method == "linear":
            found = LinearBounds(net, k, x, u, eps, norm).lower(C)
        else:
            low, high = interval_bounds(net, k, x, u, eps, norm)
            centre, radius = (low + high) / 2, (high - low) / 2
            spread = np.abs(C) @ (radius + 1e-13 * np.abs(centre))[..., None]
            found = (C @ centre[..., None] - spread)[..., 0]
        found = found + c
    below, above = np.split(found, 2, axis=1)
    if not separate:
        return below, -above
    (ahead, low), (at_most, high) = np.split(below, 2, axis=1), np.split(-above, 2, axis=1)
    return ahead, at_most, low, high


def keep_their_class(net, margins, codes):
    """Whether the average of probabilities is highest for the class of each sample, (samples,).

    Softmax of outputs z has pa - pb = pa (1 - exp(zb - za)) = -pb (1 - exp(za - zb)).  The first
    form shows a lower bound where a is ahead, the second one where it may not be.
    """
    if margins.low is None:
        ahead, at_most = margins.ahead, margins.at_most
    else:
        ahead, at_most = _of_log_logistic(margins, codes)
    own = np.arange(ahead.shape[2]) == codes[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        ahead, at_most = (np.where(own, 0.0, part) for part in (ahead, at_most))
        least = 1 / np.exp(-ahead).sum(axis=2, keepdims=True)  # pa = 1/Σ exp(zc - za)
        # pb = 1/(1 + exp(za - zb) Σ exp(zc - za)), with the sum over all c but b.
        others = np.exp(-at_most)
        others = np.maximum(others.sum(axis=2, keepdims=True) - others * (1 + 1e-12), 0.0)
        most = 1 / (1 + np.exp(ahead) * others)
        difference = np.where(ahead >= 0, least * -np.expm1(-ahead), most * np.expm1(ahead))
        together = np.einsum("k,ksc->sc", net.weights, difference)
    return ((together > SURE) | own).all(axis=1)


def _of_log_logistic(margins, codes):
    """Bounds of s(za) - s(zb), s = log logistic, which is increasing and concave."""
    ahead, at_most, low, high = margins
    own_low, own_high = (
        np.take_along_axis(ends, codes[None, :, None], axis=2) for ends in (low, high)
    )
    s = _log_logistic

    def moved(at, m):
        return s(at + m) - s(at)

    # s(z + m) - s(z) falls with z if m ≥ 0, and else it grows.
    least = moved(np.where(ahead >= 0, high, low), ahead)
    most = moved(np.where(at_most >= 0, low, high), at_most)
    return np.maximum(s(own_low) - s(high), least), np.minimum(s(own_high) - s(low), most)


def _log_logistic(z):
    return -np.logaddexp(-z, 0.0)
