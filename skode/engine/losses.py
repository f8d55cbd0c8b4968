"""Losses of the outputs z = W yᴺ + μ: value, derivative, and what the members say together.

Shapes: outputs z and targets c are (members or 1, outputs, samples).  Class targets are one
column of zeros and ones for two classes, and one such column per class for more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

from scipy.special import expit, logsumexp

from .arrays import Array, Namespace, device, host

# What the compiled kernels call the losses.
LOGISTIC, SOFTMAX, LOGISTIC_SQUARED, SQUARED = range(4)


@dataclass(frozen=True)
class Loss:
    """A loss ℓ per sample.

    Parameters
    ----------
    value_and_derivative : callable (xp, z, c) -> (array, array)
        ℓ(z, c), of shape (members, samples), and ∂ℓ/∂z, of the shape of z.
    code : int
        The loss as the compiled kernels call it.
    log_proba : callable (xp, z) -> array of shape (members, classes, samples), optional
        Logarithms of the class probabilities, where the targets are classes.
    """

    value_and_derivative: Callable[[Namespace, Array, Array], tuple[Array, Array]]
    code: int
    log_proba: Callable[[Namespace, Array], Array] | None = None

    def mean(self, xp: Namespace, z: Array, weights: Array | None = None) -> Array:
        """What all members say together, (classes or outputs, samples).

        Logarithms of the members' mean probabilities, or their mean outputs where the targets are
        no classes.  They are NaN for a sample where an output of some member is not finite.  The
        weights (members,) add up to one; equal ones by default.
        """
        if weights is None:
            weights = xp.full(z.shape[0], 1 / z.shape[0], dtype=z.dtype, device=device(z))
        said = z if self.log_proba is None else self.log_proba(xp, z)
        together = self.average(xp, said, weights)
        finite = xp.all(xp.isfinite(z), axis=(0, 1))
        return xp.where(finite, together, xp.full_like(together, xp.nan))

    def average(self, xp: Namespace, said: Array, weights: Array) -> Array:
        """The weighted mean over the first axis.

        `said` are outputs, or logarithms of probabilities where the targets are classes.
        """
        weights = weights[:, None, None]
        if self.log_proba is None:
            return xp.sum(weights * said, axis=0)
        parts = said + xp.log(weights)
        together = reduce(xp.logaddexp, (parts[k, ...] for k in range(said.shape[0])))
        # Rounding may make a probability a little larger than one.
        return xp.minimum(together, xp.zeros_like(together))


def _logistic(xp: Namespace, z: Array) -> Array:
    """1/(1 + exp(-z)), written so that it never overflows."""
    return expit(z) if xp is host else 0.5 + 0.5 * xp.tanh(0.5 * z)


def _log_logistic(xp: Namespace, z: Array) -> Array:
    """log(1/(1 + exp(-z)))."""
    return -xp.logaddexp(-z, xp.zeros_like(z))


def _log_sum_exp(xp: Namespace, z: Array) -> Array:
    """log Σ exp z over the outputs, which stay as an axis of length one."""
    if xp is host:
        return logsumexp(z, axis=1, keepdims=True)
    top = xp.max(z, axis=1, keepdims=True)
    return top + xp.log(xp.sum(xp.exp(z - top), axis=1, keepdims=True))


def _binary_log_proba(xp: Namespace, z: Array) -> Array:
    return xp.concat([_log_logistic(xp, -z), _log_logistic(xp, z)], axis=1)


def _normalised_log_proba(xp: Namespace, z: Array) -> Array:
    return z - _log_sum_exp(xp, z)


def _logistic_squared(xp: Namespace, z: Array, c: Array) -> tuple[Array, Array]:
    """½ ‖C(z) - c‖² with the logistic function C, of Benning et al. (2021)."""
    C = _logistic(xp, z)
    error = C - c
    return 0.5 * xp.sum(error * error, axis=1), error * C * (1.0 - C)


def _logistic_squared_log_proba(xp: Namespace, z: Array) -> Array:
    if z.shape[1] == 1:
        return _binary_log_proba(xp, z)
    return _normalised_log_proba(xp, _log_logistic(xp, z))  # logistic outputs, made to sum to one


def _binary_log_loss(xp: Namespace, z: Array, c: Array) -> tuple[Array, Array]:
    """log(1 + exp z) - c z: one output for two classes."""
    # log(1 + exp z) - c z = log(1 + exp(-|z|)) + ½ |z| + (½ - c) z, which never overflows.
    size = xp.abs(z)
    value = xp.log1p(xp.exp(-size)) + 0.5 * size + (0.5 - c) * z
    return value[:, 0, :], _logistic(xp, z) - c


def _softmax_log_loss(xp: Namespace, z: Array, c: Array) -> tuple[Array, Array]:
    """log Σ exp z - ⟨c, z⟩: one output per class."""
    total = _log_sum_exp(xp, z)
    return total[:, 0, :] - xp.sum(c * z, axis=1), xp.exp(z - total) - c


def _squared(xp: Namespace, z: Array, c: Array) -> tuple[Array, Array]:
    """½ ‖z - c‖², averaged over the outputs."""
    error = z - c
    return 0.5 * xp.mean(error * error, axis=1), error / z.shape[1]


LOSSES: dict[str, Loss] = {
    "logistic_squared": Loss(_logistic_squared, LOGISTIC_SQUARED, _logistic_squared_log_proba),
    "logistic": Loss(_binary_log_loss, LOGISTIC, _binary_log_proba),
    "softmax": Loss(_softmax_log_loss, SOFTMAX, _normalised_log_proba),
    "squared": Loss(_squared, SQUARED),
}
