"""Losses of the outputs z = W yᴺ + μ: value, derivative, and what the members say together.

Shapes: outputs z and targets c are (members or 1, outputs, samples).  Class targets are one
column of zeros and ones for two classes, and one such column per class for more; or one per label,
where a sample may have several labels or none.

References
----------
P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35
(1964).
R. Koenker, G. Bassett, "Regression quantiles", Econometrica 46 (1978).
M. Fernandes, E. Guerre, E. Horta, "Smoothing quantile regressions", Journal of Business & Economic
Statistics 39 (2021).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce

from scipy.special import expit, logsumexp

from .arrays import Array, Namespace, device, host

# What the compiled kernels call the losses.  From SQUARED on, targets are numbers, not classes.
LOGISTIC, SOFTMAX, LOGISTIC_SQUARED, SQUARED, HUBER, QUANTILE, POISSON = range(7)

THRESHOLD = 0.5  # of the Huber loss: larger errors count linearly
SMOOTHING = 0.02  # of the quantile loss: smaller errors are on its smooth part


@dataclass(frozen=True)
class Loss:
    """A loss ℓ per sample.

    Parameters
    ----------
    formula : callable (xp, z, c, loss) -> (array, array)
        ℓ(z, c), of shape (members, samples), and ∂ℓ/∂z, of the shape of z; of this loss.
    code : int
        The loss as the compiled kernels call it.
    log_proba : callable (xp, z) -> array of shape (members, classes, samples), optional
        Logarithms of the class probabilities, where the targets are classes.
    log_proba_adjoint : callable (xp, z, g) -> array of the shape of z, optional
        What g, a derivative with respect to these logarithms, is with respect to z.
    log_link : bool, default=False
        Whether the outputs are logarithms of what is predicted.
    width : float, default=0.0
        Up to this size of z - c the loss is quadratic, where it depends on that.
    quantile : float, default=0.5
        The quantile to predict, where the loss has one.
    """

    formula: Callable[[Namespace, Array, Array, Loss], tuple[Array, Array]]
    code: int
    log_proba: Callable[[Namespace, Array], Array] | None = None
    log_proba_adjoint: Callable[[Namespace, Array, Array], Array] | None = None
    log_link: bool = False
    width: float = 0.0
    quantile: float = 0.5

    def value_and_derivative(self, xp: Namespace, z: Array, c: Array) -> tuple[Array, Array]:
        """ℓ(z, c), of shape (members, samples), and ∂ℓ/∂z, of the shape of z."""
        return self.formula(xp, z, c, self)

    def mean(self, xp: Namespace, z: Array, weights: Array | None = None) -> Array:
        """What all members say together, (classes or outputs, samples).

        Logarithms of the members' mean probabilities where the targets are classes; of labels,
        those of being absent and then those of being present.  Else the mean of their outputs, or
        with a log link of the exponentials of these.  They are NaN for a sample where an output of
        some member, or its exponential, is not finite.  The weights (members,) add up to one; equal
        ones by default.
        """
        if weights is None:
            weights = xp.full(z.shape[0], 1 / z.shape[0], dtype=z.dtype, device=device(z))
        said = z if self.log_proba is None else self.log_proba(xp, z)
        finite = xp.all(xp.isfinite(z), axis=(0, 1))
        if self.log_link:
            said = xp.exp(z)
            finite = finite & xp.all(xp.isfinite(said), axis=(0, 1))
        together = self.average(xp, said, weights)
        return xp.where(finite, together, xp.full_like(together, xp.nan))

    def average(self, xp: Namespace, said: Array, weights: Array) -> Array:
        """The weighted mean over the first axis.

        `said` are logarithms of probabilities where the targets are classes; else outputs, or with
        a log link their exponentials.
        """
        weights = weights[:, None, None]
        if self.log_proba is None:
            return xp.sum(weights * said, axis=0)
        parts = said + xp.log(weights)
        together = reduce(xp.logaddexp, (parts[k, ...] for k in range(said.shape[0])))
        # Rounding may make a probability a little larger than one.
        return xp.minimum(together, xp.zeros_like(together))

    def mean_adjoint(self, xp: Namespace, z: Array, weights: Array, g: Array) -> Array:
        """What g, a derivative with respect to `mean`, is with respect to z, of the shape of z.

        A probability p = Σ wk qk of the model has d log p = Σ (wk qk / p) d log qk: each member
        counts by its part of the probability.
        """
        weights = weights[:, None, None]
        if self.log_link:
            return weights * xp.exp(z) * g
        if self.log_proba is None or self.log_proba_adjoint is None:
            return weights * g
        said = self.log_proba(xp, z)
        parts = xp.exp(said + xp.log(weights) - self.average(xp, said, weights[:, 0, 0]))
        return self.log_proba_adjoint(xp, z, parts * g)


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
    """Of the first class, or of the absence of every label; then of the second, or presence."""
    return xp.concat([_log_logistic(xp, -z), _log_logistic(xp, z)], axis=1)


def _binary_adjoint(xp: Namespace, z: Array, g: Array) -> Array:
    absent, present = g[:, : z.shape[1], :], g[:, z.shape[1] :, :]
    return _logistic(xp, -z) * present - _logistic(xp, z) * absent


def _normalised_log_proba(xp: Namespace, z: Array) -> Array:
    return z - _log_sum_exp(xp, z)


def _normalised_adjoint(xp: Namespace, z: Array, g: Array) -> Array:
    return g - xp.exp(_normalised_log_proba(xp, z)) * xp.sum(g, axis=1, keepdims=True)


def _logistic_squared(xp: Namespace, z: Array, c: Array, _: Loss) -> tuple[Array, Array]:
    """½ ‖C(z) - c‖² with the logistic function C, of Benning et al. (2021)."""
    C = _logistic(xp, z)
    error = C - c
    return 0.5 * xp.sum(error * error, axis=1), error * C * (1.0 - C)


def _logistic_squared_log_proba(xp: Namespace, z: Array) -> Array:
    if z.shape[1] == 1:
        return _binary_log_proba(xp, z)
    return _normalised_log_proba(xp, _log_logistic(xp, z))  # logistic outputs, made to sum to one


def _logistic_squared_adjoint(xp: Namespace, z: Array, g: Array) -> Array:
    if z.shape[1] == 1:
        return _binary_adjoint(xp, z, g)
    return _logistic(xp, -z) * _normalised_adjoint(xp, _log_logistic(xp, z), g)


def _binary_log_loss(xp: Namespace, z: Array, c: Array, _: Loss) -> tuple[Array, Array]:
    """log(1 + exp z) - c z: one output for two classes, or one per label, averaged over these."""
    # log(1 + exp z) - c z = log(1 + exp(-|z|)) + ½ |z| + (½ - c) z, which never overflows.
    size = xp.abs(z)
    value = xp.log1p(xp.exp(-size)) + 0.5 * size + (0.5 - c) * z
    return xp.mean(value, axis=1), (_logistic(xp, z) - c) / z.shape[1]


def _softmax_log_loss(xp: Namespace, z: Array, c: Array, _: Loss) -> tuple[Array, Array]:
    """log Σ exp z - ⟨c, z⟩: one output per class."""
    total = _log_sum_exp(xp, z)
    return total[:, 0, :] - xp.sum(c * z, axis=1), xp.exp(z - total) - c


def _squared(xp: Namespace, z: Array, c: Array, _: Loss) -> tuple[Array, Array]:
    """½ ‖z - c‖², averaged over the outputs."""
    error = z - c
    return 0.5 * xp.mean(error * error, axis=1), error / z.shape[1]


def _huber(xp: Namespace, z: Array, c: Array, loss: Loss) -> tuple[Array, Array]:
    """½ r² for |r| ≤ width, width (|r| - ½ width) beyond, with r = z - c; averaged over outputs.

    The loss of Huber (1964).
    """
    r = z - c
    cut = xp.clip(r, -loss.width, loss.width)
    return xp.mean(cut * (r - 0.5 * cut), axis=1), cut / z.shape[1]


def _quantile(xp: Namespace, z: Array, c: Array, loss: Loss) -> tuple[Array, Array]:
    """½ |r| + (½ - quantile) r with r = z - c and |r| smooth at 0, averaged over the outputs.

    The loss of Koenker & Bassett (1978).  In place of |r| there is ½ (r²/width + width) where
    |r| ≤ width: so it is averaged over errors up to `width`, equally likely (Fernandes, Guerre &
    Horta 2021).  That is convex, and the predicted quantile is off by O(width²) only.
    """
    r, w = z - c, loss.width
    cut = xp.clip(r, -w, w)
    size = cut * (r - 0.5 * cut) / w + 0.5 * w
    value = 0.5 * size + (0.5 - loss.quantile) * r
    return xp.mean(value, axis=1), (0.5 * (cut / w) + (0.5 - loss.quantile)) / z.shape[1]


def _poisson(xp: Namespace, z: Array, c: Array, _: Loss) -> tuple[Array, Array]:
    """exp z - c z, averaged over the outputs.

    Half the deviance of the Poisson distribution of mean exp z, without a term of c alone.
    """
    mean = xp.exp(z)
    return xp.mean(mean - c * z, axis=1), (mean - c) / z.shape[1]


LOSSES: dict[str, Loss] = {
    "logistic_squared": Loss(
        _logistic_squared,
        LOGISTIC_SQUARED,
        _logistic_squared_log_proba,
        _logistic_squared_adjoint,
    ),
    "logistic": Loss(_binary_log_loss, LOGISTIC, _binary_log_proba, _binary_adjoint),
    "softmax": Loss(_softmax_log_loss, SOFTMAX, _normalised_log_proba, _normalised_adjoint),
    "squared": Loss(_squared, SQUARED),
    "huber": Loss(_huber, HUBER, width=THRESHOLD),
    "quantile": Loss(_quantile, QUANTILE, width=SMOOTHING),
    "poisson": Loss(_poisson, POISSON, log_link=True),
}


def loss_named(name: str, quantile: float = 0.5) -> Loss:
    """The loss of this name, with a quantile where it has one."""
    return replace(LOSSES[name], quantile=quantile)
