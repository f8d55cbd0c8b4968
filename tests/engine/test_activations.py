import numpy as np
import pytest

from skode.engine.activations import ACTIVATIONS
from skode.engine.arrays import quiet
from tests import reference
from tests.engine.everywhere import on


def test_the_plain_reference_has_all_activations():
    assert reference.ACTIVATIONS.keys() == ACTIVATIONS.keys()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_derivative_from_the_value(name, xp):
    sigma, derivative = reference.ACTIVATIONS[name]
    for channels in (1, 2, 3):
        # No grid point is at the kink of relu.
        z = np.linspace(-5, 5, 303).reshape(1, 3, 101)[:, :channels, :] + 0.003
        s = on(xp, ACTIVATIONS[name].value)(xp, z)
        np.testing.assert_allclose(s, sigma(z), atol=1e-15)
        found = on(xp, ACTIVATIONS[name].derivative)(xp, s)
        np.testing.assert_allclose(found, derivative(z), atol=1e-14)
        assert found.min() >= 0
        assert found.max() <= 1


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_second_derivative_from_the_value(name, xp):
    _, derivative = reference.ACTIVATIONS[name]
    for channels in (1, 2, 3):
        z = np.linspace(-5, 5, 303).reshape(1, 3, 101)[:, :channels, :] + 0.003
        s = on(xp, ACTIVATIONS[name].value)(xp, z)
        found = on(xp, ACTIVATIONS[name].second_derivative)(xp, s)
        expected = np.imag(derivative(z + 1e-30j)) / 1e-30
        np.testing.assert_allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_stages_side_by_side_are_treated_the_same(name, xp):
    # Implicit schemes have the stages on an axis between channels and samples.
    z = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    activation = ACTIVATIONS[name]
    s = on(xp, activation.value)(xp, z)
    derivative = on(xp, activation.derivative)(xp, s)
    for j in range(4):
        alone = on(xp, activation.value)(xp, z[:, :, j])
        np.testing.assert_allclose(s[:, :, j], alone, rtol=1e-14)
        alone = on(xp, activation.derivative)(xp, alone)
        np.testing.assert_allclose(derivative[:, :, j], alone, rtol=1e-14)


@pytest.mark.parametrize("name", ["tanh", "softplus", "relu", "mixed"])
def test_activations_are_finite_and_flat_far_out(name, xp):
    z = np.full((1, 2, 3), [-1e300, -750.0, 750.0])
    s = on(xp, ACTIVATIONS[name].value)(xp, z)
    assert np.isfinite(s).all()
    derivative = on(xp, ACTIVATIONS[name].derivative)(xp, s)
    np.testing.assert_array_equal(derivative[0, 0], [0, 0, 0 if name in ("tanh", "mixed") else 1])
    np.testing.assert_array_equal(derivative[0, 1], [0, 0, 0 if name == "tanh" else 1])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_not_a_number_stays_one(name, xp):
    # A hidden NaN would turn a diverged trial into an accepted one.
    z = np.full((1, 2, 1), np.nan)
    with quiet():
        assert np.isnan(on(xp, ACTIVATIONS[name].value)(xp, z)).all()


def test_the_precision_stays(xp):
    for activation in ACTIVATIONS.values():
        for dtype in (np.float32, np.float64):
            s = on(xp, activation.value)(xp, np.ones((1, 2, 1), dtype))
            assert s.dtype == on(xp, activation.derivative)(xp, s).dtype == dtype
