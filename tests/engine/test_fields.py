import numpy as np
import pytest

from skode.engine.arrays import Scratch, host, namespace, to_host
from skode.engine.fields import ACTIVATIONS, AffineField
from tests import reference


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_derivative_from_the_value(name, xp):
    z = np.linspace(-5, 5, 101)[None, None, :] + 0.003  # no grid point on the kink of relu
    gamma = np.random.default_rng(0).normal(size=z.shape)
    sigma, slope = reference.ACTIVATIONS[name]
    activation = ACTIVATIONS[name]
    ns = namespace(xp.asarray(z))
    s = activation.value(ns, xp.asarray(z), xp.zeros_like(xp.asarray(z)))
    np.testing.assert_allclose(to_host(s), sigma(z), atol=1e-15)
    found = activation.transposed(ns, s, xp.asarray(gamma), xp.zeros_like(s))
    np.testing.assert_allclose(to_host(found), slope(z) * gamma, atol=1e-14)


@pytest.mark.parametrize("name", ["tanh", "softplus", "relu"])
def test_activations_are_finite_and_flat_far_out(name):
    z = np.array([[[-1e300, -750.0, 750.0]]])
    s = ACTIVATIONS[name].value(host, z, np.empty_like(z))
    assert np.isfinite(s).all()
    slope = ACTIVATIONS[name].transposed(host, s, np.ones_like(s), np.empty_like(s))
    np.testing.assert_array_equal(slope[0, 0], [0, 0, 0 if name == "tanh" else 1])


def test_not_a_number_stays_one():
    # A hidden NaN would turn a diverged trial into an accepted one.
    for activation in ACTIVATIONS.values():
        assert np.isnan(activation.value(host, np.array([np.nan]), np.empty(1))).all()


def test_field_and_its_transposed_derivatives(xp):
    rng = np.random.default_rng(1)
    K, b = rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3))
    y, gamma = rng.normal(size=(1, 3, 5)), rng.normal(size=(2, 3, 5))  # one input, two members
    field = AffineField(ACTIVATIONS["tanh"])
    K_, b_, y_, gamma_ = map(xp.asarray, (K, b, y, gamma))
    scratch = Scratch(K_)
    F = field.value(y_, K_, b_, scratch, "F")
    np.testing.assert_allclose(to_host(F), np.tanh(K @ y + b[:, :, None]), atol=1e-15)
    G_ = field.scaled(F, gamma_, scratch)
    JtG = field.transposed(K_, G_, scratch, 0)
    dK, db = field.gradient(y_, G_, scratch)
    slope = field.slope(F, scratch)
    for k in range(2):
        G = (1 - np.tanh(K[k] @ y[0] + b[k][:, None]) ** 2) * gamma[k]
        np.testing.assert_allclose(to_host(JtG)[k], K[k].T @ G, atol=1e-14)
        np.testing.assert_allclose(to_host(slope)[k] * gamma[k], G, atol=1e-14)
        np.testing.assert_allclose(to_host(dK)[k], G @ y[0].T, atol=1e-14)
        np.testing.assert_allclose(to_host(db)[k], G.sum(1), atol=1e-14)
