import matplotlib.pyplot as plt
import pytest
from sklearn.datasets import make_blobs

from skode import ODENetClassifier


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def ensemble():
    """Two candidates of four folds with two restarts; both may have weight."""
    X, y = make_blobs(80, 4, centers=3, cluster_std=4.0, random_state=0)
    X /= X.std()
    model = ODENetClassifier(
        N=4,
        n_channels=5,
        features="given",
        alpha=[1e-3, 1e-2, 10.0],
        cv=4,
        n_restarts=2,
        max_iter=25,
        random_state=0,
    )
    return model.fit(X, y), X, y
