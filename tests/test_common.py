"""scikit-learn's tests of its estimator contract; none of them is expected to fail."""

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.model_selection import PredefinedSplit
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from skode import (
    ButcherTableau,
    FeedForwardClassifier,
    FeedForwardRegressor,
    ODENetClassifier,
    ODENetRegressor,
)
from skode._states import StateTransformer
from tests.namespaces import NAMESPACES

OWN = ButcherTableau([[0, 0], [0.4, 0]], [-0.25, 1.25], [0, 0.4], name="own")
SHORT = {"max_iter": 20, "n_channels": 8, "cv": 3, "alpha": 3e-3}


def ode_net(**parameters):
    return ODENetClassifier(**{"N": 2, **SHORT, **parameters})


def feed_forward(**parameters):
    return FeedForwardClassifier(**{**SHORT, **parameters})


def ode_regressor(**parameters):
    return ODENetRegressor(**{"N": 2, **SHORT, **parameters})


def feed_forward_regressor(**parameters):
    return FeedForwardRegressor(**{**SHORT, **parameters})


ESTIMATORS = [
    ODENetClassifier(),
    FeedForwardClassifier(),
    ODENetRegressor(),
    FeedForwardRegressor(),
    *(ode_net(solver=solver) for solver in ("lbfgs", "gd", "adam+lbfgs")),
    feed_forward(solver="gd"),
    ode_regressor(solver="adam+lbfgs"),
    feed_forward_regressor(solver="lbfgs"),
    *(make(solver="adam", max_iter=60, learning_rate_init=0.05, n_iter_no_change=60)
      for make in (ode_net, feed_forward, ode_regressor, feed_forward_regressor)),
    *(make(cv=None, n_restarts=2) for make in (ode_net, feed_forward_regressor)),
    ode_net(scheme="heun", learn_step=True),
    ode_net(scheme="midpoint", learn_step="simplex", N=3),
    ode_net(scheme=([[0, 0], [2 / 3, 0]], (0.25, 0.75), (0, 2 / 3)), lift="pad", n_channels="auto"),
    ode_net(scheme=OWN, cv=None, solver="gd"),
    ode_net(scheme="rk4", h=0.5, alpha=(1e-3, 1e-2), n_restarts=2),
    ode_net(loss="squared_error", alpha=0.0, smoothness=1e-2, cv=None),
    ode_net(constraint="orthogonal"),
    feed_forward_regressor(constraint="sphere", constraint_norm=2.0),
    ode_net(activation="relu"),
    ode_net(activation="softplus", class_weight="balanced"),
    ode_net(activation="identity"),
    ode_net(solver="gd", line_search="lipschitz", cv=None),
    ode_net(scheme="implicit_midpoint", h=0.5, learn_step=True),
    ode_net(scheme="gauss4", learn_step="simplex", n_channels=3),
    ode_net(scheme="lobatto_iiia4", stage_guard="reject", h=0.5, n_channels=3, cv=None),
    ode_net(cv=None, early_stopping=True),
    feed_forward(learn_step="simplex", N=3, solver="adam", learning_rate_init=0.05),
    feed_forward(N=1, activation="relu", lift="pad", n_channels=32),
    ode_regressor(scheme="heun", learn_step="simplex", lift="pad", n_channels=32),
    *(ode_regressor(loss=loss) for loss in ("absolute_error", "quantile")),
    *(feed_forward_regressor(loss=loss) for loss in ("huber", "poisson")),
    ode_regressor(loss="poisson", solver="adam", learning_rate_init=0.05, max_iter=60),
]  # fmt: skip


# The tests for array libraries and transformers use these, and the others use all on NumPy.
# test_array_api.py tests other properties of the estimators with array libraries.
EVERYWHERE = [
    *ESTIMATORS[:4],
    *(estimator for estimator in ESTIMATORS if estimator.solver == "adam"),
    *(estimator for estimator in ESTIMATORS if estimator.learn_step == "simplex"),
]
ARRAY_API = "check_array_api"


def wanted(estimator, check):
    """Whether scikit-learn's check applies to this estimator."""
    name = check.func.__name__
    if name == "check_regressor_multioutput":
        # Its targets may be negative, whatever the tags are.
        return not get_tags(estimator).target_tags.positive_only
    if name.startswith("check_transformer"):
        return estimator in EVERYWHERE
    if not name.startswith(ARRAY_API):
        return True
    return check.keywords.get("array_namespace") == "numpy" or estimator in EVERYWHERE


ALL = parametrize_with_checks(ESTIMATORS)
CHECKS = [case for case in ALL.args[1] if wanted(*case)]


# A limit of 20 iterations is reached on purpose, and some checks set cv.
@pytest.mark.filterwarnings("ignore:early_stopping=True has no effect here. cv holds")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(ALL.args[0], CHECKS, **ALL.kwargs)
def test_scikit_learn_contract(estimator, check, monkeypatch):
    if "cupy" in repr(check.keywords):
        NAMESPACES["cupy"]()  # skips if CuPy has no device, which scikit-learn does not check
    if check.func.__name__.startswith(ARRAY_API):
        # Older versions of the check compare two fits without fixing the seed.
        estimator.set_params(random_state=0)
        if check.keywords.get("dtype_name") == "float32":
            # The check compares the lengths of the curves that two libraries leave.  In single
            # precision, rounding decides when a fit ends; so both end after a few iterations.
            estimator.set_params(max_iter=min(9, estimator.max_iter))
    if check.func.__name__.startswith("check_sample_weight_equivalence"):
        # Predictions have to agree to 1e-7.  This is too strict for single entries of states, since
        # small ones have the rounding errors of large ones; they are compared below.
        monkeypatch.delattr(StateTransformer, "transform")
    check(estimator)


def test_there_are_checks_of_transformers():
    names = {check.func.__name__ for _, check in CHECKS}
    assert {
        "check_transformer_data_not_an_array",
        "check_transformer_general",
        "check_transformer_preserve_dtypes",
        "check_transformers_unfitted",
        "check_transformer_n_iter",
    } <= names


@pytest.mark.parametrize(
    "cls", [ODENetClassifier, FeedForwardClassifier, ODENetRegressor, FeedForwardRegressor]
)
def test_weights_are_like_duplicates_over_a_whole_fit(cls):
    rng = np.random.default_rng(0)
    X, weights = rng.random((15, 30)), rng.integers(0, 5, 15)
    y = rng.integers(0, 3, 15)
    rows = np.repeat(np.arange(15), weights)
    order = rng.permutation(15)

    def fit(rows, weights=None):
        """Yield these rows as one fold; the two other folds contain all rows once."""
        rows = np.r_[rows, np.arange(15), np.arange(15)]
        fold = np.repeat([0, 1, 2], [len(rows) - 30, 15, 15])
        weights = None if weights is None else np.r_[weights, np.ones(30)]
        return cls(cv=PredefinedSplit(fold), random_state=0).fit(X[rows], y[rows], weights)

    one, other = fit(rows), fit(order, weights[order])
    assert one.network_n_iter_.min() > 20  # so that this tests more than scikit-learn's check
    predict = "predict_proba" if is_classifier(one) else "predict"
    found, expected = (getattr(model, predict)(X) for model in (one, other))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(one.transform(X), other.transform(X), rtol=0, atol=1e-5)
    unweighted = getattr(fit(order, np.ones(15)), predict)(X)
    assert np.abs(unweighted - expected).max() > 1e-3
