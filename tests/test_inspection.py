import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardClassifier, FeedForwardRegressor, ODENetClassifier, ODENetRegressor
from skode.datasets import make_spirals
from skode.engine import prediction
from skode.engine.blocks import Blocks
from skode.engine.controls import Controls
from skode.engine.schemes import TABLEAUX
from skode.inspection import costates, step_doubling_gap, trajectories
from tests import reference
from tests.estimators import curve, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize(
    ("estimator", "scheme", "skip"),
    [
        (short(ODENetClassifier, scheme="heun"), ([[0, 0], [1, 0]], [0.5, 0.5], [0, 1]), 1.0),
        (short(ODENetClassifier, scheme="sdirk2"), reference.triple(TABLEAUX["sdirk2"]), 1.0),
        (short(ODENetClassifier, scheme="gauss4"), reference.triple(TABLEAUX["gauss4"]), 1.0),
        (short(FeedForwardClassifier), ([[0.0]], [1.0], [0.0]), 0.0),
    ],
)
@pytest.mark.parametrize(
    ("lift", "cv"), [("pad", None), ("linear", None), ("linear", 2), ("nonlinear", 2)]
)
def test_states_from_the_features_to_the_readout(estimator, scheme, skip, lift, cv):
    X, y = make_spirals(40, random_state=0)
    options = {"N": 4, "n_channels": 3, "lift": lift, "cv": cv, "max_iter": 5}
    estimator.set_params(n_restarts=1 if cv else 2, **options).fit(X, y)
    states = trajectories(estimator, X)
    assert states.shape == (2, 5, 40, 3)
    if lift == "pad":
        np.testing.assert_array_equal(states[:, 0, :, :2], [X, X])
        assert not states[:, 0, :, 2].any()
    else:
        lifted = X @ np.swapaxes(estimator.V_, 1, 2) + estimator.nu_[:, None]
        if lift == "nonlinear":
            lifted = np.tanh(lifted)
        np.testing.assert_allclose(states[:, 0], lifted, atol=1e-14)
    for k in range(2):
        controls = Controls(*(None if part is None else part[k] for part in estimator._controls()))
        of_lift = "tanh" if lift == "nonlinear" else "identity"
        expected = reference.forward(scheme, "tanh", skip, controls, X, of_lift)
        np.testing.assert_allclose(states[k], np.swapaxes(expected, 1, 2), atol=1e-13)


def test_blocks_change_nothing_and_overflow_is_reported():
    X, y = make_spirals(40, random_state=0)
    model = short(ODENetClassifier, scheme="heun", activation="relu", max_iter=5).fit(X, y)
    network, U = model._fitted_network(), model._controls()
    whole = prediction.trajectories(network, U, X)
    parts = prediction.trajectories(network, U, X, Blocks(size=7))
    np.testing.assert_allclose(parts, whole, rtol=1e-12)
    with pytest.raises(ValueError, match="overflow"):
        trajectories(model, np.full((1, 2), 1.7e308))


def mean_loss(model, k, states, labels, classes):
    """Return the mean loss of member k from the states yᴺ, (n_samples, n_channels)."""
    z = model.W_[k] @ states.T + model.mu_[k][:, None]
    c = (labels == 1)[None, :] if classes == 2 else labels == np.arange(classes)[:, None]
    if model.loss == "squared_error":
        return reference.LOSSES["logistic_squared"](z, c).mean()
    return reference.LOSSES["logistic" if classes == 2 else "softmax"](z, c).mean()


@pytest.mark.parametrize("scheme", ["heun", "implicit_midpoint", "gauss4", "lobatto_iiia4"])
@pytest.mark.parametrize(
    ("classes", "loss"), [(2, "log_loss"), (3, "log_loss"), (3, "squared_error")]
)
@pytest.mark.parametrize("lift", ["pad", "linear", "nonlinear"])
def test_costates_are_derivatives_of_the_loss(scheme, classes, loss, lift):
    X, y = make_blobs(20, 2, centers=classes, random_state=0)
    X = X / 4
    names = np.array(["a", "b", "c"])[:classes]
    options = {"h": 0.5, "n_channels": 3, "lift": lift, "loss": loss, "cv": 2, "max_iter": 10}
    model = short(ODENetClassifier, scheme=scheme, **options).fit(X, names[y])
    p = costates(model, X, names[y])
    assert p.shape == (2, 4, 20, 3)
    states = trajectories(model, X)
    triple = reference.triple(TABLEAUX[scheme])
    rng = np.random.default_rng(0)
    for k in range(2):
        for first in range(4):  # ∂J/∂yℓ: the layers from ℓ on, in a random direction
            direction = rng.normal(size=(20, 3))
            varied = states[k, first] + 1e-40j * direction
            rest = [part[first:] for part in (model.K_[k], model.b_[k], model.h_[k])]
            controls = Controls(*(r.astype(complex) for r in rest), None, None)
            end = reference.forward(triple, "tanh", 1.0, controls, varied)[-1].T
            derivative = mean_loss(model, k, end, y, classes).imag / 1e-40
            np.testing.assert_allclose((p[k, first] * direction).sum(), derivative, rtol=1e-10)


@pytest.mark.parametrize("n_targets", [None, 2])
@pytest.mark.parametrize("lift", ["pad", "linear"])
@pytest.mark.parametrize("cls", [ODENetRegressor, FeedForwardRegressor])
def test_costates_of_regressors(cls, lift, n_targets):
    X, y = curve(20, n_targets=n_targets)
    y = 100 + 7 * y
    model = short(cls, lift=lift, cv=2, max_iter=10).fit(X, y)
    p = costates(model, X, y)
    assert p.shape == (2, 4, 20, 4)
    states = trajectories(model, X)
    standard = ((y - y.mean(0)) / y.std(0)).reshape(20, -1)
    skip = 1.0 if cls is ODENetRegressor else 0.0
    for k in range(2):
        # At the readout: half the squared error, averaged over targets and samples.
        miss = states[k, -1] @ model.W_[k].T + model.mu_[k] - standard
        np.testing.assert_allclose(p[k, -1], miss @ model.W_[k] / miss.size, atol=1e-14)
        # And with respect to the features, by a complex step through the lift.
        direction = np.random.default_rng(k).normal(size=X.shape)
        varied = X + 1e-40j * direction
        controls = Controls(*(c if c is None else c[k] + 0j for c in model._controls()))
        euler = ([[0.0]], [1.0], [0.0])
        end = reference.forward(euler, "tanh", skip, controls, varied)[-1].T
        miss = end @ model.W_[k].T + model.mu_[k] - standard
        derivative = (0.5 * miss**2).mean().imag / 1e-40
        at_features = p[k, 0] @ model.V_[k] if lift == "linear" else p[k, 0, :, :3]
        np.testing.assert_allclose((at_features * direction).sum(), derivative, rtol=1e-10)


def test_targets_of_another_shape_have_no_costates():
    X, y = curve(20, n_targets=2)
    model = short(ODENetRegressor, max_iter=2).fit(X, y)
    for wrong in (y[:, 0], np.c_[y, y]):
        with pytest.raises(ValueError, match=r"y has the shape .* 2 target"):
            costates(model, X, wrong)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        costates(model, X, y[:-1])


def test_costates_of_pipelines_and_bad_labels():
    X, y = make_blobs(30, 2, centers=2, random_state=0)
    model = make_pipeline(StandardScaler(), short(ODENetClassifier, max_iter=5)).fit(X, y)
    p = costates(model, X, y)
    np.testing.assert_array_equal(p, costates(model[-1], model[0].transform(X), y))
    with pytest.raises(ValueError, match="not among the classes"):
        costates(model, X, y + 1)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        costates(model, X, y[:-1])
    relu = short(ODENetClassifier, activation="relu", max_iter=5).fit(X, y)
    with pytest.raises(ValueError, match="not finite"):
        costates(relu, np.full((2, 2), 1.7e308), y[:2])


@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("implicit_midpoint", 2), ("rk4", 4)])
@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_step_doubling_gap_falls_with_the_order_of_the_scheme(cls, scheme, order):
    # Against a very fine solution the gap is the error of the scheme, up to the error of the fine
    # one: halving all steps divides it by 2 to the power of the order.
    X, y = make_spirals(50, random_state=0)
    if cls is ODENetRegressor:
        y = 50 + 10 * np.c_[y, X[:, 0]]
    options = {"scheme": scheme, "n_channels": 2, "cv": 2, "max_iter": 5}
    model = short(cls, N=2, h=0.5, **options).fit(X, y)
    coarse = step_doubling_gap(model, X, refinement=64)
    halved = short(cls, N=4, h=0.25, **options).fit(X, y)
    halved.K_, halved.b_ = (np.repeat(part, 2, axis=1) for part in (model.K_, model.b_))
    halved.h_ = np.repeat(model.h_, 2, axis=1) / 2
    halved.W_, halved.mu_ = model.W_, model.mu_
    fine = step_doubling_gap(halved, X, refinement=32)
    assert np.log2(coarse.mean_gap / fine.mean_gap) == pytest.approx(order, abs=0.35)
    # With two steps in place of one, the result is the network with half the steps.
    gap = step_doubling_gap(model, X)
    assert (gap.mean_gap, gap.max_gap) == (gap.gap.mean(), gap.gap.max())
    if cls is ODENetClassifier:
        difference = np.abs(model.predict_proba(X) - halved.predict_proba(X)).max(axis=1)
        assert gap.changed == (model.predict(X) != halved.predict(X)).mean()
    else:
        difference = (np.abs(model.predict(X) - halved.predict(X)) / y.std(0)).max(axis=1)
        assert gap.changed is None
    np.testing.assert_allclose(gap.gap, difference, atol=1e-14)


def test_step_doubling_of_what_cannot_be_refined():
    X, y = make_spirals(20, random_state=0)
    with pytest.raises(TypeError, match=r"not discretise an ODE; got FeedForwardClassifier"):
        step_doubling_gap(short(FeedForwardClassifier, max_iter=2).fit(X, y), X)
    model = short(ODENetClassifier, max_iter=2).fit(X, y)
    for refinement in (1, 0, 2.0, True, None):
        with pytest.raises(ValueError, match="integer of at least 2"):
            step_doubling_gap(model, X, refinement=refinement)


def test_before_fit():
    with pytest.raises(NotFittedError):
        trajectories(ODENetClassifier(), [[0.0, 1.0]])
    with pytest.raises(NotFittedError):
        costates(ODENetClassifier(), [[0.0, 1.0]], [0])
    with pytest.raises(NotFittedError):
        step_doubling_gap(ODENetClassifier(), [[0.0, 1.0]])
