import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skode.engine.arrays import quiet
from skode.engine.losses import LOSSES
from tests import reference
from tests.engine.everywhere import on


def outputs_and_targets(loss):
    rng = np.random.default_rng(0)
    q = 1 if loss == "logistic" else 3
    z = rng.normal(size=(2, q, 6)) * 3
    label = rng.integers(0, max(q, 2), 6)
    c = (label == 1)[None, :] if q == 1 else label == np.arange(q)[:, None]
    c = c.astype(float)[None]
    if loss == "squared":
        c = 2 * rng.normal(size=(1, q, 6))
    return z, c


@pytest.mark.parametrize("loss", LOSSES)
def test_value_against_the_textbook_and_derivative_against_complex_steps(loss, xp):
    z, c = outputs_and_targets(loss)
    value, derivative = on(xp, LOSSES[loss].value_and_derivative)(xp, z, c)
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
    # What the estimators tell classes from numbers by.
    assert [name for name, loss in LOSSES.items() if loss.log_proba is None] == ["squared"]


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_do_not_overflow(loss, xp):
    z = np.array([[[1e8], [-1e8]]])[:, : 1 if loss == "logistic" else 2]
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


def test_members_together_say_the_mean_of_their_outputs_in_regression(xp):
    z = np.random.default_rng(0).normal(size=(3, 2, 5))
    found = on(xp, LOSSES["squared"].mean)(xp, z)
    np.testing.assert_allclose(found, z.mean(axis=0), rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_of_members_are_those_of_a_mean(loss, xp):
    z = np.random.default_rng(0).normal(size=(3, 1 if loss == "logistic" else 2, 5))
    weights = np.array([0.5, 0.2, 0.3])
    found = on(xp, LOSSES[loss].mean)(xp, z, weights)
    alone = np.stack([on(xp, LOSSES[loss].mean)(xp, z[k : k + 1]) for k in range(3)])
    if loss != "squared":
        found, alone = np.exp(found), np.exp(alone)
    expected = np.tensordot(weights, alone, axes=1)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("loss", ["logistic_squared", "logistic", "softmax"])
def test_the_logarithm_of_a_mean_probability_that_underflows_is_right(loss, xp):
    # exp(-1000) is zero in floating point; its logarithm is not.
    q = 1 if loss == "logistic" else 2
    z = np.repeat([[[1000.0], [0.0]]], 2, axis=0)[:, :q]
    found = on(xp, LOSSES[loss].mean)(xp, z)
    # Two independent logistic outputs, 1 and ½, which are made to sum to one.
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
