"""A cluster in this process, so that tests can look into its workers."""

import pytest
from dask.distributed import Client

from skode.engine.kernels import cpu


@pytest.fixture(scope="session")
def _client():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with Client(processes=False, set_as_default=False, **options) as client:
        yield client


@pytest.fixture
def client(_client):
    """A client of two workers that is the current one of Dask."""
    with _client.as_current():
        yield _client


@pytest.fixture
def small_units(monkeypatch):
    """Cut even a few hundred samples into many units, here and on the workers."""
    monkeypatch.setattr(cpu, "CALL_WORK", 2**10)
    monkeypatch.setattr(cpu, "BLOCK_SIZES", (8, 16))
    monkeypatch.setattr(cpu, "FOR_BLAS", 8)
