"""Parameters that are NumPy scalars, that are not numbers, and that have no effect."""

import numpy as np
import pytest
from sklearn.base import clone

from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor
from tests.estimators import BOTH, REGRESSORS, blobs, curve, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = [np.int8, np.uint8, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
WHOLE = {
    "N": 3,
    "n_channels": 5,
    "n_restarts": 2,
    "max_iter": 120,
    "n_iter_no_change": 100,
    "cv": 3,
    "batch_size": 20,
    "n_jobs": 2,
    "verbose": 0,
    "random_state": 3,
}
REAL = {
    "h": 0.5,
    "alpha": 0.25,
    "smoothness": 0.5,
    "constraint_norm": 1.0,
    "tol": 0.0,
    "learning_rate_init": 0.0625,
    "learning_rate_decay": 0.5,
}
FLAGS = {"learn_step": True, "warm_start": False, "early_stopping": False}


def fitted(cls, **parameters):
    X, y = blobs(2) if cls in BOTH else curve()
    model = short(cls, solver="adam", **{**WHOLE, **REAL, **FLAGS, **parameters})
    return model.fit(X, y), X


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_whole_numbers_of_numpy_are_numbers(cls, kind):
    expected, X = fitted(cls)
    given = {name: kind(value) for name, value in WHOLE.items()}
    found, _ = fitted(cls, **given)
    np.testing.assert_array_equal(found.K_, expected.K_)
    np.testing.assert_array_equal(found.predict(X), expected.predict(X))
    for name, value in given.items():
        assert getattr(found, name) is value  # parameters do not change
    clone(found)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_real_numbers_and_booleans_of_numpy_are_such(cls, kind):
    expected, _ = fitted(cls)
    given = {name: kind(value) for name, value in REAL.items()}
    found, _ = fitted(cls, **given, **{name: np.bool_(value) for name, value in FLAGS.items()})
    np.testing.assert_array_equal(found.K_, expected.K_)


@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
@pytest.mark.parametrize("true", [True, np.True_])
@pytest.mark.parametrize(
    "name",
    [
        "N",
        "h",
        "n_channels",
        "alpha",
        "smoothness",
        "constraint_norm",
        "cv",
        "n_restarts",
        "batch_size",
        "learning_rate_init",
        "max_iter",
        "tol",
        "n_iter_no_change",
        "validation_fraction",
        "n_jobs",
    ],
)
def test_a_boolean_is_no_number(cls, name, true):
    X, y = blobs(2)
    model = short(cls, **{name: true})
    before = vars(model).copy()
    with pytest.raises(ValueError, match=f"'{name}' parameter of {cls.__name__} must be a"):
        model.fit(X, y)
    assert vars(model) == before


def test_parameters_are_what_they_were_after_an_error():
    X, y = blobs(2)
    model = short(ODENetClassifier, N=np.int8(3), lift="pad", n_channels=np.uint8(2))
    before = vars(model).copy()
    with pytest.raises(ValueError, match="n_channels=2 is less"):
        model.fit(X, y)
    assert all(vars(model)[name] is value for name, value in before.items())


# --- parameters without effect

IDLE = [
    ({"cv": 3, "early_stopping": True}, "early_stopping=True .* cv holds samples out"),
    ({"cv": "auto", "validation_fraction": 0.2}, "validation_fraction=0.2 .* cv holds"),
    ({"cv": None, "validation_fraction": 0.2}, "validation_fraction=0.2 .* early_stopping=False"),
    ({"solver": "lbfgs", "line_search": "lipschitz"}, "line_search='lipschitz' .* 'lbfgs'"),
    ({"solver": "auto", "batch_size": 20}, "batch_size=20 .* the solver is 'lbfgs'"),
    ({"solver": "gd", "learning_rate_init": 0.1}, "learning_rate_init=0.1 .* 'gd'"),
    ({"solver": "lbfgs", "learning_rate_decay": 0.1}, "learning_rate_decay=0.1"),
    ({"N": 1, "smoothness": 0.1}, "smoothness=0.1 .* N=1"),
    ({"constraint_norm": 2.0}, "constraint_norm=2.0 .* constraint=None"),
    ({"N": 1, "learn_step": "simplex"}, "learn_step='simplex' .* N=1"),
]
USED = [
    {"cv": None, "early_stopping": True, "validation_fraction": 0.2},
    {"solver": "gd", "line_search": "lipschitz"},
    {"solver": "adam", "batch_size": 20, "learning_rate_init": 0.1, "learning_rate_decay": 0.1},
    {"solver": "adam+lbfgs", "batch_size": 20},
    {"N": 2, "smoothness": 0.1, "learn_step": "simplex"},
    {"N": 1, "learn_step": True},
    {"constraint": "sphere", "constraint_norm": 2.0},
]


@pytest.mark.parametrize(("parameters", "message"), IDLE)
@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_a_parameter_without_effect_is_warned_of(cls, parameters, message):
    X, y = blobs(2)
    with pytest.warns(UserWarning, match=message) as caught:
        short(cls, **{"max_iter": 2, **parameters}).fit(X, y)
    idle = [warning for warning in caught if "no effect" in str(warning.message)]
    assert len(idle) == 1
    assert idle[0].filename == __file__


@pytest.mark.parametrize("cls", REGRESSORS)
def test_a_quantile_is_the_concern_of_one_loss(cls):
    X, y = curve()
    with pytest.warns(UserWarning, match="quantile=0.9 has no effect here: loss='huber'"):
        short(cls, max_iter=2, loss="huber", quantile=0.9).fit(X, y)
    short(cls, max_iter=2, loss="quantile", quantile=0.9).fit(X, y)


@pytest.mark.parametrize("parameters", USED)
@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_a_parameter_that_is_used_is_not(cls, parameters):
    X, y = blobs(2)
    short(cls, **{"max_iter": 2, **parameters}).fit(X, y)  # warnings are errors


def test_a_guard_of_stages_has_no_effect_on_explicit_schemes():
    X, y = blobs(2)
    with pytest.warns(UserWarning, match="stage_guard='reject' .* the scheme is explicit"):
        short(ODENetClassifier, max_iter=2, stage_guard="reject").fit(X, y)
    short(ODENetClassifier, max_iter=2, stage_guard="reject", scheme="implicit_euler").fit(X, y)


def test_samples_to_judge_by_leave_cv_without_effect():
    X, y = blobs(2)
    with pytest.warns(UserWarning, match="cv=3 has no effect here: X_val was given"):
        short(FeedForwardClassifier, cv=3, max_iter=2).fit(X, y, X_val=X, y_val=y)
    for cv in (None, "auto"):
        short(FeedForwardClassifier, cv=cv, max_iter=2).fit(X, y, X_val=X, y_val=y)
