import importlib
import os

import numpy as np
import pytest
from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"  # no window; and no import of matplotlib where it is not needed

# The same examples in every run; timings of shared machines are no failures.
settings.register_profile("skode", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("skode")


@pytest.fixture(params=["numpy", "array_api_strict"])
def xp(request):
    """The array namespaces on which the engine is tested."""
    return importlib.import_module(request.param)


@pytest.fixture
def wide_start(monkeypatch):
    """Training starts from larger K and b, whatever the present width: farther from a saddle."""
    monkeypatch.setattr("skode._estimator.START", 2**0.5)


@pytest.fixture
def frozen():
    """Makes read-only arrays, so that code which writes into its input fails."""

    def freeze(array):
        array = np.array(array)
        array.setflags(write=False)
        return array

    return freeze
