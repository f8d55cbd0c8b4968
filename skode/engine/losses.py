"""Losses of the outputs z = W yᴺ + μ: value, slope, and the probabilities that they stand for.

Shapes: outputs z and targets c are (members or 1, outputs, samples).  Class targets are one
column of zeros and ones for two classes, and one such column per class for more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .arrays import Array, Namespace, positive_part

__all__ = ["LOSSES", "Loss"]


@dataclass(frozen=True)
class Loss:
    """A loss ℓ per sample.

    Parameters
    ----------
    value : callable (xp, z, c) -> array of shape (members, samples)
        ℓ(z, c).
    slope : callable (xp, z, c) -> array of the shape of z
        ∂ℓ/∂z.
    log_proba : callable (xp, z) -> array of shape (members, classes, samples)
        Logarithms of the class probabilities.
    """

    value: Callable[[Namespace, Array, Array], Array]
    slope: Callable[[Namespace, Array, Array], Array]
    log_proba: Callable[[Namespace, Array], Array]


def _logistic(xp: Namespace, z: Array) -> Array:
    """1/(1 + exp(-z)), written so that it never overflows."""
    return 0.5 + 0.5 * xp.tanh(0.5 * z)


def _softplus(xp: Namespace, z: Array) -> Array:
    """log(1 + exp z) = -log(1 - logistic z)."""
    return positive_part(xp, z) + xp.log1p(xp.exp(-xp.abs(z)))


def _log_sum_exp(xp: Namespace, z: Array) -> Array:
    """log Σ exp z over the outputs, which stay as an axis of length one."""
    top = xp.max(z, axis=1, keepdims=True)
    return top + xp.log(xp.sum(xp.exp(z - top), axis=1, keepdims=True))


def _binary_log_proba(xp: Namespace, z: Array) -> Array:
    return xp.concat([-_softplus(xp, z), -_softplus(xp, -z)], axis=1)


def _normalised_log_proba(xp: Namespace, z: Array) -> Array:
    return z - _log_sum_exp(xp, z)


# --- squared error of the logistic outputs: ½ |C(z) - c|², Benning et al. (2021)


def _squared_value(xp: Namespace, z: Array, c: Array) -> Array:
    miss = _logistic(xp, z) - c
    return 0.5 * xp.sum(miss * miss, axis=1)


def _squared_slope(xp: Namespace, z: Array, c: Array) -> Array:
    C = _logistic(xp, z)
    return (C - c) * C * (1.0 - C)


def _squared_log_proba(xp: Namespace, z: Array) -> Array:
    if z.shape[1] == 1:
        return _binary_log_proba(xp, z)
    return _normalised_log_proba(xp, -_softplus(xp, -z))  # logistic outputs, made to sum to one


# --- log-loss with one output, two classes: log(1 + exp z) - c z


def _logistic_value(xp: Namespace, z: Array, c: Array) -> Array:
    return (_softplus(xp, z) - c * z)[:, 0, :]


def _logistic_slope(xp: Namespace, z: Array, c: Array) -> Array:
    return _logistic(xp, z) - c


# --- log-loss with one output per class: log Σ exp z - ⟨c, z⟩


def _softmax_value(xp: Namespace, z: Array, c: Array) -> Array:
    return _log_sum_exp(xp, z)[:, 0, :] - xp.sum(c * z, axis=1)


def _softmax_slope(xp: Namespace, z: Array, c: Array) -> Array:
    return xp.exp(z - _log_sum_exp(xp, z)) - c


LOSSES: dict[str, Loss] = {
    "squared": Loss(_squared_value, _squared_slope, _squared_log_proba),
    "logistic": Loss(_logistic_value, _logistic_slope, _binary_log_proba),
    "softmax": Loss(_softmax_value, _softmax_slope, _normalised_log_proba),
}
