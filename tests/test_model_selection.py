"""Searches give the results of scikit-learn's, to the last bit, and train in few batches."""

import threading
import warnings

import numpy as np
import pytest
from joblib import Parallel, effective_n_jobs, parallel_config
from scipy.stats import loguniform
from sklearn import config_context, model_selection
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skode import (
    FeedForwardClassifier,
    ODENetClassifier,
    ODENetRegressor,
    _gathering,
    _processes,
    _together,
)
from skode.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    _number_of_fits,
    batched_fits,
    cross_validate,
)
from tests.estimators import blobs, curve, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
GRID = {"h": [0.5, 1.0], "alpha": [1e-3, 1e-1], "learn_step": [False, True]}


NOT_FINITE = pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")


def in_this_process(n_jobs=None, backend=None):
    """Stand in for `joblib.Parallel`: parts for two processes are run in this one."""
    if n_jobs is None:
        return Parallel()
    assert n_jobs == 2
    return lambda calls: [function(*args) for function, args, _ in calls]


@pytest.fixture
def batches(monkeypatch):
    """The numbers of networks that are trained side by side, one after the other."""
    found, train = [], _together.train

    def watched(objective, start, *arguments, **options):
        found.append(start.shape[0])
        return train(objective, start, *arguments, **options)

    monkeypatch.setattr(_together, "train", watched)
    return found


def assert_equal_results(one, other):
    """Compare the scores of two searches, bit by bit, and their choices."""
    mine, its = one.cv_results_, other.cv_results_
    assert mine.keys() == its.keys()
    assert mine["params"] == its["params"]
    for name in mine:
        if "time" not in name and name != "params":
            np.testing.assert_array_equal(mine[name], its[name], err_msg=name)
    if one.refit:
        assert one.best_params_ == other.best_params_
        assert one.best_index_ == other.best_index_


def compared(estimator, grid, X, y, fit=None, **options):
    """Search with both classes, compare, and return both."""
    both = []
    for cls in (GridSearchCV, model_selection.GridSearchCV):
        options.setdefault("cv", 3)
        both.append(cls(clone(estimator), grid, **options).fit(X, y, **(fit or {})))
    assert_equal_results(*both)
    return both


@pytest.mark.parametrize(
    ("solver", "expected"), [("gd", [24]), ("lbfgs", [24]), ("adam", [8, 8, 8])]
)
def test_candidates_are_one_batch_and_with_adam_those_of_a_split(solver, expected, batches):
    X, y = blobs(3)
    model = short(ODENetClassifier, solver=solver, scoring="auto")
    one, other = compared(model, GRID, X, y, scoring="neg_log_loss")
    assert batches[: len(expected)] == expected
    assert set(batches[len(expected) :]) == {1}
    np.testing.assert_array_equal(one.best_estimator_.K_, other.best_estimator_.K_)


def test_schemes_and_activations_share_a_batch_and_layers_do_not(batches):
    X, y = blobs()
    grid = {"N": [2, 3], "scheme": ["euler", "heun", "rk4"]}
    grid |= {"activation": ["tanh", "relu"], "alpha": [1e-3, 1e-1]}
    compared(short(ODENetClassifier), grid, X, y, refit=False, cv=2)
    assert batches[:2] == [24, 24]


def test_regression_with_several_scores():
    X, y = curve(n_targets=2)
    scoring = ["r2", "neg_mean_absolute_error"]
    model = short(ODENetRegressor, solver="lbfgs")
    one, _ = compared(
        model, GRID, X, y, scoring=scoring, refit="r2", return_train_score=True, cv=KFold(3)
    )
    assert one.multimetric_
    assert one.predict(X).shape == y.shape


def test_pipelines_with_groups_and_weights():
    X, y = blobs(n_samples=90)
    groups, weights = np.arange(90) // 5, np.random.default_rng(0).uniform(0.1, 2, 90)
    pipeline = make_pipeline(StandardScaler(), short(ODENetClassifier, solver="lbfgs"))
    grid = {f"odenetclassifier__{name}": values for name, values in GRID.items()}
    grid["standardscaler__with_mean"] = [True, False]
    fit = {"groups": groups, "odenetclassifier__sample_weight": weights}
    compared(pipeline, grid, X, y, fit, cv=GroupKFold(3))


def test_metadata_is_routed():
    X, y = blobs()
    weights = np.random.default_rng(0).uniform(0.1, 2, len(y))
    with config_context(enable_metadata_routing=True):
        model = short(ODENetClassifier).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        compared(model, GRID, X, y, {"sample_weight": weights})


@pytest.mark.parametrize("scoring", ["auto", "roc_auc"])
def test_networks_of_inner_folds(scoring, batches):
    X, y = blobs()
    X = X + np.random.default_rng(0).normal(size=X.shape)
    options = {"cv": 3, "alpha": [1e-3, 1.0], "features": "both", "lift": "nonlinear"}
    model = short(ODENetClassifier, solver="lbfgs", scoring=scoring, **options)
    compared(model, {"h": [0.5, 1.0], "learn_step": [False, True]}, X, y, cv=2)
    assert batches[:2] == 2 * [2 * 4 * 6]  # two views of both splits


def test_inner_folds_of_other_seeds_form_one_batch(batches):
    X, y = blobs()
    model = short(ODENetClassifier, cv="auto", solver="lbfgs")
    compared(model, {"random_state": [0, 1, 2]}, X, y, refit=False, cv=2)
    assert batches[0] == 48


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"scheme": "implicit_midpoint"}, [4, 4]),  # those of a split
        ({"scheme": "gauss4", "stage_guard": "reject"}, [4, 4]),
        ({"vector_field": "gradient_flow", "scheme": "euler"}, [8]),
        ({"constraint": "orthogonal"}, [8]),
        ({"learn_step": "simplex"}, [8]),
        ({"smoothness": 0.1}, [8]),
    ],
)
def test_constraints_and_implicit_schemes(parameters, expected, batches):
    X, y = blobs()
    model = short(ODENetClassifier, solver="lbfgs", max_iter=8, **parameters)
    grid = {"alpha": [1e-3, 1e-2], "random_state": [0, 1], "h": [0.5]}
    compared(model, grid, X, y, refit=False, cv=2)
    assert batches[: len(expected)] == expected


def test_other_steps_with_a_constraint_are_other_batches(batches):
    X, y = blobs()
    model = short(ODENetClassifier, learn_step="simplex")
    compared(model, {"h": [0.5, 1.0], "alpha": [0.1, 0.2]}, X, y, refit=False, cv=2)
    assert batches[:2] == [4, 4]


def test_candidates_may_be_other_estimators(batches):
    X, y = blobs()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    models = [short(ODENetClassifier), short(FeedForwardClassifier), LogisticRegression()]
    compared(pipeline, {"logisticregression": models}, X, y, refit=False, cv=2)
    assert batches[0] == 4  # both networks on both splits


def test_without_a_network_the_search_is_that_of_scikit_learn(monkeypatch):
    monkeypatch.setattr("skode.model_selection.batching", None)  # is not called
    compared(LogisticRegression(), {"C": [0.1, 1.0]}, *blobs())
    assert cross_validate(LogisticRegression(), *blobs(), cv=2)["test_score"].shape == (2,)


def test_candidates_drawn_at_random():
    X, y = blobs()
    choices = {"alpha": loguniform(1e-4, 1e-1), "learn_step": [False, True]}
    both = [
        cls(short(ODENetClassifier), choices, n_iter=6, cv=3, random_state=0).fit(X, y)
        for cls in (RandomizedSearchCV, model_selection.RandomizedSearchCV)
    ]
    assert_equal_results(*both)


def test_few_fits_at_a_time(monkeypatch, batches):
    X, y = blobs()
    monkeypatch.setattr("skode.model_selection._number_of_fits", lambda X: 4)
    compared(short(ODENetClassifier), GRID, X, y, cv=2, refit=False, pre_dispatch=5)
    assert max(batches) == 4
    assert sum(batches) == 2 * 16


def test_the_number_of_fits_depends_on_the_size_of_X():
    assert _number_of_fits([[1.0, 2.0]]) == 1000
    assert _number_of_fits(np.broadcast_to(0.0, (10**9, 10**4))) == 2


@NOT_FINITE
def test_fits_that_fail():
    X, y = blobs()
    grid = {"alpha": [1e-3, -1.0], "h": [0.5, 1.0]}
    with pytest.warns(FitFailedWarning, match="6 fits failed"):
        found = GridSearchCV(short(ODENetClassifier), grid, cv=3).fit(X, y)
    scores = found.cv_results_["mean_test_score"]
    np.testing.assert_array_equal(np.isnan(scores), [False, False, True, True])
    before = threading.active_count()
    with pytest.raises(ValueError, match="'alpha' parameter"):
        GridSearchCV(short(ODENetClassifier), grid, cv=3, error_score="raise").fit(X, y)
    assert threading.active_count() == before


@NOT_FINITE
def test_a_start_that_is_not_finite_fails_alone():
    X, y = blobs()
    X[:5] *= 1e200
    cv = [(np.arange(5, 40), np.arange(40, 60)), (np.arange(40), np.arange(40, 60))]
    search = GridSearchCV(short(ODENetClassifier), {"h": [0.5, 1.0]}, cv=cv, refit=False)
    with pytest.warns(FitFailedWarning, match="2 fits failed"):
        search.fit(X, y)
    assert np.isnan(search.cv_results_["split1_test_score"]).all()
    assert np.isfinite(search.cv_results_["split0_test_score"]).all()


def test_ctrl_c_ends_the_search_and_all_its_threads(monkeypatch):
    X, y = blobs()

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(_gathering, "train_together", interrupted)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(short(ODENetClassifier), GRID, cv=3).fit(X, y)
    assert threading.active_count() == before


@pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
def test_warnings_are_those_of_every_fit_and_their_filters_stay():
    X, y = blobs()
    before = list(warnings.filters)
    for cls in (GridSearchCV, model_selection.GridSearchCV):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cls(short(ODENetClassifier, max_iter=2), GRID, cv=2, refit=False).fit(X, y)
        assert len(caught) == 16
    assert list(warnings.filters) == before


def test_estimators_with_a_time_limit_are_trained_one_by_one(batches):
    X, y = blobs()
    compared(short(ODENetClassifier, max_time=1e6), GRID, X, y, refit=False, cv=2)
    assert set(batches) == {1}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_any_number_of_processes(n_jobs):
    X, y = blobs()
    compared(short(ODENetClassifier), GRID, X, y, n_jobs=n_jobs)


@NOT_FINITE
def test_fits_that_fail_in_processes():
    X, y = blobs()
    grid = {"alpha": [1e-3, -1.0]}
    with pytest.warns(FitFailedWarning, match="3 fits failed"):
        found = GridSearchCV(short(ODENetClassifier), grid, cv=3, n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(np.isnan(found.cv_results_["mean_test_score"]), [False, True])
    with pytest.raises(ValueError, match="'alpha' parameter"):
        found.set_params(error_score="raise").fit(X, y)


@pytest.mark.parametrize(("n_candidates", "sizes"), [(2, [2, 2]), (50, [25] * 4)])
def test_parts_for_processes(n_candidates, sizes, batches, monkeypatch):
    monkeypatch.setattr(_processes, "Parallel", in_this_process)
    X, y = blobs()
    grid = {"alpha": np.geomspace(1e-4, 1e-1, n_candidates)}
    model = short(ODENetClassifier, max_iter=2)
    GridSearchCV(model, grid, cv=2, n_jobs=2, refit=False).fit(X, y)
    assert batches == sizes


def test_where_joblib_uses_threads_the_fits_stay_in_one_process(batches):
    X, y = blobs()
    with parallel_config(backend="threading", n_jobs=2):
        GridSearchCV(short(ODENetClassifier), GRID, cv=2, n_jobs=2, refit=False).fit(X, y)
    assert batches == [16]


def test_cross_validation(batches):
    X, y = blobs()
    cv = list(ShuffleSplit(2, random_state=0).split(X))
    splits = [*cv, *cv]
    model = short(ODENetClassifier, random_state=np.random.RandomState(0))
    options = {"cv": splits, "return_estimator": True, "scoring": "neg_log_loss"}
    one, other = (
        function(clone(model), X, y, **options)
        for function in (cross_validate, model_selection.cross_validate)
    )
    np.testing.assert_array_equal(one["test_score"], other["test_score"])
    for mine, its in zip(one["estimator"], other["estimator"], strict=True):
        np.testing.assert_array_equal(mine.K_, its.K_)
    assert batches[0] == 4


@pytest.mark.parametrize("xp", ["torch", "cupy"], indirect=True)
@pytest.mark.parametrize("kind", ["two classes", "three classes", "targets"])
@pytest.mark.usefixtures("dispatch")
def test_on_a_device_folds_and_layers_share_a_batch(xp, kind, batches):
    X, y = curve() if kind == "targets" else blobs(2 + (kind == "three classes"))
    cls = ODENetRegressor if kind == "targets" else ODENetClassifier
    model = make_pipeline(StandardScaler(), short(cls, cv=None, max_iter=6))
    name = cls.__name__.lower()
    grid = {
        f"{name}__N": [2, 4],
        f"{name}__alpha": [1e-2, 1e-1],
        f"{name}__learn_step": [False, True],
    }
    search = GridSearchCV(model, grid, cv=3, refit=False).fit(xp.asarray(X), y)
    assert batches == [24]
    alone = model_selection.GridSearchCV(model, grid, cv=3, refit=False).fit(X, y)
    mine, its = (each.cv_results_["mean_test_score"] for each in (search, alone))
    np.testing.assert_allclose(mine, its, atol=1e-6)


def test_other_tools_in_a_context(batches):
    X, y = blobs()
    model, alphas = short(ODENetClassifier), [1e-3, 1e-2, 1e-1]
    options = {"param_name": "alpha", "param_range": alphas, "cv": StratifiedKFold(3)}
    expected = model_selection.validation_curve(model, X, y, **options)
    batches.clear()
    with batched_fits():
        found = model_selection.validation_curve(model, X, y, **options)
    np.testing.assert_array_equal(found, expected)
    assert batches == [9]
    bagged = BaggingClassifier(model, 4, n_jobs=2, random_state=0)
    with batched_fits(1, max_fits=3):
        proba = clone(bagged).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(proba, bagged.set_params(n_jobs=None).fit(X, y).predict_proba(X))


def test_one_fit_at_a_time_cannot_be_gathered():
    with pytest.raises(ValueError, match="max_fits == 1, must be >= 2"):
        batched_fits(max_fits=1)
    for wrong in ({"max_fits": 2.5}, {"max_fits": None}, {"n_jobs": "x"}):
        with pytest.raises(TypeError, match="must be an instance of"):
            batched_fits(**wrong)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_only_inside_the_context_are_fits_gathered(n_jobs):
    before = effective_n_jobs(None)
    context = batched_fits(n_jobs)
    assert effective_n_jobs(None) == before
    with context:
        assert effective_n_jobs(None) == 100
    assert effective_n_jobs(None) == before


def test_a_search_in_a_context_has_the_processes_of_the_context(batches, monkeypatch):
    monkeypatch.setattr(_processes, "Parallel", in_this_process)
    X, y = blobs()
    with batched_fits(n_jobs=2):
        GridSearchCV(short(ODENetClassifier), GRID, cv=2, refit=False, n_jobs=3).fit(X, y)
    assert batches == [8, 8]


@pytest.mark.parametrize(
    "arguments", [{"n_jobs": "x"}, {"param_grid": 5}, {"param_grid": [5]}, {"cv": "x"}]
)
def test_errors_about_parameters_are_those_of_scikit_learn(arguments):
    X, y = blobs()
    arguments = {"param_grid": GRID} | arguments
    errors = []
    for cls in (GridSearchCV, model_selection.GridSearchCV):
        with pytest.raises((TypeError, ValueError)) as caught:
            cls(short(ODENetClassifier), **arguments).fit(X, y)
        errors.append((type(caught.value), str(caught.value)))
    assert errors[0] == errors[1]


def test_X_may_be_lists_of_different_lengths():
    X, y = blobs()
    ragged = [list(row[: 1 + k % 3]) for k, row in enumerate(X)]
    sums = FunctionTransformer(lambda X: np.array([[sum(row), len(row)] for row in X]))
    model = make_pipeline(sums, short(ODENetClassifier))
    one, other = (
        function(model, ragged, y, cv=3)["test_score"]
        for function in (cross_validate, model_selection.cross_validate)
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("options", [{"early_stopping": True}, {"cv": 2}])
def test_adam_on_two_views_of_the_features(options, batches):
    """The candidates of a split are one batch for each view, also if they end at other times."""
    X, y = blobs()
    X = X + np.random.default_rng(0).normal(size=X.shape)
    options |= {"features": "auto", "lift": "nonlinear", "tol": 0.05}
    model = short(ODENetClassifier, solver="adam", batch_size=20, **options)
    splits = [(np.arange(0, 60, 2), np.arange(1, 60, 2))]
    grid = {"alpha": [1e-2, 1e-2, 1.0]}
    compared(model, grid, X, y, cv=splits, refit=False, scoring="neg_log_loss")
    n_inner = 1 + ("cv" in options)
    assert batches[:2] == [3 * n_inner, 3 * n_inner]


def test_searches_are_estimators_of_scikit_learn():
    search = GridSearchCV(short(ODENetClassifier), GRID, cv=3)
    assert clone(search).get_params().keys() == search.get_params().keys()
    X, y = blobs()
    nested = model_selection.cross_val_score(search, X, y, cv=2)
    assert nested.shape == (2,)
