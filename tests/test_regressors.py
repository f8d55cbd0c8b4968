import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardRegressor, ODENetRegressor
from skode.engine.schemes import TABLEAUX
from skode.inspection import costates
from tests.estimators import REGRESSORS, curve, recomputed_outputs, short
from tests.reference import triple

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ABLE = {"n_channels": 16, "h": 0.5, "solver": "lbfgs", "cv": 4, "max_iter": 100}


@pytest.mark.parametrize("cls", REGRESSORS)
def test_diabetes_is_predicted_as_well_as_by_a_line(cls):
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = short(cls, **{**ABLE, "N": 1, "h": 1.0, "alpha": (1e-3, 1e-2, 1e-1)}).fit(X, y)
    assert 0.45 < model.oof_score_ < 0.55
    # Predictions for held-out samples are no worse than those of a linear model.
    line = cross_val_predict(LinearRegression(), X, y, cv=4)
    errors = [((prediction - y) ** 2).mean() for prediction in (model.oof_prediction_, line)]
    assert errors[0] < 1.05 * errors[1]


@pytest.mark.parametrize("cls", REGRESSORS)
def test_friedman_is_predicted_better_than_by_a_line(cls):
    X, y = make_friedman1(600, noise=1.0, random_state=0)
    X = StandardScaler().fit_transform(X)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    model = short(cls, **ABLE).fit(X, y)
    line = LinearRegression().fit(X, y).score(X_test, y_test)
    assert line < 0.8
    assert model.score(X_test, y_test) > 0.88
    assert abs(model.oof_score_ - model.score(X_test, y_test)) < 0.05


# --- predictions from the fitted arrays


@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam"])
@pytest.mark.parametrize("n_targets", [None, 1, 3])
@pytest.mark.parametrize("lift", ["pad", "linear"])
@pytest.mark.parametrize(
    ("cls", "scheme"),
    [(ODENetRegressor, "rk4"), (ODENetRegressor, "gauss4"), (FeedForwardRegressor, None)],
)
def test_predictions_and_objective_from_the_fitted_arrays(cls, scheme, lift, n_targets, solver):
    X, y = curve(n_targets=n_targets)
    y = y * [3.0, 0.1, 20.0][: n_targets or 1] - 7 if n_targets else 3 * y - 7
    weights = np.random.default_rng(0).uniform(size=60)
    own = {"scheme": scheme} if scheme else {}
    options = {"lift": lift, "n_restarts": 2, "smoothness": 0.1, "h": 0.7, "max_iter": 10}
    model = short(cls, alpha=0.02, solver=solver, **options, **own).fit(X, y, weights)
    tableau, skip = (triple(TABLEAUX[scheme]), 1.0) if scheme else (([[0.0]], [1.0], [0.0]), 0.0)
    z = recomputed_outputs(model, tableau, skip, X)
    mean = np.average(y, axis=0, weights=weights)
    scale = np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weights))
    expected = mean + scale * z.mean(0).T.reshape(y.shape)
    assert model.predict(X).shape == y.shape
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-9)
    # Half the squared error in standardised units, averaged over targets and weighted samples.
    standard = ((y - mean) / scale).reshape(60, -1).T
    for k in range(2):
        parts = [model.K_[k], model.W_[k], *([model.V_[k]] if lift == "linear" else [])]
        rises = [np.diff(part[k], axis=0) for part in (model.K_, model.b_)]
        objective = 0.5 * np.average((z[k] - standard) ** 2, axis=1, weights=weights).mean()
        objective += 0.01 * sum((part**2).sum() for part in parts)
        objective += 0.05 * sum((rise**2).sum() for rise in rises) / 0.7
        assert model.loss_[k] == pytest.approx(objective, rel=1e-10)
    assert model.n_outputs_ == (n_targets or 1)
    assert model.W_.shape == (2, n_targets or 1, 4)


def test_one_column_is_the_same_as_none_but_for_the_shape():
    X, y = curve()
    flat, column = (short(ODENetRegressor, cv=3).fit(X, target) for target in (y, y[:, None]))
    np.testing.assert_array_equal(flat.predict(X)[:, None], column.predict(X))
    np.testing.assert_array_equal(flat.oof_prediction_[:, None], column.oof_prediction_)
    assert flat.oof_score_ == column.oof_score_


@pytest.mark.parametrize("cls", REGRESSORS)
@pytest.mark.parametrize("cv", [None, 3])
@settings(max_examples=10)
@given(a=st.floats(1e-6, 1e6), sign=st.sampled_from([-1, 1]), b=st.floats(-10, 10))
def test_the_units_of_the_targets_do_not_matter(cls, cv, a, sign, b):
    X, y = curve()
    a, b = sign * a, b * a
    plain, other = (short(cls, cv=cv).fit(X, target) for target in (y, a * y + b))
    tolerance = 1e-7 * abs(a)
    np.testing.assert_allclose(other.predict(X), a * plain.predict(X) + b, atol=tolerance)
    np.testing.assert_allclose(other.loss_, plain.loss_, rtol=1e-6)
    if cv is not None:
        np.testing.assert_allclose(
            other.oof_prediction_, a * plain.oof_prediction_ + b, atol=tolerance
        )


@pytest.mark.parametrize("value", [0.0, 5.0, -1e9, 0.1])
@pytest.mark.parametrize("cv", [None, 3])
def test_constant_targets_are_predicted_as_they_are(cv, value):
    X, y = curve(n_targets=2)
    y[:, 1] = value
    model = short(ODENetRegressor, cv=cv).fit(X, y)
    np.testing.assert_allclose(model.predict(X)[:, 1], value, rtol=1e-6, atol=1e-6)
    alone = short(ODENetRegressor, cv=cv).fit(X, y[:, 1])
    np.testing.assert_allclose(alone.predict(X), value, rtol=1e-12, atol=1e-12)


def test_targets_beyond_the_squares_of_float32():
    X, y = curve()
    plain, large = (short(ODENetRegressor).fit(X.astype(np.float32), f * y) for f in (1, 1e25))
    np.testing.assert_allclose(large.predict(X), 1e25 * plain.predict(X), rtol=1e-5, atol=1e20)


def test_targets_far_from_zero_are_not_taken_for_constant():
    X, y = curve()
    near, far = (short(ODENetRegressor).fit(X, y + shift) for shift in (0, 1e9))
    np.testing.assert_allclose(far.predict(X) - 1e9, near.predict(X), atol=1e-5)


@pytest.mark.parametrize("cls", REGRESSORS)
def test_predictions_are_the_mean_of_the_networks(cls):
    X, y = curve(n_targets=2)
    model = short(cls, cv=3, lift="linear").fit(X, y)
    each = []
    for k in range(3):
        one = pickle.loads(pickle.dumps(model))
        for name in ("K_", "b_", "h_", "W_", "mu_", "V_", "nu_"):
            setattr(one, name, getattr(model, name)[[k]])
        one.network_weights_ = np.ones(1)
        each.append(one.predict(X))
    np.testing.assert_allclose(model.predict(X), np.mean(each, axis=0), rtol=1e-10)
    assert np.abs(each[0] - each[1]).max() > 1e-3


# --- invariance of a fit


@pytest.mark.parametrize("cls", REGRESSORS)
@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_order_and_multiplicity_of_samples(cls, seed):
    X, y = curve(n_targets=2, seed=seed)
    rng = np.random.default_rng(seed)
    plain = short(cls).fit(X, y).predict(X)
    order = rng.permutation(60)
    np.testing.assert_allclose(short(cls).fit(X[order], y[order]).predict(X), plain, atol=1e-6)
    weights = rng.integers(0, 3, 60)
    repeated = short(cls).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights, axis=0))
    for factor in (1, 7.5):
        weighted = short(cls).fit(X, y, sample_weight=factor * weights)
        np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), atol=1e-6)


def test_the_order_of_the_targets_does_not_matter():
    X, y = curve(n_targets=3)
    order = [2, 0, 1]
    one, other = (short(ODENetRegressor).fit(X, target) for target in (y, y[:, order]))
    np.testing.assert_allclose(one.predict(X)[:, order], other.predict(X), atol=1e-7)


@pytest.mark.parametrize("cls", REGRESSORS)
def test_networks_of_float32_stay_float32_and_their_targets_keep_their_digits(cls):
    X, y = curve(n_targets=2)
    model = short(cls, cv=3, lift="linear").fit(X.astype(np.float32), y)
    for name in ("K_", "b_", "h_", "W_", "mu_", "V_", "nu_"):
        assert getattr(model, name).dtype == np.float32
    far = short(cls, cv=3, lift="linear").fit(X.astype(np.float32), y + 1e9)
    np.testing.assert_allclose(far.predict(X) - 1e9, model.predict(X), atol=1e-3)
    assert far.oof_score_ == pytest.approx(model.oof_score_, abs=1e-3)
    double = short(cls, cv=3, lift="linear").fit(X, y)
    assert double.predict(X).dtype == np.float64
    np.testing.assert_allclose(model.predict(X), double.predict(X), atol=5e-3)


@pytest.mark.parametrize("unit", [1e155, 1e-300])
def test_the_score_is_free_of_units(unit):
    X, y = curve()
    score = short(ODENetRegressor, cv=3).fit(X, y).oof_score_
    assert score < 0.999
    assert short(ODENetRegressor, cv=3).fit(X, y * unit).oof_score_ == pytest.approx(score, 1e-6)


def test_integers_frames_and_lists_are_targets():
    X, y = curve()
    frame = pd.DataFrame(X, columns=["length", "width", "height"])
    whole = np.round(10 * y).astype(int)
    expected = short(ODENetRegressor).fit(X, whole.astype(float)).predict(X)
    for target in (whole, pd.Series(whole), whole.tolist()):
        model = short(ODENetRegressor).fit(frame, target)
        np.testing.assert_array_equal(model.predict(frame), expected)
    assert list(model.feature_names_in_) == ["length", "width", "height"]


def test_dates_and_durations_are_no_targets():
    X, y = curve(20)
    model = short(ODENetRegressor, max_iter=2)
    dates = np.datetime64("2026-01-01") + np.arange(20)
    for bad in (dates, dates - dates[0], pd.Series(dates)):
        with pytest.raises(TypeError, match="y must hold numbers, not dates or durations"):
            model.fit(X, bad)
    with pytest.raises(TypeError, match="not dates"):
        costates(model.fit(X, y), X, dates)


def test_a_pipeline_in_a_grid_search():
    X, y = curve(120)
    pipeline = make_pipeline(StandardScaler(), short(ODENetRegressor, solver="lbfgs"))
    grid = {"odenetregressor__alpha": [1e-3, 10.0], "odenetregressor__lift": ["pad", "linear"]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_params_["odenetregressor__alpha"] == 1e-3
    assert search.best_score_ > 0.6


def test_prediction_follows_the_fit_and_not_later_parameters():
    X, y = curve()
    model = short(ODENetRegressor).fit(X, y)
    before = model.predict(X)
    model.set_params(scheme="rk4", activation="relu", N=9, lift="linear")
    np.testing.assert_array_equal(model.predict(X), before)


def test_many_targets_get_as_many_channels_as_they_need():
    rng = np.random.default_rng(0)
    X, X_new = rng.normal(size=(500, 60)), rng.normal(size=(500, 60))
    options = {"features": "given", "cv": 2, "alpha": 1e-3, "random_state": 0}
    model = ODENetRegressor(**options).fit(X, X)  # sixty independent targets
    assert model.K_.shape[2] == 120
    assert model.score(X_new, X_new) > 0.97
    assert (
        short(ODENetRegressor, n_channels="auto", lift="linear").fit(X, X[:, :3]).K_.shape[2] == 48
    )
