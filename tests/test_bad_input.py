"""Bad input gives a clear error or warning, and does not change the estimator."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GroupKFold, KFold

from skode import ODENetClassifier
from skode.inspection import costates
from tests.estimators import BOTH, REGRESSORS, blobs, curve, short

# Several tests run all solvers with parameters that not all of them have.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.* has no effect here. the solver is:UserWarning"),
]

X_GOOD, Y_GOOD = blobs(2)
NAN, INF = X_GOOD.copy(), X_GOOD.copy()
NAN[0, 0], INF[0, 0] = np.nan, np.inf

BAD_PARAMETERS = [
    ({"N": 0}, r"'N' parameter .* \[1, inf\).* Got 0"),
    ({"N": 2.5}, r"'N' parameter .* int .* Got 2.5"),
    ({"h": 0}, r"'h' parameter .* \(0.0, inf\).* Got 0"),
    ({"h": -0.1}, r"'h' parameter .* Got -0.1"),
    ({"h": np.nan}, r"'h' parameter .* Got nan"),
    ({"learn_step": "simplx"}, r"'learn_step' parameter .*'simplex'.* Got 'simplx'"),
    ({"activation": "tan"}, r"'activation' parameter .*'tanh'.* Got 'tan'"),
    ({"loss": "hinge"}, r"'loss' parameter .*'log_loss'.* Got 'hinge'"),
    ({"solver": "sgd"}, r"'solver' parameter .*'gd'.* Got 'sgd'"),
    ({"solver": None}, r"'solver' parameter .*'lbfgs'.* Got None"),
    ({"line_search": "wolfe"}, r"'line_search' parameter .*'armijo'.* Got 'wolfe'"),
    ({"alpha": -1}, r"'alpha' parameter .* Got -1"),
    ({"alpha": np.nan}, r"'alpha' parameter .* Got nan"),
    ({"alpha": np.inf}, r"'alpha' parameter .* Got inf"),
    ({"alpha": "small"}, r"'alpha' parameter .*'auto'.* Got 'small'"),
    ({"alpha": None}, r"'alpha' parameter .* Got None"),
    ({"alpha": (1e-3, -1e-3), "cv": 3}, r"alpha=\(0.001, -0.001\) must be .* not negative"),
    ({"alpha": (1e-3, np.nan), "cv": 3}, r"alpha=\(0.001, nan\) must be .* finite"),
    ({"alpha": [], "cv": 3}, r"alpha=\[\] must be .* at least one number"),
    ({"alpha": [[1e-3, 1e-2]], "cv": 3}, r"alpha=\[\[0.001, 0.01\]\] must be a number, 'auto'"),
    ({"alpha": ["a", "b"], "cv": 3}, r"alpha=\['a', 'b'\] must be a number, 'auto'"),
    ({"alpha": (1e-3, 1e-2)}, r"alpha=\(0.001, 0.01\) means a choice, but no samples are held out"),
    ({"smoothness": -1}, r"'smoothness' parameter .* Got -1"),
    ({"smoothness": np.inf}, r"'smoothness' parameter .* Got inf"),
    ({"cv": 1}, r"'cv' parameter .* int in the range \[2, inf\).* Got 1 instead"),
    ({"cv": 0}, r"'cv' parameter .* int in the range \[2, inf\).* Got 0 instead"),
    ({"cv": -3}, r"'cv' parameter .* int in the range \[2, inf\).* Got -3 instead"),
    ({"cv": True}, r"'?cv'?.* True"),
    ({"cv": "atuo"}, r"'cv' parameter .*'auto'.* Got 'atuo'"),
    ({"cv": 2.5}, r"'cv' parameter .* Got 2.5"),
    ({"cv": GroupKFold(3)}, r"'groups' parameter should not be None"),
    ({"cv": [([0, 1, [2]], [3])]}, r"Split 0 of cv must be a pair of arrays"),
    (
        {"early_stopping": True, "validation_fraction": 0.99},
        r"validation_fraction=0.99 holds out 60 of 60 samples.* smaller fraction",
    ),
    ({"alpha": 1e200}, r"not finite at the start.* smaller h, alpha or smoothness"),
    ({"cv": []}, "cv yields no splits"),
    ({"cv": [1, 2]}, r"Split 0 of cv must be a pair of arrays .*; got 1"),
    ({"cv": [(np.arange(60),)]}, r"Split 0 of cv must be a pair of arrays"),
    ({"cv": [(np.arange(60.0), np.arange(60.0))]}, r"Split 0 of cv must be a pair of arrays"),
    ({"cv": [(np.ones(59, bool), np.ones(59, bool))]}, r"Split 0 of cv must be a pair of arrays"),
    ({"cv": [(np.arange(60), np.arange(0))]}, r"Split 0 of cv holds out no sample .* splits"),
    ({"cv": [(np.arange(0), np.arange(60))]}, r"Split 0 of cv trains on no sample .* splits"),
    (
        {"cv": [(np.arange(60), np.arange(60, 70))]},
        "Split 0 of cv names sample 60, .* 0 to 59",
    ),
    ({"cv": [(np.arange(60), np.array([-1]))]}, "Split 0 of cv names sample -1, .* from 0 to 59"),
    ({"batch_size": 61, "solver": "adam"}, r"batch_size=61 is more than .* samples, 60.* 'auto'"),
    ({"batch_size": 0}, r"'batch_size' parameter .* Got 0"),
    ({"batch_size": "all"}, r"'batch_size' parameter .*'auto'.* Got 'all'"),
    ({"learning_rate_init": 0}, r"'learning_rate_init' parameter .* Got 0"),
    ({"learning_rate_decay": -1}, r"'learning_rate_decay' parameter .* Got -1"),
    ({"early_stopping": "yes"}, r"'early_stopping' parameter .* Got 'yes'"),
    ({"early_stopping": True, "validation_fraction": 1}, r"'validation_fraction' .* Got 1"),
    ({"early_stopping": True, "validation_fraction": 0}, r"'validation_fraction' .* Got 0"),
    ({"lift": "lineer"}, r"'lift' parameter .*'linear'.* Got 'lineer'"),
    ({"warm_start": "yes"}, r"'warm_start' parameter .* Got 'yes'"),
    ({"tol": -1e-3}, r"'tol' parameter .* Got -0.001"),
    ({"max_iter": 0}, r"'max_iter' parameter .* Got 0"),
    ({"n_iter_no_change": 0}, r"'n_iter_no_change' parameter .* Got 0"),
    ({"n_restarts": 0}, r"'n_restarts' parameter .* Got 0"),
    ({"n_restarts": 2.0}, r"'n_restarts' parameter .* Got 2.0"),
    ({"n_channels": 2}, r"n_channels=2 is less than .* features, 3.* 'auto', or another lift"),
    ({"n_channels": None}, r"'n_channels' parameter .*'auto'.* Got None"),
    ({"n_channels": 0}, r"'n_channels' parameter .* Got 0"),
]
BAD_SCHEMES = [
    ("eulr", r"'scheme' parameter of ODENetClassifier .*'eulr'. Did you mean 'euler'\?"),
    (3, r"'scheme' parameter .* Got 3"),
    (([[0]],), r"'scheme' parameter of ODENetClassifier .* tuple \(A, b\) or \(A, b, c\); got"),
    (([[0, 0], [1, 0]], [0.5, 0.5], [0, 0.5]), r"row 1 sums to 1.0, but c\[1\] is 0.5"),
    (([[0]], [2.0], [0]), r"b must sum to 1"),
    (([[0]], [2.0]), r"'scheme' parameter of ODENetClassifier .* b must sum to 1"),
    (([[0.5, 0.5]], [1.0], [1.0]), r"A must be square.*rows of \[2\] in A"),
    (([[0.5], [0.5]], [1.0], [0.5]), r"A must be square.*rows of \[1, 1\] in A"),
    (([[0.5]], [0.5, 0.5], [0.5]), r"A must be square.* 2 entries in b and 1 in c"),
    (([[0.5]], [1.0], [0.5, 0.5]), r"A must be square.* 2 in c"),
    (([[0.25, 0.25], [0.5, 0.5]], [0.5, 0.5], [0.5, 0.5]), r"row 1 sums to 1.0, but c\[1\] is 0.5"),
    (([[np.inf]], [1.0], [np.inf]), "finite"),
    ((None, [1.0], [0.5]), "A must be a square matrix"),
]
BAD_DATA = [
    ((NAN, Y_GOOD), "NaN"),
    ((INF, Y_GOOD), "infinity"),
    ((X_GOOD, Y_GOOD, -np.ones(len(Y_GOOD))), "[Nn]egative|must not be negative"),
    ((X_GOOD, Y_GOOD, np.zeros(len(Y_GOOD))), "sample_weight.*zero|zero.*sample_weight"),
    ((X_GOOD, Y_GOOD, np.ones(3)), r"sample_weight.shape == \(3,\)"),
    ((X_GOOD, Y_GOOD, np.full(len(Y_GOOD), np.nan)), "NaN"),
    ((X_GOOD, Y_GOOD[:-1]), "inconsistent numbers of samples"),
    ((X_GOOD, np.linspace(0, 1, len(Y_GOOD))), "Unknown label type|continuous"),
    ((X_GOOD[:0], Y_GOOD[:0]), "0 sample"),
]


def assert_untouched(estimator, before):
    after = vars(estimator)
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)


def assert_refused(bad, data, message, **more):
    """Check that the data are refused, and that a fitted model is unchanged."""
    fitted = short(type(bad)).fit(X_GOOD, Y_GOOD)
    output = getattr(fitted, "decision_function", fitted.predict)
    decision = output(X_GOOD)
    fitted.set_params(**bad.get_params())
    before = vars(fitted).copy()
    with pytest.raises(ValueError, match=message):
        fitted.fit(*data, **more)
    assert_untouched(fitted, before)
    np.testing.assert_array_equal(output(X_GOOD), decision)
    with pytest.raises(ValueError, match=message):
        bad.fit(*data, **more)
    with pytest.raises(NotFittedError):
        bad.predict(X_GOOD)


@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS)
@pytest.mark.parametrize("cls", BOTH)
def test_bad_parameters(cls, parameters, message):
    assert_refused(short(cls, **parameters), (X_GOOD, Y_GOOD), message)


@pytest.mark.parametrize(("scheme", "message"), BAD_SCHEMES)
def test_bad_schemes(scheme, message):
    assert_refused(short(ODENetClassifier, scheme=scheme), (X_GOOD, Y_GOOD), message)


def test_bad_guard():
    bad = short(ODENetClassifier, scheme="gauss4", stage_guard="bounds")
    message = r"'stage_guard' parameter .*'bound'.* Got 'bounds'"
    assert_refused(bad, (X_GOOD, Y_GOOD), message)


@pytest.mark.parametrize("A", [[[0.5, 0.5], [0.5, 0.5]], [[0, 0], [0.5, 0.5]], [[1, -1], [1, -1]]])
def test_a_singular_matrix_of_coefficients_is_no_obstacle(A):
    scheme = (A, [0.5, 0.5], np.sum(A, axis=1))
    model = short(ODENetClassifier, scheme=scheme, h=0.5).fit(X_GOOD, Y_GOOD)
    assert model.score(X_GOOD, Y_GOOD) > 0.8


def test_a_scheme_without_a_solution_at_this_step_is_refused_at_the_start():
    # y⁺ = y + h softplus(K y⁺ + b) has no solution for large h K.
    hopeless = {"scheme": "implicit_euler", "activation": "softplus", "h": 1e3}
    bad = short(ODENetClassifier, stage_guard="reject", **hopeless)
    assert_refused(bad, (X_GOOD, Y_GOOD), "stage equations .* could not be solved.* smaller h")
    # The guard that bounds K makes even this problem solvable.
    model = short(ODENetClassifier, stage_guard="bound", **hopeless).fit(X_GOOD, Y_GOOD)
    assert np.isfinite(model.loss_).all()


@pytest.mark.parametrize(("data", "message"), BAD_DATA)
@pytest.mark.parametrize("cls", BOTH)
def test_bad_data(cls, data, message):
    assert_refused(short(cls), data, message)


@pytest.mark.parametrize("cls", BOTH)
def test_bad_samples_at_predict(cls):
    model = short(cls).fit(X_GOOD, Y_GOOD)
    with pytest.raises(ValueError, match=r"X has 2 features, but .* expecting 3"):
        model.predict(X_GOOD[:, :2])
    with pytest.raises(ValueError, match="NaN"):
        model.predict_proba(NAN)
    with pytest.raises(NotFittedError):
        cls().decision_function(X_GOOD)


def test_an_output_that_overflows_is_reported():
    model = short(ODENetClassifier, activation="relu", max_iter=10).fit(X_GOOD, Y_GOOD)
    with pytest.raises(ValueError, match="not finite for 2 of 3 samples"):
        model.predict(np.array([[1e308, 1e308, -1e308], [0, 0, 0], [-1e308, 1e308, 1e308]]))


def test_data_out_of_all_scale_is_refused_with_the_cure():
    assert_refused(
        short(ODENetClassifier), (X_GOOD * 1e200, Y_GOOD), "not finite.*scale X.*smaller h"
    )


def test_unscaled_data_trains_and_hopeless_data_warns(wide_start):
    model = short(ODENetClassifier, max_iter=100).fit(X_GOOD * 1e4, Y_GOOD)
    assert model.score(X_GOOD * 1e4, Y_GOOD) > 0.8
    with pytest.warns(ConvergenceWarning, match=r"after 0 .*no acceptable step.*Scale X"):
        model = short(ODENetClassifier).fit(X_GOOD * 1e100, Y_GOOD)
    assert list(model.stop_reason_) == ["no acceptable step"]


@pytest.mark.parametrize("learn_step", [False, "simplex"])
def test_slow_progress_on_badly_scaled_data_is_no_convergence(learn_step):
    X, y = blobs(3)
    options = {"n_channels": 3, "max_iter": 500}
    with pytest.warns(ConvergenceWarning, match=r"slow progress.*Scale X") as caught:
        model = short(ODENetClassifier, learn_step=learn_step, **options).fit(X + 1e3, y)
    assert list(model.stop_reason_) == ["slow progress"]
    assert caught[0].filename == __file__  # the warning points at the user's line
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        options["max_iter"] = 5000
        model = short(ODENetClassifier, learn_step=learn_step, **options).fit(X, y)
    assert list(model.stop_reason_) == ["converged"]


def spoiled(layer, **parameters):
    """Return a fitted model with one layer that cannot be solved if the first feature is large."""
    options = {"scheme": "implicit_euler", "activation": "softplus", "alpha": 0.1, "n_channels": 3}
    model = short(ODENetClassifier, **options, **parameters).fit(X_GOOD, Y_GOOD)
    model.K_[-1, layer] = np.diag([30.0, 0.0, 0.0])
    model.b_[-1, layer] = [-1000.0, 0.0, 0.0]
    return model


@pytest.mark.parametrize("n_restarts", [1, 2])
@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "predict_log_proba", "decision_function"]
)
def test_a_sample_whose_stages_fail_is_reported(method, n_restarts):
    model = spoiled(layer=1, n_restarts=n_restarts)
    assert len(getattr(model, method)(X_GOOD)) == len(X_GOOD)
    X = X_GOOD.copy()
    X[7, 0] = 1e3
    with pytest.raises(
        ValueError, match=r"for 1 samples: sample 7 at layer 1 \(residual .*stage_guard='bound'"
    ):
        getattr(model, method)(X)


# --- held-out samples, class weights, warm starts

HALF = np.arange(30)
BAD_VALIDATION = [
    ({"X_val": X_GOOD}, "X_val was given without y_val"),
    ({"y_val": Y_GOOD}, "y_val was given without X_val"),
    ({"X_val": X_GOOD[:, :2], "y_val": Y_GOOD}, "X_val has 2 features, but X has 3"),
    ({"X_val": X_GOOD, "y_val": Y_GOOD[:-1]}, "X_val has 60 samples, but y_val has the shape .59,"),
    ({"X_val": X_GOOD[0], "y_val": Y_GOOD[:1]}, "Expected 2D array"),
    ({"X_val": NAN, "y_val": Y_GOOD}, "X_val contains NaN"),
    (
        {"X_val": X_GOOD, "y_val": Y_GOOD, "sample_weight_val": np.ones(3)},
        r"sample_weight_val.shape == \(3,\), expected \(60,\)",
    ),
    (
        {"X_val": X_GOOD, "y_val": Y_GOOD, "sample_weight_val": np.zeros(60)},
        "sample_weight_val is zero for all",
    ),
    (
        {"X_val": X_GOOD, "y_val": Y_GOOD, "sample_weight_val": -np.ones(60)},
        "sample_weight_val must not be negative",
    ),
    ({"sample_weight_val": np.ones(60)}, "sample_weight_val was given without X_val and y_val"),
]
BAD_CLASSES_TO_JUDGE_BY = [
    (Y_GOOD + 1, r"y_val holds labels .* not among the classes \[0 1\]: 2\."),
    (np.array(["a", "b"])[Y_GOOD], r"y_val holds labels .* the classes \[0 1\]: 'a', 'b'\."),
    (1, r"X_val has 60 samples, but y_val has the shape \(\)"),
    (Y_GOOD[:, None] + [0, 1], r"y_val must be one column of labels; its shape is \(60, 2\)"),
]


@pytest.mark.parametrize(("validation", "message"), BAD_VALIDATION)
@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_bad_samples_to_judge_by(cls, validation, message):
    assert_refused(short(cls), (X_GOOD, Y_GOOD), message, **validation)


@pytest.mark.parametrize(("y_val", "message"), BAD_CLASSES_TO_JUDGE_BY)
def test_bad_classes_to_judge_by(y_val, message):
    bad = short(ODENetClassifier)
    assert_refused(bad, (X_GOOD, Y_GOOD), message, X_val=X_GOOD, y_val=y_val)


def test_early_stopping_leaves_no_class_out():
    # A single sample of a class cannot be on both sides: it is used for training.
    y = Y_GOOD.copy()
    y[0] = 2
    with pytest.warns(UserWarning, match=r"oof_score_ is NaN.*: 2\."):
        model = short(ODENetClassifier, early_stopping=True).fit(X_GOOD, y)
    assert np.isnan(model.oof_decision_function_[0]).all()
    assert np.isnan(model.oof_score_)


def test_a_split_that_is_not_trained_on_the_classes_it_holds_out():
    y = Y_GOOD[np.argsort(Y_GOOD, kind="stable")]
    message = "leaves all classes out of training that it holds out.* stratified"
    assert_refused(short(ODENetClassifier, cv=KFold(2)), (X_GOOD, y), message)


def test_a_split_without_weight():
    held_out = np.where(np.arange(60) < 30, 1.0, 0.0)
    bad = short(ODENetClassifier, cv=[(HALF, np.arange(30, 60))])
    message = "Split 0 of cv holds out no sample with a positive sample_weight"
    assert_refused(bad, (X_GOOD, Y_GOOD, held_out), message)


@pytest.mark.parametrize("cv", [None, "auto", GroupKFold(3), [(np.arange(40), np.arange(40, 60))]])
@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.arange(59), "inconsistent numbers of samples"),
        (np.where(np.arange(60) < 7, np.nan, 1.0), "some are None or NaN"),
        (np.array(["a"] * 59 + [None], dtype=object), "some are None or NaN"),
        (pd.Series(["a"] * 59 + [pd.NA], dtype="string"), "some are None or NaN"),
    ],
)
def test_bad_groups(cv, groups, message):
    assert_refused(short(ODENetClassifier, cv=cv), (X_GOOD, Y_GOOD), message, groups=groups)


def test_a_fraction_that_leaves_no_group_to_train_on():
    bad = short(ODENetClassifier, early_stopping=True, validation_fraction=0.9)
    message = r"validation_fraction=0.9 holds out 4 of 4 groups"
    assert_refused(bad, (X_GOOD, Y_GOOD), message, groups=np.arange(60) % 4)


def test_groups_that_are_the_classes():
    bad = short(ODENetClassifier, cv=2)
    message = r"cv=2 can hold nothing out.*: there are fewer than two groups to hold out"
    assert_refused(bad, (X_GOOD, Y_GOOD), message, groups=Y_GOOD)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ("balnced", r"'class_weight' parameter .*'balanced'.* Got 'balnced'"),
        ([1, 2], r"'class_weight' parameter .* Got \[1, 2\]"),
        ({0: 1.0, 2: 3.0}, r"classes, \[1\], are not in class_weight"),
        ({0: -1.0}, r"class_weight=.* -1.0"),
        ({0: np.nan}, r"class_weight=.* nan"),
        ({0: 0.0, 1: 0.0}, "class_weight is zero for all classes"),
    ],
)
def test_bad_class_weights(class_weight, message):
    bad = short(ODENetClassifier, class_weight=class_weight)
    assert_refused(bad, (X_GOOD, Y_GOOD), message)


@pytest.mark.parametrize(
    ("changed", "was", "now"),
    [
        ({"N": 4}, "1 networks with N=3", "1 with N=4"),
        ({"n_channels": 5}, "n_channels=4", "n_channels=5"),
        ({"n_restarts": 2}, "1 networks", "2 with"),
        ({"cv": 3}, "1 networks", "3 with"),
        ({"lift": "linear"}, "n_channels=4", "another lift"),
    ],
)
@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_a_warm_start_of_other_networks(cls, changed, was, now):
    model = short(cls, warm_start=True).fit(X_GOOD, Y_GOOD)
    before = vars(model.set_params(**changed)).copy()
    with pytest.raises(ValueError, match=f"{was}.*{now}.*warm_start=False"):
        model.fit(X_GOOD, Y_GOOD)
    assert_untouched(model, before)


@pytest.mark.parametrize("y", [blobs(3)[1], np.array(["ant", "bee"])[Y_GOOD]])
def test_a_warm_start_with_other_classes(y):
    model = short(ODENetClassifier, warm_start=True).fit(X_GOOD, Y_GOOD)
    before = vars(model).copy()
    with pytest.raises(ValueError, match=r"warm_start=True .*classes.* warm_start=False"):
        model.fit(X_GOOD, y)
    assert_untouched(model, before)


@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_training_goes_on_with_the_same_features(cls):
    model = short(cls, warm_start=True, n_channels=8).fit(X_GOOD, Y_GOOD)
    before = vars(model).copy()
    with pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 3"):
        model.fit(X_GOOD[:, :2], Y_GOOD)
    assert_untouched(model, before)


def test_targets_whose_sum_is_beyond_all_numbers():
    y = np.full(60, 1e307)
    assert_refused(short(REGRESSORS[0]), (X_GOOD, y), "sum of y is not finite.* larger units")


@pytest.mark.parametrize("parameters", [{"alpha": 1e39}, {"h": 1e39}, {"smoothness": 1e39}])
def test_parameters_beyond_single_precision(parameters):
    bad = short(ODENetClassifier, **parameters)
    with pytest.raises(ValueError, match="not finite at the start"):
        bad.fit(X_GOOD.astype(np.float32), Y_GOOD)


@pytest.mark.parametrize("cls", REGRESSORS)
def test_targets_beyond_single_precision(cls):
    X, y = X_GOOD.astype(np.float32), Y_GOOD + np.linspace(0, 1, 60)
    far = np.r_[1e300, y[1:]]
    message = "so large in units of the others that float32"
    refuses_part(stream(cls).partial_fit(X, y), message, X, far)
    with pytest.raises(ValueError, match=message):
        short(cls).fit(X, y, X_val=X, y_val=far)
    weights = np.r_[0.0, np.ones(59)]
    short(cls, max_iter=5).fit(X, far, weights)  # samples without weight may contain anything


def test_a_batch_size_is_the_concern_of_adam_alone():
    large = {"batch_size": 61, "max_iter": 2}
    short(ODENetClassifier, solver="lbfgs", **large).fit(X_GOOD, Y_GOOD)
    bad = short(ODENetClassifier, solver="adam", **large)
    message = "batch_size=61 is more than the number of samples, 60"
    assert_refused(bad, (X_GOOD, Y_GOOD), message)
    # Validation samples are not drawn from.
    assert_refused(bad, (X_GOOD, Y_GOOD), message, X_val=X_GOOD, y_val=Y_GOOD)


def test_too_long_a_rate_of_adam():
    model = short(ODENetClassifier, solver="adam", learning_rate_init=1e300, max_iter=60)
    with pytest.warns(ConvergenceWarning, match="smaller learning_rate_init"):
        model.fit(X_GOOD, Y_GOOD)


def test_held_out_samples_for_which_nothing_was_learned():
    model = short(ODENetClassifier, solver="lbfgs")
    with pytest.warns(ConvergenceWarning, match="held-out loss was lowest before .* X_val"):
        model.fit(X_GOOD, Y_GOOD, X_val=X_GOOD, y_val=1 - Y_GOOD)
    assert model.best_iter_ == 0


# --- partial_fit


def stream(cls, **parameters):
    return short(cls, solver="adam", **parameters)


def refuses_part(model, message, *args, **more):
    before = vars(model).copy()
    with pytest.raises(ValueError, match=message):
        model.partial_fit(*args, **more)
    assert_untouched(model, before)


@pytest.mark.parametrize("cls", BOTH)
def test_bad_classes_of_a_stream(cls):
    refuses_part(stream(cls), "classes must be given in the first call", X_GOOD, Y_GOOD)
    refuses_part(stream(cls), "at least one class", X_GOOD, Y_GOOD * 0, [])
    refuses_part(stream(cls), "Unknown label type", X_GOOD, Y_GOOD, [0, 1, 0.5])
    refuses_part(stream(cls), r"shape \(1, 2\)", X_GOOD, Y_GOOD, [[0, 1]])
    message = r"labels .* not among the classes \[0 2\]: 1\."
    refuses_part(stream(cls), message, X_GOOD, Y_GOOD, [0, 2])
    model = stream(cls).partial_fit(X_GOOD, Y_GOOD, [0, 1])
    refuses_part(model, r"labels .* not among the classes \[0 1\]: 2\.", X_GOOD, Y_GOOD + 1)
    refuses_part(model, r"classes=\[0 1 2\] are not those .* \[0 1\]", X_GOOD, Y_GOOD, [0, 1, 2])
    fitted = stream(cls).fit(X_GOOD, Y_GOOD)
    refuses_part(fitted, r"classes=\[0 2\] are not those .* \[0 1\]", X_GOOD, Y_GOOD, [0, 2])
    model = stream(cls, class_weight="balanced")
    refuses_part(model, "class_weight='balanced' takes all data.* dict", X_GOOD, Y_GOOD, [0, 1])


@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_bad_parts_of_a_stream(cls):
    model = stream(cls).fit(X_GOOD, Y_GOOD)
    refuses_part(model, "X has 2 features, but .* expecting 3", X_GOOD[:, :2], Y_GOOD)
    refuses_part(model, "NaN", NAN, Y_GOOD)
    refuses_part(model, "inconsistent numbers of samples", X_GOOD, Y_GOOD[:-1])
    weights = -np.ones(60)
    refuses_part(model, "must not be negative", X_GOOD, Y_GOOD, sample_weight=weights)
    for changed in ({"N": 4}, {"n_channels": 5}, {"lift": "linear"}):
        model = stream(cls).fit(X_GOOD, Y_GOOD).set_params(**changed)
        refuses_part(model, "N=3, n_channels=4 .* or another lift", X_GOOD, Y_GOOD)


@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_the_last_part_of_a_stream_may_be_smaller_than_a_batch(cls):
    model = stream(cls, batch_size=50).fit(X_GOOD, Y_GOOD)
    one, other = (copy.deepcopy(model).set_params(batch_size=size) for size in (50, 10))
    for each in (one, other):
        each.partial_fit(X_GOOD[-10:], Y_GOOD[-10:])
    assert (one.K_ != model.K_).any()
    np.testing.assert_array_equal(one.K_, other.K_)


def test_a_stream_with_several_penalties():
    bad = stream(ODENetClassifier, alpha=(1e-3, 1e-2))
    refuses_part(bad, r"alpha=\(0.001, 0.01\) means a choice", X_GOOD, Y_GOOD, [0, 1])


# --- targets


@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_a_number_of_folds_needs_more_than_one_group(cls):
    model = cls(cv=3)
    with pytest.raises(ValueError, match=r"cv=3 can hold nothing out.* two groups"):
        model.fit(X_GOOD, Y_GOOD, groups=np.zeros(60))
    with pytest.raises(ValueError, match="groups must name the group of every sample"):
        model.fit(X_GOOD, Y_GOOD, groups=np.r_[np.nan, np.arange(59)])


def test_folds_of_classes_that_are_too_small():
    X, y = np.eye(6), np.arange(6)
    with pytest.raises(ValueError, match=r"cv=3 can hold nothing out.* two samples"):
        ODENetClassifier(cv=3).fit(X, y)
    with pytest.warns(UserWarning, match="cv='auto' can hold nothing out"):
        assert not hasattr(ODENetClassifier(cv="auto", max_iter=2).fit(X, y), "oof_score_")


@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_features_to_judge_by_have_their_names(cls):
    frame = pd.DataFrame(X_GOOD, columns=list("abc"))
    with pytest.raises(ValueError, match="feature names should match"):
        cls(max_iter=2).fit(frame, Y_GOOD, X_val=frame[list("bca")], y_val=Y_GOOD)


@pytest.mark.parametrize("cls", REGRESSORS)
def test_bad_targets(cls):
    X, y = curve()
    for target, message in (
        (np.where(y > 0, np.nan, y), "y contains NaN"),
        (np.where(y > 0, np.inf, y), "y contains infinity"),
        (y[:-1], "inconsistent numbers of samples"),
        (y[:, None, None], r"dim 3"),
        (np.array(["a", "b"])[(y > 0).astype(int)], "could not convert string|y.*numeric"),
    ):
        assert_refused(short(cls), (X, target), message)
    for y_val, message in (
        (y[:, None], r"y_val has the shape \(60, 1\), but \(60,\) is expected"),
        (np.full(60, np.nan), "y_val contains NaN"),
    ):
        assert_refused(short(cls), (X, y), message, X_val=X, y_val=y_val)
    X, y = curve(n_targets=2)
    model = stream(cls).fit(X, y)
    refuses_part(model, r"y has the shape \(60, 3\), but .* 2 target", X, np.c_[y, y[:, 0]])
    refuses_part(model, r"y has the shape \(60,\), but .* 2 target", X, y[:, 0])


@pytest.mark.parametrize("cls", REGRESSORS)
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss": "log_loss"}, r"'loss' parameter .*'huber'.* Got 'log_loss'"),
        ({"loss": None}, r"'loss' parameter .* Got None"),
        ({"quantile": 0}, r"'quantile' parameter .* \(0.0, 1.0\).* Got 0"),
        ({"quantile": 1.0}, r"'quantile' parameter .* Got 1.0"),
        ({"quantile": np.nan}, r"'quantile' parameter .* Got nan"),
        ({"quantile": None, "loss": "quantile"}, r"'quantile' parameter .* Got None"),
        ({"quantile": [0.1, 0.9], "loss": "quantile"}, r"'quantile' parameter .* Got \[0.1, 0.9\]"),
    ],
)
def test_bad_losses_of_regressors(cls, parameters, message):
    assert_refused(short(cls, **parameters), curve(), message)


@pytest.mark.parametrize("cls", REGRESSORS)
def test_targets_that_are_no_counts(cls):
    X, y = curve(n_targets=2)
    counts = np.floor(np.abs(y))
    negative = r"not negative; the least entry of y is -2.5. Take another loss"
    below = counts.copy()
    below[3, 1] = -2.5
    assert_refused(short(cls, loss="poisson"), (X, below), negative)
    for nothing in (np.zeros(60), np.c_[counts[:, 0], np.zeros(60)]):
        assert_refused(short(cls, loss="poisson"), (X, nothing), "positive means, but y, .* zero")
    weights = (counts[:, 1] == 0).astype(float)
    data = X, counts[:, 1], weights
    assert_refused(short(cls, loss="poisson"), data, "zero for all samples that have a weight")
    options = {"X_val": X, "y_val": below}
    message = "the least entry of y_val is -2.5"
    assert_refused(short(cls, loss="poisson"), (X, counts), message, **options)
    model = stream(cls, loss="poisson").fit(X, counts)
    refuses_part(model, negative, X, below)
    with pytest.raises(ValueError, match=negative):
        costates(model, X, below)
    first = stream(cls, loss="poisson")
    with pytest.raises(ValueError, match=negative):
        first.partial_fit(X, below)
    assert not hasattr(first, "K_")


@pytest.mark.parametrize("cls", REGRESSORS)
def test_targets_of_any_size(cls):
    X, y = curve()
    plain = short(cls).fit(X, y).predict(X)
    for factor in (1e-250, 1e250):
        np.testing.assert_allclose(
            short(cls).fit(X, factor * y).predict(X), factor * plain, rtol=1e-6
        )
