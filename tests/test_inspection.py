import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardClassifier, ODENetClassifier
from skode.datasets import make_spirals
from skode.engine import prediction
from skode.engine.controls import Controls
from skode.engine.schemes import TABLEAUX
from skode.inspection import costates, step_doubling_gap, trajectories
from tests import reference


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("estimator", "scheme", "carry"),
    [
        (ODENetClassifier("heun"), ([[0, 0], [1, 0]], [0.5, 0.5], [0, 1]), 1.0),
        (ODENetClassifier("sdirk2"), reference.triple(TABLEAUX["sdirk2"]), 1.0),
        (ODENetClassifier("gauss4"), reference.triple(TABLEAUX["gauss4"]), 1.0),
        (FeedForwardClassifier(), ([[0.0]], [1.0], [0.0]), 0.0),
    ],
)
def test_states_from_the_features_to_the_readout(estimator, scheme, carry):
    X, y = make_spirals(40, random_state=0)
    estimator.set_params(N=4, n_channels=3, n_members=2, max_iter=5, random_state=0).fit(X, y)
    states = trajectories(estimator, X)
    assert states.shape == (2, 5, 40, 3)
    np.testing.assert_array_equal(states[:, 0, :, :2], [X, X])
    assert not states[:, 0, :, 2].any()
    for k in range(2):
        controls = Controls(*(part[k] for part in estimator._controls()))
        expected = reference.forward(scheme, "tanh", carry, controls, X)
        np.testing.assert_allclose(states[k], np.swapaxes(expected, 1, 2), atol=1e-13)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_blocks_change_nothing_and_overflow_is_reported():
    X, y = make_spirals(40, random_state=0)
    model = ODENetClassifier("heun", activation="relu", max_iter=5, random_state=0).fit(X, y)
    whole = prediction.trajectories(model._fitted_network(), model._controls(), X)
    parts = prediction.trajectories(model._fitted_network(), model._controls(), X, block=7)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)
    with pytest.raises(ValueError, match="overflow"):
        trajectories(model, np.full((1, 2), 1.7e308))


def mean_loss(model, k, states, labels, classes):
    """The mean loss of member k from the states yᴺ, (n_samples, n_channels)."""
    z = model.W_[k] @ states.T + model.mu_[k][:, None]
    c = (labels == 1)[None, :] if classes == 2 else labels == np.arange(classes)[:, None]
    if model.loss == "squared_error":
        return reference.LOSSES["logistic_squared"](z, c).mean()
    return reference.LOSSES["logistic" if classes == 2 else "softmax"](z, c).mean()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("scheme", ["heun", "implicit_midpoint", "gauss4", "lobatto_iiia4"])
@pytest.mark.parametrize(
    ("classes", "loss"), [(2, "log_loss"), (3, "log_loss"), (3, "squared_error")]
)
def test_costates_are_derivatives_of_the_loss(scheme, classes, loss):
    X, y = make_blobs(20, 2, centers=classes, random_state=0)
    X = X / 4
    names = np.array(["a", "b", "c"])[:classes]
    model = ODENetClassifier(
        scheme, N=3, h=0.5, n_channels=3, loss=loss, n_members=2, max_iter=10, random_state=0
    ).fit(X, names[y])
    p = costates(model, X, names[y])
    assert p.shape == (2, 4, 20, 3)
    states = trajectories(model, X)
    triple = reference.triple(TABLEAUX[scheme])
    rng = np.random.default_rng(0)
    for k in range(2):
        for first in range(4):  # ∂J/∂yℓ: the layers from ℓ on, in a random direction
            direction = rng.normal(size=(20, 3))
            moved = states[k, first] + 1e-40j * direction
            rest = [part[first:] for part in (model.K_[k], model.b_[k], model.h_[k])]
            controls = Controls(*(r.astype(complex) for r in rest), None, None)
            end = reference.forward(triple, "tanh", 1.0, controls, moved)[-1].T
            derivative = mean_loss(model, k, end, y, classes).imag / 1e-40
            np.testing.assert_allclose((p[k, first] * direction).sum(), derivative, rtol=1e-11)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_costates_of_pipelines_and_bad_labels():
    X, y = make_blobs(30, 2, centers=2, random_state=0)
    model = make_pipeline(StandardScaler(), ODENetClassifier(max_iter=5, random_state=0)).fit(X, y)
    p = costates(model, X, y)
    np.testing.assert_array_equal(p, costates(model[-1], model[0].transform(X), y))
    with pytest.raises(ValueError, match="not among the classes"):
        costates(model, X, y + 1)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        costates(model, X, y[:-1])
    relu = ODENetClassifier(activation="relu", max_iter=5, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="not finite"):
        costates(relu, np.full((2, 2), 1.7e308), y[:2])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("implicit_midpoint", 2), ("rk4", 4)])
def test_step_doubling_gap_falls_with_the_order_of_the_scheme(scheme, order):
    # Against a very fine solution the gap is the error of the scheme, up to the error of the fine
    # one: halving all steps divides it by 2 to the power of the order.
    X, y = make_spirals(50, random_state=0)
    model = ODENetClassifier(scheme, N=2, h=0.5, max_iter=5, random_state=0).fit(X, y)
    coarse = step_doubling_gap(model, X, refinement=64)
    halved = ODENetClassifier(scheme, N=4, h=0.25, max_iter=1, random_state=0).fit(X, y)
    halved.K_, halved.b_ = (np.repeat(part, 2, axis=1) for part in (model.K_, model.b_))
    halved.h_ = np.repeat(model.h_, 2, axis=1) / 2
    halved.W_, halved.mu_ = model.W_, model.mu_
    fine = step_doubling_gap(halved, X, refinement=32)
    assert np.log2(coarse.mean_gap / fine.mean_gap) == pytest.approx(order, abs=0.35)
    # Two steps in place of one is the network of half the steps.
    gap = step_doubling_gap(model, X)
    difference = np.abs(model.predict_proba(X) - halved.predict_proba(X)).max(axis=1)
    np.testing.assert_allclose(gap.gap, difference, atol=1e-15)
    assert (gap.mean_gap, gap.max_gap) == (gap.gap.mean(), gap.gap.max())
    assert gap.changed == (model.predict(X) != halved.predict(X)).mean()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_step_doubling_of_what_cannot_be_refined():
    X, y = make_spirals(20, random_state=0)
    with pytest.raises(TypeError, match=r"no discretisation of an ODE; got FeedForwardClassifier"):
        step_doubling_gap(FeedForwardClassifier(max_iter=2).fit(X, y), X)
    model = ODENetClassifier(max_iter=2).fit(X, y)
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
