"""Certificates: no change of the features breaks what they promise."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor
from skode.engine.activations import ACTIVATIONS
from skode.engine.contractivity import contractivity_radius
from skode.engine.controls import Controls
from skode.engine.networks import Network
from skode.engine.schemes import TABLEAUX
from skode.engine.tableaux import ButcherTableau
from skode.inspection import input_gradients
from skode.robustness import certified_accuracy, certified_radius, lipschitz_bound
from skode.robustness._enclosures import LinearBounds, interval_bounds
from skode.robustness._grid import unit_grid
from skode.robustness._lines import lines_of, lines_of_clipping
from skode.robustness._lipschitz import (
    flow_bound,
    log_norm_bounds,
    product_bounds,
    spectral_norm,
    states_bound,
)
from skode.robustness._multipliers import _is_bound, first_multipliers, improved, verified, window
from skode.robustness._norms import checked_norm, into_ball
from skode.robustness._unrolled import Layer, Unrolled, activated, outer_matrix
from tests.estimators import blobs, curve, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

EXPLICIT = [name for name, tableau in TABLEAUX.items() if tableau.explicit]
IMPLICIT = [name for name, tableau in TABLEAUX.items() if not tableau.explicit]
FIELDS = ["standard", "antisymmetric", "gradient_flow", "hamiltonian"]


# --- networks that are written down


def draw(
    rng,
    scheme="euler",
    activation="tanh",
    lift="linear",
    field="standard",
    skip=1.0,
    n=4,
    N=3,
    d=2,
    members=1,
    size=1.0,
    h=None,
):
    """A random network; `size` is that of K."""
    V = rng.normal(size=(members, n, d)) / np.sqrt(d)
    nu = rng.normal(size=(members, n))
    if lift == "pad":
        V, nu = np.broadcast_to(np.eye(n, d), (members, n, d)), np.zeros((members, n))
    layers = []
    for _ in range(N):
        K = size * rng.normal(size=(members, n, n)) / np.sqrt(n)
        if field == "antisymmetric":
            K = K - np.swapaxes(K, 1, 2) - 0.01 * np.eye(n)
        if field == "hamiltonian":
            half = np.arange(n) < n // 2
            K = K * (half[:, None] == half)
        steps = rng.uniform(-0.5, 1.0, members) if h is None else np.full(members, h)
        layers.append(Layer(K, rng.normal(size=(members, n)), steps, outer_matrix(field, K)))
    return Unrolled(
        tableau=TABLEAUX[scheme],
        skip=skip,
        activation=ACTIVATIONS[activation],
        lift=ACTIVATIONS[activation if lift == "nonlinear" else "identity"],
        layers=layers,
        V=V,
        nu=nu,
        W=rng.normal(size=(members, 3, n)),
        mu=rng.normal(size=(members, 3)),
        weights=np.full(members, 1 / members),
        gradient_flow=field == "gradient_flow",
    )


def by_engine(net, u):
    """Last states and outputs, (networks, samples, ...), by the engine."""
    parts = zip(*((layer.K, layer.b, layer.h) for layer in net.layers), strict=True)
    K, b, h = (np.stack(part, axis=1) for part in parts)
    U = Controls(K, b, h, net.W, net.mu, np.array(net.V), net.nu)
    done = Network(net.tableau, net.activation, net.skip, net.lift).forward(U, u.T)
    assert all(status.converged.all() for status in done.statuses)
    return np.swapaxes(done.y[-1], 1, 2), np.swapaxes(done.z, 1, 2)


@pytest.mark.parametrize("scheme", EXPLICIT)
@pytest.mark.parametrize("lift", ["pad", "linear", "nonlinear"])
def test_written_out_networks_are_those_of_the_engine(scheme, lift):
    rng = np.random.default_rng(0)
    for activation, skip in (("mixed", 1.0), ("softplus", 0.0)):
        net = draw(rng, scheme, activation, lift, skip=skip, n=5, members=2)
        u = rng.normal(size=(7, 2))
        for found, expected in zip(net.forward(u), by_engine(net, u), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def in_ball(rng, shape, norm):
    """Points of the unit ball: most of them on its boundary, and in its corners."""
    delta = rng.normal(size=shape)
    if norm == 2:
        return (
            delta
            / np.linalg.norm(delta, axis=-1, keepdims=True)
            * rng.choice([1.0, 0.5], (*shape[:-1], 1))
        )
    return np.where(rng.random(shape[:-1])[..., None] < 0.7, np.sign(delta), np.tanh(delta))


# --- lines


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(
    low=st.floats(-30, 30) | st.floats(-3, 3),
    width=st.floats(0, 60) | st.floats(0, 4) | st.sampled_from([0.0, 1e-12, 1e-7, 1e-6, 1e-5]),
)
def test_activations_stay_between_their_lines(name, low, width):
    ends = np.full((1, 2), low), np.full((1, 2), low + width)
    lines = lines_of(ACTIVATIONS[name], *ends)
    x = np.linspace(*ends, 201)
    sigma = activated(ACTIVATIONS[name], x)
    below = lines.lower_slope * x + lines.lower_at
    above = lines.upper_slope * x + lines.upper_at
    assert (below <= sigma).all()
    assert (sigma <= above).all()
    # And they are not far apart: on narrow intervals they are the function.
    assert (above - below <= (1 + 1e-9) * width + 1e-10).all()


def test_lines_on_one_side_of_a_kink_are_the_function():
    low, high = np.array([[1.0, -2.0]]), np.array([[3.0, -1.0]])
    lines = lines_of(ACTIVATIONS["relu"], low, high)
    np.testing.assert_array_equal(lines.lower_slope, [[1, 0]])
    np.testing.assert_array_equal(lines.upper_slope, [[1, 0]])
    np.testing.assert_allclose(lines.lower_at, 0, atol=1e-11)


def test_lines_of_tanh_touch_it():
    lines = lines_of(ACTIVATIONS["tanh"], np.full((1, 1), -1.0), np.full((1, 1), 3.0))
    x = np.linspace(-1, 3, 100_001)
    gap = lines.upper_slope[0] * x + lines.upper_at[0] - np.tanh(x)
    assert 0 <= gap.min() <= 1e-9  # where the tangent touches
    assert abs(gap[0]) < 1e-6  # and at the end
    gap = np.tanh(x) - lines.lower_slope[0] * x - lines.lower_at[0]
    assert 0 <= gap.min() <= 1e-9


@given(
    bottom=st.floats(-2, 2) | st.just(-np.inf),
    length=st.floats(0.01, 3) | st.just(np.inf),
    low=st.floats(-4, 4),
    width=st.floats(0, 5),
)
def test_clipping_stays_between_its_lines(bottom, length, low, width):
    top = np.inf if np.isinf(bottom) else bottom + length
    lines = lines_of_clipping(
        np.array([bottom]), np.array([top]), np.array([[low]]), np.array([[low + width]])
    )
    x = np.linspace(low, low + width, 201)[:, None]
    clipped = np.clip(x, bottom, top)
    assert (lines.lower_slope * x + lines.lower_at <= clipped).all()
    assert (clipped <= lines.upper_slope * x + lines.upper_at).all()
    if bottom <= low and low + width <= top and width:
        np.testing.assert_allclose([lines.lower_slope, lines.upper_slope], 1)


# --- bounds by lines and by intervals


def assert_enclosed(rng, net, norm, eps):
    centre = rng.normal(size=(3, net.V.shape[2]))
    radius = np.full(3, eps)
    points = centre[:, None] + eps * in_ball(rng, (3, 60, centre.shape[1]), norm)
    flat = points.reshape(-1, centre.shape[1])
    states = net.forward(flat)[0].reshape(len(net.weights), 3, 60, -1)
    C = rng.normal(size=(3, 4, states.shape[-1]))
    for k in range(len(net.weights)):
        found = LinearBounds(net, k, centre, centre, radius, norm).lower(C)
        values = np.einsum("srn,spn->spr", C, states[k])
        assert (found[:, None] <= values).all()
        low, high = interval_bounds(net, k, centre, centre, radius, norm)
        assert (low[:, None] <= states[k]).all()
        assert (states[k] <= high[:, None]).all()
        if eps < 1e-6:  # and is hardly wider
            np.testing.assert_allclose(
                found, values.min(axis=1), atol=1e-3 * (1 + abs(found)).max()
            )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("lift", ["pad", "linear", "nonlinear"])
@pytest.mark.parametrize("scheme", EXPLICIT)
def test_bounds_enclose_the_states(activation, lift, scheme):
    rng = np.random.default_rng(0)
    for skip in (1.0, 0.0):
        net = draw(rng, scheme, activation, lift, skip=skip, members=2)
        for norm, eps in ((2, 0.5), ("inf", 0.1), (2, 1e-7)):
            assert_enclosed(rng, net, norm, eps)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("scheme", ["euler", "midpoint", "rk4"])
def test_bounds_enclose_the_states_of_other_vector_fields(field, scheme):
    rng = np.random.default_rng(0)
    net = draw(rng, scheme, "tanh", "linear", field)
    for norm, eps in ((2, 0.5), ("inf", 0.1), (2, 1e-7)):
        assert_enclosed(rng, net, norm, eps)


def test_bounds_of_affine_networks_are_exact():
    rng = np.random.default_rng(0)
    net = draw(rng, "rk4", "identity", n=3)
    x, C = rng.normal(size=(2, 2)), rng.normal(size=(2, 4, 3))
    y = net.forward(x)[0][0]
    jacobian = np.stack([net.forward(x + e)[0][0] - y for e in np.eye(2)], axis=2)
    for norm in (2, "inf"):
        slopes = np.linalg.norm(C @ jacobian, 2 if norm == 2 else 1, axis=2)
        expected = (C @ y[..., None])[..., 0] - 0.7 * slopes
        found = LinearBounds(net, 0, x, x, np.full(2, 0.7), norm).lower(C)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


# --- Lipschitz bounds


def quotients(rng, function, x):
    """The largest of the difference quotients of points, and of points near them."""
    largest = 0.0
    for size in (1e-6, 0.1, 2.0):
        moved = x + size * rng.normal(size=x.shape)
        change = np.linalg.norm(function(moved) - function(x), axis=-1)
        largest = max(largest, (change / np.linalg.norm(moved - x, axis=-1)).max())
    return largest


def norms_of_jacobians(function, x):
    """‖∂f/∂x‖₂ at some points, by differences; `function` gives (networks, samples, n)."""
    columns = [(function(x + 1e-6 * e) - function(x - 1e-6 * e)) / 2e-6 for e in np.eye(x.shape[1])]
    return np.linalg.norm(np.stack(columns, axis=-1), 2, axis=(-2, -1))


@given(
    seed=st.integers(0, 2**32 - 1),
    scheme=st.sampled_from(EXPLICIT),
    activation=st.sampled_from([*ACTIVATIONS]),
    field=st.sampled_from(FIELDS),
    lift=st.sampled_from(["pad", "linear", "nonlinear"]),
    skip=st.sampled_from([1.0, 1.0, 0.0]),
    size=st.floats(0.1, 3),
)
def test_nothing_grows_faster_than_its_bound(seed, scheme, activation, field, lift, skip, size):
    rng = np.random.default_rng(seed)
    n = int(rng.choice([2, 4, 6]))
    net = draw(rng, scheme, activation, lift, field, skip, n, N=2, members=2, size=size)
    x = 2 * rng.normal(size=(40, 2))
    bounds = {method: states_bound(net, method) for method in ("product", "log_norm", "auto")}
    assert (bounds["auto"] <= bounds["log_norm"]).all()
    assert (bounds["log_norm"] <= bounds["product"] * (1 + 1e-9)).all()
    slopes = norms_of_jacobians(lambda x: net.forward(x)[0], x).max(axis=1)
    assert (slopes <= bounds["auto"] * (1 + 1e-6) + 1e-8).all()
    for k in range(2):
        found = quotients(rng, lambda x, k=k: net.forward(x)[0][k], x)
        assert found <= bounds["auto"][k] * (1 + 1e-6) + 1e-8


@pytest.mark.parametrize("scheme", IMPLICIT)
def test_nothing_grows_faster_than_its_bound_with_implicit_schemes(scheme):
    rng = np.random.default_rng(0)
    for activation, size in (("tanh", 0.3), ("relu", 0.6)):
        net = draw(rng, scheme, activation, members=2, size=size, h=0.6)
        x = 2 * rng.normal(size=(30, 2))
        slopes = norms_of_jacobians(lambda x, net=net: by_engine(net, x)[0], x).max(axis=1)
        product, log_norm = (states_bound(net, method) for method in ("product", "log_norm"))
        assert (slopes <= log_norm * (1 + 1e-5)).all()
        assert (log_norm <= product).all()
        assert np.isfinite(log_norm).all()


def test_product_bounds_are_the_formulas():
    rng = np.random.default_rng(0)

    def of(scheme, size, h=1.0):
        net = draw(rng, scheme, size=size, h=h, N=1)
        return product_bounds(net)[0, 0], abs(h) * np.linalg.norm(net.layers[0].K[0], 2)

    bound, theta = of("euler", 2.0, -0.7)
    assert bound == pytest.approx(1 + theta, rel=1e-8)
    bound, theta = of("rk4", 1.0)
    assert bound == pytest.approx(np.polyval([1 / 24, 1 / 6, 1 / 2, 1, 1], theta), rel=1e-8)
    bound, theta = of("implicit_euler", 0.2)
    assert theta < 1
    assert bound == pytest.approx(1 / (1 - theta), rel=1e-8)
    bound, theta = of("implicit_euler", 3.0)
    assert theta > 1
    assert bound == np.inf


def largest_step(net):
    """The largest ‖I + h D K‖₂ over D of zeros and ones, and where."""
    layer, n = net.layers[0], net.nu.shape[1]
    D = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    norms = np.linalg.norm(np.eye(n) + layer.h[0] * D[:, :, None] * layer.K[0], 2, axis=(1, 2))
    return norms.max(), D[norms.argmax()]


def test_the_bound_of_a_small_step_of_euler_is_attained():
    rng = np.random.default_rng(0)
    for h in (0.8, -0.8):
        net = draw(rng, "euler", "relu", "pad", n=4, d=4, N=1, h=h)
        bound = flow_bound(net, "log_norm")[0]
        expected, D = largest_step(net)
        assert bound == pytest.approx(expected, rel=1e-8)
        layer = net.layers[0]
        inside = np.linalg.solve(layer.K[0], 2.0 * D - 1 - layer.b[0])
        slope = norms_of_jacobians(lambda x, net=net: net.forward(x)[0], inside[None]).max()
        assert slope == pytest.approx(bound, rel=1e-6)


def test_multipliers_come_close_to_the_largest_step():
    rng = np.random.default_rng(0)
    net = draw(rng, "euler", n=8, N=1, h=1.0)
    parts = window(net, 0, net.layers)
    t = improved(parts, first_multipliers(parts, net, 1 / np.linalg.norm(net.layers[0].K[0], 2)))
    expected, _ = largest_step(net)
    bound = verified(parts, t)
    assert expected <= bound <= 1.1 * expected
    # What is too small is not taken for a bound.
    assert _is_bound(parts, t, bound**2)
    assert not _is_bound(parts, t, bound**2 * (1 - 1e-6))
    assert verified(parts, 1e-9 * t) == np.inf


def test_one_channel():
    rng = np.random.default_rng(0)
    for slope, expected in ((-0.5, 1.0), (-3.0, 2.0), (0.5, 1.5)):
        net = draw(rng, "euler", n=1, d=1, N=1, h=1.0)
        layers = [layer._replace(K=np.full((1, 1, 1), slope)) for layer in net.layers]
        net = Unrolled(**{**vars(net), "layers": layers})
        assert flow_bound(net, "log_norm")[0] == pytest.approx(expected, rel=1e-8)


def test_layers_that_do_nothing():
    rng = np.random.default_rng(0)
    net = draw(rng, "rk4", h=0.0)
    np.testing.assert_allclose(flow_bound(net, "log_norm"), 1.0, rtol=1e-8)
    np.testing.assert_allclose(flow_bound(net, "product"), 1.0, rtol=1e-8)


def test_layers_bounded_together_are_bounded_better():
    rng = np.random.default_rng(0)
    net = draw(rng, "euler", n=4, N=6, h=0.5)
    alone = [
        log_norm_bounds(Unrolled(**{**vars(net), "layers": [layer]}))[0] for layer in net.layers
    ]
    assert log_norm_bounds(net)[0] < 0.9 * np.prod(alone)


def test_wide_networks_fall_back_to_the_product():
    rng = np.random.default_rng(0)
    net = draw(rng, "rk4", n=130, N=1, h=0.1)
    np.testing.assert_array_equal(flow_bound(net, "log_norm"), flow_bound(net, "product"))


@pytest.mark.parametrize("field", ["antisymmetric", "gradient_flow"])
@pytest.mark.parametrize("n", [4, 12])
@pytest.mark.parametrize("scheme", ["euler", "rk4"])
def test_stable_networks_of_twenty_layers(field, n, scheme):
    rng = np.random.default_rng(0)
    net = draw(rng, scheme, field=field, n=n, N=20, h=1.0, size=0.7)
    product, log_norm = (flow_bound(net, method)[0] for method in ("product", "log_norm"))
    assert 100 * log_norm < product
    # Bounds of gradient flows with short steps do not grow at all.
    stiffness = max(spectral_norm(layer.K).max() ** 2 for layer in net.layers)
    if field == "gradient_flow" and stiffness <= 2:
        assert log_norm <= 1 + 1e-8


def gradient_flow(rng, scheme, stiffness, activation="tanh", h=0.5, **parameters):
    """A network whose layers have h ‖K‖² = `stiffness`."""
    net = draw(rng, scheme, activation, field="gradient_flow", h=h, **parameters)
    layers = []
    for layer in net.layers:
        norms = np.linalg.norm(layer.K, 2, axis=(1, 2), keepdims=True)
        K = layer.K * np.sqrt(stiffness / h) / norms
        layers.append(layer._replace(K=K, P=outer_matrix("gradient_flow", K)))
    return Unrolled(**{**vars(net), "layers": layers})


@pytest.mark.parametrize("scheme", [s for s in EXPLICIT if contractivity_radius(TABLEAUX[s])])
def test_gradient_flows_with_short_steps_are_non_expansive(scheme):
    rng = np.random.default_rng(0)
    stiffness = 2 * contractivity_radius(TABLEAUX[scheme])
    for activation in ("tanh", "relu", "identity"):
        net = gradient_flow(rng, scheme, stiffness, activation, lift="pad", d=4, N=2)
        bound = flow_bound(net, "non_expansive")
        np.testing.assert_allclose(bound, 1, atol=1e-5)
        # Those that are longer by rounding only are included, and nothing is longer in earnest.
        assert flow_bound(net, "auto") <= bound
        x = 2 * rng.normal(size=(100, 4))
        assert norms_of_jacobians(lambda x, net=net: net.forward(x)[0], x).max() <= bound + 1e-7
        shorter = gradient_flow(rng, scheme, 0.999 * stiffness, activation)
        np.testing.assert_array_equal(flow_bound(shorter, "non_expansive"), 1)
        longer = gradient_flow(rng, scheme, 1.01 * stiffness, activation)
        with pytest.raises(ValueError, match="Layer 0 of network 0 is not known to be"):
            flow_bound(longer, "non_expansive")


def test_longer_steps_of_gradient_flows_expand():
    rng = np.random.default_rng(0)
    net = gradient_flow(rng, "euler", 2.4, "identity", lift="pad", d=4, N=1)
    bound = flow_bound(net, "auto")[0]
    assert bound == pytest.approx(1.4, rel=1e-6)
    found = norms_of_jacobians(lambda x: net.forward(x)[0], np.zeros((1, 4)))
    assert found.max() == pytest.approx(bound, rel=1e-6)


@pytest.mark.parametrize("scheme", ["implicit_euler", "gauss4", "radau_iia5"])
def test_gradient_flows_of_algebraically_stable_schemes_take_any_step(scheme):
    rng = np.random.default_rng(0)
    net = gradient_flow(rng, scheme, 50.0)
    np.testing.assert_array_equal(flow_bound(net, "non_expansive"), 1)


def test_where_non_expansive_does_not_apply():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="for networks with vector_field='gradient_flow'"):
        flow_bound(draw(rng), "non_expansive")
    with pytest.raises(ValueError, match="No step of the scheme 'midpoint' is non-expansive"):
        flow_bound(gradient_flow(rng, "midpoint", 1.0), "non_expansive")
    with pytest.raises(ValueError, match=r"is not known to be non-expansive: h = -0\.5"):
        flow_bound(gradient_flow(rng, "euler", -1.0, h=-0.5), "non_expansive")


def test_a_vector_field_without_certificates_is_refused():
    with pytest.raises(ValueError, match="no certificates for vector_field='other'"):
        outer_matrix("other", np.eye(2))


# --- classifiers


@cache
def template(n_classes, loss, features, lift, scheme, cls=ODENetClassifier):
    """A classifier of two networks, or of four that see different features; hardly trained."""
    X, y = blobs(n_classes, n_samples=40, n_features=2)
    parameters = {"scheme": scheme} if cls is ODENetClassifier else {}
    model = short(
        cls,
        lift=lift,
        features=features,
        loss=loss,
        cv=2,
        alpha=1e-2,
        N=2,
        max_iter=1,
        **parameters,
    )
    return model.fit(X, y)


def randomised(rng, model, size=1.0):
    """The classifier with random weights in place of those of the fit."""
    model.K_ = size * rng.normal(size=model.K_.shape) / 2
    model.h_ = rng.uniform(-0.5, 1.0, model.h_.shape)
    for name in ("b_", "mu_", "nu_"):
        if hasattr(model, name):
            setattr(model, name, 0.5 * rng.normal(size=getattr(model, name).shape))
    # The networks are alike, so that they say something together.
    model.W_ = rng.normal(size=model.W_.shape[1:]) + 0.5 * rng.normal(size=model.W_.shape)
    if hasattr(model, "V_"):
        seen = model.V_ != 0
        model.V_ = seen * (rng.normal(size=model.V_.shape[1:]) + 0.3 * rng.normal(size=seen.shape))
    weights = rng.uniform(0.5, 1.5, len(model.K_))
    model.network_weights_ = weights / weights.sum()
    return model


def steps_of_gradient(model, X, y, eps, norm):
    """Where steps along the gradient of the loss, projected on the balls, lead."""
    moved, eps = X, eps[:, None]
    for _ in range(4):
        G = input_gradients(model, moved, y)
        if norm == 2:
            step = eps * G / np.maximum(np.linalg.norm(G, axis=1, keepdims=True), 1e-300)
        else:
            step = 0.5 * eps * np.sign(G)
        moved = into_ball(X, moved + step, eps, norm)
    return moved


def broken(model, X, eps, norm):
    """Whether an attack within eps, (samples,), changes the prediction of each sample."""
    y, norm = model.predict(X), checked_norm(norm)
    delta = 0.999999 * unit_grid(13, norm)
    moved = X[:, None] + eps[:, None, None] * delta
    said = model.predict(moved.reshape(-1, 2)).reshape(len(X), -1)
    by_gradient = model.predict(steps_of_gradient(model, X, y, 0.999999 * eps, norm))
    return (said != y[:, None]).any(axis=1) | (by_gradient != y)


CASES = [
    (2, "log_loss", "given", "nonlinear", "euler"),
    (2, "log_loss", "both", "nonlinear", "heun"),
    (3, "log_loss", "given", "pad", "rk4"),
    (3, "log_loss", "piecewise", "linear", "euler"),
    (3, "squared_error", "given", "linear", "midpoint"),
    (2, "squared_error", "given", "linear", "kutta3"),
    (3, "log_loss", "given", "linear", "implicit_midpoint"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("norm", [2, "inf"])
@settings(max_examples=2)
@given(seed=st.integers(0, 2**32 - 1), size=st.floats(0.2, 2))
def test_no_attack_breaks_a_certified_sample(case, norm, seed, size):
    rng, implicit = np.random.default_rng(seed), "implicit" in case[-1]
    # Stage equations of larger K may have no solution.
    model = randomised(rng, template(*case), size / 4 if implicit else size)
    X = rng.normal(size=(8, 2))
    y = model.predict(X)
    methods = ["lipschitz"] if implicit else ["lipschitz", "linear", "interval"]
    found = {m: certified_radius(model, X, norm=norm, method=m) for m in methods}
    for radii in found.values():
        some = radii > 0
        assert not broken(model, X[some], radii[some], norm).any()
    # The accuracy is what the radii say, and "auto" is at least as good as any method.
    eps = 1.01 * float(np.median(np.max([*found.values()], axis=0)))
    for method, radii in found.items():
        share = certified_accuracy(model, X, y, eps, norm=norm, method=method)
        assert (radii >= eps).mean() <= share <= (radii > 0.9 * eps).mean()
        assert share <= certified_accuracy(model, X, y, eps, norm=norm)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_attack_breaks_a_certified_sample_of_feed_forward_networks(activation):
    rng = np.random.default_rng(0)
    model = template(3, "log_loss", "given", "nonlinear", None, FeedForwardClassifier)
    model.set_params(activation=activation)
    model._fitted_recipe = {**model._fitted_recipe, "activation": activation, "lift": activation}
    model = randomised(rng, model)
    X = rng.normal(size=(50, 2))
    for norm in (2, "inf"):
        radii = certified_radius(model, X, norm=norm, method="auto")
        assert (radii > 0).mean() > 0.9
        assert not broken(model, X, radii, norm).any()


def test_linear_bounds_are_close_to_what_attacks_find():
    model = short(ODENetClassifier, lift="linear", scheme="euler", max_iter=100)
    X, y = blobs(2, n_features=2)
    model.fit(X, y)
    radii = certified_radius(model, X, method="linear")
    assert broken(model, X, 1.3 * radii, 2).mean() > 0.8


def test_the_certified_accuracy_of_no_change_is_the_accuracy():
    rng = np.random.default_rng(0)
    for case in CASES:
        model = randomised(rng, template(*case))
        X = rng.normal(size=(50, 2))
        y = np.where(rng.random(50) < 0.7, model.predict(X), 0)
        for norm in (2, np.inf):
            found = certified_accuracy(model, X, y, 0, norm=norm)
            assert type(found) is float
            assert found == model.score(X, y)


@pytest.mark.parametrize("method", ["auto", "lipschitz", "linear", "interval"])
@pytest.mark.parametrize("norm", [2, "inf"])
def test_larger_changes_leave_less(method, norm):
    rng = np.random.default_rng(0)
    model = randomised(rng, template(*CASES[2]))
    X = rng.normal(size=(100, 2))
    eps = np.array([0.1, 0, 0.3, 0.001, 0.03])
    found = certified_accuracy(model, X, model.predict(X), eps, norm=norm, method=method)
    assert found.shape == (5,)
    assert (np.diff(found[np.argsort(eps)]) <= 0).all()
    assert found[2] < found[0] < found[1] == 1
    alone = [
        certified_accuracy(model, X, model.predict(X), e, norm=norm, method=method) for e in eps
    ]
    np.testing.assert_array_less(alone, found + 1e-12)


def one_network(**parameters):
    X, y = blobs(3, n_features=2)
    return short(ODENetClassifier, lift="linear", max_iter=20, **parameters).fit(X, y), X, y


def test_the_radius_of_one_network_is_its_margin_over_its_bound():
    model, X, y = one_network()
    L = lipschitz_bound(model, of="states")[0]
    z = model.predict_log_proba(X)
    own = z.argmax(axis=1)
    gaps = z[np.arange(len(X)), own][:, None] - z
    apart = np.linalg.norm(model.W_[0][own][:, None] - model.W_[0], axis=2) * L
    with np.errstate(invalid="ignore"):
        expected = np.nanmin(gaps / apart, axis=1)
    np.testing.assert_allclose(certified_radius(model, X), expected, rtol=1e-6)
    wrong = (y + 1) % 3
    right = model.predict(X) == wrong
    found = certified_radius(model, X, wrong)
    np.testing.assert_allclose(found, np.where(right, expected, 0), rtol=1e-6)
    assert (found == 0).any()


def test_a_model_that_always_says_the_same():
    X, _ = blobs()
    model = short(ODENetClassifier).fit(X, np.zeros(len(X)))
    assert (certified_radius(model, X) == np.inf).all()
    assert certified_accuracy(model, X, np.zeros(len(X)), 1e6) == 1.0
    assert lipschitz_bound(model) == 0.0


def test_a_batch_of_samples_is_no_other_than_all(monkeypatch):
    model, X, _ = one_network()
    whole = certified_radius(model, X, method="linear")
    monkeypatch.setattr("skode.robustness._margins.BATCH", 100)
    np.testing.assert_allclose(certified_radius(model, X, method="linear"), whole, rtol=1e-9)


def test_sparse_features():
    rng = np.random.default_rng(0)
    model = randomised(rng, template(*CASES[0]))
    X = rng.normal(size=(20, 2)) * (rng.random((20, 2)) < 0.7)
    for method in ("lipschitz", "linear"):
        dense, sparse = (certified_radius(model, x, method=method) for x in (X, csr_array(X)))
        np.testing.assert_allclose(sparse, dense, rtol=1e-9)


def test_float32_models_are_certified_in_float64():
    X, y = blobs(3, n_features=2)
    model = short(ODENetClassifier, lift="linear").fit(X.astype(np.float32), y)
    assert model.K_.dtype == np.float32
    radii = certified_radius(model, X.astype(np.float32), method="linear")
    assert radii.dtype == np.float64
    assert (radii > 0).all()
    assert not broken(model, X, 0.999 * radii, 2).any()


# --- pipelines and units


def test_units_are_those_of_the_pipeline():
    X, y = blobs(3, n_features=2)
    units = np.array([0.01, 100.0])
    alone = short(ODENetClassifier, lift="linear", max_iter=20).fit(X, y)
    model = make_pipeline(StandardScaler(), alone)
    model[0].fit(X * units)
    transformed = model[0].transform(X * units)
    for method in ("linear", "interval"):
        same = certified_accuracy(alone, transformed, y, 0.1, norm="inf", method=method)
        # A cube has sides of one length in its own units.
        scaled = make_pipeline(StandardScaler(), alone)
        scaled[0].fit(X)
        found = certified_accuracy(scaled, X, y, 0.1 * X.std(), norm="inf", method=method)
        assert found == pytest.approx(same, abs=0.1)
    radii = certified_radius(model, X * units, method="linear")
    assert (radii > 0).all()
    assert not broken(model, X * units, radii, 2).any()
    L = lipschitz_bound(model)
    assert quotients(np.random.default_rng(0), model.predict_proba, X * units) <= L


@pytest.mark.parametrize("features", ["given", "piecewise", "both"])
def test_pipelines_of_affine_steps(features):
    cv = 2 if features == "both" else None
    X, y = blobs(2, n_features=3)
    X = pd.DataFrame(3 + X * [1, 10, 0.1], columns=["a", "b", "c"])
    columns = ColumnTransformer(
        [("one", make_pipeline(MinMaxScaler(), PCA(1)), ["c", "a"]), ("two", "passthrough", ["a"])]
    )
    model = make_pipeline(
        columns,
        StandardScaler(),
        short(ODENetClassifier, lift="nonlinear", features=features, cv=cv, solver="lbfgs"),
    ).fit(X, y)
    radii = certified_radius(model, X, method="auto")
    assert (radii > 0).all()
    rng = np.random.default_rng(0)
    said = model.predict(X)
    for _ in range(50):
        moved = X + radii[:, None] * in_ball(rng, X.shape, 2)
        np.testing.assert_array_equal(model.predict(moved), said)

    def proba(x):
        return model.predict_proba(pd.DataFrame(x, columns=X.columns))

    assert quotients(rng, proba, X.to_numpy()) <= lipschitz_bound(model)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_bounds_of_features_in_pieces(seed):
    rng = np.random.default_rng(seed)
    model = randomised(rng, template(*CASES[3]))
    X = rng.normal(size=(200, 2))
    L = lipschitz_bound(model)
    assert quotients(rng, model.predict_proba, X) <= L
    assert lipschitz_bound(model, "product") >= L * (1 - 1e-9)


def test_steps_that_are_not_affine_are_refused():
    X, y = blobs()
    for step in (Nystroem(n_components=3, random_state=0), MinMaxScaler(clip=True)):
        model = make_pipeline(step, short(ODENetClassifier)).fit(X, y)
        with pytest.raises(TypeError, match="steps that are affine maps, but the pipeline has"):
            certified_accuracy(model, X, y, 0.1)
        with pytest.raises(TypeError, match="steps that are affine maps, but the pipeline has"):
            lipschitz_bound(model)
    # As the message says.
    part = make_pipeline(Nystroem(n_components=3, random_state=0), short(ODENetClassifier))
    part.fit(X, y)
    assert certified_accuracy(part[1:], part[:1].transform(X), y, 0.0) == part.score(X, y)


# --- what is bounded


@pytest.mark.parametrize("n_targets", [None, 2])
def test_bounds_of_regressors_are_in_units_of_y(n_targets):
    X, y = curve(n_targets=n_targets)
    model = short(ODENetRegressor, cv=2, max_iter=20).fit(X, 1000 * y)
    L = lipschitz_bound(model)
    found = quotients(np.random.default_rng(0), lambda X: model.predict(X).reshape(len(X), -1), X)
    assert 0.01 * L < found <= L
    assert lipschitz_bound(model, of="outputs").shape == (model.n_networks_,)


def test_bounds_of_labels():
    X, y = blobs(3)
    labels = np.c_[y == 0, y > 0, X[:, 0] > 0].astype(int)
    model = short(ODENetClassifier, max_iter=20).fit(X, labels)
    found = quotients(np.random.default_rng(0), model.predict_proba, X)
    assert 0.01 * lipschitz_bound(model) < found <= lipschitz_bound(model)
    with pytest.raises(ValueError, match="fitted to several labels"):
        certified_accuracy(model, X, labels, 0.1)


@pytest.mark.parametrize("case", CASES[:-1], ids=str)
def test_bounds_of_probabilities(case):
    rng = np.random.default_rng(1)
    model = randomised(rng, template(*case))
    found = quotients(rng, model.predict_proba, rng.normal(size=(500, 2)))
    assert 0.005 * lipschitz_bound(model) < found <= lipschitz_bound(model)
    outputs = lipschitz_bound(model, of="outputs")
    norms = np.linalg.norm(model.W_, 2, axis=(1, 2))
    np.testing.assert_allclose(outputs, norms * lipschitz_bound(model, of="states"), rtol=1e-6)


def test_the_bound_of_a_softmax_is_attained():
    # Outputs (x, -x) have a derivative of √2, and softmax has 1/2 there.
    rng = np.random.default_rng(0)
    model = randomised(rng, template(*CASES[2]), 0.0)
    model.h_, model.W_ = 0 * model.h_, 0 * model.W_
    model.W_[:, :2, 0] = [1, -1]
    model.mu_ = 0 * model.mu_ + [0, 0, -30]
    x = np.array([[0.0, 0.0], [1e-6, 0.0]])
    change = np.linalg.norm(np.diff(model.predict_proba(x), axis=0)) / 1e-6
    assert change == pytest.approx(lipschitz_bound(model), rel=1e-6)


# --- errors


def test_bad_arguments():
    model, X, y = one_network()
    for bad in (-0.1, np.nan, np.inf, [0.1, -1]):
        with pytest.raises(ValueError, match="eps must be finite and not negative"):
            certified_accuracy(model, X, y, bad)
    for bad in ("0.1", None, [[0.1], [0.1, 0.2]], True):
        with pytest.raises(TypeError, match="eps must be a number or an array of numbers"):
            certified_accuracy(model, X, y, bad)
    with pytest.raises(ValueError, match="at least one radius"):
        certified_accuracy(model, X, y, [])
    with pytest.raises(ValueError, match="y must hold the classes"):
        certified_accuracy(model, X, None, 0.1)
    for bad in (1, "2", True, None):
        with pytest.raises(ValueError, match='norm must be "inf" or 2'):
            certified_accuracy(model, X, y, 0.1, norm=bad)
    with pytest.raises(ValueError, match="method must be one of 'auto', 'lipschitz'"):
        certified_radius(model, X, method="product")
    with pytest.raises(ValueError, match="method must be one of 'auto', 'product'"):
        lipschitz_bound(model, "linear")
    with pytest.raises(ValueError, match="of must be one of 'prediction'"):
        lipschitz_bound(model, of="logits")
    with pytest.raises(ValueError, match="labels that are not among the classes"):
        certified_accuracy(model, X, y + 1, 0.1)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        certified_accuracy(model, X, y[1:], 0.1)
    with pytest.raises(ValueError, match="X has 1 features"):
        certified_accuracy(model, X[:, :1], y, 0.1)
    with pytest.raises(ValueError, match="non_expansive' is for networks with"):
        lipschitz_bound(model, "non_expansive")


def test_other_estimators():
    X, y = blobs()
    with pytest.raises(TypeError, match="estimator must be one of skode"):
        certified_accuracy(LogisticRegression().fit(X, y), X, y, 0.1)
    with pytest.raises(NotFittedError):
        lipschitz_bound(ODENetClassifier())
    regressor = short(ODENetRegressor).fit(X, X[:, 0])
    with pytest.raises(TypeError, match="certified_accuracy is for classifiers"):
        certified_accuracy(regressor, X, X[:, 0], 0.1)
    poisson = short(ODENetRegressor, loss="poisson").fit(X, np.exp(X[:, 0]))
    with pytest.raises(ValueError, match="grow exponentially"):
        lipschitz_bound(poisson)
    assert lipschitz_bound(poisson, of="outputs") > 0


def test_implicit_schemes_have_no_lines():
    model, X, y = one_network(scheme="gauss4")
    for method in ("linear", "interval"):
        with pytest.raises(ValueError, match="is for explicit schemes, but the scheme is 'gauss4'"):
            certified_accuracy(model, X, y, 0.1, method=method)
    assert certified_accuracy(model, X, y, 1e-3) > 0


def test_a_scheme_of_ones_own():
    X, y = blobs(2, n_features=2)
    scheme = ButcherTableau([[0, 0], [2 / 3, 0]], [1 / 4, 3 / 4])
    model = short(ODENetClassifier, scheme=scheme, max_iter=20).fit(X, y)
    radii = certified_radius(model, X, method="auto")
    assert (radii > 0).all()
    assert not broken(model, X, radii, 2).any()
