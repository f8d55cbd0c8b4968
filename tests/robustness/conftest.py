import matplotlib.pyplot as plt
import pytest

from skode import ODENetClassifier
from tests.estimators import blobs, short
from tests.robustness.attacked import SMOOTH


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def plane():
    """A network for two features that is right for most samples."""
    X, y = blobs(2, 80, 2)
    return short(ODENetClassifier, **{**SMOOTH, "max_iter": 60}).fit(X, y), X, y
