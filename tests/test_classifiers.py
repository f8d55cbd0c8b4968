import pickle
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardClassifier, ODENetClassifier
from skode.datasets import make_donut2d, make_spirals, make_squares
from skode.engine.objective import Objective
from skode.engine.schemes import TABLEAUX
from tests.estimators import BOTH, PLAIN, blobs, decision_of, recomputed_outputs, short
from tests.reference import triple

# Several tests run all solvers with parameters that not all of them have.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.* has no effect here. the solver is:UserWarning"),
]

# --- predictions from the fitted arrays


@pytest.mark.parametrize(
    ("lift", "activation", "n_channels", "n_classes", "n_restarts", "solver"),
    [
        ("pad", "tanh", 5, 2, 1, "gd"),
        ("pad", "softplus", 5, 2, 3, "lbfgs"),
        ("pad", "mixed", 5, 3, 1, "lbfgs"),
        ("linear", "tanh", 5, 2, 1, "lbfgs"),
        ("linear", "relu", 2, 3, 3, "gd"),
        ("nonlinear", "tanh", 5, 3, 1, "lbfgs"),
        ("nonlinear", "mixed", 3, 2, 3, "lbfgs"),
    ],
)
@pytest.mark.parametrize("scheme", TABLEAUX)
def test_decision_function_from_the_fitted_arrays(
    scheme, lift, activation, n_channels, n_classes, n_restarts, solver
):
    X, y = blobs(n_classes)
    model = short(
        ODENetClassifier,
        scheme=scheme,
        lift=lift,
        activation=activation,
        n_channels=n_channels,
        n_restarts=n_restarts,
        solver=solver,
        learn_step=True,
        max_iter=5,
    ).fit(X, y)
    assert hasattr(model, "V_") == (lift != "pad")
    z = recomputed_outputs(model, triple(TABLEAUX[scheme]), 1.0, X)
    expected = decision_of(z)
    np.testing.assert_allclose(model.decision_function(X), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("learn_step", [False, True, "simplex"])
@pytest.mark.parametrize("scheme", ["implicit_midpoint", "gauss4", "lobatto_iiia4"])
def test_the_guard_keeps_every_stage_equation_solvable(scheme, learn_step, wide_start):
    X, y = make_spirals(100, random_state=0)
    options = {**PLAIN, "n_channels": 2, "alpha": 0.0, "max_iter": 60}
    options["learn_step"] = learn_step
    free = ODENetClassifier(scheme, stage_guard="reject", **options).fit(X, y)
    model = ODENetClassifier(scheme, **options).fit(X, y)
    longest = {False: 1.0, True: 2.0, "simplex": 3.0}[learn_step]
    assert np.abs(model.h_).max() <= longest
    # λmax of the symmetric part of h A ⊗ K, with A of the implicit block, is below 1.
    A = np.array(TABLEAUX[scheme].blocks[-1].A)

    def stiffest(model):
        M = [h * np.kron(A, K) for h, K in zip(model.h_[0], model.K_[0], strict=True)]
        return max(np.linalg.eigvalsh((E + E.T) / 2).max() for E in M)

    assert stiffest(model) < 1
    assert stiffest(free) > stiffest(model)
    # Samples far away can be predicted too.
    assert np.isfinite(model.decision_function(100 * X)).all()


@pytest.mark.parametrize(
    ("data", "parameters"),
    [
        (
            blobs(3),
            {
                "scheme": "implicit_euler",
                "activation": "softplus",
                "n_channels": 3,
                "random_state": 6,
            },
        ),
        (
            make_spirals(100, random_state=0),
            {"scheme": "implicit_midpoint", "n_channels": 2, "random_state": 6},
        ),
    ],
)
def test_rejected_trials_do_not_end_the_descent(data, parameters, wide_start, monkeypatch):
    X, y = data
    unsolved = []
    evaluate = Objective.evaluate

    def spy(self, flat, *args, **options):
        found = evaluate(self, flat, *args, **options)
        unsolved.extend(np.isposinf(found.J))
        return found

    monkeypatch.setattr(Objective, "evaluate", spy)
    options = {"stage_guard": "reject", "alpha": 0.0, "tol": 0.0, "max_iter": 60, **parameters}
    model = short(ODENetClassifier, **options).fit(X, y)
    assert sum(unsolved) > 0
    assert sum(unsolved) < model.n_evaluations_[0] - model.network_n_iter_[0]
    assert model.network_n_iter_[0] == 60
    assert (np.diff(model.loss_curve_.T[0]) < 0).all()
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_restarts", [1, 3])
@pytest.mark.parametrize("lift", ["pad", "linear", "nonlinear"])
def test_decision_function_of_feed_forward_from_the_fitted_arrays(lift, n_restarts, n_classes):
    X, y = blobs(n_classes)
    options = {"lift": lift, "n_restarts": n_restarts, "max_iter": 5, "h": 0.8}
    model = short(FeedForwardClassifier, **options).fit(X, y)
    expected = decision_of(recomputed_outputs(model, ([[0.0]], [1.0], [0.0]), 0.0, X))
    np.testing.assert_allclose(model.decision_function(X), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("cls", BOTH)
def test_predictions_agree_with_each_other(cls, n_classes, loss):
    X, y = blobs(n_classes)
    model = short(cls, loss=loss, n_restarts=2).fit(X, y)
    proba, decision = model.predict_proba(X), model.decision_function(X)
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), model.classes_[proba.argmax(1)])
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), proba, rtol=1e-12)
    if n_classes == 2:
        np.testing.assert_allclose(1 / (1 + np.exp(-decision)), proba[:, 1], rtol=1e-10)
    else:
        np.testing.assert_allclose(np.exp(decision), proba, rtol=1e-12)
    assert model.score(X, y) > 0.8


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(("cv", "n_restarts"), [(None, 3), (3, 1)])
def test_probabilities_are_the_mean_of_the_networks(cls, cv, n_restarts):
    X, y = blobs(3)
    model = short(cls, cv=cv, n_restarts=n_restarts, lift="linear").fit(X, y)
    each = []
    for k in range(3):
        one = pickle.loads(pickle.dumps(model))
        for name in ("K_", "b_", "h_", "W_", "mu_", "V_", "nu_"):
            setattr(one, name, getattr(model, name)[[k]])
        one.network_weights_ = np.ones(1)
        each.append(one.predict_proba(X))
    np.testing.assert_allclose(model.predict_proba(X), np.mean(each, axis=0), rtol=1e-12)
    assert np.abs(each[0] - each[1]).max() > 1e-6


@pytest.mark.parametrize("cls", BOTH)
def test_the_contract_of_the_fitted_attributes(cls):
    X, y = blobs(3, n_features=2)
    model = short(cls, N=4, n_channels=5, n_restarts=2, learn_step=True, tol=0).fit(X, y)
    assert model.K_.shape == (2, 4, 5, 5)
    assert model.b_.shape == (2, 4, 5)
    assert model.h_.shape == (2, 4)
    assert model.W_.shape == (2, 3, 5)
    assert model.mu_.shape == (2, 3)
    assert model.loss_.shape == model.network_n_iter_.shape == model.n_evaluations_.shape == (2,)
    assert model.loss_curve_.T.shape == (2, 31)
    np.testing.assert_array_equal(model.loss_curve_.T[:, -1], model.loss_)
    assert (model.n_outputs_, model.n_features_in_) == (3, 2)
    assert list(model.stop_reason_) == ["max_iter", "max_iter"]


@pytest.mark.parametrize("cls", BOTH)
def test_the_contract_of_the_lift_and_of_what_is_held_out(cls):
    X, y = blobs(2, n_features=2)
    options = {"N": 2, "lift": "linear", "cv": 3, "n_restarts": 2, "alpha": (1e-3, 1e-2)}
    model = short(cls, n_channels=5, **options).fit(X, y)
    n_networks = 6 * np.count_nonzero(model.candidates_["weight"])
    assert model.K_.shape == (n_networks, 2, 5, 5)
    assert model.V_.shape == (n_networks, 5, 2)
    assert model.nu_.shape == (n_networks, 5)
    assert model.validation_loss_.shape == (2, 3, 2)
    assert model.validation_curve_.shape[:3] == (2, 3, 2)
    assert model.candidates_["alpha"].tolist() == [1e-3, 1e-2]
    assert model.oof_decision_function_.shape == (60,)
    assert isinstance(model.oof_score_, float)
    # A fit that does not use it removes it.
    model.set_params(lift="pad", cv=None, alpha=1e-3).fit(X, y)
    gone = ["V_", "nu_", "candidates_", "validation_loss_", "validation_curve_", "oof_score_"]
    assert not {*gone, "oof_decision_function_"} & vars(model).keys()
    assert model.alpha_ == 1e-3


@pytest.mark.parametrize(
    ("lift", "n_features", "n_channels", "expected", "learned"),
    [
        ("pad", 2, "auto", 48, False),
        ("pad", 60, "auto", 60, False),
        ("pad", 3, 3, 3, False),
        ("linear", 2, "auto", 48, True),
        ("linear", 60, "auto", 48, True),
        ("nonlinear", 2, "auto", 48, True),
        ("nonlinear", 4, 3, 3, True),
    ],
)
def test_the_lift_and_the_channels_by_themselves(lift, n_features, n_channels, expected, learned):
    X, y = blobs(2, n_features=n_features)
    model = short(ODENetClassifier, lift=lift, n_channels=n_channels, max_iter=1).fit(X, y)
    assert model.b_.shape == (1, 3, expected)
    assert hasattr(model, "V_") == hasattr(model, "nu_") == learned


@pytest.mark.parametrize("cls", BOTH)
def test_steps_are_fixed_learned_or_on_the_simplex(cls, wide_start):
    X, y = make_squares(100, random_state=0)
    total = 4 * 0.7
    fixed = short(cls, N=4, h=0.7).fit(X, y)
    np.testing.assert_array_equal(fixed.h_, 0.7)
    learned = short(cls, N=4, h=0.7, learn_step=True, max_iter=200).fit(X, y)
    assert abs(learned.h_.sum() - total) > 1e-3
    simplex = short(cls, N=4, h=0.7, learn_step="simplex", max_iter=200).fit(X, y)
    np.testing.assert_allclose(simplex.h_.sum(), total, rtol=1e-12)
    assert (simplex.h_ >= 0).all()
    assert len(np.unique(simplex.h_)) > 1


@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam", "adam+lbfgs"])
@pytest.mark.parametrize("lift", ["pad", "linear", "nonlinear"])
@pytest.mark.parametrize(("alpha", "smoothness"), [(0.0, 0.0), (0.5, 0.0), (0.01, 0.2)])
def test_the_final_objective_is_the_penalised_log_loss(alpha, smoothness, lift, solver):
    X, y = blobs(2)
    weights = np.random.default_rng(0).uniform(size=len(y))
    options = {"alpha": alpha, "smoothness": smoothness, "lift": lift, "solver": solver, "h": 0.4}
    model = short(ODENetClassifier, **options).fit(X, y, weights)
    p = model.predict_proba(X)[np.arange(len(y)), y]
    parts = [model.K_, model.W_] if lift == "pad" else [model.K_, model.W_, model.V_]
    penalty = alpha / 2 * sum((part**2).sum() for part in parts)
    rises = [np.diff(model.K_[0], axis=0), np.diff(model.b_[0], axis=0)]
    penalty += smoothness / 2 * sum((rise**2).sum() for rise in rises) / 0.4
    expected = -np.average(np.log(p), weights=weights) + penalty
    np.testing.assert_allclose(model.loss_[0], expected, rtol=1e-10, atol=1e-14)


def test_smoothness_makes_the_controls_change_less():
    X, y = blobs(2)
    rough, smooth = (
        short(ODENetClassifier, smoothness=beta, max_iter=100, solver="lbfgs").fit(X, y)
        for beta in (0.0, 1.0)
    )
    rises = [np.abs(np.diff(model.K_[0], axis=0)).max() for model in (smooth, rough)]
    assert rises[0] < rises[1] / 10


def test_a_penalty_shrinks_the_weights():
    X, y = blobs(2)
    small, large = (short(ODENetClassifier, alpha=a, max_iter=200).fit(X, y) for a in (0.0, 0.3))
    assert np.linalg.norm(large.K_) < 0.5 * np.linalg.norm(small.K_)


def test_prediction_follows_the_fit_and_not_later_parameters():
    X, y = blobs(2)
    model = short(ODENetClassifier).fit(X, y)
    before = model.decision_function(X)
    model.set_params(scheme="rk4", activation="relu", loss="squared_error", N=9)
    np.testing.assert_array_equal(model.decision_function(X), before)


def test_a_custom_tableau_is_the_named_scheme_that_it_equals():
    X, y = blobs(2)
    rk4 = TABLEAUX["rk4"]
    named = short(ODENetClassifier, scheme="rk4").fit(X, y)
    for scheme in (rk4, (rk4.A, rk4.b, rk4.c), tuple(map(np.array, (rk4.A, rk4.b, rk4.c)))):
        model = pickle.loads(pickle.dumps(clone(short(ODENetClassifier, scheme=scheme)).fit(X, y)))
        np.testing.assert_array_equal(model.decision_function(X), named.decision_function(X))


# --- invariance of a fit (with Armijo steps, whose decisions do not depend on rounding)

problems = st.tuples(st.sampled_from(BOTH), st.integers(2, 4), st.integers(0, 10_000))


def assert_same_fit(one, other, X):
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-7)


@settings(max_examples=15)
@given(problems)
def test_the_order_of_samples_does_not_matter(problem):
    cls, n_classes, seed = problem
    X, y = blobs(n_classes, seed=seed)
    order = np.random.default_rng(seed).permutation(len(y))
    assert_same_fit(short(cls).fit(X, y), short(cls).fit(X[order], y[order]), X)


@settings(max_examples=15)
@given(problems)
def test_a_weight_of_two_is_a_duplicate_and_of_zero_an_absence(problem):
    cls, n_classes, seed = problem
    X, y = blobs(n_classes, seed=seed)
    weights = np.random.default_rng(seed).integers(0, 3, len(y))
    weights[np.unique(y, return_index=True)[1]] = 2  # every class stays
    repeated = short(cls).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    assert_same_fit(short(cls).fit(X, y, sample_weight=weights), repeated, X)
    assert_same_fit(short(cls).fit(X, y, sample_weight=7.5 * weights), repeated, X)


@settings(max_examples=15)
@given(problems, st.randoms(use_true_random=False))
def test_names_and_order_of_the_classes_do_not_matter(problem, random):
    cls, n_classes, seed = problem
    X, y = blobs(n_classes, seed=seed)
    names = ["ant", "bee", "cat", "dog"][:n_classes]
    random.shuffle(names)
    renamed = short(cls).fit(X, np.array(names)[y])
    original = short(cls).fit(X, y)
    np.testing.assert_allclose(
        renamed.predict_proba(X)[:, np.argsort(np.argsort(names))],
        original.predict_proba(X),
        atol=1e-7,
    )


@pytest.mark.parametrize("cls", BOTH)
def test_the_same_seed_gives_the_same_bits(cls):
    X, y = blobs(3)
    one, other = (short(cls, n_restarts=2, random_state=4).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(one.decision_function(X), other.decision_function(X))
    different = short(cls, n_restarts=2, random_state=5).fit(X, y)
    assert np.abs(one.K_ - different.K_).max() > 0.1


# --- inputs of users


@pytest.mark.parametrize("cls", BOTH)
def test_float32_stays_float32(cls):
    X, y = blobs(3)
    model = short(cls).fit(X.astype(np.float32), y)
    for name in ("K_", "b_", "h_", "W_", "mu_"):
        assert getattr(model, name).dtype == np.float32
    assert model.predict_proba(X).dtype == np.float32
    assert model.decision_function(X).dtype == np.float32
    double = short(cls).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), double.predict_proba(X), atol=5e-3)
    assert short(cls).fit(X.astype(int), y).K_.dtype == np.float64


@pytest.mark.parametrize("cls", BOTH)
def test_pandas_and_string_labels(cls):
    X, y = blobs(3)
    frame = pd.DataFrame(X, columns=["length", "width", "height"])
    labels = pd.Series(np.array(["small", "medium", "large"])[y])
    model = short(cls).fit(frame, labels)
    assert list(model.classes_) == ["large", "medium", "small"]
    assert list(model.feature_names_in_) == ["length", "width", "height"]
    assert set(model.predict(frame)) <= set(labels)
    assert model.score(frame, labels, sample_weight=np.ones(len(y))) > 0.8
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["width", "length", "height"]])
    assert short(cls).fit(frame, labels.astype("category")).score(frame, labels) > 0.8


def test_booleans_are_classes():
    X, y = blobs(2)
    model = short(ODENetClassifier).fit(X, y == 1)
    assert model.predict(X).dtype == bool


def test_a_pipeline_in_a_grid_search():
    X, y = make_classification(120, n_features=4, random_state=0)
    pipeline = make_pipeline(StandardScaler(), short(ODENetClassifier))
    grid = {
        "odenetclassifier__scheme": ["euler", "heun", TABLEAUX["midpoint"]],
        "odenetclassifier__learn_step": [False, True, "simplex"],
    }
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_score_ > 0.8
    assert cross_val_score(search.best_estimator_, X, y, cv=3).mean() > 0.8


@pytest.mark.parametrize(
    ("cls", "shape"),
    [
        (ODENetClassifier, {"N": 16, "h": 0.125}),
        (ODENetClassifier, {"N": 40, "h": 0.05}),
        (FeedForwardClassifier, {"N": 8}),
    ],
)
def test_deep_networks_leave_the_saddle_that_a_weak_start_is_close_to(cls, shape):
    X, y = make_donut2d(300, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = cls(cv=3, alpha=1e-4, random_state=0, **shape).fit(X, y)
    # The best possible accuracy is 0.93; at the saddle it is 0.5.
    assert model.score(*make_donut2d(2000, random_state=1)) > 0.87


def test_more_channels_solve_what_two_cannot(wide_start):
    X, y = make_donut2d(300, random_state=0)
    options = {"n_channels": 8, "max_iter": 500}
    model = short(ODENetClassifier, **options).fit(X, y)
    assert model.score(*make_donut2d(1000, random_state=1)) > 0.88


# --- how training ends


def test_the_end_at_max_iter_warns_and_convergence_does_not():
    X, y = blobs(2)
    with pytest.warns(ConvergenceWarning, match=r"max_iter=3.*Increase max_iter"):
        short(ODENetClassifier, max_iter=3).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = short(ODENetClassifier, tol=1e-2, max_iter=200).fit(X, y)
    assert list(model.stop_reason_) == ["converged"]


@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam"])
def test_ctrl_c_keeps_the_best_iterate(solver, monkeypatch):
    X, y = blobs(2)
    evaluate, calls = Objective.evaluate, []

    def interrupted(self, *args, **options):
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return evaluate(self, *args, **options)

    monkeypatch.setattr(Objective, "evaluate", interrupted)
    options = {"max_iter": 200, "solver": solver, "learning_rate_init": 0.1}
    model = short(ODENetClassifier, **options)
    with pytest.raises(KeyboardInterrupt, match="The estimator is fitted"):
        model.fit(X, y)
    assert list(model.stop_reason_) == ["interrupted"]
    assert 0 < model.network_n_iter_[0] < 20
    assert model.loss_[0] == np.nanmin(model.loss_curve_.T)
    assert model.score(X, y) > 0.8


def test_reaching_the_limits_of_the_precision_is_convergence():
    # Both end when float32 resolves no further step: one at its minimum, the other far from it.
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = short(ODENetClassifier, N=1, alpha=1.0, tol=0, max_iter=3000).fit(X, y)
    assert list(model.stop_reason_) == ["converged"]
    stuck = short(ODENetClassifier, tol=0, max_iter=3000, line_search="lipschitz")
    with pytest.warns(ConvergenceWarning, match="no acceptable step"):
        stuck.fit(X * 1e4, y)


# --- sample weights


@pytest.mark.parametrize("weight", [1e-300, 3, 1e308])
def test_only_the_ratios_of_weights_matter(weight):
    X, y = blobs(2)
    plain = short(ODENetClassifier).fit(X, y)
    for weights in (weight, np.full(len(y), weight)):
        model = short(ODENetClassifier).fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(model.predict_proba(X), plain.predict_proba(X), rtol=1e-9)


# --- a single class


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("cv", ["auto", 3, None])
@pytest.mark.parametrize("cls", BOTH)
def test_one_class_is_predicted(cls, cv, loss):
    X, _ = blobs(2)
    model = cls(cv=cv, loss=loss, random_state=0).fit(X, np.full(60, "only"))
    np.testing.assert_array_equal(model.classes_, ["only"])
    np.testing.assert_array_equal(model.predict(X), np.full(60, "only"))
    np.testing.assert_array_equal(model.predict_proba(X), np.ones((60, 1)))
    np.testing.assert_array_equal(model.predict_log_proba(X), np.zeros((60, 1)))
    assert model.score(X, np.full(60, "only")) == 1
    if cv is not None:
        assert model.oof_score_ == 1


@pytest.mark.parametrize("weigh", ["sample_weight", "class_weight", "in single precision"])
@pytest.mark.parametrize("cls", BOTH)
def test_one_class_with_a_weight_is_predicted(cls, weigh):
    X, y = blobs(2)
    options, weights = {}, None
    if weigh == "class_weight":
        options["class_weight"] = {0: 0.0}
    elif weigh == "sample_weight":
        weights = np.where(y == 1, 1.0, 0.0)
    else:
        X, weights = X.astype(np.float32), np.where(y == 1, 1.0, 1e-60)
    model = short(cls, **options).fit(X, y, weights)
    np.testing.assert_array_equal(model.classes_, [0, 1])
    np.testing.assert_array_equal(model.predict(X), np.ones(60))
    assert model.predict_proba(X).shape == (60, 2)


def test_bootstraps_and_columns_that_lack_a_class():
    X, _ = blobs(2, 120)
    y = np.r_[1, 1, np.zeros(118)]

    def of_sample(rows):
        return np.bincount(rows, minlength=120)

    bagging = BaggingClassifier(short(ODENetClassifier), n_estimators=40, random_state=0).fit(X, y)
    assert min(mine[:2].sum() for mine in map(of_sample, bagging.estimators_samples_)) == 0
    np.testing.assert_allclose(bagging.predict_proba(X).sum(axis=1), 1)
    labels = np.c_[np.zeros(120), X[:, 0] > 0]
    found = MultiOutputClassifier(short(ODENetClassifier)).fit(X, labels).predict(X)
    assert not found[:, 0].any()
    assert (found[:, 1] == labels[:, 1]).mean() > 0.9


@pytest.mark.parametrize("cls", BOTH)
def test_a_stream_of_one_class(cls):
    X, _ = blobs(2)
    model = short(cls, solver="adam").partial_fit(X, np.zeros(60), classes=[0])
    np.testing.assert_array_equal(model.partial_fit(X, np.zeros(60)).predict(X), np.zeros(60))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_prediction_holds_one_block_of_outputs_at_a_time(n_classes):
    X, y = blobs(n_classes)
    model = short(ODENetClassifier, n_restarts=16, max_iter=2).fit(X, y)
    many = np.tile(X, (1000, 1))
    expected = model.predict_proba(X)
    tracemalloc.start()
    proba = model.predict_proba(many)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_allclose(proba[-60:], expected, rtol=1e-12)
    # For all members together it would be at least eight times as much.
    assert peak < 5 * proba.nbytes + 8 * 2**20


# --- labels of every kind


LABELS = [
    np.array(["2020-01-01", "2021-06-01"], dtype="datetime64[D]"),
    np.array(["2020-01-01", "2021-06-01"], dtype="datetime64[ns]"),
    np.array(["2020", "2021"], dtype="datetime64[Y]"),
    np.array(["no", "yes"]),
    np.array(["no", "yes"], dtype=object),
    np.array([False, True]),
    np.array([-1.0, 2.0]),
    np.array([3, 7], dtype=np.uint8),
]


@pytest.mark.parametrize("labels", LABELS, ids=lambda labels: str(labels.dtype))
@pytest.mark.parametrize("cls", BOTH)
def test_labels_of_every_kind_are_taken_everywhere(cls, labels):
    X, y = blobs(2)
    y = labels[y]
    model = short(cls, solver="adam").fit(X, y, X_val=X, y_val=y)
    np.testing.assert_array_equal(model.classes_, labels)
    assert model.predict(X).dtype == labels.dtype
    assert model.score(X, y) > 0.9
    assert model.oof_score_ == model.score(X, y)
    stream = short(cls, solver="adam").partial_fit(X, y, classes=labels)
    for _ in range(20):
        stream.partial_fit(X, y)
    assert stream.score(X, y) > 0.9


def test_dates_may_have_another_unit():
    X, y = blobs(2)
    days = LABELS[0][y]
    model = short(ODENetClassifier, solver="adam").fit(X, days)
    model.partial_fit(X, days.astype("datetime64[ns]"))
    with pytest.raises(ValueError, match="not among the classes"):
        model.partial_fit(X, days.astype("datetime64[ns]") + np.timedelta64(1, "ns"))
