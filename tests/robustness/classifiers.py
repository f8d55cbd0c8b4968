"""Classifiers with random weights, and attacks on them, for tests of certificates."""

from functools import cache

import numpy as np

from skode import ODENetClassifier
from skode.inspection import input_gradients
from skode.robustness._grid import unit_grid
from skode.robustness._norms import checked_norm, into_ball
from tests.estimators import blobs, short

CASES = [
    (2, "log_loss", "given", "nonlinear", "euler"),
    (2, "log_loss", "both", "nonlinear", "heun"),
    (3, "log_loss", "given", "pad", "rk4"),
    (3, "log_loss", "piecewise", "linear", "euler"),
    (3, "squared_error", "given", "linear", "midpoint"),
    (2, "squared_error", "given", "linear", "kutta3"),
    (3, "log_loss", "given", "linear", "implicit_midpoint"),
]


@cache
def template(n_classes, loss, features, lift, scheme, cls=ODENetClassifier):
    """A classifier of two networks, or of four that see different features; hardly trained."""
    X, y = blobs(n_classes, n_samples=40, n_features=2)
    parameters = {"scheme": scheme} if cls is ODENetClassifier else {}
    model = short(
        cls,
        lift=lift,
        features=features,
        loss=loss,
        cv=2,
        alpha=1e-2,
        N=2,
        max_iter=1,
        **parameters,
    )
    return model.fit(X, y)


def randomised(rng, model, size=1.0):
    """The classifier with random weights in place of those of the fit."""
    model.K_ = size * rng.normal(size=model.K_.shape) / 2
    model.h_ = rng.uniform(-0.5, 1.0, model.h_.shape)
    for name in ("b_", "mu_", "nu_"):
        if hasattr(model, name):
            setattr(model, name, 0.5 * rng.normal(size=getattr(model, name).shape))
    # The networks are alike, so that they say something together.
    model.W_ = rng.normal(size=model.W_.shape[1:]) + 0.5 * rng.normal(size=model.W_.shape)
    if hasattr(model, "V_"):
        seen = model.V_ != 0
        model.V_ = seen * (rng.normal(size=model.V_.shape[1:]) + 0.3 * rng.normal(size=seen.shape))
    weights = rng.uniform(0.5, 1.5, len(model.K_))
    model.network_weights_ = weights / weights.sum()
    return model


def steps_of_gradient(model, X, y, eps, norm):
    """Where steps along the gradient of the loss, projected on the balls, lead."""
    moved, eps = X, eps[:, None]
    for _ in range(4):
        G = input_gradients(model, moved, y)
        if norm == 2:
            step = eps * G / np.maximum(np.linalg.norm(G, axis=1, keepdims=True), 1e-300)
        else:
            step = 0.5 * eps * np.sign(G)
        moved = into_ball(X, moved + step, eps, norm)
    return moved


def broken(model, X, eps, norm):
    """Whether an attack within eps, (samples,), changes the prediction of each sample."""
    y, norm = model.predict(X), checked_norm(norm)
    delta = 0.999999 * unit_grid(13, norm)
    moved = X[:, None] + eps[:, None, None] * delta
    said = model.predict(moved.reshape(-1, 2)).reshape(len(X), -1)
    by_gradient = model.predict(steps_of_gradient(model, X, y, 0.999999 * eps, norm))
    return (said != y[:, None]).any(axis=1) | (by_gradient != y)


def one_network(**parameters):
    X, y = blobs(3, n_features=2)
    return short(ODENetClassifier, lift="linear", max_iter=20, **parameters).fit(X, y), X, y
