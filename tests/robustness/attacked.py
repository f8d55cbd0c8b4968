"""Classifiers that are attacked, and what their gradients are compared with."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier
from tests.estimators import blobs, short

SCALES = np.array([10.0, 0.1, 3.0])
SMOOTH = {"activation": "softplus", "solver": "lbfgs", "h": 0.5}


def fitted(n_classes=3, cls=ODENetClassifier, **parameters):
    """A pipeline for features of different scales, and its samples."""
    X, y = blobs(n_classes)
    X = 5 + SCALES * X
    return make_pipeline(StandardScaler(), short(cls, **{**SMOOTH, **parameters})).fit(X, y), X, y


def differences(function, X):
    """Central differences of a function of samples, the features last."""
    parts = []
    for i in range(X.shape[1]):
        size = 1e-5 * np.abs(X[:, i]).max()
        step = size * np.eye(X.shape[1])[i]
        parts.append((function(X + step) - function(X - step)) / (2 * size))
    return np.stack(parts, axis=-1)


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7 * np.abs(expected).max())


def toolbox():
    pytest.importorskip("multiprocess")
    return pytest.importorskip("art.attacks.evasion")
