"""Workers of a cluster that compute on a GPU."""

import dask.array as da
import numpy as np
import pytest
from dask.distributed import Client

from skode import ODENetClassifier
from skode.dask import DaskODENetClassifier
from tests.estimators import blobs, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
OPTIONS = {"solver": "lbfgs", "cv": 3, "max_iter": 8}


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with Client(processes=False, **options) as client:
        yield client


def assert_close_to_numpy(model, X, y):
    local = short(ODENetClassifier, **OPTIONS).fit(X, y)
    assert isinstance(model.K_, np.ndarray)
    np.testing.assert_allclose(model.K_, local.K_, rtol=0, atol=1e-8)
    np.testing.assert_allclose(
        model.oof_decision_function_, local.oof_decision_function_, rtol=1e-6, atol=1e-8
    )


def test_workers_compute_on_their_device(gpu, client):
    X, y = blobs(2, 400)
    model = short(DaskODENetClassifier, device="cuda", **OPTIONS)
    assert_close_to_numpy(model.fit(da.from_array(X, chunks=(150, 3)), y), X, y)
    lazily = model.predict_proba(da.from_array(X, chunks=(100, 3)))
    np.testing.assert_allclose(lazily, model.to_local().predict_proba(X), rtol=1e-12)


def test_parts_on_a_device_stay_there(gpu, client):
    import cupy

    X, y = blobs(2, 400)
    parts = da.from_array(X, chunks=(150, 3)).map_blocks(cupy.asarray)
    assert_close_to_numpy(short(DaskODENetClassifier, **OPTIONS).fit(parts, y), X, y)
