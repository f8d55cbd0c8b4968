"""The estimators on a real device.  tests/test_array_api.py tests them with every library; its
cases for CuPy run if there is a device."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import sklearn

from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor
from skode.engine.arrays import to_host
from tests.estimators import blobs, curve
from tests.libraries import WITHOUT_OTHER_LIBRARIES, assert_same, few, fitted_arrays, results

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
CLASSES = [ODENetClassifier, FeedForwardClassifier, ODENetRegressor]


def data_for(cls):
    return curve() if cls is ODENetRegressor else blobs(3)


@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam", "adam+lbfgs"])
@pytest.mark.parametrize("cls", CLASSES)
def test_device_cuda_is_equal_to_numpy_and_gives_host_arrays(cls, solver, gpu):
    X, y = data_for(cls)
    parameters = {"solver": solver, "batch_size": 16, "cv": 3}
    model = few(cls, device="cuda", **parameters).fit(X, y)
    assert all(isinstance(value, np.ndarray) for value in fitted_arrays(model).values())
    assert_same(model, few(cls, **parameters).fit(X, y))
    for name, value in results(model, X).items():
        assert isinstance(value, np.ndarray), name


@pytest.mark.parametrize("cls", CLASSES)
def test_single_precision(cls, gpu):
    X, y = data_for(cls)
    X = X.astype(np.float32)
    model = few(cls, device="cuda", cv=3).fit(X, y)
    assert model.K_.dtype == np.float32
    assert_same(model, few(cls, cv=3).fit(X, y), tolerance=2e-3)


@pytest.mark.parametrize("dispatching", [False, True])
@pytest.mark.parametrize("cls", CLASSES)
def test_arrays_of_cupy_stay_on_their_device(cls, dispatching, gpu):
    X, y = data_for(cls)
    with sklearn.config_context(array_api_dispatch=dispatching):
        model = few(cls, cv=3).fit(gpu.asarray(X), gpu.asarray(y))
        assert all(map(gpu.holds, fitted_arrays(model).values()))
        assert all(map(gpu.holds, results(model, gpu.asarray(X)).values()))
        score = model.score(gpu.asarray(X), gpu.asarray(y))
    expected = few(cls, cv=3).fit(X, y)
    assert_same(model, expected)
    assert score == pytest.approx(expected.score(X, y), abs=1e-7)


@pytest.mark.parametrize("cls", CLASSES)
def test_device_cpu_brings_arrays_of_cupy_home(cls, gpu):
    X, y = data_for(cls)
    model = few(cls, device="cpu").fit(gpu.asarray(X), gpu.asarray(y))
    assert_same(model, few(cls).fit(X, y), tolerance=0)
    assert isinstance(model.predict(gpu.asarray(X)), np.ndarray)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_model_of_the_gpu_predicts_without_one(cls, gpu):
    X, y = data_for(cls)
    for model in (
        few(cls, device="cuda").fit(X, y).set_params(device=None),
        few(cls).fit(gpu.asarray(X), gpu.asarray(y)).to_host(),
    ):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_OTHER_LIBRARIES],
            input=pickle.dumps((model, X)),
            capture_output=True,
            check=True,
        )
        expected = few(cls).fit(X, y).predict(X)
        np.testing.assert_allclose(pickle.loads(done.stdout), to_host(expected), atol=1e-9)
