"""Gradient flows bring no two states farther apart."""

import numpy as np
import pytest

from skode.engine.contractivity import contractivity_radius
from skode.engine.schemes import TABLEAUX
from skode.robustness._lipschitz import flow_bound
from skode.robustness._unrolled import Unrolled, outer_matrix
from tests.robustness.written import EXPLICIT, draw, norms_of_jacobians


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
