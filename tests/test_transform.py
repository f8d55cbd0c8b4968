"""`transform`: the last states of the networks as features for other estimators."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor
from skode.engine.arrays import to_host
from skode.inspection import trajectories
from tests.estimators import BOTH, REGRESSORS, blobs, curve, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ALL = [*BOTH, *REGRESSORS]
FOLDS = {"cv": 3, "alpha": (1e-3, 1e-2), "features": "both", "lift": "nonlinear", "solver": "lbfgs"}


def data_for(cls):
    return blobs(3) if cls in BOTH else curve()


@pytest.mark.parametrize("parameters", [{}, {"n_restarts": 2}, FOLDS])
@pytest.mark.parametrize("cls", ALL)
def test_the_last_states_of_all_networks_side_by_side(cls, parameters):
    X, y = data_for(cls)
    model = short(cls, max_iter=5, **parameters).fit(X, y)
    found = model.transform(X)
    states = trajectories(model, X)[:, -1]
    assert found.shape == (len(X), model.n_networks_ * model.n_channels_)
    for k, state in enumerate(states):
        mine = slice(k * model.n_channels_, (k + 1) * model.n_channels_)
        np.testing.assert_allclose(found[:, mine], state, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(short(cls, max_iter=5, **parameters).fit_transform(X, y), found)


def test_the_readout_of_one_network_is_affine_in_the_state():
    X, y = blobs(2)
    model = short(ODENetClassifier).fit(X, y)
    expected = model.transform(X) @ model.W_[0, 0] + model.mu_[0, 0]
    np.testing.assert_allclose(model.decision_function(X), expected, rtol=1e-12)


# scikit-learn's checks that are not part of its estimator contract.
@pytest.mark.filterwarnings("ignore:X (does not have|has) .*feature names:UserWarning")
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_transformer_get_feature_names_out,
        estimator_checks.check_transformer_get_feature_names_out_pandas,
        estimator_checks.check_set_output_transform,
        estimator_checks.check_set_output_transform_pandas,
        estimator_checks.check_global_output_transform_pandas,
    ],
)
@pytest.mark.parametrize("cls", ALL)
def test_names_and_containers_as_in_scikit_learn(cls, check):
    check(cls.__name__, cls(max_iter=10, cv=3, n_channels=4))


@pytest.mark.parametrize("scheme", ["rk4", "gauss4"])
def test_on_every_library(scheme, xp, dispatch):
    X, y = blobs(3)
    options = {"scheme": scheme, "max_iter": 3, "n_restarts": 2, "h": 0.5}
    expected = short(ODENetClassifier, **options).fit(X, y)
    model = short(ODENetClassifier, **options).fit(xp.asarray(X), xp.asarray(y))
    found = model.transform(xp.asarray(X))
    assert xp.holds(found)
    np.testing.assert_allclose(to_host(found), expected.transform(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("parameters", [{}, {"features": "piecewise", "lift": "linear"}])
def test_sparse_features_and_single_precision(dtype, parameters):
    X, y = blobs(2)
    X = (X * (np.abs(X) > 0.5)).astype(dtype)
    model = short(ODENetClassifier, max_iter=5, **parameters).fit(X, y)
    found = model.transform(csr_array(X))
    assert found.dtype == dtype
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, model.transform(X), rtol=1e-5, atol=1e-6)


def test_frames_and_names():
    X, y = blobs(2)
    model = short(ODENetClassifier, max_iter=3, n_restarts=2).set_output(transform="pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"], index=range(100, 160))
    found = model.fit_transform(frame, y)
    assert isinstance(found, pd.DataFrame)
    names = [f"odenetclassifier{k}" for k in range(8)]
    assert list(found.columns) == list(model.get_feature_names_out()) == names
    assert (found.index == frame.index).all()
    assert isinstance(model.predict(frame), np.ndarray)


def test_a_feature_map_in_the_middle_of_a_pipeline():
    X, y = load_breast_cancer(return_X_y=True)
    network = ODENetClassifier(cv=None, max_iter=50, random_state=0)
    model = make_pipeline(StandardScaler(), network, LogisticRegression())
    assert cross_val_score(model, X, y, cv=3).mean() > 0.94
    search = GridSearchCV(model, {"odenetclassifier__n_channels": [4, 8]}, cv=2).fit(X, y)
    states = search.best_estimator_[:-1].transform(X)
    assert states.shape == (len(X), search.best_params_["odenetclassifier__n_channels"])
    X, y = curve(200)
    linear = LinearRegression().fit(X, y).score(X, y)
    network = ODENetRegressor(cv=None, max_iter=50, random_state=0)
    assert make_pipeline(network, LinearRegression()).fit(X, y).score(X, y) > linear + 0.1


def test_a_state_that_overflows_is_reported():
    X, y = blobs(2)
    model = short(ODENetClassifier, activation="relu", max_iter=10).fit(X, y)
    far = np.array([[1e308, 1e308, -1e308], [0, 0, 0], [-1e308, 1e308, 1e308]])
    with pytest.raises(ValueError, match=r"state is not finite for \d of 3 samples"):
        model.transform(far)
    with pytest.raises(ValueError, match="X has 2 features"):
        model.transform(X[:, :2])


def test_threads_and_streams():
    X, y = blobs(3, n_samples=3000)
    model = FeedForwardClassifier(solver="adam", n_channels=64, random_state=0)
    model.partial_fit(X, y, classes=[0, 1, 2])
    one = model.set_params(n_jobs=1).transform(X)
    np.testing.assert_array_equal(model.set_params(n_jobs=2).transform(X), one)
