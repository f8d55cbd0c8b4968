"""Class weights, warm starts, seeds, streams, and all solvers under constraints."""

import math
import pickle
import re
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import ShuffleSplit
from sklearn.utils.class_weight import compute_sample_weight

from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor, _estimator
from tests.estimators import BOTH, REGRESSORS, blobs, curve, short

# Several tests run all solvers with parameters that not all of them have.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.* has no effect here. the solver is:UserWarning"),
]

ALL = [*BOTH, *REGRESSORS]
SOLVERS = ["gd", "lbfgs", "adam", "adam+lbfgs"]
ENDLESS = {"n_iter_no_change": 1000, "tol": 0}
PARTS = ("K_", "b_", "h_", "W_", "mu_", "V_", "nu_")


def data_for(cls, n_samples=60):
    return blobs(3, n_samples) if cls in BOTH else curve(n_samples, n_targets=2)


def uneven(n_classes=3):
    X, y = blobs(n_classes, 90)
    keep = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y != 0)[::3]]
    return X[keep], y[keep]


@pytest.fixture
def few_are_many(monkeypatch):
    """Use the defaults for large data from 200 samples on."""
    monkeypatch.setattr(_estimator, "FEW", 200)
    monkeypatch.setattr(_estimator, "MANY", 200)


def assert_same(one, other, **tolerance):
    for name in PARTS:
        assert hasattr(one, name) == hasattr(other, name)
        if hasattr(one, name):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), **tolerance)


# --- class weights


@pytest.mark.parametrize("cv", [None, 3])
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize(
    "class_weight", ["balanced", {"a": 2.0, "b": 0.5, "c": 1.0}, {"b": 3.0}, {"a": 0.0}]
)
def test_class_weights_are_sample_weights(class_weight, loss, cv):
    X, y = uneven()
    names = np.array(["a", "b", "c"])[y]
    own = np.random.default_rng(0).uniform(0.5, 2, len(y))
    options = {"cv": cv, "loss": loss, "max_iter": 10}
    for weights in (None, own):
        weighted = short(ODENetClassifier, class_weight=class_weight, **options)
        weighted.fit(X, names, weights)
        if class_weight == "balanced":
            given = np.ones(len(y)) if weights is None else weights
            expected = given / np.bincount(y, given)[y]
        else:
            expected = compute_sample_weight(class_weight, names)
            expected *= 1 if weights is None else weights
        same = short(ODENetClassifier, **options).fit(X, names, expected)
        assert_same(weighted, same, atol=1e-8)
        if cv is not None:
            np.testing.assert_allclose(weighted.validation_loss_, same.validation_loss_, rtol=1e-7)
            # The score only uses the weights of the samples.
            right = weighted.classes_[weighted.oof_decision_function_.argmax(1)] == names
            score = np.average(right, weights=weights)
            assert weighted.oof_score_ == pytest.approx(score, rel=1e-12)


def test_balanced_weights_count_what_the_weights_say():
    X, y = uneven(2)
    weights = np.random.default_rng(0).integers(1, 4, len(y))
    one = short(ODENetClassifier, class_weight="balanced").fit(X, y, weights)
    rows = np.repeat(np.arange(len(y)), weights)
    other = short(ODENetClassifier, class_weight="balanced").fit(X[rows], y[rows])
    assert_same(one, other, atol=1e-7)


def test_a_heavier_class_is_predicted_more_often():
    X, y = blobs(2)
    X = X + np.random.default_rng(0).normal(size=X.shape)
    light, heavy = (
        short(ODENetClassifier, class_weight={1: w}).fit(X, y).predict(X).sum() for w in (0.2, 5)
    )
    assert heavy > light + 3


def test_class_weights_of_the_samples_to_judge_by():
    X, y = uneven(2)
    options = {"class_weight": {0: 1.0, 1: 4.0}, "alpha": 0.0}
    model = short(ODENetClassifier, **options).fit(X, y, X_val=X[::2], y_val=y[::2])
    p = model.predict_proba(X[::2])[np.arange(len(y[::2])), y[::2]]
    expected = np.average(-np.log(p), weights=np.where(y[::2] == 1, 4.0, 1.0))
    assert model.validation_loss_.item() == pytest.approx(expected, rel=1e-9)


def test_regressors_have_no_classes_to_weigh():
    assert "class_weight" not in ODENetRegressor().get_params()


# --- warm starts


@pytest.mark.parametrize("lift", ["pad", "linear"])
@pytest.mark.parametrize("solver", ["gd", "lbfgs"])
@pytest.mark.parametrize("cls", ALL)
def test_a_warm_start_goes_on(cls, solver, lift):
    X, y = data_for(cls)
    options = {"solver": solver, "lift": lift, "n_restarts": 2, "max_iter": 8, **ENDLESS}
    model = short(cls, warm_start=True, **options).fit(X, y)
    last = model.loss_
    model.fit(X, y)
    np.testing.assert_allclose(model.loss_curve_.T[:, 0], last, rtol=1e-12)
    assert (model.loss_ < last).all()
    cold = short(cls, **{**options, "warm_start": False}).fit(X, y)
    np.testing.assert_array_equal(cold.fit(X, y).loss_curve_.T[:, 0], cold.loss_curve_.T[:, 0])
    assert cold.loss_curve_.T[0, 0] > last[0]


@pytest.mark.parametrize("cv", [3, "auto"])
@pytest.mark.parametrize("cls", ALL)
def test_a_warm_start_of_folds_goes_on_with_the_same_folds(cls, cv):
    X, y = data_for(cls)
    options = {"cv": cv, "n_restarts": 2, "max_iter": 5, "random_state": None, **ENDLESS}
    model = short(cls, warm_start=True, **options).fit(X, y)
    loss, validation, curves = model.loss_, model.validation_loss_[0], model.loss_curve_.T
    model.fit(X, y)
    np.testing.assert_allclose(model.loss_curve_.T[:, 0], loss, rtol=1e-12)
    np.testing.assert_allclose(model.validation_curve_[0, :, :, 0], validation, rtol=1e-12)
    assert (model.loss_curve_.T[:, 0] <= curves[:, 0]).all()
    assert model.loss_curve_.T[:, 0].mean() < curves[:, 0].mean() - 0.01


@pytest.mark.parametrize("cls", ALL)
def test_a_warm_start_with_other_samples_or_splits_warns_of_its_score(cls):
    X, y = data_for(cls)
    model = short(cls, warm_start=True, cv="auto", max_iter=5).fit(X, y)
    model.fit(X, 1 - y if cls not in BOTH else y)  # the same samples, held out by the same networks
    order = np.random.default_rng(0).permutation(len(X))
    with pytest.warns(UserWarning, match=r"other samples or other splits.* oof_score_") as caught:
        model.fit(X[order], y[order])
    assert caught[0].filename == __file__  # the warning points at the user's line
    with pytest.warns(UserWarning, match=r"other samples or other splits.* oof_score_"):
        model.set_params(cv=ShuffleSplit(8, random_state=0)).fit(X[order], y[order])
    with pytest.warns(UserWarning, match=r"other samples or other splits.* oof_score_"):
        model.fit(X[order], y[order])  # networks are trained on what they have seen before
    model.set_params(cv=None, n_restarts=8).fit(X, y)  # nothing is held out, no score is too high
    with pytest.warns(UserWarning, match=r"other samples or other splits.* oof_score_"):
        model.set_params(cv="auto", n_restarts=1).fit(X, y)


@pytest.mark.parametrize("cls", ALL)
def test_a_warm_start_after_a_stream_warns_of_its_score(cls):
    X, y = data_for(cls)
    options = {"early_stopping": True, "batch_size": 20, "max_iter": 5}
    model = stream(cls, **options).fit(X, y).set_params(warm_start=True)
    model.fit(X, y)  # the same samples and splits, although warm_start was not set before
    model.partial_fit(X, y)
    with pytest.warns(UserWarning, match=r"other samples or other splits.* oof_score_"):
        model.fit(X, y)


def test_a_warm_start_that_has_converged_is_no_reason_to_worry():
    X, y = blobs(2)
    model = short(ODENetClassifier, warm_start=True, cv=3, solver="lbfgs", max_iter=200, tol=1e-3)
    model.fit(X, y).fit(X, y).fit(X, y)
    assert (model.best_iter_ == 0).any()


def test_a_batch_may_be_all_rows_although_some_have_no_weight():
    X, y = blobs(2)
    weights = np.r_[np.zeros(5), np.ones(55)]
    one, two = (
        stream(ODENetClassifier, batch_size=size, max_iter=5).fit(X, y, weights)
        for size in (60, 55)
    )
    assert_same(one, two, rtol=0, atol=0)


def test_a_warm_start_with_other_penalties_and_steps():
    X, y = blobs(2)
    model = short(ODENetClassifier, warm_start=True, cv=3, alpha=(1e-3, 1e-2)).fit(X, y)
    K = model.K_
    model.set_params(alpha=(1e-4, 1e-5, 1e-6), h=0.5, max_iter=1, solver="gd").fit(X, y)
    np.testing.assert_array_equal(model.h_, 0.5)
    assert np.abs(model.K_ - K).max() < 0.2
    model.set_params(learn_step="simplex", max_iter=10).fit(X, y)
    np.testing.assert_allclose(model.h_.sum(1), 1.5, rtol=1e-12)


def test_a_clone_starts_afresh():
    X, y = blobs(2)
    model = short(ODENetClassifier, warm_start=True).fit(X, y)
    first = model.loss_curve_.T[0, 0]
    assert clone(model.fit(X, y)).fit(X, y).loss_curve_.T[0, 0] == first


# --- seeds


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("cls", ALL)
def test_the_seed_says_it_all(cls, solver):
    X, y = data_for(cls)
    options = {"cv": "auto", "lift": "linear", "n_restarts": 2, "solver": solver, "max_iter": 5}
    options["batch_size"] = 7

    def fitted(seed):
        return short(cls, **{**options, "random_state": seed}).fit(X, y)

    one = fitted(3)
    for other in (fitted(3), clone(one).fit(X, y), one.fit(X, y)):
        assert_same(one, other, atol=0, rtol=0)
        np.testing.assert_array_equal(one.validation_curve_, other.validation_curve_)
    assert np.abs(one.K_ - fitted(4).K_).max() > 0.1
    assert np.abs(fitted(np.random.RandomState(3)).K_ - one.K_).max() == 0
    # Every restart has a different start, and every fold different data.
    assert len(np.unique(one.K_[:, 0, 0, 0])) == 16
    rng = np.random.RandomState(3)
    assert np.abs(fitted(rng).K_ - fitted(rng).K_).max() > 0.1


# --- constraints


@pytest.mark.parametrize("scheme", ["euler", "implicit_midpoint"])
@pytest.mark.parametrize("learn_step", [True, "simplex"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_keeps_the_constraints(solver, learn_step, scheme):
    X, y = blobs(3)
    options = {"learn_step": learn_step, "solver": solver, "cv": 3, "h": 0.7, "lift": "linear"}
    options |= {"learning_rate_init": 0.3, "batch_size": 9, "alpha": 0.0}
    model = short(ODENetClassifier, scheme=scheme, **options).fit(X, y)
    assert len(np.unique(model.h_)) > 3
    if learn_step == "simplex":
        assert (model.h_ >= 0).all()
        np.testing.assert_allclose(model.h_.sum(1), 3 * 0.7, rtol=1e-12)
    elif scheme != "euler":
        assert np.abs(model.h_).max() <= 2 * 0.7
        # h A ⊗ K has no symmetric part of 1 or more: ½ h K, here.
        for h, K in zip(model.h_.ravel(), model.K_.reshape(-1, 4, 4), strict=True):
            assert np.linalg.eigvalsh(h * (K + K.T) / 4).max() < 1
    assert np.isfinite(model.decision_function(100 * X)).all()


# --- streams


def stream(cls, **parameters):
    return short(cls, solver="adam", **parameters)


def first_call(cls):
    return {"classes": np.arange(3)} if cls in BOTH else {}


@pytest.mark.parametrize("cls", ALL)
def test_partial_fit_is_there_for_adam_alone(cls):
    assert hasattr(stream(cls), "partial_fit")
    for solver in ("auto", "gd", "lbfgs", "adam+lbfgs"):
        model = short(cls, solver=solver)
        assert not hasattr(model, "partial_fit")
        said = re.escape(repr(solver))
        message = rf"^{cls.__name__}.partial_fit is only .* solver='adam', .* is {said}"
        with pytest.raises(AttributeError, match=message):
            _ = model.partial_fit
    assert "epoch" in cls.partial_fit.__doc__


@pytest.mark.parametrize("learn_step", [False, "simplex"])
@pytest.mark.parametrize("lift", ["pad", "linear"])
@pytest.mark.parametrize("cls", ALL)
def test_epochs_of_partial_fit_are_those_of_fit(cls, lift, learn_step):
    X, y = data_for(cls)
    options = {"lift": lift, "learn_step": learn_step, "n_restarts": 2, "batch_size": 60}
    options |= ENDLESS
    model, more = stream(cls, learning_rate_decay=0.3, **options), first_call(cls)
    for _ in range(6):
        model.partial_fit(X, y, **more)
    # The length of a stream is unknown, so its learning rate is constant.
    whole = [
        stream(cls, max_iter=k, learning_rate_decay=0.0, **options).fit(X, y) for k in range(1, 7)
    ]
    assert (np.diff(whole[-1].loss_curve_.T) < 0).all()  # so that fit keeps the last iterate
    # The parts of a stream differ, so the mean of the iterates is used.
    shares = [math.perm(k + 9, 9) for k in range(6)]
    for name in filter(partial(hasattr, model), PARTS):
        mean = np.average([getattr(one, name) for one in whole], axis=0, weights=shares)
        np.testing.assert_allclose(getattr(model, name), mean, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(model.loss_curve_.T[:, :2], whole[0].loss_curve_.T, rtol=1e-9)
    np.testing.assert_array_equal(model.network_n_iter_, 6)
    if learn_step == "simplex":
        np.testing.assert_allclose(model.h_.sum(1), 3.0, rtol=1e-12)


@pytest.mark.parametrize("cls", ALL)
def test_a_stream_improves(cls):
    X, y = data_for(cls, 600)
    X_test, y_test = X[:100], y[:100]
    model, more = stream(cls, batch_size=10, learning_rate_init=0.05), first_call(cls)
    scores = []
    for _ in range(3):
        for start in range(100, 600, 100):
            rows = slice(start, start + 100)
            assert model.partial_fit(X[rows], y[rows], **more) is model
            scores.append(model.score(X_test, y_test))
            more = {}
    assert scores[-1] > scores[0] + 0.02
    assert scores[-1] > (0.9 if cls in BOTH else 0.4)
    assert model.loss_curve_.T.shape == (1, 16)
    np.testing.assert_array_equal(model.network_n_iter_, 15)


def test_a_stream_need_not_begin_with_all_classes():
    X, y = blobs(3, 300)
    model = stream(ODENetClassifier, learning_rate_init=0.05)
    model.partial_fit(X[y == 1], y[y == 1], classes=[2, 0, 1, 1])
    assert list(model.classes_) == [0, 1, 2]
    assert model.predict_proba(X).shape == (300, 3)
    for _ in range(20):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.85
    names = np.array(["a", "b", "c"])
    model = stream(FeedForwardClassifier).partial_fit(X, names[y], classes=names)
    assert set(model.predict(X)) <= set(names)
    model.partial_fit(X, names[y], classes=names[::-1])


def test_the_order_of_the_batches_changes_from_call_to_call():
    X, y = blobs(2)
    once = stream(ODENetClassifier, batch_size=20)
    once.partial_fit(X, y, [0, 1]).partial_fit(X, y)
    orders = [once._stream_schedule(60, epochs).rng.permutation(60) for epochs in (0, 1)]
    assert (orders[0] != orders[1]).any()
    again = stream(ODENetClassifier, batch_size=20).partial_fit(X, y, [0, 1]).partial_fit(X, y)
    assert_same(once, again, rtol=0, atol=0)


@pytest.mark.parametrize("cls", ALL)
def test_partial_fit_after_fit(cls):
    X, y = data_for(cls)
    X = X + 3 * np.random.default_rng(0).normal(size=X.shape)  # so that there is early stopping
    options = {"cv": 3, "alpha": (1e-3, 1e-2), "n_restarts": 2, "batch_size": 60}
    options |= {"learning_rate_init": 0.05, "n_iter_no_change": 2}
    model = stream(cls, **options, max_iter=100).fit(X, y).set_params(learning_rate_init=0.01)
    alpha, K = model.alpha_, model.K_
    n_iter = model.network_n_iter_
    model.partial_fit(X, y)
    assert model.alpha_ == alpha
    assert model.K_.shape == K.shape
    step = np.abs(model.K_ - K)
    assert 0 < step.max() < 0.011  # at most about the learning rate
    np.testing.assert_array_equal(model.network_n_iter_, n_iter + 1)
    assert model.loss_curve_.T.shape[1] == n_iter.max() + 2
    last = model.loss_curve_.T[np.arange(len(n_iter)), model.network_n_iter_]
    np.testing.assert_array_equal(last, model.loss_)
    np.testing.assert_array_equal(model.best_iter_, model.network_n_iter_)
    assert len(set(n_iter)) > 1  # so that not all of them are in the last column
    # The results for held-out samples are no longer valid.
    names = {"candidates_", "validation_loss_", "validation_curve_", "oof_score_"}
    assert not (names | {"oof_decision_function_", "oof_prediction_"}) & vars(model).keys()


@pytest.mark.parametrize("cls", ALL)
def test_parts_of_any_size_go_on_with_the_same_channels(cls, few_are_many):
    X, y = data_for(cls, 250)
    model = stream(cls, n_channels="auto").fit(X, y)
    width = model.K_.shape[2]
    assert width == _estimator.MANY_CHANNELS
    assert model.partial_fit(X[:100], y[:100]).K_.shape[2] == width
    model = stream(cls, n_channels="auto", warm_start=True)
    model.partial_fit(X[:100], y[:100], **first_call(cls))
    assert model.K_.shape[2] == _estimator.CHANNELS[0][1] != width
    assert model.partial_fit(X, y).fit(X, y).K_.shape[2] == _estimator.CHANNELS[0][1]


def test_the_solver_by_itself(few_are_many):
    X, y = blobs(2, 250)
    for scheme in ("euler", "implicit_midpoint"):
        for rows, solver in ((slice(0, 200), "lbfgs"), (slice(0, 201), "adam")):
            one, two = (
                short(ODENetClassifier, scheme=scheme, solver=name, max_iter=3).fit(
                    X[rows], y[rows]
                )
                for name in ("auto", solver)
            )
            assert_same(one, two, rtol=0, atol=0)


@pytest.mark.parametrize(("n_samples", "batch_size"), [(60, 60), (300, 34), (1700, 34)])
def test_the_batches_by_themselves(n_samples, batch_size):
    X, y = blobs(2, n_samples)
    one, two = (
        short(ODENetClassifier, solver="adam", batch_size=size, max_iter=2).fit(X, y)
        for size in ("auto", batch_size)
    )
    assert_same(one, two, rtol=0, atol=0)


@pytest.mark.parametrize(("n_classes", "n_channels"), [(7, 48), (8, 64), (15, 64), (16, 96)])
def test_the_channels_by_themselves_grow_with_the_outputs(n_classes, n_channels):
    X, y = blobs(n_classes, 20 * n_classes)
    model = short(ODENetClassifier, n_channels="auto", lift="linear", max_iter=1).fit(X, y)
    assert model.K_.shape[2] == n_channels


@pytest.mark.parametrize(("solver", "patience"), [("lbfgs", 20), ("adam", 5), ("adam+lbfgs", 20)])
def test_the_patience_by_itself_is_shorter_in_epochs(solver, patience):
    X, y = blobs(2, 90)
    one, two = (
        short(ODENetClassifier, solver=solver, n_iter_no_change=n, cv=3, max_iter=60).fit(X, y)
        for n in ("auto", patience)
    )
    assert_same(one, two, rtol=0, atol=0)
    np.testing.assert_array_equal(one.stop_reason_, two.stop_reason_)


def test_a_stream_takes_the_penalty_that_is_set():
    X, y = blobs(2)
    model = stream(ODENetClassifier, alpha="auto").partial_fit(X, y, [0, 1])
    assert model.alpha_ == pytest.approx(1e-4)
    for alpha, expected in ((0.3, 0.3), ("auto", 0.3), ((0.1, 0.2), 0.3), (0.0, 0.0)):
        assert model.set_params(alpha=alpha).partial_fit(X, y).alpha_ == expected


@pytest.mark.parametrize("cls", ALL)
def test_a_stream_of_float32(cls):
    X, y = data_for(cls)
    X, y = X[:47], y[:47]  # classes of different sizes: Adam depends on the signs of rounding
    model = stream(cls, lift="linear").partial_fit(X.astype(np.float32), y, **first_call(cls))
    model.partial_fit(X.astype(np.float32), y)
    for name in PARTS:
        assert getattr(model, name).dtype == np.float32
    double = stream(cls, lift="linear").partial_fit(X, y, **first_call(cls)).partial_fit(X, y)
    predict = "predict_proba" if cls in BOTH else "predict"
    one, two = (getattr(each, predict)(X) for each in (model, double))
    np.testing.assert_allclose(one, two, atol=5e-3)
    # The precision of the first call is the precision of the model.
    model.partial_fit(X, y)
    double.partial_fit(X.astype(np.float32), y)
    assert {getattr(model, name).dtype.name for name in PARTS} == {"float32"}
    assert {getattr(double, name).dtype.name for name in PARTS} == {"float64"}


@pytest.mark.parametrize("cls", ALL)
def test_weights_of_a_stream(cls):
    X, y = data_for(cls)
    weights = np.random.default_rng(0).integers(0, 3, 60)
    rows = np.repeat(np.arange(60), weights)
    weighted = stream(cls).partial_fit(X, y, sample_weight=weights, **first_call(cls))
    repeated = stream(cls).partial_fit(X[rows], y[rows], **first_call(cls))
    assert_same(weighted, repeated, atol=1e-8)


def test_class_weights_of_a_stream():
    X, y = blobs(3)
    class_weight = {0: 0.0, 1: 2.0, 2: 0.5}
    model = stream(ODENetClassifier, class_weight=class_weight).partial_fit(X, y, [0, 1, 2])
    weights = compute_sample_weight(class_weight, y)
    same = stream(ODENetClassifier).partial_fit(X, y, [0, 1, 2], weights)
    assert_same(model, same, atol=1e-10)
    # A part without any weight changes nothing.
    K = model.K_
    model.partial_fit(X[y == 0], y[y == 0])
    assert np.isfinite(model.K_).all()
    assert np.abs(model.K_ - K).max() < 0.1


def test_a_stream_goes_on_from_what_was_changed_since():
    X, y = blobs(3)
    model = stream(ODENetClassifier).partial_fit(X, y, [0, 1, 2])
    model.set_params(h=0.1).partial_fit(X, y)
    np.testing.assert_array_equal(model.h_, 0.1)
    model.mu_ = model.mu_ + 100
    model.partial_fit(X, y)
    assert (model.mu_ > 99).all()


def test_a_stream_survives_pickling():
    X, y = blobs(3)
    model = stream(ODENetClassifier).partial_fit(X, y, [0, 1, 2])
    other = pickle.loads(pickle.dumps(model))
    assert_same(model.partial_fit(X, y), other.partial_fit(X, y), rtol=0, atol=0)


def test_a_stream_follows_its_parameters_and_predicts_by_what_it_was_trained_as():
    X, y = blobs(2)
    model = stream(ODENetClassifier).partial_fit(X, y, [0, 1])
    model.set_params(activation="relu", scheme="rk4").partial_fit(X, y)
    assert (model._fitted_recipe["activation"], model._fitted_recipe["scheme"]) == ("relu", "rk4")
    p = model.predict_proba(X)[np.arange(60), y]
    penalty = 3e-3 / 2 * ((model.K_**2).sum() + (model.W_**2).sum())
    assert model.loss_[0] == pytest.approx(-np.log(p).mean() + penalty, rel=1e-9)


def test_the_scale_of_the_targets_is_that_of_the_first_part():
    X, y = curve(200)
    model = stream(ODENetRegressor, learning_rate_init=0.05).partial_fit(X[:100], y[:100])
    for _ in range(100):
        model.partial_fit(X[100:], 3 + y[100:])
    assert model._centre == y[:100].mean()
    assert np.abs(model.predict(X[100:]) - 3 - y[100:]).mean() < 0.5


def test_fit_leaves_nothing_of_the_stream_before_it():
    X, y = blobs(3)
    once = stream(ODENetClassifier).partial_fit(X, y, [0, 1, 2]).fit(X, y)
    fresh = stream(ODENetClassifier).fit(X, y)
    assert_same(once.partial_fit(X, y), fresh.partial_fit(X, y), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("weights", "count"),
    [(None, 60), (2.5, 60), (np.full(60, 3), 180), (np.arange(60), 1770), (np.full(60, 0.1), 60)],
)
def test_whole_weights_are_counts_where_the_penalty_goes_by_the_number_of_samples(weights, count):
    X, y = blobs(2, n_samples=60)
    model = short(ODENetClassifier, alpha="auto", cv=3, max_iter=2).fit(X, y, weights)
    # The number of candidates depends on the sixty samples.
    np.testing.assert_allclose(model.candidates_["alpha"], np.array([0.1, 0.5, 2.0, 8.0]) / count)


# --- the meaning of "auto"


@pytest.mark.parametrize(
    ("m", "solver", "n_channels", "n_splits", "features"),
    [
        (100, "lbfgs", 48, 8, "both"),
        (2000, "adam", 48, 5, "both"),
        (21_000, "adam", 96, 3, "given"),
    ],
)
def test_what_auto_chose_can_be_read(m, solver, n_channels, n_splits, features):
    X = np.random.default_rng(0).normal(size=(m, 2))
    model = ODENetClassifier(max_iter=5, tol=1e3, random_state=0).fit(X, X[:, 0] > 0)
    assert (model.solver_, model.n_channels_, model.n_splits_) == (solver, n_channels, n_splits)
    assert model.features_ == features
    assert model.n_networks_ == len(model.network_weights_) >= n_splits
    assert model.n_iter_no_change_ == (20 if solver == "lbfgs" else 5)
    assert getattr(model, "batch_size_", None) == {100: None, 2000: 40, 21_000: 420}[m]


def test_what_was_set_can_be_read_too():
    X = np.random.default_rng(0).normal(size=(40, 2))
    options = {"cv": None, "features": "piecewise", "lift": "linear", "solver": "adam"}
    model = short(ODENetClassifier, n_channels=3, batch_size=30, **options).fit(X, X[:, 0] > 0)
    assert (model.solver_, model.n_channels_, model.n_splits_, model.n_networks_) == (
        "adam",
        3,
        0,
        1,
    )
    assert (model.features_, model.batch_size_) == ("piecewise", 30)
    model.set_params(solver="lbfgs", batch_size="auto").fit(X, X[:, 0] > 0)
    assert not hasattr(model, "batch_size_")
