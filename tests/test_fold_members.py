"""One network for every fold: its training samples, its stopping, and its use."""

from contextlib import nullcontext

import numpy as np
import pytest
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import KFold, RepeatedStratifiedKFold, StratifiedKFold

from skode import ODENetClassifier, ODENetRegressor, _candidates, _estimator
from skode._averaging import greedy_weights
from skode.engine.schemes import TABLEAUX
from tests.estimators import BOTH, REGRESSORS, blobs, curve, decision_of, recomputed_outputs, short
from tests.reference import triple

# Several tests run all solvers with parameters that not all of them have.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.* has no effect here. the solver is:UserWarning"),
]

LIFTED = {"lift": "linear", "n_channels": 5}
ENDLESS = {"n_iter_no_change": 1000, "tol": 0}  # only max_iter ends the training
HEUN = triple(TABLEAUX["heun"])


def noisy(n_classes=2, n_samples=60):
    """Classes that overlap, so that there is something to overfit."""
    X, y = blobs(n_classes, n_samples)
    rng = np.random.default_rng(0)
    return X + rng.normal(size=X.shape), y


def weights_of(n_samples=60):
    return np.random.default_rng(1).uniform(0.1, 2, n_samples)


def log_losses(z, y):
    """Return the losses of every network and sample, (n_networks, n_samples)."""
    z = np.concatenate([0 * z, z], axis=1) if z.shape[1] == 1 else z
    return np.log(np.exp(z).sum(1)) - z[:, y, np.arange(len(y))]


# --- training


@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam", "adam+lbfgs"])
def test_a_network_never_sees_its_fold(solver):
    X, y = noisy()
    cv = list(StratifiedKFold(3).split(X, y))
    other = y.copy()
    held_out = cv[1][1]
    other[held_out] = 1 - y[held_out]
    options = {"cv": cv, "solver": solver, "n_restarts": 2, "batch_size": 60, **ENDLESS, **LIFTED}
    one, two = (short(ODENetClassifier, **options).fit(X, labels) for labels in (y, other))
    if solver == "adam+lbfgs":  # L-BFGS continues from the best iterate, which depends on the fold
        one, two = (
            short(ODENetClassifier, **{**options, "max_iter": 50}).fit(X, labels)
            for labels in (y, other)
        )
        last = 31
    else:
        last = None
    # The fold selects among the iterates, but does not change them.
    np.testing.assert_array_equal(one.loss_curve_.T[2:4, :last], two.loss_curve_.T[2:4, :last])
    # Networks that are trained on the fold change, and so does the held-out loss.
    for k in (0, 1, 4, 5):
        assert np.abs(one.loss_curve_.T[k, 1:] - two.loss_curve_.T[k, 1:]).min() > 1e-6
    assert (one.validation_curve_[0, 1, :, 1:] != two.validation_curve_[0, 1, :, 1:]).all()


@pytest.mark.parametrize("cls", REGRESSORS)
def test_a_network_never_sees_the_targets_of_its_fold(cls):
    X, y = curve()
    cv = list(KFold(3).split(X))
    other = y.copy()
    other[cv[1][1]] = y[cv[1][1]][::-1]  # mean and deviation of all targets do not change
    options = {"cv": cv, "max_iter": 10, **ENDLESS, **LIFTED}
    one, two = (short(cls, **options).fit(X, targets) for targets in (y, other))
    np.testing.assert_allclose(one.loss_curve_.T[1], two.loss_curve_.T[1], rtol=1e-10)
    assert np.abs(one.loss_curve_.T[0, 1:] - two.loss_curve_.T[0, 1:]).min() > 1e-3


@pytest.mark.parametrize("cls", BOTH)
def test_a_network_of_a_fold_is_what_its_training_side_alone_gives(cls):
    X, y = noisy()
    weights = weights_of()
    options = {"max_iter": 10, **ENDLESS, **LIFTED}
    folds = short(cls, cv=3, **options).fit(X, y, weights)
    train, _ = next(StratifiedKFold(3).split(X, y))
    # Three restarts have the starts of three folds.
    alone = short(cls, n_restarts=3, **options).fit(X[train], y[train], weights[train])
    np.testing.assert_allclose(folds.loss_curve_.T[0], alone.loss_curve_.T[0], rtol=1e-9)


@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_held_out_loss_is_that_of_the_networks_kept(solver, n_classes):
    X, y = noisy(n_classes)
    weights = weights_of()
    cv = list(StratifiedKFold(3).split(X, y))
    options = {"scheme": "heun", "solver": solver, "cv": cv, "n_restarts": 2, **LIFTED}
    options["learning_rate_init"] = 0.1
    model = short(ODENetClassifier, alpha=0.0, max_iter=60, **options).fit(X, y, weights)
    losses = log_losses(recomputed_outputs(model, HEUN, 1.0, X), y)
    for s, (train, held_out) in enumerate(cv):
        for k in range(2):
            loss = losses[2 * s + k]
            expected = np.average(loss[held_out], weights=weights[held_out])
            assert model.validation_loss_[0, s, k] == pytest.approx(expected, rel=1e-9)
            # alpha is zero: the objective is the training loss alone.
            expected = np.average(loss[train], weights=weights[train])
            assert model.loss_[2 * s + k] == pytest.approx(expected, rel=1e-9)
    np.testing.assert_array_equal(
        model.validation_loss_, np.nanmin(model.validation_curve_, axis=-1)
    )
    # The best iterate is not just the last one.
    last = model.network_n_iter_.reshape(3, 2)
    best = np.nanargmin(model.validation_curve_[0], axis=-1)
    assert (best < last).any()
    for k, at in enumerate(best.ravel()):
        assert model.loss_[k] == model.loss_curve_.T[k, at]


def test_held_out_samples_that_occur_twice_count_twice():
    X, y = noisy()
    one, other = np.arange(40), np.arange(40, 60)
    twice = np.r_[one, one[:7]], np.r_[other, other[:9]]
    model = short(ODENetClassifier, scheme="heun", alpha=0.0, cv=[twice, twice[::-1]]).fit(X, y)
    losses = log_losses(recomputed_outputs(model, HEUN, 1.0, X), y)
    for s, (train, held_out) in enumerate([twice, twice[::-1]]):
        assert model.loss_[s] == pytest.approx(losses[s][train].mean(), rel=1e-10)
        found = model.validation_loss_[0, s, 0]
        assert found == pytest.approx(losses[s][held_out].mean(), rel=1e-10)


def test_training_ends_when_the_held_out_loss_does_not_fall_any_more():
    X, y = noisy()
    options = {"alpha": 0.0, "solver": "lbfgs", "max_iter": 500, "tol": 1e-4, "n_iter_no_change": 8}
    model = short(ODENetClassifier, cv=4, **options).fit(X, y)
    assert list(model.stop_reason_) == 4 * ["early stopping"]
    for k, curve_ in enumerate(model.validation_curve_[0, :, 0]):
        gained = 0  # the last iteration that was better by more than tol
        for at, loss in enumerate(curve_[: model.network_n_iter_[k] + 1]):
            if loss < curve_[gained] - 1e-4:
                gained = at
        assert model.network_n_iter_[k] == gained + 8
    patient = short(ODENetClassifier, cv=4, **{**options, "n_iter_no_change": 20}).fit(X, y)
    assert (patient.network_n_iter_ > model.network_n_iter_).all()


# --- the choice of alpha


@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
@pytest.mark.parametrize("alphas", [(1e-3, 1e-2, 10.0), [10.0, 1e-2, 1e-3], np.array([1e-2, 10.0])])
def test_candidates_count_by_what_they_say_of_held_out_samples(cls, alphas):
    X, y = noisy() if cls in BOTH else curve(200)
    model = short(cls, alpha=alphas, cv=3, n_restarts=2, max_iter=40, solver="lbfgs").fit(X, y)
    tried, mean, weight = (model.candidates_[key] for key in ("alpha", "validation_loss", "weight"))
    np.testing.assert_array_equal(tried, alphas)
    np.testing.assert_array_equal(mean, model.validation_loss_.mean((1, 2)))
    assert weight.sum() == pytest.approx(1.0, rel=1e-12)
    assert weight[tried == 10] <= 0.1
    assert model.alpha_ == tried[weight.argmax()]
    kept = weight[weight > 0]
    assert 1 <= len(kept) <= 2
    np.testing.assert_array_equal(model.network_weights_, np.repeat(kept / 6, 6))
    assert len(model.K_) == 6 * len(kept)


@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam"])
@pytest.mark.parametrize("alphas", [(1e-3, 3e-2), (3e-2, 1e-3)])
def test_candidates_are_what_they_would_have_been_alone(alphas, solver):
    X, y = noisy()
    options = {"cv": 3, "n_restarts": 2, "solver": solver, "max_iter": 25, **LIFTED}
    both = short(ODENetClassifier, alpha=alphas, **options).fit(X, y)
    first = 0
    for candidate in np.flatnonzero(both.candidates_["weight"]):
        alone = short(ODENetClassifier, alpha=alphas[candidate], **options).fit(X, y)
        kept = slice(first, first + 6)
        for name in ("K_", "b_", "h_", "W_", "mu_", "V_", "nu_", "loss_", "network_n_iter_"):
            found, expected = getattr(both, name)[kept], getattr(alone, name)
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
        found, expected = both.validation_loss_[candidate], alone.validation_loss_[0]
        np.testing.assert_allclose(found, expected, rtol=1e-7)
        first += 6
    assert first == len(both.K_)


def test_no_sample_has_a_part_in_the_weights_that_it_is_predicted_with():
    X, y = noisy()
    splits = list(StratifiedKFold(3).split(X, y))
    # With so few iterations, none is clearly behind.
    options = {"cv": splits, "solver": "lbfgs", "max_iter": 8, **LIFTED}
    alphas = (1e-3, 3e-2)
    both = short(ODENetClassifier, alpha=alphas, **options).fit(X, y)
    alone = [short(ODENetClassifier, alpha=alpha, **options).fit(X, y) for alpha in alphas]
    proba = np.stack([1 / (1 + np.exp(-model.oof_decision_function_)) for model in alone])
    of_true = np.where(y == 1, proba, 1 - proba)
    share = np.empty(len(y))
    for _, held_out in splits:
        share[held_out] = 1 / len(held_out)
    expected, chosen = np.empty(len(y)), []
    for _, held_out in splits:
        others = np.setdiff1d(np.arange(len(y)), held_out)

        def loss(mean, weights=share[others]):
            return -weights @ np.log(mean)

        chosen.append(greedy_weights(loss, of_true[:, others]))
        expected[held_out] = chosen[-1] @ proba[:, held_out]
    assert len(np.unique(chosen, axis=0)) > 1
    found = 1 / (1 + np.exp(-both.oof_decision_function_))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_predictions_are_weighted_averages_of_the_networks(cls, loss, monkeypatch):
    def both(loss, predictions):
        assert len(predictions) == 2
        return np.array([0.25, 0.75])

    monkeypatch.setattr(_candidates, "greedy_weights", both)
    # With so few iterations, none is clearly behind.
    options = {"alpha": (1e-3, 2e-3), "cv": 3, "n_restarts": 2, "scheme": "heun", "max_iter": 8}
    if cls in BOTH:
        options["loss"] = loss
    if not issubclass(cls, ODENetClassifier | ODENetRegressor):
        options.pop("scheme")
    X, y = noisy(3) if cls in BOTH else curve(n_targets=2)
    model = short(cls, **options).fit(X, y)
    np.testing.assert_allclose(model.network_weights_, np.repeat([0.25, 0.75], 6) / 6, rtol=1e-15)
    alone = [short(cls, **{**options, "alpha": alpha}).fit(X, y) for alpha in (1e-3, 2e-3)]
    method = "predict_proba" if cls in BOTH else "predict"
    one, other = (getattr(part, method)(X) for part in alone)
    np.testing.assert_allclose(getattr(model, method)(X), (one + 3 * other) / 4, rtol=1e-6)
    assert model.alpha_ == 2e-3
    # Training continues from both.
    K = model.K_
    model.set_params(warm_start=True, alpha=1e-3).fit(X, y)
    assert model.K_.shape == K.shape
    assert 0 < np.abs(model.K_ - K).max() < 0.5 * np.abs(K).max()
    assert model.candidates_["alpha"].tolist() == [1e-3, 1e-3]


def test_what_candidates_are_weighed_by_is_their_loss_on_held_out_samples(monkeypatch):
    seen = []

    def watched(loss, predictions):
        seen.append([loss(said) for said in predictions])
        return greedy_weights(loss, predictions)

    monkeypatch.setattr(_candidates, "greedy_weights", watched)
    X, y = noisy(3)
    weights = weights_of()
    options = {"alpha": (1e-3, 1e-2), "cv": 3}
    model = short(ODENetClassifier, **options).fit(X, y, weights)
    assert len(seen) == 4  # of all splits, and of all but one
    np.testing.assert_allclose(seen[0], 3 * model.candidates_["validation_loss"], rtol=1e-6)
    X, y = curve(n_targets=2)
    model = short(ODENetRegressor, **options).fit(X, y, weights)
    np.testing.assert_allclose(seen[4], 3 * model.candidates_["validation_loss"], rtol=1e-6)


def test_candidates_that_are_clearly_behind_leave_early():
    X, y = noisy()
    options = {"cv": 5, "solver": "gd", "max_iter": 60, **ENDLESS}
    model = short(ODENetClassifier, alpha=(1e-3, 1.0), **options).fit(X, y)
    n_iter = np.isfinite(model.validation_curve_).sum(-1) - 1
    assert model.alpha_ == 1e-3
    np.testing.assert_array_equal(n_iter[0], 60)
    assert (n_iter[1] < 60).all()
    assert set(model.stop_reason_) == {"max_iter"}


# --- prediction


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("lift", ["pad", "linear"])
def test_out_of_fold_decisions_from_the_fitted_arrays(n_classes, lift):
    X, y = noisy(n_classes)
    weights = weights_of()
    cv = list(StratifiedKFold(3, shuffle=True, random_state=1).split(X, y))
    options = {"scheme": "heun", "cv": cv, "n_restarts": 2, "lift": lift, "n_channels": 5}
    model = short(ODENetClassifier, **options).fit(X, y, weights)
    z = recomputed_outputs(model, HEUN, 1.0, X)
    shape = (60,) if n_classes == 2 else (60, n_classes)
    expected = np.full(shape, np.nan)
    for s, (_, held_out) in enumerate(cv):
        expected[held_out] = decision_of(z[2 * s : 2 * s + 2][:, :, held_out])
    np.testing.assert_allclose(model.oof_decision_function_, expected, rtol=1e-8, atol=1e-10)
    right = (expected > 0) == y if n_classes == 2 else expected.argmax(1) == y
    assert model.oof_score_ == pytest.approx(np.average(right, weights=weights), rel=1e-12)
    # All of them are used for prediction.
    np.testing.assert_allclose(model.decision_function(X), decision_of(z), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("n_targets", [None, 2])
def test_out_of_fold_predictions_from_the_fitted_arrays(n_targets):
    X, y = curve(n_targets=n_targets)
    y = 5 * y + 100
    weights = weights_of()
    cv = list(KFold(3).split(X))
    options = {"scheme": "heun", "cv": cv, "n_restarts": 2, **LIFTED}
    model = short(ODENetRegressor, **options).fit(X, y, weights)
    z = recomputed_outputs(model, HEUN, 1.0, X)
    mean = np.average(y, axis=0, weights=weights)
    scale = np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weights))
    each = mean + scale * np.swapaxes(z, 1, 2).reshape(6, *y.shape)
    expected = np.concatenate([each[2 * s : 2 * s + 2, cv[s][1]].mean(0) for s in range(3)])
    np.testing.assert_allclose(model.oof_prediction_, expected, rtol=1e-9)
    assert model.oof_score_ == pytest.approx(r2_score(y, expected, sample_weight=weights), rel=1e-9)
    np.testing.assert_allclose(model.predict(X), each.mean(0), rtol=1e-9)


def test_what_is_never_held_out_has_no_out_of_fold_decision():
    X, y = noisy(3)
    train, held_out = np.arange(40), np.arange(40, 55)
    model = short(ODENetClassifier, cv=[(train, held_out)]).fit(X, y)
    judged = np.isfinite(model.oof_decision_function_).all(1)
    np.testing.assert_array_equal(np.flatnonzero(judged), held_out)
    assert np.isnan(model.oof_decision_function_[~judged]).all()
    found = model.oof_decision_function_[held_out].argmax(1)
    assert model.oof_score_ == accuracy_score(y[held_out], found)


def test_samples_that_are_held_out_repeatedly_have_the_mean_of_their_probabilities():
    X, y = noisy(3)
    cv = list(RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0).split(X, y))
    model = short(ODENetClassifier, scheme="heun", cv=cv).fit(X, y)
    z = recomputed_outputs(model, HEUN, 1.0, X)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    for i in range(60):
        mine = [s for s, (_, held_out) in enumerate(cv) if i in held_out]
        assert len(mine) == 2
        expected = np.log(p[mine][:, :, i].mean(0))
        np.testing.assert_allclose(model.oof_decision_function_[i], expected, rtol=1e-9)


def test_predictions_of_samples_that_are_held_out_repeatedly_are_averaged():
    X, y = curve()
    halves = [np.arange(30), np.arange(30, 60), np.arange(0, 60, 2), np.arange(1, 60, 2)]
    cv = [(np.setdiff1d(np.arange(60), half), half) for half in halves]
    model = short(ODENetRegressor, scheme="heun", cv=cv).fit(X, y)
    z = recomputed_outputs(model, HEUN, 1.0, X)[:, 0] * y.std() + y.mean()
    rows = np.arange(60)
    expected = (z[rows // 30, rows] + z[2 + rows % 2, rows]) / 2
    np.testing.assert_allclose(model.oof_prediction_, expected, rtol=1e-9, atol=1e-12)


# --- early stopping, and validation samples given by the user


@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_early_stopping_is_a_cv_of_one_split(cls):
    X, y = noisy() if cls in BOTH else curve()
    options = {"early_stopping": True, "validation_fraction": 0.25, "n_restarts": 2}
    model = short(cls, max_iter=40, solver="lbfgs", alpha=(1e-3, 1e-2), **options).fit(X, y)
    name = "oof_decision_function_" if cls in BOTH else "oof_prediction_"
    held_out = np.flatnonzero(np.isfinite(getattr(model, name)))
    assert len(held_out) == 15
    assert model.validation_loss_.shape == (2, 1, 2)
    assert len(model.K_) == 2 * np.count_nonzero(model.candidates_["weight"])
    cv = [(np.setdiff1d(np.arange(60), held_out), held_out)]
    same = short(cls, max_iter=40, solver="lbfgs", alpha=(1e-3, 1e-2), n_restarts=2, cv=cv).fit(
        X, y
    )
    np.testing.assert_array_equal(model.validation_curve_, same.validation_curve_)
    assert model.oof_score_ == same.oof_score_


def test_early_stopping_is_for_what_holds_nothing_out():
    X, y = noisy()
    options = {"cv": 3, "max_iter": 5}
    with pytest.warns(UserWarning, match="early_stopping=True has no effect here: cv holds"):
        stopped = short(ODENetClassifier, early_stopping=True, **options).fit(X, y)
    np.testing.assert_array_equal(stopped.K_, short(ODENetClassifier, **options).fit(X, y).K_)


@pytest.mark.parametrize("cv", [None, "auto", 3])
def test_samples_of_ones_own_take_the_place_of_cv(cv):
    X, y = noisy(3, 90)
    weights = weights_of(90)
    own, others = np.arange(60), np.arange(60, 90)
    options = {"max_iter": 40, "solver": "lbfgs", "n_restarts": 2, "alpha": (1e-3, 1e-2)}
    model = short(ODENetClassifier, cv=cv, **options)
    idle = pytest.warns(UserWarning, match="cv=3 has no effect here: X_val was given")
    with idle if cv == 3 else nullcontext():
        model.fit(
            X[own],
            y[own],
            weights[own],
            X_val=X[others],
            y_val=y[others],
            sample_weight_val=weights[others],
        )
    same = short(ODENetClassifier, cv=[(own, others)], **options).fit(X, y, weights)
    np.testing.assert_allclose(model.validation_curve_, same.validation_curve_, rtol=1e-9)
    assert model.alpha_ == same.alpha_
    assert model.oof_score_ == pytest.approx(same.oof_score_, rel=1e-12)
    score = accuracy_score(y[others], model.predict(X[others]), sample_weight=weights[others])
    assert model.oof_score_ == pytest.approx(score, rel=1e-12)
    # There are no results for samples that all networks were trained on.
    assert model.oof_decision_function_.shape == (60, 3)
    assert np.isnan(model.oof_decision_function_).all()


@pytest.mark.parametrize("n_targets", [None, 2])
def test_targets_of_ones_own_are_judged_by_in_the_scale_of_the_others(n_targets):
    X, y = curve(90, n_targets=n_targets)
    own, others = np.arange(60), np.arange(60, 90)
    options = {"scheme": "heun", "alpha": 0.0}
    model = short(ODENetRegressor, **options).fit(X[own], y[own], X_val=X[others], y_val=y[others])
    error = (y[others] - model.predict(X[others])) / y[own].std(axis=0)
    assert model.validation_loss_.item() == pytest.approx(0.5 * (error**2).mean(), rel=1e-9)
    score = r2_score(y[others], model.predict(X[others]))
    assert model.oof_score_ == pytest.approx(score, rel=1e-9)
    assert model.oof_prediction_.shape == y[own].shape
    assert np.isnan(model.oof_prediction_).all()


def test_labels_of_ones_own_need_not_be_of_all_classes():
    X, y = noisy(3)
    one = np.flatnonzero(y == 1)
    model = short(ODENetClassifier).fit(X, y, X_val=X[one].tolist(), y_val=y[one].tolist())
    proba = model.predict_proba(X[one])[:, 1]
    assert model.validation_loss_.item() == pytest.approx(-np.log(proba).mean(), rel=1e-9)


def test_one_sample_to_judge_by_is_enough():
    X, y = curve()
    model = short(ODENetRegressor).fit(X, y, X_val=X[:1], y_val=y[:1])
    assert np.isfinite(model.validation_loss_).all()
    assert np.isnan(model.oof_score_)  # R² needs at least two samples


def test_samples_to_judge_by_do_not_count_in_the_defaults(monkeypatch):
    monkeypatch.setattr(_estimator, "MANY", 100)
    X, y = noisy(2, 90)
    options = {"n_channels": "auto", "solver": "auto", "alpha": "auto", "max_iter": 3}
    model = short(ODENetClassifier, **options).fit(X, y, X_val=X, y_val=y)
    assert model.K_.shape[2] == _estimator.CHANNELS[0][1]
    np.testing.assert_allclose(model.candidates_["alpha"] * 90, [0.1, 0.5, 2.0, 8.0])
    weights = np.r_[np.ones(90), np.zeros(20)]  # nor do samples without weight
    more = short(ODENetClassifier, **options).fit(np.r_[X, X[:20]], np.r_[y, y[:20]], weights)
    assert more.K_.shape[2] == _estimator.CHANNELS[0][1]


def test_samples_to_judge_by_leave_the_precision_alone():
    X, y = noisy()
    model = short(ODENetClassifier).fit(X.astype(np.float32), y, X_val=X, y_val=y)
    assert model.K_.dtype == np.float32


def test_a_column_of_labels_to_judge_by_is_taken_as_such():
    X, y = noisy()
    with pytest.warns(DataConversionWarning):
        one = short(ODENetClassifier).fit(X, y, X_val=X, y_val=y[:, None])
    same = short(ODENetClassifier).fit(X, y, X_val=X, y_val=y)
    np.testing.assert_array_equal(one.K_, same.K_)


@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam", "adam+lbfgs"])
def test_the_networks_are_those_of_their_best_iterations(solver):
    X, y = noisy()
    options = {"batch_size": 20, "learning_rate_init": 0.02}
    model = short(ODENetClassifier, cv=4, solver=solver, max_iter=60, **options).fit(X, y)
    networks, best = np.arange(4), model.best_iter_
    np.testing.assert_array_equal(model.loss_curve_.T[networks, best], model.loss_)
    curve = model.validation_curve_[0, :, 0]
    np.testing.assert_array_equal(curve[networks, best], model.validation_loss_[0, :, 0])
    assert (best < model.network_n_iter_).any()


def test_mini_batches_never_hold_the_fold_of_a_network():
    X, y = noisy()
    cv = list(StratifiedKFold(3).split(X, y))
    other = y.copy()
    other[cv[1][1]] = 1 - y[cv[1][1]]
    options = {"cv": cv, "solver": "adam", "batch_size": 7, "max_iter": 20, **ENDLESS}
    one, two = (short(ODENetClassifier, **options).fit(X, labels) for labels in (y, other))
    np.testing.assert_array_equal(one.loss_curve_.T[1], two.loss_curve_.T[1])
    assert (one.loss_curve_.T[[0, 2], 1:] != two.loss_curve_.T[[0, 2], 1:]).all()


def test_codes_of_missing_values_in_samples_without_weight_do_no_harm():
    X, y = curve()
    weights = np.r_[np.zeros(3), np.ones(57)]
    bad = X.copy()
    bad[:3] = 1e300
    for cv in (3, KFold(3)):
        one = short(ODENetRegressor, cv=cv, solver="lbfgs").fit(bad, y, weights)
        same = short(ODENetRegressor, cv=cv, solver="lbfgs").fit(X, y, weights)
        np.testing.assert_array_equal(one.K_, same.K_)
        np.testing.assert_array_equal(one.oof_prediction_, same.oof_prediction_)
        assert np.isnan(one.oof_prediction_[:3]).all()
