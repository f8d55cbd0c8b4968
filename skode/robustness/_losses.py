"""The losses that attacks increase: values, and derivatives with respect to log-probabilities.

These are logits too: they differ from the outputs of the network by a number per sample, and the
difference of two of them is the logarithm of the odds.
"""

from __future__ import annotations

import numpy as np


def cross_entropy(log_proba, codes):
    """-log p of the true class: values (n_samples,), and derivatives (n_samples, n_classes)."""
    samples = np.arange(len(codes))
    slope = np.zeros_like(log_proba)
    slope[samples, codes] = -1
    return -log_proba[samples, codes], slope


def difference_logits_ratio(log_proba, codes):
    """The loss of Croce & Hein (2020), equation 6, in the same form as `cross_entropy`.

    It is -(zy - max zi) / (zπ1 - zπ3), with the logits z, the true class y, the other classes i,
    and the classes π in descending order of z. With two classes there is no third logit, and the
    difference stays undivided.
    """
    samples = np.arange(len(codes))
    order = np.argsort(-log_proba, axis=1, kind="stable")
    other = np.where(order[:, 0] == codes, order[:, 1], order[:, 0])
    value = log_proba[samples, other] - log_proba[samples, codes]
    slope = np.zeros_like(log_proba)
    slope[samples, other] = 1
    slope[samples, codes] = -1
    if log_proba.shape[1] == 2:
        return value, slope
    first, third = order[:, 0], order[:, 2]
    width = log_proba[samples, first] - log_proba[samples, third]
    width = np.maximum(width, np.finfo(width.dtype).tiny)
    ratio = value / width
    slope /= width[:, None]
    slope[samples, first] -= ratio / width
    slope[samples, third] += ratio / width
    return ratio, slope


LOSSES = {"cross_entropy": cross_entropy, "difference_logits_ratio": difference_logits_ratio}
