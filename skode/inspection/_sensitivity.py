"""Derivatives with respect to the combined predictions of the networks, given by `Loss.mean`.

These are logarithms of probabilities for classifiers, and predictions in standardised units for
regressors. All functions here return a callable (mean, rows) for the engine. It maps the combined
predictions for some samples, (classes or outputs, samples), to derivatives (functions, classes or
outputs, samples).
"""

from __future__ import annotations

import numpy as np
from sklearn.base import is_classifier

from .._devices import host_values
from .._labels import Labels
from ..engine.arrays import to_host

QUADRATIC = ("squared", "huber")  # losses that scale with the square of the unit of y


def of_loss(network, y):
    """Return the derivative of each sample's loss, as one function."""
    if is_classifier(network):
        return _of_class_loss(network, network._kind.codes(host_values(y)))
    return _of_regression_loss(network, network._checked_targets(y))


def of_output(network):
    """Return the derivatives of `decision_function`, or of a regressor's `predict`, per column."""
    if not is_classifier(network):
        D = np.diag(np.ravel(to_host(network._scale)))
    elif isinstance(network._kind, Labels):
        half = np.eye(network._kind.number)
        D = np.concatenate([-half, half], axis=1)
    elif network._kind.n_rows == 2:
        D = np.array([[-1.0, 1.0]])
    else:
        D = np.eye(network._kind.n_rows)
    return lambda mean, rows: np.broadcast_to(D[:, :, None], (*D.shape, mean.shape[1]))


def has_columns(network):
    """Whether `decision_function`, or `predict` of a regressor, returns a two-dimensional array."""
    if is_classifier(network):
        return isinstance(network._kind, Labels) or network._kind.n_rows != 2
    return network._centre.ndim > 0


def _of_class_loss(network, codes):
    kind = network._kind
    squared = network._fitted_loss["name"] == "logistic_squared"

    def derivative(log_proba, rows):
        true = kind.targets(codes[rows]).T
        if len(true) != len(log_proba):  # absent or the first class; then the others
            true = np.concatenate([~true, true])
        if squared:
            proba = np.exp(log_proba)
            return (proba * (proba - true))[None]
        return true[None] / -(kind.number if isinstance(kind, Labels) else 1)

    return derivative


def _of_regression_loss(network, targets):
    loss, name = network._loss_of_fit, network._fitted_loss["name"]
    unit = np.ravel(to_host(network._scale))[:, None] ** (2 if name in QUADRATIC else 1)

    def derivative(mean, rows):
        z = np.log(mean) if loss.log_link else mean
        _, found = loss.value_and_derivative(np, z[None], targets[rows].T[None])
        return unit * (found / mean if loss.log_link else found)

    return derivative
