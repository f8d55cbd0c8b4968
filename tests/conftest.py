import os

import pytest
from hypothesis import HealthCheck, settings

os.environ["MPLBACKEND"] = "Agg"  # no window, and no import of matplotlib unless necessary
os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's threads would only wait busily here
os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported; scikit-learn's dispatch requires it

from tests.namespaces import NAMESPACES

# The same examples in every run; slow examples on shared machines are not failures.
# The namespaces of `xp` have no state that examples could share.
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
    """Start training from larger K and b, whatever the width, to avoid a saddle."""
    monkeypatch.setattr("skode._estimator.START", 2**0.5)


@pytest.fixture
def dispatch():
    """Let scikit-learn support arrays of other libraries."""
    from sklearn import config_context  # after the environment is set

    with config_context(array_api_dispatch=True):
        yield
