"""Code shared by the tests of the estimators: small data and short fits."""

import numpy as np
from sklearn.datasets import make_blobs
from sklearn.preprocessing import StandardScaler

from skode import (
    FeedForwardClassifier,
    FeedForwardRegressor,
    ODENetClassifier,
    ODENetRegressor,
)

BOTH = [ODENetClassifier, FeedForwardClassifier]
REGRESSORS = [ODENetRegressor, FeedForwardRegressor]

# One network with all parameters set, so that no test depends on a default by accident.
PLAIN = {
    "N": 3,
    "h": 1.0,
    "n_channels": 4,
    "lift": "pad",
    "activation": "tanh",
    "features": "given",
    "alpha": 3e-3,
    "cv": None,
    "solver": "gd",
    "max_iter": 30,
    "tol": 1e-4,
    "n_iter_no_change": 10,
    "random_state": 0,
}


def blobs(n_classes=2, n_samples=60, n_features=3, seed=0):
    X, y = make_blobs(n_samples, n_features, centers=n_classes, random_state=seed)
    return StandardScaler().fit_transform(X), y


def curve(n_samples=60, n_features=3, n_targets=None, seed=0):
    """Return samples of smooth functions with a little noise, one of them or `n_targets`."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    phases = np.arange(n_targets or 1)
    y = np.sin(X[:, :1] + phases) + 0.5 * X[:, 1:2] * X[:, -1:]
    y += 0.05 * rng.normal(size=(n_samples, 1))
    return X, y[:, 0] if n_targets is None else y


def short(cls, **parameters):
    return cls(**{**PLAIN, **parameters})


def _mixed(z):
    half = (z.shape[-2] + 1) // 2
    channel = np.arange(z.shape[-2])[:, None]
    return np.where(channel < half, np.tanh(z), np.maximum(z, 0))


SIGMA = {
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "softplus": lambda z: np.logaddexp(z, 0),
    "identity": lambda z: z,
    "mixed": _mixed,
}


def recomputed_outputs(model, scheme, skip, X):
    """Compute the outputs of every network in a few lines of NumPy, from the fitted arrays alone.

    (n_networks, n_outputs, n_samples)
    """
    (A, b, _), sigma = scheme, SIGMA[model.activation]
    y = np.zeros((len(model.K_), model.K_.shape[-1], len(X)))
    if hasattr(model, "V_"):
        y[:] = model.V_ @ X.T + model.nu_[:, :, None]
        y = sigma(y) if model.lift == "nonlinear" else y
    else:
        y[:, : X.shape[1]] = X.T
    for layer in range(model.K_.shape[1]):
        K, bias = model.K_[:, layer], model.b_[:, layer, :, None]
        h, F = model.h_[:, layer, None, None], np.zeros((len(b), *y.shape))
        for _ in range(300):  # slow, but it also solves the equations of implicit stages
            new = (F + sigma(K @ (y + h * np.tensordot(A, F, axes=1)) + bias)) / 2
            if np.array_equal(new, F):
                break
            F = new
        y = skip * y + h * np.tensordot(b, F, axes=1)
    return model.W_ @ y + model.mu_[:, :, None]


def decision_of(z):
    """Return `decision_function` from the outputs of the networks, with equal weights."""
    if z.shape[1] == 1:
        p = (1 / (1 + np.exp(-z[:, 0]))).mean(0)
        return np.log(p / (1 - p))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    return np.log(p.mean(0)).T
