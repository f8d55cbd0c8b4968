"""Lipschitz bounds of layers: nothing grows faster."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode.engine.activations import ACTIVATIONS
from skode.robustness._lipschitz import (
    flow_bound,
    log_norm_bounds,
    product_bounds,
    spectral_norm,
    states_bound,
)
from skode.robustness._multipliers import _is_bound, first_multipliers, improved, verified, window
from skode.robustness._unrolled import Unrolled, outer_matrix
from tests.robustness.written import (
    EXPLICIT,
    FIELDS,
    IMPLICIT,
    by_engine,
    draw,
    norms_of_jacobians,
    quotients,
)


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


def test_a_vector_field_without_certificates_is_refused():
    with pytest.raises(ValueError, match="no certificates for vector_field='other'"):
        outer_matrix("other", np.eye(2))
