"""Workers are killed in the middle of a fit, which ends with the same networks."""

import os
import signal
import time

import dask.array as da
import numpy as np
import pytest
from dask.distributed import Client, LocalCluster

from skode import ODENetClassifier
from skode.dask import DaskODENetClassifier
from skode.dask import _store as store
from skode.dask._rows import DistributedRows
from skode.dask._tables import features
from tests.dask.test_estimators import assert_same_model, parts
from tests.estimators import short

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::ResourceWarning"
)
OPTIONS = {"solver": "lbfgs", "cv": 3, "max_iter": 12, "n_channels": 8, "N": 4}


@pytest.fixture(scope="module")
def data():
    """Samples with work for two processes, and the model of this process."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60_000, 4))
    y = (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(int)
    return X, y, short(ODENetClassifier, **OPTIONS).fit(X, y)


@pytest.fixture
def client():
    """A client of two processes, which tests may kill; they start again by themselves."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(silence_logs=60, **options) as cluster, Client(cluster) as client:
        yield client


def call_before(monkeypatch, method, number, disturb):
    """Call a function before this call of a method of the holders."""
    call, calls = store.Store.call, []

    def disturbed(self, name, arguments):
        if name == method:
            calls.append(name)
            if len(calls) == number:
                disturb(self)
        return call(self, name, arguments)

    monkeypatch.setattr(store.Store, "call", disturbed)


def kill(client, address):
    os.kill(client.run(os.getpid, workers=[address])[address], signal.SIGKILL)


@pytest.mark.parametrize(("method", "number"), [("add_up", 5), ("place", 1), ("apply", 1)])
def test_the_rows_of_a_lost_worker_are_loaded_again(method, number, data, client, monkeypatch):
    X, y, local = data
    lost = []

    def disturb(rows):
        assert len(rows.remotes) == 2
        lost.append(rows.remotes[1].address)
        kill(client, lost[0])

    call_before(monkeypatch, method, number, disturb)
    model = short(DaskODENetClassifier, **OPTIONS).fit(parts(X, 5), parts(y, 5))
    assert_same_model(model, local)
    assert lost
    assert lost[0] not in client.nthreads()


def test_a_worker_may_be_lost_while_it_computes(data, client, monkeypatch):
    X, y, local = data
    gathered, calls = store._answers, []

    async def disturbed(futures, seconds):
        calls.append(len(futures))
        if len(calls) == 8:  # it has been asked, and has not answered
            os.kill(pids[0], signal.SIGKILL)
        return await gathered(futures, seconds)

    pids = list(client.run(os.getpid).values())
    monkeypatch.setattr(store, "_answers", disturbed)
    model = short(DaskODENetClassifier, **OPTIONS).fit(parts(X, 5), parts(y, 5))
    assert_same_model(model, local)
    assert len(calls) > 8


def test_workers_may_be_lost_one_after_the_other_while_they_load(data, client, monkeypatch):
    X, y, local = data
    waiting, times = store.wait, []

    def disturbed(holders, timeout):
        times.append(time.monotonic())
        if len(times) in (2, 4):
            os.kill(min(client.run(os.getpid).values()), signal.SIGKILL)
        return waiting(holders, timeout)

    monkeypatch.setattr(store, "wait", disturbed)
    monkeypatch.setattr(store, "PATIENCE", 0.3)
    slow = parts(X, 12).map_blocks(_slowly, dtype=float)
    model = short(DaskODENetClassifier, **OPTIONS).fit(slow, parts(y, 5))
    assert_same_model(model, local)
    assert len(times) > 4


def _slowly(X):
    time.sleep(0.3)
    return X


def test_all_workers_may_be_lost(data, client, monkeypatch):
    X, y, local = data

    def disturb(rows):
        for remote in rows.remotes:
            kill(client, remote.address)

    call_before(monkeypatch, "add_up", 4, disturb)
    model = short(DaskODENetClassifier, **OPTIONS).fit(parts(X, 5), parts(y, 5))
    assert_same_model(model, local)


def test_persisted_rows_that_are_lost_are_computed_again(data, client, monkeypatch):
    X, y, local = data
    rows = da.from_array(X, chunks=(20_000, 4)).persist()
    call_before(monkeypatch, "add_up", 3, lambda held: kill(client, held.remotes[0].address))
    model = short(DaskODENetClassifier, **OPTIONS).fit(rows, y)
    assert_same_model(model, local)


def test_an_interrupted_driver_keeps_the_best_iterates(data, client, monkeypatch):
    X, y, local = data

    def interrupt(rows):
        raise KeyboardInterrupt

    call_before(monkeypatch, "add_up", 8, interrupt)
    model = short(DaskODENetClassifier, **OPTIONS)
    with pytest.raises(KeyboardInterrupt, match="keeps the best iterate"):
        model.fit(parts(X, 5), parts(y, 5))
    assert 0 < model.n_iter_ < local.n_iter_
    for s, losses in enumerate(local.validation_curve_[0, :, 0]):
        n_iter = np.count_nonzero(~np.isnan(model.validation_curve_[0, s, 0])) - 1
        assert model.validation_loss_[0, s, 0] == losses[: n_iter + 1].min()
    assert 0.5 < model.score(parts(X), parts(y)) <= 1.0


def test_an_error_of_a_worker_is_no_lost_worker(data, client, monkeypatch):
    X, y, _ = data
    with pytest.raises(ValueError, match="not finite at the start"):
        short(DaskODENetClassifier, **OPTIONS).fit(parts(1e300 * X), parts(y))
    with store.Store(client, features(parts(X)), None, None) as rows:
        with pytest.raises(ZeroDivisionError):
            DistributedRows(rows).apply(_divide)
        assert len(rows.remotes) == 2


def _divide(X, start):
    return 1 // 0
