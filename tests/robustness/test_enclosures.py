"""Bounds of states near a sample, by lines and by intervals."""

import numpy as np
import pytest

from skode.engine.activations import ACTIVATIONS
from skode.robustness._enclosures import LinearBounds, interval_bounds
from tests.robustness.written import EXPLICIT, FIELDS, draw, in_ball


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
