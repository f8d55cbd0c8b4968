"""The time limit of a fit, with a simulated clock."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import TimeSeriesSplit
from sklearn.utils._param_validation import InvalidParameterError

from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor
from skode.engine.objective import Objective
from tests.estimators import BOTH, REGRESSORS, blobs, curve, short
from tests.test_wide import wide


@pytest.fixture
def clock(monkeypatch):
    """Let each evaluation of the objective take a second of simulated time."""
    evaluate, now = Objective.evaluate, [100.0]

    def slow(self, *arguments, **options):
        now[0] += 1.0
        return evaluate(self, *arguments, **options)

    monkeypatch.setattr(Objective, "evaluate", slow)
    monkeypatch.setattr("skode.engine.training.stopping.monotonic", lambda: now[0])
    monkeypatch.setattr("skode._course.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("cls", BOTH + REGRESSORS)
@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam", "adam+lbfgs"])
def test_training_ends_when_the_time_is_up_and_keeps_the_best_iterate(cls, solver, clock):
    X, y = blobs(2) if cls in BOTH else curve()
    options = {"solver": solver, "max_iter": 1000, "tol": 0.0, "max_time": 20.0}
    began = clock[0]
    with pytest.warns(ConvergenceWarning, match=r"max_time=20.0 before the objective settled"):
        model = short(cls, **options).fit(X, y)
    assert 20 <= clock[0] - began < 23 if solver != "adam+lbfgs" else clock[0] - began < 25
    assert model.stop_reason_ == ["max_time"]
    assert 0 < model.network_n_iter_[0] <= 20
    assert model.loss_[0] == np.nanmin(model.loss_curve_)
    assert model.score(X, y) > (0.8 if cls in BOTH else 0.0)


def test_a_training_that_settles_in_time_is_the_same_without_a_limit(clock):
    X, y = blobs(2)
    model = short(ODENetClassifier, tol=1e-2, max_iter=200, max_time=1e6).fit(X, y)
    same = short(ODENetClassifier, tol=1e-2, max_iter=200).fit(X, y)
    assert model.stop_reason_ == ["converged"]
    np.testing.assert_array_equal(model.K_, same.K_)


def test_views_share_the_time(clock):
    X, y = blobs(3, 90)
    options = {"features": "both", "lift": "linear", "cv": 3, "max_iter": 1000, "tol": 0.0}
    options |= {"n_iter_no_change": 1000, "alpha": (1e-3, 1e-2)}
    began = clock[0]
    with pytest.warns(ConvergenceWarning, match="max_time=40"):
        model = short(ODENetClassifier, max_time=40, **options).fit(X, y)
    assert 40 <= clock[0] - began < 45
    assert set(model.candidates_["features"]) == {"given", "piecewise"}
    n_iter = np.isfinite(model.validation_curve_).sum(axis=-1) - 1
    given, piecewise = n_iter[:2], n_iter[2:]
    assert abs(given.max() - piecewise.max()) < 10
    assert piecewise.min() > 5


def test_time_that_one_view_leaves_goes_to_the_next(clock):
    X, y = blobs(3, 90)
    options = {"features": "both", "lift": "linear", "cv": 3, "max_iter": 1000, "tol": 1e-3}
    began = clock[0]
    model = short(ODENetClassifier, max_time=1000.0, n_iter_no_change=5, **options).fit(X, y)
    needed = clock[0] - began
    assert "max_time" not in model.stop_reason_
    n_iter = np.isfinite(model.validation_curve_).sum(axis=-1) - 1
    given, piecewise = n_iter.max(axis=(1, 2))
    assert piecewise > given  # this is more than half of the time of both
    again = short(ODENetClassifier, max_time=needed + 1, n_iter_no_change=5, **options).fit(X, y)
    np.testing.assert_array_equal(again.K_, model.K_)


def test_a_view_whose_turn_has_not_come_is_left_out_with_a_warning(clock):
    X, y = blobs(3, 90)
    options = {"features": "both", "lift": "linear", "cv": 3, "max_iter": 1000, "tol": 0.0}
    with pytest.warns(ConvergenceWarning) as caught:
        model = short(ODENetClassifier, max_time=0.5, **options).fit(X, y)
    messages = [str(warning.message) for warning in caught]
    assert "max_time=0.5 was up before 3 networks had begun, which are left out" in messages[0]
    assert all(warning.filename == __file__ for warning in caught)
    assert list(model.candidates_["features"]) == ["given"]
    assert (model.network_n_iter_ > 0).all()  # every network is trained
    assert (model.loss_ < model.loss_curve_[0]).all()


def test_turns_share_the_time_and_those_that_have_none_are_left_out(clock, monkeypatch):
    monkeypatch.setattr("skode.engine.training.turns.MOST_BYTES", 1)
    X, y = wide(60, 6)
    options = {"lift": "linear", "cv": 3, "solver": "lbfgs", "max_iter": 1000, "tol": 0.0}
    options |= {"n_iter_no_change": 1000}
    with pytest.warns(ConvergenceWarning, match="best iterate of every network is kept"):
        model = short(ODENetClassifier, max_time=30.0, **options).fit(X, y)
    assert model.stop_reason_ == ["max_time"] * 3
    assert model.network_n_iter_.min() > 5
    assert np.ptp(model.network_n_iter_) < 4
    with pytest.warns(ConvergenceWarning, match="before 2 networks had begun"):
        model = short(ODENetClassifier, max_time=1.0, **options).fit(X, y)
    assert len(model.K_) == 1
    assert model.network_n_iter_[0] > 0
    assert np.isfinite(model.predict_proba(X)).all()


def test_a_warm_start_from_networks_that_were_left_out_says_so(clock, monkeypatch):
    monkeypatch.setattr("skode.engine.training.turns.MOST_BYTES", 1)
    X, y = wide(60, 6)
    options = {"lift": "linear", "cv": 3, "solver": "lbfgs", "warm_start": True}
    model = short(ODENetClassifier, max_time=1.0, **options)
    with pytest.warns(ConvergenceWarning, match="before 2 networks had begun"):
        model.fit(X, y)
    with pytest.raises(ValueError, match=r"from 1 networks .* it would be 3 .*warm_start=False"):
        model.fit(X, y)


@pytest.mark.parametrize("max_time", [1.0, 30.0, 70.0])
def test_networks_of_the_splits_stay_if_there_is_no_time_to_train_on_all(
    max_time, clock, monkeypatch
):
    X, y = curve()
    evaluate = Objective.evaluate

    def slower(self, *arguments, **options):
        clock[0] += 9.0 * (self.samples.folds is None)
        return evaluate(self, *arguments, **options)

    monkeypatch.setattr(Objective, "evaluate", slower)
    options = {"cv": TimeSeriesSplit(3), "max_iter": 30, "tol": 1e-2, "alpha": (1e-3, 1e-2)}
    model = short(ODENetRegressor, max_time=max_time, **options)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X, y)
    messages = [str(warning.message) for warning in caught]
    assert "was up before the networks were trained on all samples" in messages[-1]
    assert all(warning.filename == __file__ for warning in caught)
    assert "refit" not in model.stop_reason_
    assert clock[0] < 100 + max_time + 50
    assert (model.network_n_iter_ > 0).all()
    assert np.isfinite(model.predict(X)).all()


def test_time_for_the_training_on_all_samples_is_reserved(clock):
    X, y = curve()
    options = {"cv": TimeSeriesSplit(3), "max_iter": 1000, "tol": 0.0, "n_iter_no_change": 1000}
    began = clock[0]
    model = short(ODENetRegressor, solver="adam", batch_size=60, max_time=60.0, **options)
    with pytest.warns(ConvergenceWarning, match="before the objective settled"):
        model.fit(X, y)
    assert set(model.stop_reason_) == {"refit"}
    assert 55 < clock[0] - began < 65


@pytest.mark.parametrize("max_time", [0, -1.0, True, "long", np.nan])
def test_other_limits_are_refused(max_time):
    X, y = blobs(2)
    with pytest.raises(InvalidParameterError, match="'max_time' parameter of ODENetClassifier"):
        short(ODENetClassifier, max_time=max_time).fit(X, y)


def test_numbers_of_numpy_are_limits():
    X, y = blobs(2)
    expected = short(ODENetClassifier, tol=1e-2, max_iter=200).fit(X, y)
    for max_time in (np.float32(1e6), np.int64(10**6)):
        model = short(ODENetClassifier, tol=1e-2, max_iter=200, max_time=max_time).fit(X, y)
        np.testing.assert_array_equal(model.K_, expected.K_)


def test_it_has_no_effect_in_partial_fit(clock):
    X, y = blobs(2)
    one, other = (
        short(FeedForwardClassifier, solver="adam", max_time=max_time)
        .partial_fit(X, y, classes=[0, 1])
        .partial_fit(X, y)
        for max_time in (None, 1e-3)
    )
    np.testing.assert_array_equal(one.K_, other.K_)
