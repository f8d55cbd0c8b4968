"""The losses of a block of samples, and the average over the members, in compiled loops.

Blocks are arrays of outputs × samples; the formulas are those of `losses`.
"""

from __future__ import annotations

from ..losses import HUBER, LOGISTIC, LOGISTIC_SQUARED, POISSON, QUANTILE, SOFTMAX, SQUARED
from .cpu_rows import loops, softplus, sums
from .elementary import constants, exp, inlined, log1p


@inlined
def _logistic(z):
    """Compute 1/(1 + exp(-z)) without overflow."""
    c = constants(z)
    e = exp(-abs(z))
    return (e if z < c.zero else c.one) / (c.one + e)


@loops
def _log_sum_exp(z, top, rest):
    """Compute log Σ exp z over the outputs in `top`; `rest` is work space."""
    outputs, samples = z.shape
    c = constants(z[0, 0])
    for k in range(outputs):
        for j in range(samples):
            if k == 0:
                top[j], rest[j] = z[0, j], c.zero
                continue
            # exp(top) (1 + rest) is the sum so far.
            e = exp(-abs(z[k, j] - top[j]))
            larger = z[k, j] > top[j]
            rest[j] = (c.one + rest[j]) * e if larger else rest[j] + e
            top[j] = z[k, j] if larger else top[j]
    for j in range(samples):
        top[j] += log1p(rest[j])


@inlined
def _cut(x, size):
    """Clip x to -size … size; NaN stays NaN."""
    x = -size if x < -size else x
    return size if x > size else x


@loops
def data_loss(code, form, z, targets, loss, work):
    """Write the loss of every sample to `loss`, and replace the outputs z by the derivatives.

    `form` holds the width and the quantile of `Loss`.
    """
    outputs, samples = z.shape
    constant = constants(z[0, 0])
    zero, half, one = constant.zero, constant.half, constant.one
    part = one / z.dtype.type(outputs)
    if code == SOFTMAX:
        _log_sum_exp(z, work, loss)
    for j in range(samples):
        loss[j] = work[j] if code == SOFTMAX else zero
    for k in range(outputs):
        if code == LOGISTIC:
            for j in range(samples):
                y, c = z[k, j], targets[k, j]
                loss[j] += part * (log1p(exp(-abs(y))) + half * abs(y) + (half - c) * y)
                z[k, j] = part * (_logistic(y) - c)
        elif code == SOFTMAX:
            for j in range(samples):
                y, c = z[k, j], targets[k, j]
                loss[j] -= c * y
                z[k, j] = exp(y - work[j]) - c
        elif code == LOGISTIC_SQUARED:
            for j in range(samples):
                C = _logistic(z[k, j])
                error = C - targets[k, j]
                loss[j] += half * error * error
                z[k, j] = error * C * (one - C)
        elif code == HUBER:
            for j in range(samples):
                error = z[k, j] - targets[k, j]
                cut = _cut(error, form[0])
                loss[j] += part * cut * (error - half * cut)
                z[k, j] = part * cut
        elif code == QUANTILE:
            width, tilt = form[0], half - form[1]
            for j in range(samples):
                error = z[k, j] - targets[k, j]
                cut = _cut(error, width)
                size = cut * (error - half * cut) / width + half * width
                loss[j] += part * (half * size + tilt * error)
                z[k, j] = part * (half * (cut / width) + tilt)
        elif code == POISSON:
            for j in range(samples):
                y, c = z[k, j], targets[k, j]
                mean = exp(y)
                loss[j] += part * (mean - c * y)
                z[k, j] = part * (mean - c)
        else:
            for j in range(samples):
                error = z[k, j] - targets[k, j]
                loss[j] += half * part * error * error
                z[k, j] = part * error


@loops
def weigh(weights, folds, member, start, rows):
    """Write the weights of a block of samples for one member to two rows: training, held out."""
    group, train, held_out, split = folds
    for j in range(rows.shape[1]):
        w = weights[start + j]
        if group.size:
            g, of_member = group[start + j], split[member]
            rows[0, j], rows[1, j] = w * train[of_member, g], w * held_out[of_member, g]
        else:
            rows[0, j], rows[1, j] = w, 0


@sums
def weighted_sum(weights, loss):
    """Return Σ w ℓ over the samples with a positive weight, in float64."""
    result = 0.0
    for j in range(loss.size):
        result += weights[j] * loss[j] if weights[j] > 0 else 0.0
    return result


@loops
def multiply(weights, z):
    """Multiply the rows of z by the weights of the samples; 0 unless a weight is positive."""
    zero = constants(weights[0]).zero
    for k in range(len(z)):
        for j in range(weights.size):
            z[k, j] = weights[j] * z[k, j] if weights[j] > zero else zero


@loops
def _log_proba(code, z, out, top, rest):
    """Write the log-probabilities of all classes to `out`, from the outputs z."""
    outputs, samples = z.shape
    if code == LOGISTIC or outputs == 1:
        for k in range(outputs):
            for j in range(samples):
                out[k, j] = -softplus(z[k, j])
                out[outputs + k, j] = -softplus(-z[k, j])
        return
    for k in range(outputs):
        for j in range(samples):
            out[k, j] = -softplus(-z[k, j]) if code == LOGISTIC_SQUARED else z[k, j]
    _log_sum_exp(out[:outputs], top, rest)
    for k in range(outputs):
        for j in range(samples):
            out[k, j] -= top[j]


@loops
def add_member(code, first, weight, z, combined, work):
    """Add the predictions of one member for a block to `combined`.

    Parameters
    ----------
    code : int
        The code of the loss.
    first : bool
        Whether this is the first member; `combined` is then overwritten.
    weight : float
        The member's weight in the mean, or its logarithm if the targets are classes.
    z : array of shape (outputs, samples)
        The outputs of the member.
    combined : array of shape (classes or outputs, samples)
        The weighted sums so far: logarithms of those of the probabilities if the targets are
        classes, otherwise those of the outputs, or of their exponentials.
    work : array of shape (2 + classes or outputs or more, samples)
        Work space.
    """
    own, not_finite, of_classes = z, work[0], code < SQUARED
    if of_classes:
        own = work[2:]
        _log_proba(code, z, own, work[0], work[1])
    elif code == POISSON:
        own = work[2:]
        for k in range(len(z)):
            for j in range(z.shape[1]):
                own[k, j] = exp(z[k, j])
    for j in range(z.shape[1]):
        not_finite[j] = 0
        for k in range(len(z)):
            not_finite[j] += z[k, j] - z[k, j]  # NaN if an output is not finite, else 0
            if code == POISSON:
                not_finite[j] += own[k, j] - own[k, j]
    zero = constants(z[0, 0]).zero
    for k in range(len(combined)):
        for j in range(z.shape[1]):
            a, b = combined[k, j], own[k, j]
            b = weight + b if of_classes else weight * b
            if first:
                a = b
            elif not of_classes:
                a += b
            else:
                apart = zero if a == b else abs(a - b)
                a = max(a, b) + log1p(exp(-apart))
            combined[k, j] = a + not_finite[j]
