"""scikit-learn's own tests of its estimator contract; none is expected to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skode import ButcherTableau, FeedForwardClassifier, ODENetClassifier

OWN = ButcherTableau([[0, 0], [0.4, 0]], [-0.25, 1.25], [0, 0.4], name="own")


def ode_net(**parameters):
    return ODENetClassifier(**{"N": 2, "max_iter": 40, **parameters})


def feed_forward(**parameters):
    return FeedForwardClassifier(**{"max_iter": 40, **parameters})


ESTIMATORS = [
    ODENetClassifier(),
    ode_net(scheme="heun", learn_step=True),
    ode_net(scheme="rk4", h=0.5),
    ode_net(scheme="midpoint", learn_step="simplex", N=3),
    ode_net(scheme=([[0, 0], [2 / 3, 0]], (0.25, 0.75), (0, 2 / 3))),
    ode_net(scheme=OWN),
    ode_net(n_channels=32),
    ode_net(loss="squared_error", alpha=0.0),
    ode_net(activation="relu"),
    ode_net(activation="softplus"),
    ode_net(activation="identity"),
    ode_net(line_search="lipschitz"),
    ode_net(n_members=3),
    ode_net(scheme="implicit_midpoint", h=0.5, learn_step=True),
    ode_net(scheme="gauss4", learn_step="simplex"),
    ode_net(scheme="lobatto_iiia4", stage_guard="reject", h=0.5, n_members=2),
    FeedForwardClassifier(),
    feed_forward(learn_step=True),
    feed_forward(learn_step="simplex", N=3),
    feed_forward(N=1, activation="relu"),
    feed_forward(activation="softplus"),
    feed_forward(activation="identity"),
    feed_forward(n_channels=32),
    feed_forward(loss="squared_error", alpha=0.0),
    feed_forward(line_search="lipschitz"),
    feed_forward(n_members=3),
    feed_forward(tol=0.0),
    feed_forward(n_members=2, n_channels=32, activation="relu"),
    feed_forward(N=3, h=1.5, alpha=1e-2),
]


# A limit of 40 iterations is meant to be reached.  It is so low because gradient descent amplifies
# rounding: after hundreds of iterations from equivalent data, weights in place of duplicates, fits
# that have not converged differ by more than the 1e-7 that scikit-learn allows.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_contract(estimator, check):
    check(estimator)
