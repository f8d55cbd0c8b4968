import numpy as np
import pytest

from skode.engine.arrays import host, namespace, to_host
from skode.engine.fields import ACTIVATIONS, AffineField
from tests import reference


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_derivative_from_the_value(name, xp):
    z = np.linspace(-5, 5, 101)[None, None, :] + 0.003  # no grid point on the kink of relu
    sigma, slope = reference.ACTIVATIONS[name]
    activation = ACTIVATIONS[name]
    ns = namespace(xp.asarray(z))
    s = activation.value(ns, xp.asarray(z), xp.zeros_like(xp.asarray(z)))
    np.testing.assert_allclose(to_host(s), sigma(z), atol=1e-15)
    found = activation.slope(ns, s, xp.zeros_like(s))
    np.testing.assert_allclose(to_host(found), slope(z), atol=1e-14)
    # In place of the values, as the engine asks for it, it is the same.
    np.testing.assert_array_equal(to_host(activation.slope(ns, s, s)), to_host(found))


@pytest.mark.parametrize("name", ["tanh", "softplus", "relu"])
def test_activations_are_finite_and_flat_far_out(name):
    z = np.array([[[-1e300, -750.0, 750.0]]])
    s = ACTIVATIONS[name].value(host, z, np.empty_like(z))
    assert np.isfinite(s).all()
    slope = ACTIVATIONS[name].slope(host, s, np.empty_like(s))
    np.testing.assert_array_equal(slope[0, 0], [0, 0, 0 if name == "tanh" else 1])


def test_not_a_number_stays_one():
    # A hidden NaN would turn a diverged trial into an accepted one.
    for activation in ACTIVATIONS.values():
        assert np.isnan(activation.value(host, np.array([np.nan]), np.empty(1))).all()


def test_field_with_the_bias_apart_and_as_a_column(xp):
    rng = np.random.default_rng(1)
    K, b, y = rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3)), rng.normal(size=(2, 3, 5))
    field = AffineField(ACTIVATIONS["tanh"])
    K_b = np.concatenate([K, b[:, :, None]], axis=2)
    y_1 = np.concatenate([y, np.ones((2, 1, 5))], axis=1)
    ns = namespace(xp.asarray(K))
    expected = np.tanh(K @ y + b[:, :, None])
    apart = field.value(ns, xp.asarray(y), xp.asarray(K), xp.asarray(b))
    as_column = field.value(ns, xp.asarray(y_1), xp.asarray(K_b))
    np.testing.assert_allclose(to_host(apart), expected, atol=1e-15)
    np.testing.assert_allclose(to_host(as_column), expected, atol=1e-15)
    np.testing.assert_allclose(to_host(field.slope(ns, apart)), 1 - expected**2, atol=1e-15)
