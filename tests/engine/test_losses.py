import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skode.engine.arrays import quiet
from skode.engine.losses import LOSSES, SMOOTHING, loss_named
from tests import reference
from tests.engine.everywhere import on
from tests.engine.problems import REGRESSION


def outputs_and_targets(loss):
    rng = np.random.default_rng(0)
    q = 1 if loss == "logistic" else 3
    z = rng.normal(size=(2, q, 6)) * 3
    label = rng.integers(0, max(q, 2), 6)
    c = (label == 1)[None, :] if q == 1 else label == np.arange(q)[:, None]
    c = c.astype(float)[None]
    if loss in REGRESSION:
        c = 2 * rng.normal(size=(1, q, 6))
    if loss == "poisson":
        c = np.abs(c)
    if loss == "quantile":  # some errors on the smooth part, and at its ends
        z[0, 0] = c[0, 0] + SMOOTHING * np.array([-1.5, -1, -0.3, 0, 0.7, 1])
    return z, c


@pytest.mark.parametrize("loss", LOSSES)
def test_value_against_the_textbook_and_derivative_against_complex_steps(loss, xp):
    z, c = outputs_and_targets(loss)
    named = loss_named(loss, reference.QUANTILE)
    value, derivative = on(xp, named.value_and_derivative)(xp, z, c)
    for k in range(2):
        expected = reference.LOSSES[loss](z[k], c[0])
        np.testing.assert_allclose(value[k], expected, rtol=1e-13)
        for q in range(z.shape[1]):
            varied = z[k].astype(complex)
            varied[q] += 1e-40j
            expected = reference.LOSSES[loss](varied, c[0]).imag / 1e-40
            np.testing.assert_allclose(derivative[k, q], expected, atol=1e-14)


@pytest.mark.parametrize(
    ("loss", "q"),
    [("logistic_squared", 1), ("logistic_squared", 3), ("logistic", 1), ("softmax", 3)],
)
@given(data=st.data())
def test_probabilities_sum_to_one_far_out_too(xp, loss, q, data):
    z = data.draw(arrays(float, (2, q, 3), elements=st.floats(-1e4, 1e4)))
    log_proba = on(xp, LOSSES[loss].log_proba)(xp, z)
    assert log_proba.shape == (2, max(q, 2), 3)
    assert np.isfinite(log_proba).all()
    np.testing.assert_allclose(np.exp(log_proba).sum(1), 1, rtol=1e-12)


def test_regression_targets_have_no_probabilities():
    # The estimators distinguish classes from numbers by this.
    assert [name for name, loss in LOSSES.items() if loss.log_proba is None] == REGRESSION


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_do_not_overflow(loss, xp):
    far = 700.0 if loss == "poisson" else 1e8  # exp z has to be finite
    z = np.array([[[far], [-far]]])[:, : 1 if loss == "logistic" else 2]
    c = np.array([[[0.0], [1.0]]])[:, : z.shape[1]]
    value, derivative = on(xp, LOSSES[loss].value_and_derivative)(xp, z, c)
    assert np.isfinite(value).all()
    assert np.isfinite(derivative).all()


@pytest.mark.parametrize(
    ("loss", "q"),
    [("logistic_squared", 1), ("logistic_squared", 3), ("logistic", 1), ("softmax", 3)],
)
def test_members_together_say_the_mean_of_their_probabilities(loss, q, xp):
    for members in (1, 3):
        z = np.random.default_rng(0).normal(size=(members, q, 5)) * 3
        found = on(xp, LOSSES[loss].mean)(xp, z)
        assert found.shape == (max(q, 2), 5)
        proba = np.exp(on(xp, LOSSES[loss].log_proba)(xp, z))
        np.testing.assert_allclose(np.exp(found), proba.mean(axis=0), rtol=1e-13)


@pytest.mark.parametrize("loss", REGRESSION)
def test_members_predict_their_mean_in_regression(loss, xp):
    z = np.random.default_rng(0).normal(size=(3, 2, 5))
    found = on(xp, LOSSES[loss].mean)(xp, z)
    expected = (np.exp(z) if loss == "poisson" else z).mean(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=1e-15)


def adjoint_of_mean(loss, xp, z, weights, g):
    return loss.mean_and_adjoint(xp, z, weights)[1](g)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_adjoint_of_the_mean_prediction(loss, outputs, xp):
    rng = np.random.default_rng(0)
    z, weights = 2 * rng.normal(size=(2, outputs, 6)), np.array([0.3, 0.7])
    rows = on(xp, LOSSES[loss].mean)(xp, z, weights)
    np.testing.assert_allclose(rows, reference.together(loss, z, weights), rtol=1e-13, atol=1e-15)
    g = rng.normal(size=rows.shape)
    found = on(xp, adjoint_of_mean)(LOSSES[loss], xp, z, weights, g)
    for k in range(2):
        for q in range(outputs):
            varied = z.astype(complex)
            varied[k, q] += 1e-40j
            expected = (g * reference.together(loss, varied, weights)).sum(0).imag / 1e-40
            np.testing.assert_allclose(found[k, q], expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("loss", "q"), [("logistic_squared", 3), ("logistic", 2), ("softmax", 3)])
def test_the_adjoint_does_not_overflow_far_out(loss, q, xp):
    z = np.array([1e4, -1e4, 3e3])[:q, None] * np.array([1.0, -1.0])[:, None, None]
    g = np.ones((2 * q if loss == "logistic" else q, 1))
    found = on(xp, adjoint_of_mean)(LOSSES[loss], xp, z, np.array([0.5, 0.5]), g)
    assert np.isfinite(found).all()


def test_where_an_exponential_overflows_all_together_are_not_a_number(xp):
    z = np.zeros((3, 1, 2))
    z[1, 0, 1] = 1000.0
    with quiet():
        found = on(xp, LOSSES["poisson"].mean)(xp, z)
    np.testing.assert_array_equal(np.isnan(found), [[False, True]])


def test_labels_are_independent_of_each_other(xp):
    rng = np.random.default_rng(0)
    z, c = 3 * rng.normal(size=(2, 3, 6)), rng.integers(0, 2, size=(1, 3, 6)).astype(float)
    loss = LOSSES["logistic"]
    value, derivative = on(xp, loss.value_and_derivative)(xp, z, c)
    found, weights = on(xp, loss.mean)(xp, z, np.array([0.3, 0.7])), np.array([0.3, 0.7])
    assert found.shape == (6, 6)
    values = []
    for k in range(3):
        one = slice(k, k + 1)
        v, d = on(xp, loss.value_and_derivative)(xp, z[:, one], c[:, one])
        values.append(v)
        np.testing.assert_allclose(derivative[:, one], d / 3, rtol=1e-13)
        alone = on(xp, loss.mean)(xp, z[:, one], weights)
        np.testing.assert_allclose(found[[k, 3 + k]], alone, rtol=1e-13)
    np.testing.assert_allclose(value, np.mean(values, axis=0), rtol=1e-13)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_the_quantile_loss_is_the_pinball_loss_but_for_small_errors(quantile, xp):
    errors = SMOOTHING * np.array([-100, -2, -1, -0.5, 0, 0.5, 1, 2, 100])
    z, c = -errors[None, None], np.zeros((1, 1, len(errors)))
    loss = loss_named("quantile", quantile)
    value, derivative = on(xp, loss.value_and_derivative)(xp, z, c)
    pinball = np.where(errors >= 0, quantile * errors, (quantile - 1) * errors)
    exact = np.abs(errors) >= SMOOTHING
    np.testing.assert_allclose(value[0, exact], pinball[exact], rtol=1e-13)
    assert (value[0] - pinball > 0)[~exact].all()
    assert (value[0] - pinball <= SMOOTHING / 4).all()
    expected = np.where(errors >= 0, -quantile, 1 - quantile)
    np.testing.assert_allclose(derivative[0, 0, exact], expected[exact], rtol=1e-13)
    assert (np.diff(derivative[0, 0]) <= 0).all()  # convex


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_the_minimum_of_the_quantile_loss_is_the_quantile(quantile):
    # For samples of a normal distribution that is at least a hundred times as wide as the smooth
    # part of the loss.  Smoothing then changes the share of samples below by at most 1e-3.
    c = np.random.default_rng(0).normal(size=(1, 1, 20_001))
    loss, low, high = loss_named("quantile", quantile), -3.0, 3.0
    for _ in range(50):
        z = (low + high) / 2
        _, derivative = loss.value_and_derivative(np, np.full_like(c, z), c)
        low, high = (z, high) if derivative.sum() < 0 else (low, z)
    assert (c < z).mean() == pytest.approx(quantile, abs=1e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_of_members_are_those_of_a_mean(loss, xp):
    z = np.random.default_rng(0).normal(size=(3, 1 if loss == "logistic" else 2, 5))
    weights = np.array([0.5, 0.2, 0.3])
    found = on(xp, LOSSES[loss].mean)(xp, z, weights)
    alone = np.stack([on(xp, LOSSES[loss].mean)(xp, z[k : k + 1]) for k in range(3)])
    if loss not in REGRESSION:
        found, alone = np.exp(found), np.exp(alone)
    expected = np.tensordot(weights, alone, axes=1)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("loss", ["logistic_squared", "logistic", "softmax"])
def test_the_logarithm_of_a_mean_probability_that_underflows_is_right(loss, xp):
    # exp(-1000) is zero in floating point; its logarithm is not.
    q = 1 if loss == "logistic" else 2
    z = np.repeat([[[1000.0], [0.0]]], 2, axis=0)[:, :q]
    found = on(xp, LOSSES[loss].mean)(xp, z)
    # Two independent logistic outputs, 1 and ½, are normalised to the sum one.
    expected = {"logistic": -1000, "softmax": -1000, "logistic_squared": np.log(1 / 3)}[loss]
    np.testing.assert_allclose(found.min(), expected, rtol=1e-13)


@pytest.mark.parametrize("loss", LOSSES)
def test_where_a_member_is_not_finite_all_together_are_not_a_number(loss, xp):
    for bad in (np.nan, np.inf, -np.inf):
        z = np.zeros((3, 1 if loss == "logistic" else 2, 4))
        z[1, 0, 2] = bad
        with quiet():
            found = on(xp, LOSSES[loss].mean)(xp, z)
        expected = np.broadcast_to(np.arange(4) == 2, found.shape)
        np.testing.assert_array_equal(np.isnan(found), expected)


@pytest.mark.parametrize("loss", ["logistic_squared", "logistic", "softmax"])
def test_no_probability_is_larger_than_one(loss, xp):
    q = 1 if loss == "logistic" else 3
    z = np.random.default_rng(0).normal(30, 3, size=(24, q, 50))
    for n_members in range(1, 25):
        weights = np.full(n_members, 1 / n_members)
        assert (on(xp, LOSSES[loss].mean)(xp, z[:n_members], weights) <= 0).all()


def test_single_precision_stays(xp):
    for name, loss in LOSSES.items():
        z = np.zeros((2, 1 if name == "logistic" else 2, 4), np.float32)
        assert on(xp, loss.mean)(xp, z).dtype == np.float32
        for part in on(xp, loss.value_and_derivative)(xp, z, z[:1]):
            assert part.dtype == np.float32
