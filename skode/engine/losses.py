"""Losses of the outputs z = W yᴺ + μ: value, slope, and the probabilities that they stand for.

Shapes: outputs z and targets c are (members or 1, outputs, samples).  Class targets are one
column of zeros and ones for two classes, and one such column per class for more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .arrays import Array, Namespace
from .fields import softplus

__all__ = ["LOSSES", "Loss"]


@dataclass(frozen=True)
class Loss:
    """A loss ℓ per sample.

    Parameters
    ----------
    value_and_slope : callable (xp, z, c) -> (array, array)
        ℓ(z, c), of shape (members, samples), and ∂ℓ/∂z, of the shape of z.
    log_proba : callable (xp, z) -> array of shape (members, classes, samples), optional
        Logarithms of the class probabilities, where the targets are classes.
    """

    value_and_slope: Callable[[Namespace, Array, Array], tuple[Array, Array]]
    log_proba: Callable[[Namespace, Array], Array] | None = None


def _logistic(xp: Namespace, z: Array) -> Array:
    """1/(1 + exp(-z)), written so that it never overflows."""
    return 0.5 + 0.5 * xp.tanh(0.5 * z)


def _log_sum_exp(xp: Namespace, z: Array) -> Array:
    """log Σ exp z over the outputs, which stay as an axis of length one."""
    top = xp.max(z, axis=1, keepdims=True)
    return top + xp.log(xp.sum(xp.exp(z - top), axis=1, keepdims=True))


def _binary_log_proba(xp: Namespace, z: Array) -> Array:
    return xp.concat([-softplus(xp, z), -softplus(xp, -z)], axis=1)


def _normalised_log_proba(xp: Namespace, z: Array) -> Array:
    return z - _log_sum_exp(xp, z)


# --- squared error of the logistic outputs: ½ |C(z) - c|², Benning et al. (2021)


def _logistic_squared(xp: Namespace, z: Array, c: Array) -> tuple[Array, Array]:
    C = _logistic(xp, z)
    miss = C - c
    return 0.5 * xp.sum(miss * miss, axis=1), miss * C * (1.0 - C)


def _logistic_squared_log_proba(xp: Namespace, z: Array) -> Array:
    if z.shape[1] == 1:
        return _binary_log_proba(xp, z)
    return _normalised_log_proba(xp, -softplus(xp, -z))  # logistic outputs, made to sum to one


# --- log-loss with one output, two classes: log(1 + exp z) - c z


def _binary_log_loss(xp: Namespace, z: Array, c: Array) -> tuple[Array, Array]:
    # With d = ½ - c, log(1 + exp z) - c z = log(1 + exp(-|z|)) + ½ |z| + d z, which never
    # overflows, and the logistic function less c is ½ tanh ½z + d.
    d, size = 0.5 - c, xp.abs(z)
    value = xp.log1p(xp.exp(-size)) + 0.5 * size + d * z
    return value[:, 0, :], 0.5 * xp.tanh(0.5 * z) + d


# --- log-loss with one output per class: log Σ exp z - ⟨c, z⟩


def _softmax_log_loss(xp: Namespace, z: Array, c: Array) -> tuple[Array, Array]:
    total = _log_sum_exp(xp, z)
    return total[:, 0, :] - xp.sum(c * z, axis=1), xp.exp(z - total) - c


# --- regression: half the squared error, averaged over the outputs


def _squared(xp: Namespace, z: Array, c: Array) -> tuple[Array, Array]:
    miss = z - c
    return 0.5 * xp.mean(miss * miss, axis=1), miss / z.shape[1]


LOSSES: dict[str, Loss] = {
    "logistic_squared": Loss(_logistic_squared, _logistic_squared_log_proba),
    "logistic": Loss(_binary_log_loss, _binary_log_proba),
    "softmax": Loss(_softmax_log_loss, _normalised_log_proba),
    "squared": Loss(_squared),
}
