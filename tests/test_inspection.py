import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skode import FeedForwardClassifier, ODENetClassifier
from skode.datasets import make_spirals
from skode.engine import prediction
from skode.engine.controls import Controls
from skode.inspection import trajectories
from tests import reference


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("estimator", "scheme", "carry"),
    [
        (ODENetClassifier("heun"), ([[0, 0], [1, 0]], [0.5, 0.5], [0, 1]), 1.0),
        (FeedForwardClassifier(), ([[0.0]], [1.0], [0.0]), 0.0),
    ],
)
def test_states_from_the_features_to_the_readout(estimator, scheme, carry):
    X, y = make_spirals(40, random_state=0)
    estimator.set_params(N=4, n_channels=3, n_members=2, max_iter=5, random_state=0).fit(X, y)
    states = trajectories(estimator, X)
    assert states.shape == (2, 5, 40, 3)
    np.testing.assert_array_equal(states[:, 0, :, :2], [X, X])
    assert not states[:, 0, :, 2].any()
    for k in range(2):
        controls = Controls(*(part[k] for part in estimator._controls()))
        expected = reference.forward(scheme, "tanh", carry, controls, X)
        np.testing.assert_allclose(states[k], np.swapaxes(expected, 1, 2), atol=1e-13)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_blocks_change_nothing_and_overflow_is_reported():
    X, y = make_spirals(40, random_state=0)
    model = ODENetClassifier("heun", activation="relu", max_iter=5, random_state=0).fit(X, y)
    whole = prediction.trajectories(model._fitted_network(), model._controls(), X)
    parts = prediction.trajectories(model._fitted_network(), model._controls(), X, block=7)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)
    with pytest.raises(ValueError, match="overflow"):
        trajectories(model, np.full((1, 2), 1.7e308))


def test_before_fit():
    with pytest.raises(NotFittedError):
        trajectories(ODENetClassifier(), [[0.0, 1.0]])
