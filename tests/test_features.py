"""The inputs of the networks, and how views of the features are chosen and kept."""

import logging
import pickle

import numpy as np
import pytest
from sklearn.metrics import r2_score

from skode import ODENetClassifier, ODENetRegressor
from skode.engine.objective import Objective
from skode.inspection import costates, trajectories
from tests.estimators import BOTH, REGRESSORS, blobs, curve, recomputed_outputs, short

# Several tests run all solvers with parameters that not all of them have.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.* has no effect here. the solver is:UserWarning"),
]

ALL = [*BOTH, *REGRESSORS]
EULER = ([[0.0]], [1.0], [0.0])


def data_for(cls):
    return blobs(3, 90) if cls in BOTH else curve(90)


@pytest.mark.parametrize("view", ["given", "piecewise", "both"])
@pytest.mark.parametrize("cls", ALL)
def test_predictions_from_the_fitted_arrays(cls, view):
    X, y = data_for(cls)
    options = {"lift": "nonlinear", "cv": 3, "alpha": [1e-4, 1e-1], "n_channels": 5}
    model = short(cls, features=view, **options).fit(X, y)
    names = {"both": ["given", "piecewise"]}.get(view, [view])
    assert list(model.feature_map_.views) == names
    inputs = model.feature_map_.transform(X)
    assert model.V_.shape == (len(model.K_), 5, inputs.shape[1])
    for network, name in enumerate(model.network_features_):
        elsewhere = np.delete(np.arange(inputs.shape[1]), model.feature_map_.views[name])
        assert not model.V_[network][:, elsewhere].any()
        assert model.V_[network].any()
    z = recomputed_outputs(model, EULER, float("ODE" in cls.__name__), inputs)
    if cls in REGRESSORS:
        mean = np.tensordot(model.network_weights_, z, axes=1)[0]
        expected = model._centre + model._scale * mean
        np.testing.assert_allclose(model.predict(X), expected, rtol=1e-10)
    else:
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        expected = np.tensordot(model.network_weights_, p, axes=1).T
        np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-10)


def test_candidates_say_what_they_see_and_the_networks_kept_too():
    X, y = blobs(3, 200)
    model = short(ODENetClassifier, features="both", lift="linear", cv=3, alpha=[1e-3, 1e-2])
    model.fit(X, y)
    names = ["given", "given", "piecewise", "piecewise"]
    np.testing.assert_array_equal(model.candidates_["features"], names)
    np.testing.assert_array_equal(model.candidates_["alpha"], [1e-3, 1e-2, 1e-3, 1e-2])
    kept = model.candidates_["features"][model.candidates_["weight"] > 0]
    np.testing.assert_array_equal(model.network_features_, np.repeat(kept, 3))
    assert model.validation_loss_.shape == (4, 3, 1)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_each_view_is_trained_as_if_it_were_alone(solver):
    X, y = blobs(3, 90)
    options = {"lift": "nonlinear", "cv": 3, "solver": solver, "max_iter": 8, "batch_size": 30}
    both = short(ODENetClassifier, features="both", **options).fit(X, y)
    losses = [
        short(ODENetClassifier, features=view, **options).fit(X, y).validation_loss_
        for view in ("given", "piecewise")
    ]
    # Adam's batches for the second view continue the sequence of the generator.
    np.testing.assert_allclose(both.validation_loss_[:1], losses[0], rtol=1e-9)
    if solver == "lbfgs":
        np.testing.assert_allclose(both.validation_loss_[1:], losses[1], rtol=1e-9)


def test_one_ctrl_c_ends_the_training_of_every_view(monkeypatch):
    X, y = blobs(3, 90)
    evaluate, calls = Objective.evaluate, []

    def interrupted(self, *args, **options):
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return evaluate(self, *args, **options)

    monkeypatch.setattr(Objective, "evaluate", interrupted)
    model = short(ODENetClassifier, features="both", lift="linear", cv=3)
    with pytest.raises(KeyboardInterrupt, match="The estimator is fitted"):
        model.fit(X, y)
    assert len(calls) == 10
    assert model.network_features_ == ["given"] * 3
    assert len(model.candidates_["alpha"]) == 1
    assert model.score(X, y) > 0.6


def test_the_log_names_the_view(caplog):
    X, y = blobs(2)
    options = {"features": "both", "lift": "linear", "cv": 2, "max_iter": 10, "tol": 0}
    with caplog.at_level(logging.INFO, logger="skode"):
        short(ODENetClassifier, verbose=1, **options).fit(X, y)
    started = [record.getMessage().partition(":")[0] for record in caplog.records[:20]]
    views = ["given"] * 10 + ["piecewise"] * 10
    assert started == [f"ODENetClassifier, features {view}" for view in views]


def test_heavy_tails_are_seen_by_their_ranks():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 3))
    X = np.sign(z) * np.expm1(np.abs(3 * z))
    X /= X.std(axis=0)
    y = (z[:, 0] * z[:, 1] > 0).astype(int) + (z[:, 2] > 0.5)
    given_, auto = (
        ODENetClassifier(features=features, random_state=0).fit(X[:200], y[:200])
        for features in ("given", "auto")
    )
    assert auto.score(X[200:], y[200:]) > given_.score(X[200:], y[200:]) + 0.05


@pytest.mark.parametrize(
    ("options", "views"),
    [
        ({}, ["given", "piecewise"]),
        ({"lift": "linear"}, ["given", "piecewise"]),
        ({"lift": "pad"}, ["given"]),
        ({"cv": None}, ["given"]),
        ({"cv": None, "early_stopping": True}, ["given", "piecewise"]),
        ({"alpha": 0.01}, ["given", "piecewise"]),
    ],
)
def test_auto_offers_both_views_where_it_can_choose(options, views):
    X, y = blobs(2, 60)
    model = ODENetClassifier(max_iter=2, random_state=0, **options).fit(X, y)
    assert list(model.feature_map_.views) == views


def test_auto_takes_features_of_few_values_and_many_samples_as_given(monkeypatch):
    X, y = blobs(2, 60)
    few = ODENetClassifier(max_iter=2, random_state=0).fit(np.round(X), y)
    assert list(few.feature_map_.views) == ["given"]
    monkeypatch.setattr("skode._candidates.MOST_IN_PIECES", 59)
    many = ODENetClassifier(max_iter=2, random_state=0).fit(X, y)
    assert list(many.feature_map_.views) == ["given"]


def test_samples_without_weight_and_samples_to_judge_by_do_not_shape_the_view():
    X, y = blobs(2, 60)
    model = short(ODENetClassifier, features="piecewise", lift="linear")
    plain = model.fit(X, y).feature_map_
    weights = np.r_[np.ones(60), np.zeros(60)]
    more = model.fit(np.r_[X, 9 * X], np.r_[y, y], weights).feature_map_
    judged = model.fit(X, y, X_val=9 * X, y_val=y).feature_map_
    for other in (more, judged):
        np.testing.assert_array_equal(other.low, plain.low)
        np.testing.assert_allclose(other.width, plain.width, rtol=1e-12)


@pytest.mark.parametrize("cls", ALL)
def test_samples_to_judge_by_are_seen_in_both_views(cls):
    X, y = data_for(cls)
    X_val, y_val = X[::2] + 0.1, y[::2]
    model = short(cls, features="both", lift="linear").fit(X, y, X_val=X_val, y_val=y_val)
    expected = r2_score if cls in REGRESSORS else lambda y, p: np.mean(y == p)
    np.testing.assert_allclose(model.oof_score_, expected(y_val, model.predict(X_val)), rtol=1e-9)


@pytest.mark.parametrize("cls", ALL)
def test_a_warm_start_goes_on_in_every_view(cls):
    X, y = data_for(cls)
    options = {"features": "both", "lift": "linear", "cv": 3, "solver": "lbfgs"}
    model = short(cls, warm_start=True, max_iter=3, **options).fit(X, y)
    first, seen = model.feature_map_, set(model.network_features_)
    loss = model.validation_loss_.mean(axis=(1, 2)).min()
    model.fit(X, y)
    assert model.feature_map_ is first
    assert set(model.candidates_["features"]) == seen
    assert model.validation_loss_.mean(axis=(1, 2)).min() < loss


@pytest.mark.parametrize("changed", ["given", "piecewise", "both"])
def test_training_goes_on_with_the_same_views(changed):
    X, y = blobs(3, 90)
    options = {"features": "auto", "lift": "linear", "cv": 3, "solver": "adam"}
    model = short(ODENetClassifier, warm_start=True, **options).fit(X, y)
    with pytest.raises(ValueError, match=f"features='auto'; now it would be {changed!r}"):
        model.set_params(features=changed).fit(X, y)
    with pytest.raises(ValueError, match=f"features='auto'; now it would be {changed!r}"):
        model.partial_fit(X, y)


def test_a_stream_goes_on_in_every_view():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = np.abs(X[:, 0]) + 0.3 * X[:, 1] + 0.7 * rng.normal(size=120) > 0.8
    options = {"features": "both", "lift": "nonlinear", "solver": "adam", "batch_size": 30}
    model = short(ODENetClassifier, cv=3, max_iter=60, **options).fit(X, y)
    assert set(model.network_features_) == {"given", "piecewise"}
    K, zero = model.K_, model.V_ == 0
    other = pickle.loads(pickle.dumps(model))
    for _ in range(2):
        model.partial_fit(X, y)
        other.partial_fit(X, y)
    np.testing.assert_array_equal(model.V_ == 0, zero)
    assert (np.abs(model.K_ - K).max(axis=(1, 2, 3)) > 0).all()
    last, one_before = (
        model.loss_curve_.T[np.arange(len(K)), model.network_n_iter_ - k] for k in (0, 1)
    )
    np.testing.assert_array_equal(last, model.loss_)
    assert (last < one_before).all()
    np.testing.assert_array_equal(model.V_, other.V_)


def test_a_stream_may_see_pieces_from_the_start():
    X, y = blobs(3, 120)
    model = short(ODENetClassifier, features="piecewise", lift="nonlinear", solver="adam")
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
    assert list(model.network_features_) == ["piecewise"]
    assert model.predict(X).shape == (120,)


def test_a_stream_has_nothing_to_choose_views_by():
    X, y = blobs(3)
    model = short(ODENetClassifier, features="both", lift="linear", solver="adam")
    with pytest.raises(
        ValueError, match="features='both' means a choice between views, but no samples are held"
    ):
        model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(
        ValueError, match="features='both' means a choice between views, but no samples are held"
    ):
        model.set_params(cv=None).fit(X, y)


def test_two_views_need_a_lift():
    X, y = blobs(3)
    with pytest.raises(ValueError, match="features='both' needs a lift"):
        short(ODENetClassifier, features="both", lift="pad", cv=3).fit(X, y)
    with pytest.raises(ValueError, match="n_channels=4 is less than the number of inputs, 24"):
        short(ODENetClassifier, features="piecewise", lift="pad").fit(X, y)


@pytest.mark.parametrize("view", ["piecewise", "both"])
def test_the_inside_of_networks_that_see_pieces(view):
    X, y = blobs(3, 80)
    options = {"lift": "linear", "cv": 2, "n_channels": 3}
    model = short(ODENetClassifier, features=view, **options).fit(X, y)
    inputs = model.feature_map_.transform(X)
    states = trajectories(model, X)
    lifted = inputs @ np.swapaxes(model.V_, 1, 2) + model.nu_[:, None]
    np.testing.assert_allclose(states[:, 0], lifted, atol=1e-13)
    p = costates(model, X, y)
    # The derivatives of the loss with respect to the features, by differences.
    found = model.feature_map_.pull_back(X + 1e-3, costates(model, X + 1e-3, y)[:, 0] @ model.V_)
    step = 1e-6
    for j in range(X.shape[1]):
        shift = step * np.eye(X.shape[1])[j]
        up, down = (_losses(model, X + 1e-3 + sign * shift, y) for sign in (1, -1))
        np.testing.assert_allclose(found[..., j], (up - down) / (2 * step), rtol=1e-4, atol=1e-8)
    assert p.shape == (len(model.K_), 4, 80, 3)


def _losses(model, X, y):
    """Return the loss of every network and sample, as a part of the mean."""
    z = recomputed_outputs(model, EULER, 1.0, model.feature_map_.transform(X))
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -log_p[:, y, np.arange(len(y))] / len(y)


@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_single_precision_stays_single(cls):
    X, y = data_for(cls)
    model = short(cls, features="both", lift="linear", cv=3).fit(X.astype("float32"), y)
    assert model.V_.dtype == "float32"
    assert model.feature_map_.transform(X.astype("float32")).dtype == "float32"
