"""Code shared by the tests of the estimators on other array libraries and devices."""

import numpy as np

from skode.engine.arrays import array_library, to_host
from tests.estimators import BOTH, blobs, curve, short

# Options that change how `fit` works, each at least once.
VARIANTS = {
    "gd": {},
    "lbfgs, folds": {"solver": "lbfgs", "cv": 3, "alpha": (1e-3, 1e-2), "n_restarts": 2},
    "adam": {"solver": "adam", "batch_size": 16, "max_iter": 5},
    "adam, folds": {"solver": "adam", "batch_size": 16, "max_iter": 5, "cv": 3},
    "adam+lbfgs": {"solver": "adam+lbfgs", "max_iter": 6, "early_stopping": True},
    "linear lift": {"lift": "linear", "n_channels": 3, "solver": "lbfgs"},
    "simplex": {"learn_step": "simplex", "smoothness": 1e-3},
    "spectral": {"constraint": "spectral", "constraint_norm": 0.5},
    "sphere, folds": {"constraint": "sphere", "solver": "lbfgs", "cv": 3},
    "orthogonal": {"constraint": "orthogonal", "solver": "lbfgs", "max_iter": 6},
}
SCHEMES = {
    "heun": {"scheme": "heun", "learn_step": True},
    "rk4, two members": {"scheme": "rk4", "n_restarts": 2},
    "gauss4": {"scheme": "gauss4", "N": 2, "h": 0.5},
    "implicit_midpoint, folds": {"scheme": "implicit_midpoint", "cv": 3, "h": 0.5},
}
# Predict in a process in which only NumPy can be imported.
WITHOUT_OTHER_LIBRARIES = """
import pickle, sys
class Nowhere:
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("array_api_strict", "cupy", "torch"):
            raise ImportError(name)
sys.meta_path.insert(0, Nowhere())
model, X = pickle.load(sys.stdin.buffer)
pickle.dump(model.predict(X), sys.stdout.buffer)
"""
RESULTS = ("decision_function", "predict_proba", "predict_log_proba", "predict")


def data_for(cls, n_classes=3):
    return blobs(n_classes) if cls in BOTH else curve(n_targets=2)


def few(cls, **parameters):
    """Return an estimator after a few iterations, with the last iterate."""
    return short(cls, **{"max_iter": 8, "tol": 0.0, **parameters})


def results(model, X):
    return {name: getattr(model, name)(X) for name in RESULTS if hasattr(model, name)}


def fitted_arrays(model):
    return {
        name: value
        for name, value in vars(model).items()
        if isinstance(value, np.ndarray) or array_library(value)
    }


def assert_same(model, expected, tolerance=1e-10):
    """Check that fitted arrays are equal up to rounding."""
    found = fitted_arrays(model)
    assert found.keys() == fitted_arrays(expected).keys()
    for name, value in fitted_arrays(expected).items():
        np.testing.assert_allclose(
            to_host(found[name]), value, rtol=tolerance, atol=tolerance, err_msg=name
        )
