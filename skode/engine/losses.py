"""Losses of the outputs z = W yᴺ + μ: value, derivative, and the average over the members.

Shapes: outputs z and targets c are (members or 1, outputs, samples).  For two classes, the target
is one column of zeros and ones; for more classes there is one such column per class.  If a sample
may have several labels or none, there is one column per label.

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

from scipy.special import expit

from .arrays import Array, Namespace, device, host

# Codes of the losses in the compiled kernels.  From SQUARED on, targets are numbers, not classes.
LOGISTIC, SOFTMAX, LOGISTIC_SQUARED, SQUARED, HUBER, QUANTILE, POISSON = range(7)

THRESHOLD = 0.5  # of the Huber loss: larger errors count linearly
SMOOTHING = 0.02  # of the quantile loss: smaller errors count quadratically


@dataclass(frozen=True)
class Loss:
    """A loss ℓ per sample.

    Parameters
    ----------
    formula : callable (xp, z, c, loss) -> (array, array)
        ℓ(z, c), of shape (members, samples), and ∂ℓ/∂z, of the shape of z, of the given loss.
    code : int
        The code of the loss in the compiled kernels.
    log_proba : callable (xp, z) -> array of shape (members, classes, samples), optional
        Logarithms of the class probabilities, if the targets are classes.
    log_proba_adjoint : callable (xp, z, values, g) -> array of the shape of z, optional
        The derivative with respect to z, from the `values` of `log_proba` and the derivative g with
        respect to them.
    log_link : bool, default=False
        Whether the outputs are logarithms of the predictions.
    width : float, default=0.0
        The size of z - c up to which the loss is quadratic, if it has one.
    quantile : float, default=0.5
        The quantile to predict, if the loss has one.
    """

    formula: Callable[[Namespace, Array, Array, Loss], tuple[Array, Array]]
    code: int
    log_proba: Callable[[Namespace, Array], Array] | None = None
    log_proba_adjoint: Callable[[Namespace, Array, Array, Array], Array] | None = None
    log_link: bool = False
    width: float = 0.0
    quantile: float = 0.5

    def value_and_derivative(self, xp: Namespace, z: Array, c: Array) -> tuple[Array, Array]:
        """Return ℓ(z, c), of shape (members, samples), and ∂ℓ/∂z, of the shape of z."""
        return self.formula(xp, z, c, self)

    def mean(self, xp: Namespace, z: Array, weights: Array | None = None) -> Array:
        """Return the prediction of all members together, (classes or outputs, samples).

        If the targets are classes, these are the logarithms of the members' mean probabilities; for
        labels, first of the absence and then of the presence of each label.  Otherwise they are the
        mean outputs or, with a log link, the mean of the outputs' exponentials.  They are NaN for a
        sample if an output of some member, or its exponential, is not finite.  The weights
        (members,) add up to one; by default they are equal.
        """
        if weights is None:
            weights = xp.full(z.shape[0], 1 / z.shape[0], dtype=z.dtype, device=device(z))
        return self.mean_and_adjoint(xp, z, weights)[0]

    def average(self, xp: Namespace, values: Array, weights: Array) -> tuple[Array, Array]:
        """Return the weighted mean over the first axis, and its derivatives for the values.

        `values` are logarithms of probabilities if the targets are classes; otherwise outputs, or
        with a log link their exponentials.
        """
        weights = weights[:, None, None]
        if self.log_proba is None:
            return xp.sum(weights * values, axis=0), weights
        parts, zero = values + xp.log(weights), xp.zeros_like(values[0, ...])
        if parts.shape[0] == 1:
            return xp.minimum(parts[0, ...], zero), xp.ones_like(parts)
        top = xp.max(parts, axis=0)
        top = xp.where(xp.isfinite(top), top, zero)
        shares = xp.exp(parts - top)
        total = xp.sum(shares, axis=0)
        # Rounding may make a probability slightly larger than one.
        return xp.minimum(top + xp.log(total), zero), shares / total

    def mean_and_adjoint(
        self, xp: Namespace, z: Array, weights: Array
    ) -> tuple[Array, Callable[[Array], Array]]:
        """Return `mean`, and what turns derivatives with respect to it into those for z.

        A probability p = Σ wk qk of the model has d log p = Σ (wk qk / p) d log qk: each member
        contributes in proportion to its share of p.
        """
        values = z if self.log_proba is None else self.log_proba(xp, z)
        values, adjoint = xp.exp(z) if self.log_link else values, self.log_proba_adjoint
        combined, shares = self.average(xp, values, weights)
        finite = xp.isfinite(z) & xp.isfinite(values) if self.log_link else xp.isfinite(z)
        mean = xp.where(xp.all(finite, axis=(0, 1)), combined, xp.full_like(combined, xp.nan))
        if adjoint is not None:
            return mean, lambda g: adjoint(xp, z, values, shares * g)
        return mean, lambda g: (shares * values if self.log_link else shares) * g


def _logistic(xp: Namespace, z: Array) -> Array:
    """Return 1/(1 + exp(-z)), computed without overflow."""
    return expit(z) if xp is host else 0.5 + 0.5 * xp.tanh(0.5 * z)


def _log_logistic(xp: Namespace, z: Array) -> Array:
    """Return log(1/(1 + exp(-z)))."""
    return -xp.logaddexp(-z, xp.zeros_like(z))


def _log_sum_exp(xp: Namespace, z: Array) -> Array:
    """Return log Σ exp z over the outputs, whose axis is kept with length one."""
    top = xp.max(z, axis=1, keepdims=True)
    return top + xp.log(xp.sum(xp.exp(z - top), axis=1, keepdims=True))


def _binary_log_proba(xp: Namespace, z: Array) -> Array:
    """Return those of the first class or of absent labels, and of the second or present labels."""
    return xp.concat([_log_logistic(xp, -z), _log_logistic(xp, z)], axis=1)


def _binary_adjoint(xp: Namespace, z: Array, _: Array, g: Array) -> Array:
    absent, present = g[:, : z.shape[1], :], g[:, z.shape[1] :, :]
    return _logistic(xp, -z) * present - _logistic(xp, z) * absent


def _normalised_log_proba(xp: Namespace, z: Array) -> Array:
    return z - _log_sum_exp(xp, z)


def _normalised_adjoint(xp: Namespace, _: Array, values: Array, g: Array) -> Array:
    return g - xp.exp(values) * xp.sum(g, axis=1, keepdims=True)


def _logistic_squared(xp: Namespace, z: Array, c: Array, _: Loss) -> tuple[Array, Array]:
    """Return ½ ‖C(z) - c‖² with the logistic function C, as in Benning et al. (2021)."""
    C = _logistic(xp, z)
    error = C - c
    return 0.5 * xp.sum(error * error, axis=1), error * C * (1.0 - C)


def _logistic_squared_log_proba(xp: Namespace, z: Array) -> Array:
    if z.shape[1] == 1:
        return _binary_log_proba(xp, z)
    return _normalised_log_proba(xp, _log_logistic(xp, z))  # logistic outputs, normalised


def _logistic_squared_adjoint(xp: Namespace, z: Array, values: Array, g: Array) -> Array:
    if z.shape[1] == 1:
        return _binary_adjoint(xp, z, values, g)
    return _logistic(xp, -z) * _normalised_adjoint(xp, z, values, g)


def _binary_log_loss(xp: Namespace, z: Array, c: Array, _: Loss) -> tuple[Array, Array]:
    """Return log(1 + exp z) - c z, averaged over labels; for two classes there is one output."""
    # log(1 + exp z) - c z = log(1 + exp(-|z|)) + ½ |z| + (½ - c) z does not overflow.
    size = xp.abs(z)
    value = xp.log1p(xp.exp(-size)) + 0.5 * size + (0.5 - c) * z
    return xp.mean(value, axis=1), (_logistic(xp, z) - c) / z.shape[1]


def _softmax_log_loss(xp: Namespace, z: Array, c: Array, _: Loss) -> tuple[Array, Array]:
    """Return log Σ exp z - ⟨c, z⟩, with one output per class."""
    total = _log_sum_exp(xp, z)
    return total[:, 0, :] - xp.sum(c * z, axis=1), xp.exp(z - total) - c


def _squared(xp: Namespace, z: Array, c: Array, _: Loss) -> tuple[Array, Array]:
    """Return ½ ‖z - c‖², averaged over the outputs."""
    error = z - c
    return 0.5 * xp.mean(error * error, axis=1), error / z.shape[1]


def _huber(xp: Namespace, z: Array, c: Array, loss: Loss) -> tuple[Array, Array]:
    """Return ½ r² for |r| ≤ width, else width (|r| - ½ width), with r = z - c.

    This is the loss of Huber (1964), averaged over the outputs.
    """
    r = z - c
    cut = xp.clip(r, -loss.width, loss.width)
    return xp.mean(cut * (r - 0.5 * cut), axis=1), cut / z.shape[1]


def _quantile(xp: Namespace, z: Array, c: Array, loss: Loss) -> tuple[Array, Array]:
    """Return ½ |r| + (½ - quantile) r with r = z - c and |r| smoothed, averaged over the outputs.

    This is the loss of Koenker & Bassett (1978), except that ½ (r²/width + width) replaces |r| for
    |r| ≤ width, which averages the loss over uniform errors up to `width` (Fernandes, Guerre &
    Horta 2021).  The loss is convex, and the predicted quantile is off by O(width²) only.
    """
    r, w = z - c, loss.width
    cut = xp.clip(r, -w, w)
    size = cut * (r - 0.5 * cut) / w + 0.5 * w
    value = 0.5 * size + (0.5 - loss.quantile) * r
    return xp.mean(value, axis=1), (0.5 * (cut / w) + (0.5 - loss.quantile)) / z.shape[1]


def _poisson(xp: Namespace, z: Array, c: Array, _: Loss) -> tuple[Array, Array]:
    """Return exp z - c z, averaged over the outputs.

    Half the deviance of the Poisson distribution with mean exp z, up to a term in c alone.
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
    """Return the loss of this name, with the quantile if it has one."""
    return replace(LOSSES[name], quantile=quantile)
