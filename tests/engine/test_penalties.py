import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skode.engine.controls import Layout, refined
from skode.engine.penalties import Penalties
from tests import reference
from tests.engine.everywhere import on


def penalty(xp, layout, flat, alpha, *smooth):
    """The penalties of all members, and the named parts of their gradient."""
    squared = layout.mask(("K", "W", "V"), like=flat).astype(flat.dtype)
    value_and_gradient = on(xp, Penalties.value_and_gradient)
    value, gradient = value_and_gradient(Penalties(alpha, *smooth), layout, squared, flat)
    assert value.dtype == np.float64
    assert gradient.dtype == flat.dtype
    return value, layout.views(gradient)


def test_l2_counts_the_weights_and_no_bias(xp):
    layout = Layout(2, 3, 2)
    flat = np.random.default_rng(0).normal(size=(2, layout.size))
    alpha = np.array([0.5, 0.0])
    U = layout.views(flat)
    value, gradient = penalty(xp, layout, flat, alpha)
    expected = 0.25 * ((U.K[0] ** 2).sum() + (U.W[0] ** 2).sum())
    np.testing.assert_allclose(value, [expected, 0], rtol=1e-14)
    np.testing.assert_allclose(gradient.K, alpha[:, None, None, None] * U.K)
    np.testing.assert_allclose(gradient.W, alpha[:, None, None] * U.W)
    for part in (gradient.b, gradient.h, gradient.mu):
        assert not part.any()


def test_l2_counts_the_lift_and_not_its_bias(xp):
    layout = Layout(2, 3, 2, lifted=4)
    flat = np.random.default_rng(0).normal(size=(2, layout.size))
    alpha = np.array([0.5, 2.0])
    value, gradient = penalty(xp, layout, flat, alpha)
    for k in range(2):
        U = reference.member(layout, flat[k])
        np.testing.assert_allclose(value[k], reference.penalties(U, alpha[k]), rtol=1e-14)
        np.testing.assert_allclose(gradient.V[k], alpha[k] * U.V)
    assert not gradient.nu.any()


@given(st.integers(1, 5), st.floats(0.1, 3), st.floats(0.1, 3))
def test_smoothness_is_the_sum_over_neighbouring_layers(xp, N, beta, h):
    layout = Layout(N, 2, 1)
    flat = np.random.default_rng(N).normal(size=(2, layout.size))
    value, _ = penalty(xp, layout, flat, np.zeros(2), beta, h)
    for k in range(2):
        expected = reference.penalties(reference.member(layout, flat[k]), 0.0, (beta, h))
        np.testing.assert_allclose(value[k], expected, rtol=1e-13)


def test_smoothness_is_nothing_for_constant_controls_and_does_not_move_their_mean(xp):
    layout = Layout(4, 3, 2)
    flat = np.random.default_rng(0).normal(size=(2, layout.size))
    _, gradient = penalty(xp, layout, flat, np.zeros(2), 0.7, 0.5)
    for part in (gradient.K, gradient.b):  # the pulls of two neighbours are equal and opposite
        assert np.abs(part).max() > 0.1
        np.testing.assert_allclose(part.sum(axis=1), 0, atol=1e-13)
    one_layer = Layout(1, 3, 2)
    constant = refined(one_layer.views(flat[:, : one_layer.size]), 4)
    value, gradient = penalty(xp, layout, layout.flatten(constant), np.zeros(2), 0.7, 0.5)
    assert not value.any()
    assert not any(part.any() for part in gradient if part is not None)


def test_some_of_the_members(xp):
    host = Penalties(np.array([0.1, 0.2, 0.3]), 0.5, 2.0)
    assert host.of(None) is host
    some = on(xp, Penalties.of)(host, np.array([2, 0]))
    np.testing.assert_array_equal(some.alpha, [0.3, 0.1])
    assert some[1:] == host[1:]


def test_single_precision_stays_and_is_added_up_in_double(xp):
    layout = Layout(2, 3, 2)
    flat = np.random.default_rng(0).normal(size=(2, layout.size)).astype(np.float32)
    alpha = np.array([0.5, 0.0], dtype=np.float32)
    value, _ = penalty(xp, layout, flat, alpha, 0.7, 0.5)
    for k in range(2):
        U = reference.member(layout, flat[k].astype(float))
        expected = reference.penalties(U, float(alpha[k]), (0.7, 0.5))
        np.testing.assert_allclose(value[k], expected, rtol=1e-6)
