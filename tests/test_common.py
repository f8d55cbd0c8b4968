"""scikit-learn's own tests of its estimator contract; none is expected to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skode import (
    ButcherTableau,
    FeedForwardClassifier,
    FeedForwardRegressor,
    ODENetClassifier,
    ODENetRegressor,
)

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
    *(make(solver=solver)
      for make in (ode_net, feed_forward, ode_regressor, feed_forward_regressor)
      for solver in ("lbfgs", "gd", "adam+lbfgs")),
    *(make(solver="adam", max_iter=60, learning_rate_init=0.05)
      for make in (ode_net, feed_forward, ode_regressor, feed_forward_regressor)),
    *(make(cv=None, n_members=2)
      for make in (ode_net, feed_forward, ode_regressor, feed_forward_regressor)),
    ode_net(scheme="heun", learn_step=True),
    ode_net(scheme="midpoint", learn_step="simplex", N=3),
    ode_net(scheme=([[0, 0], [2 / 3, 0]], (0.25, 0.75), (0, 2 / 3)), lift="pad", n_channels="auto"),
    ode_net(scheme=OWN, cv=None, solver="gd"),
    ode_net(scheme="rk4", h=0.5, alpha=(1e-3, 1e-2), n_members=2),
    ode_net(loss="squared_error", alpha=0.0, smoothness=1e-2, cv=None),
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
]  # fmt: skip


# A limit of 20 iterations is meant to be reached.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_contract(estimator, check):
    if "sample_weight_equivalence" in check.func.__name__:
        # Training amplifies rounding: after fifty iterations from equivalent data, weights in place
        # of duplicates, some fits differ by more than the 1e-7 that scikit-learn allows.
        estimator.set_params(max_iter=min(20, estimator.max_iter))
    check(estimator)
