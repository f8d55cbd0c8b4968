"""The parameter `device`, with array-api-strict's second device instead of a GPU."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import sklearn

from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor
from skode.inspection import costates, step_doubling_gap, trajectories
from tests.estimators import blobs
from tests.libraries import VARIANTS, assert_same, data_for, few, fitted_arrays, results
from tests.namespaces import NAMESPACES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("dispatching", [False, True])
@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_device_cpu_brings_arrays_home(cls, dispatching):
    X, y = data_for(cls)
    away = NAMESPACES["strict-device1"]()
    expected = few(cls, cv=3).fit(X, y)
    with sklearn.config_context(array_api_dispatch=dispatching):
        model = few(cls, cv=3, device="cpu").fit(away.asarray(X), y=away.asarray(y))
        assert_same(model, expected, tolerance=0)
        for name, value in results(model, away.asarray(X)).items():
            np.testing.assert_array_equal(value, getattr(expected, name)(X))
        assert model.score(away.asarray(X), away.asarray(y)) == expected.score(X, y)


class Nowhere:
    """Simulate that CuPy is not installed."""

    def find_spec(self, name, path, target=None):
        if name == "cupy":
            raise ImportError("it is not installed")


class StandIn:
    """Replace the functions of CuPy for `device="cuda"` by array-api-strict's second device."""

    def __init__(self):
        self.away, self.taken = NAMESPACES["strict-device1"](), []

    def asarray(self, values):
        self.taken.append(values.shape)
        return self.away.asarray(values)


@pytest.fixture
def gpu(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setattr("skode._devices._cupy", lambda: stand_in)
    return stand_in


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_device_cuda_computes_there_and_gives_host_arrays_back(cls, variant, gpu):
    X, y = data_for(cls)
    expected = few(cls, **VARIANTS[variant]).fit(X, y)
    model = few(cls, device="cuda", **VARIANTS[variant]).fit(X, y)
    assert gpu.taken == [X.shape]  # whole, and once
    assert all(isinstance(value, np.ndarray) for value in fitted_arrays(model).values())
    assert_same(model, expected)
    for name, value in results(model, X).items():
        assert isinstance(value, np.ndarray)
        np.testing.assert_allclose(value, getattr(expected, name)(X), atol=1e-9)
    assert len(gpu.taken) > 1  # for prediction too
    assert pickle.loads(pickle.dumps(model)).set_params(device=None).predict(X).shape == y.shape


def test_device_cuda_with_validation_data_partial_fit_and_a_memory_map(gpu, tmp_path):
    X, y = blobs(2)
    mapped = np.memmap(tmp_path / "X", dtype=X.dtype, mode="w+", shape=X.shape)
    mapped[:] = X
    validation = {"X_val": X[40:], "y_val": y[40:]}
    model = few(ODENetClassifier, device="cuda").fit(mapped[:40], y[:40], **validation)
    assert_same(model, few(ODENetClassifier).fit(X[:40], y[:40], **validation))
    assert gpu.taken == [(40, 3), (20, 3)]

    def in_parts(**parameters):
        model = few(ODENetClassifier, solver="adam", **parameters)
        for rows in (slice(30), slice(30, None)):
            model.partial_fit(X[rows], y[rows], classes=[0, 1])
        return pickle.loads(pickle.dumps(model)).partial_fit(X, y)

    assert_same(in_parts(device="cuda"), in_parts())


def test_device_cuda_gives_back_what_it_was_given(gpu, dispatch):
    X, y = blobs(2)
    torch = NAMESPACES["torch"]()
    model = few(ODENetClassifier, device="cuda").fit(torch.asarray(X), torch.asarray(y))
    assert gpu.taken
    assert all(map(torch.holds, fitted_arrays(model).values()))
    assert all(map(torch.holds, results(model, torch.asarray(X)).values()))


def test_device_cuda_without_cupy_says_how_to_install_it(monkeypatch):
    X, y = blobs(2)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Nowhere(), *sys.meta_path])
    monkeypatch.setattr("skode._devices._cuda_driver", lambda: (13, 1))
    model = ODENetClassifier(device="cuda")
    with pytest.raises(ImportError, match=r"pip install cupy-cuda13x\. An NVIDIA .* CUDA 13\.1"):
        model.fit(X, y)
    monkeypatch.setattr("skode._devices._cuda_driver", lambda: None)
    with pytest.raises(ImportError, match=r"pip install cupy-cuda12x\. No NVIDIA driver"):
        model.fit(X, y)
    assert not hasattr(model, "classes_")  # unchanged


def test_device_cuda_without_a_device_says_what_was_found():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        if cupy.cuda.runtime.getDeviceCount():
            pytest.skip("there is a CUDA device")
    except cupy.cuda.runtime.CUDARuntimeError as error:
        reason = str(error)
    X, y = blobs(2)
    with pytest.raises(RuntimeError, match="needs an NVIDIA GPU") as caught:
        FeedForwardClassifier(device="cuda").fit(X, y)
    for part in (cupy.__version__, reason, "pip install cupy-cuda1", "device=None"):
        assert part in str(caught.value)
    code = "import cupy, skode, numpy as np; skode.ODENetRegressor().fit(np.eye(9), np.arange(9))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_gpu_without_the_environment_variable_gives_a_clear_error(monkeypatch):
    X, y = blobs(2)
    away = NAMESPACES["strict-device1"]()
    monkeypatch.delenv("SCIPY_ARRAY_API")
    with pytest.raises(RuntimeError, match=r"set SCIPY_ARRAY_API=1 .*device='cpu'"):
        few(ODENetClassifier).fit(away.asarray(X), y)
    model = few(ODENetClassifier, device="cpu").fit(away.asarray(X), away.asarray(y))
    assert_same(model, few(ODENetClassifier).fit(X, y), tolerance=0)


def test_device_cpu_predicts_on_the_host_after_a_fit_on_a_device(dispatch):
    X, y = blobs(2)
    away = NAMESPACES["strict-device1"]()
    model = few(ODENetClassifier).fit(away.asarray(X), away.asarray(y)).set_params(device="cpu")
    found = model.predict_proba(away.asarray(X))
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, few(ODENetClassifier).fit(X, y).predict_proba(X), atol=1e-9)


def test_device_is_checked():
    with pytest.raises(ValueError, match="The 'device' parameter"):
        ODENetClassifier(device="gpu").fit(*blobs(2))


@pytest.mark.parametrize("device", [None, "cuda"])
def test_inspection_is_the_hosts(device, gpu, dispatch):
    X, y = blobs(2)
    away = gpu.away if device is None else NAMESPACES["numpy"]()
    model = few(ODENetClassifier, device=device, n_restarts=2).fit(away.asarray(X), away.asarray(y))
    expected = few(ODENetClassifier, n_restarts=2).fit(X, y)
    X_, y_ = away.asarray(X), away.asarray(y)
    np.testing.assert_allclose(trajectories(model, X_), trajectories(expected, X), atol=1e-9)
    np.testing.assert_allclose(costates(model, X_, y_), costates(expected, X, y), atol=1e-9)
    gap = step_doubling_gap(model, X_)
    np.testing.assert_allclose(gap.gap, step_doubling_gap(expected, X).gap, atol=1e-9)
