import os

import pytest
from hypothesis import HealthCheck, settings

os.environ["MPLBACKEND"] = "Agg"  # no window; and no import of matplotlib where it is not needed
os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's threads wait busily, to no avail here
os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported; scikit-learn's dispatch asks for it

from tests.namespaces import NAMESPACES

# The same examples in every run; timings of shared machines are no failures.
# The namespaces of `xp` have no state that examples could hand on to each other.
settings.register_profile(
    "skode",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("skode")


@pytest.fixture(params=NAMESPACES)
def xp(request):
    """Every array library, and a library's second device, that the code has to run on."""
    return NAMESPACES[request.param]()


@pytest.fixture
def wide_start(monkeypatch):
    """Training starts from larger K and b, whatever the present width: farther from a saddle."""
    monkeypatch.setattr("skode._estimator.START", 2**0.5)


@pytest.fixture
def dispatch():
    """scikit-learn follows arrays of other libraries."""
    from sklearn import config_context  # now that the environment is set

    with config_context(array_api_dispatch=True):
        yield
