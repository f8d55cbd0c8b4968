"""Splits that are only used to choose: networks are then trained on all samples."""

from contextlib import nullcontext

import numpy as np
import pytest
from sklearn.model_selection import (
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)

from skode import ODENetClassifier, ODENetRegressor
from skode.engine.objective import Objective
from tests.estimators import curve, short
from tests.splits import chosen, counts

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize(
    ("cv", "refit"),
    [
        (TimeSeriesSplit(4), True),
        (ShuffleSplit(3, test_size=0.3, random_state=0), True),
        (PredefinedSplit(np.arange(60) % 4 - 1), True),
        ([(np.arange(40), np.arange(40, 60))], True),
        (KFold(4), False),
        (LeaveOneGroupOut(), False),
        (RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0), False),
        (4, False),
        ("auto", False),
        (None, False),
    ],
)
def test_where_samples_are_not_held_out_equally_often_the_splits_only_decide(cv, refit):
    codes = np.random.default_rng(0).integers(0, 2, 60)
    groups = np.arange(60) % 5 if isinstance(cv, LeaveOneGroupOut) else None
    assert chosen(cv, codes, groups=groups, early_stopping=True).refit is refit


def test_samples_without_weight_have_no_say_in_that():
    weights = np.where(np.arange(60) < 40, 1.0, 0.0)
    cv = [(np.arange(20), np.arange(20, 40)), (np.arange(20, 60), np.arange(20))]
    assert not chosen(cv, weights=weights).refit
    assert chosen(cv).refit


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_what_the_splits_have_chosen_is_trained_on_all_samples(solver):
    X, y = curve()
    cv = TimeSeriesSplit(3)
    options = {"alpha": (1e-3, 1e-2, 1.0), "solver": solver, "n_restarts": 2, "max_iter": 40}
    model = short(ODENetRegressor, cv=cv, **options).fit(X, y)
    curve_of_splits = model.validation_curve_
    best = np.argmin(np.where(np.isnan(curve_of_splits), np.inf, curve_of_splits), axis=3)
    kept = np.flatnonzero(model.candidates_["weight"])
    assert len(model.K_) == len(kept) * 3 * 2
    assert set(model.stop_reason_) == {"refit"}
    assert np.isnan(model.oof_prediction_[:15]).all()
    assert np.isfinite(model.oof_prediction_[15:]).all()
    for i, k in enumerate(kept):
        n_iter = round(np.median(best[k]))
        mine = slice(6 * i, 6 * i + 6)
        assert set(model.network_n_iter_[mine]) == {n_iter}
        # The same networks, from the same starts, if nothing is held out.
        same = short(
            ODENetRegressor,
            alpha=options["alpha"][k],
            solver=solver,
            n_restarts=6,
            max_iter=n_iter,
            tol=0.0,
        ).fit(X, y)
        np.testing.assert_allclose(model.K_[mine], same.K_, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(model.loss_[mine], same.loss_, rtol=1e-9)


def test_an_interruption_of_the_last_training_keeps_the_networks_of_the_splits(monkeypatch):
    X, y = curve()
    options = {"cv": TimeSeriesSplit(3), "max_iter": 6, "tol": 0.0}
    evaluate, calls = Objective.evaluate, []

    def interrupted(self, *args, **more):
        calls.append(self.samples.folds is None)
        if sum(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(self, *args, **more)

    monkeypatch.setattr(Objective, "evaluate", interrupted)
    model = short(ODENetRegressor, **options)
    with pytest.raises(KeyboardInterrupt, match="The estimator is fitted"):
        model.fit(X, y)
    assert "refit" not in model.stop_reason_
    assert set(model.network_n_iter_) == {6}
    assert np.isfinite(model.predict(X)).all()


def test_a_product_of_features_is_learned_from_the_past():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 4))
    y = X[:, 0] * X[:, 1] + 0.1 * rng.normal(size=1000)
    model = ODENetRegressor(cv=TimeSeriesSplit(5), random_state=0).fit(X[:500], y[:500])
    assert model.score(X[500:], y[500:]) > 0.95


def test_warm_starts_go_on_from_what_was_trained_on_all_and_warn():
    X, y = curve()
    model = short(ODENetRegressor, cv=TimeSeriesSplit(3), warm_start=True, max_iter=5).fit(X, y)
    before = model.loss_.copy()
    with pytest.warns(UserWarning, match="oof_score_ is then too high"):
        model.fit(X, y)
    assert (model.loss_ < before).all()


@pytest.mark.parametrize("cv", [TimeSeriesSplit(5), KFold(3)])
def test_classes_that_begin_late_are_judged_where_they_are_known(cv):
    rng = np.random.default_rng(0)
    y = np.r_[np.zeros(100, dtype=int), rng.integers(0, 3, 300)]
    if isinstance(cv, KFold):
        y = np.sort(y)  # only the last fold has the last class
    X = rng.normal(size=(400, 3)) + 3 * y[:, None]
    model = short(ODENetClassifier, cv=cv, solver="lbfgs")
    unjudged = pytest.warns(UserWarning, match="oof_score_ is NaN.*: 2")
    with unjudged if isinstance(cv, KFold) else nullcontext():
        model.fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.stop_reason_[0] == "refit"
    splits = chosen(cv, y)
    train, held_out = counts(splits)
    for s in range(len(splits)):
        assert set(y[held_out[s] > 0]) <= set(y[train[s] > 0])


def test_splits_that_know_none_of_what_they_hold_out():
    with pytest.raises(ValueError, match="leaves all classes out of training that it holds out"):
        chosen(KFold(2), np.repeat([0, 1], 30))
