import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

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
def test_value_against_the_textbook_and_slope_against_complex_steps(loss, xp):
    z, c = outputs_and_targets(loss)
    value, slope = on(xp, LOSSES[loss].value_and_slope)(xp, z, c)
    for k in range(2):
        expected = reference.LOSSES[loss](z[k], c[0])
        np.testing.assert_allclose(value[k], expected, rtol=1e-13)
        for q in range(z.shape[1]):
            moved = z[k].astype(complex)
            moved[q] += 1e-40j
            derivative = reference.LOSSES[loss](moved, c[0]).imag / 1e-40
            np.testing.assert_allclose(slope[k, q], derivative, atol=1e-14)


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
    value, slope = on(xp, LOSSES[loss].value_and_slope)(xp, z, c)
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
