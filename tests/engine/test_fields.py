import numpy as np
import pytest

from skode.engine.fields import ACTIVATIONS, AffineField
from tests import reference
from tests.engine.everywhere import home, on, there


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_derivative_from_the_value(name, xp):
    z = np.linspace(-5, 5, 101)[None, None, :] + 0.003  # no grid point on the kink of relu
    sigma, slope = reference.ACTIVATIONS[name]
    activation = ACTIVATIONS[name]
    s = on(xp, activation.value)(xp, z)
    np.testing.assert_allclose(s, sigma(z), atol=1e-15)
    found = on(xp, activation.slope)(xp, s, None)
    np.testing.assert_allclose(found, slope(z), atol=1e-14)
    # In place of the arguments, as the engine asks for it where libraries write in place, they are
    # the same.
    space, z_, s_ = there(xp, (xp, z, s))
    z_, s_ = (space.asarray(part, copy=True) for part in (z_, s_))  # that may be written to
    np.testing.assert_array_equal(home(xp, activation.value(space, z_, z_)), s)
    np.testing.assert_array_equal(home(xp, activation.slope(space, s_, s_)), found)


@pytest.mark.parametrize("name", ["tanh", "softplus", "relu"])
def test_activations_are_finite_and_flat_far_out(name, xp):
    z = np.array([[[-1e300, -750.0, 750.0]]])
    s = on(xp, ACTIVATIONS[name].value)(xp, z)
    assert np.isfinite(s).all()
    slope = on(xp, ACTIVATIONS[name].slope)(xp, s, None)
    np.testing.assert_array_equal(slope[0, 0], [0, 0, 0 if name == "tanh" else 1])


def test_not_a_number_stays_one(xp):
    # A hidden NaN would turn a diverged trial into an accepted one.
    for activation in ACTIVATIONS.values():
        assert np.isnan(on(xp, activation.value)(xp, np.array([np.nan]))).all()


def test_field_with_the_bias_apart_and_as_a_column(xp):
    rng = np.random.default_rng(1)
    K, b, y = rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3)), rng.normal(size=(2, 3, 5))
    field = AffineField(ACTIVATIONS["tanh"])
    K_b = np.concatenate([K, b[:, :, None]], axis=2)
    y_1 = np.concatenate([y, np.ones((2, 1, 5))], axis=1)
    expected = np.tanh(K @ y + b[:, :, None])
    apart = on(xp, field.value)(xp, y, K, b)
    as_column = on(xp, field.value)(xp, y_1, K_b)
    np.testing.assert_allclose(apart, expected, atol=1e-15)
    np.testing.assert_allclose(as_column, expected, atol=1e-15)
    np.testing.assert_allclose(on(xp, field.slope)(xp, apart), 1 - expected**2, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_done_in_one_kernel_is_the_same(name, xp):
    rng = np.random.default_rng(2)
    z, b, gamma = (rng.normal(size=shape) for shape in ((2, 3, 5), (2, 3, 1), (2, 3, 5)))
    field = AffineField(ACTIVATIONS[name])
    sigma, slope = reference.ACTIVATIONS[name]
    F = on(xp, field.of_sum)(xp, z, b)
    np.testing.assert_allclose(F, sigma(z + b), atol=1e-15)
    G = on(xp, field.slope_times)(xp, F, gamma)
    np.testing.assert_allclose(G, slope(z + b) * gamma, atol=1e-14)
