"""Fits that learn nothing: the warning names the cause if it can be measured."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardClassifier, FeedForwardRegressor, ODENetClassifier, ODENetRegressor
from skode._collapse import best_constant
from skode.engine.losses import loss_named
from tests.estimators import blobs, short

ALL = [ODENetClassifier, FeedForwardClassifier, ODENetRegressor, FeedForwardRegressor]


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def warnings_of(model, X, y, **more):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, **more)
    messages = [w for w in caught if "max_iter" not in str(w.message)]
    assert all(w.filename == __file__ for w in messages)
    assert all(w.category is ConvergenceWarning for w in messages)
    return [str(w.message) for w in messages]


@pytest.mark.parametrize("cv", ["auto", None])
@pytest.mark.parametrize("cls", ALL)
def test_the_scale_of_the_features(cls, cv, cancer):
    X, y = cancer
    (message,) = warnings_of(cls(features="given", cv=cv, random_state=0), 1e-6 * X, y)
    assert "hardly better than a constant" in message
    assert "standard deviations of at most 1." in message
    assert "StandardScaler" in message


@pytest.mark.parametrize("lift", ["nonlinear", "pad"])
@pytest.mark.parametrize("cv", ["auto", None])
@pytest.mark.parametrize("cls", ALL)
def test_the_penalty(cls, cv, lift, cancer):
    X, y = cancer
    # With this penalty, a network with a skip connection still passes the features on.
    alpha = 1e4 if lift == "pad" else 10.0
    (message,) = warnings_of(cls(alpha=alpha, cv=cv, lift=lift, random_state=0), X, y)
    assert f"the penalty outweighs the data: take a smaller alpha than {alpha:.3g}" in message


@pytest.mark.parametrize("cv", ["auto", None])
@pytest.mark.parametrize("cls", [FeedForwardClassifier, FeedForwardRegressor])
def test_the_number_of_layers(cls, cv, cancer):
    X, y = cancer
    (message,) = warnings_of(cls(N=50, n_channels=16, alpha=1e-3, cv=cv, random_state=0), X, y)
    assert "fades in 50 layers" in message
    assert "take a smaller N" in message


@pytest.mark.parametrize("parameters", [{}, {"cv": None}, {"alpha": 0.01}, {"max_iter": 3}])
@pytest.mark.parametrize("cls", ALL)
def test_a_fit_that_learns_is_not_warned_of(cls, parameters, cancer):
    assert not warnings_of(cls(random_state=0, **parameters), *cancer)


@pytest.mark.parametrize("cls", ALL)
def test_constant_features(cls):
    X, y = np.ones((60, 3)), np.arange(60) % 2
    (message,) = warnings_of(cls(cv=None), X, y)
    assert "since all features are constant" in message


@pytest.mark.parametrize("cls", ALL)
def test_noise_has_no_cause(cls):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 5)), rng.integers(0, 2, 200)
    for message in warnings_of(cls(random_state=0, alpha=0.01), X, y):
        assert "lowest before training" in message


@pytest.mark.parametrize("cv", ["auto", None])
@pytest.mark.parametrize("cls", ALL)
def test_a_constant_target_is_not_warned_of(cls, cv):
    X, _ = blobs(2)
    assert not warnings_of(cls(cv=cv, random_state=0), X, np.zeros(60))


def test_the_scale_of_samples_to_judge_by_is_asked_for_where_there_are_some():
    X, y = blobs(2)
    model = short(ODENetClassifier, solver="lbfgs")
    (message,) = warnings_of(model, X, y, X_val=X, y_val=1 - y)
    assert message.endswith("Is X_val scaled like X?")
    half = np.arange(60) < 30
    (message,) = warnings_of(model.set_params(cv=[(half, ~half)]), X, np.where(half, y, 1 - y))
    assert "lowest before training" in message
    assert "X_val" not in message


def test_the_best_constant():
    rng = np.random.default_rng(0)
    weights, codes = rng.uniform(size=90), rng.integers(0, 3, 90)
    share = np.array([weights[codes == k].sum() for k in range(3)]) / weights.sum()
    proba = np.tile(share, (90, 1))
    found = best_constant(
        loss_named("softmax"), (codes[:, None] == np.arange(3)).astype(float), weights
    )
    assert found == pytest.approx(log_loss(codes, proba, sample_weight=weights))
    one = (codes == 1)[:, None].astype(float)
    found = best_constant(loss_named("logistic"), one, weights)
    entropy = -(share[1] * np.log(share[1]) + (1 - share[1]) * np.log(1 - share[1]))
    assert found == pytest.approx(entropy)
    found = best_constant(loss_named("logistic_squared"), one, weights)
    assert found == pytest.approx(0.5 * share[1] * (1 - share[1]))
    y = rng.normal(size=(90, 2))
    mean = np.average(y, axis=0, weights=weights)
    expected = np.average(0.5 * ((y - mean) ** 2).mean(1), weights=weights)
    assert best_constant(loss_named("squared"), y, weights) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "quantile"), [("huber", 0.5), ("quantile", 0.8), ("poisson", 0.5)]
)
def test_the_best_constant_of_numbers(name, quantile):
    rng, loss = np.random.default_rng(0), loss_named(name, quantile)
    weights, counts = rng.uniform(size=90), rng.poisson(3.0, size=(90, 1)).astype(float)
    grid = np.linspace(0.2, 6, 2000)
    z = (np.log(grid) if name == "poisson" else grid)[:, None, None]
    values, _ = loss.value_and_derivative(np, z, counts.T[None])
    lowest = np.average(values, axis=1, weights=weights).min()
    assert best_constant(loss, counts, weights) == pytest.approx(lowest, rel=0.05)
