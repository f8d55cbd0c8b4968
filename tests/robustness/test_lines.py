"""Lines above and below activations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode.engine.activations import ACTIVATIONS
from skode.robustness._lines import lines_of, lines_of_clipping
from skode.robustness._unrolled import activated


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(
    low=st.floats(-30, 30) | st.floats(-3, 3),
    width=st.floats(0, 60) | st.floats(0, 4) | st.sampled_from([0.0, 1e-12, 1e-7, 1e-6, 1e-5]),
)
def test_activations_stay_between_their_lines(name, low, width):
    ends = np.full((1, 2), low), np.full((1, 2), low + width)
    lines = lines_of(ACTIVATIONS[name], *ends)
    x = np.linspace(*ends, 201)
    sigma = activated(ACTIVATIONS[name], x)
    below = lines.lower_slope * x + lines.lower_at
    above = lines.upper_slope * x + lines.upper_at
    assert (below <= sigma).all()
    assert (sigma <= above).all()
    # And they are not far apart: on narrow intervals they are the function.
    assert (above - below <= (1 + 1e-9) * width + 1e-10).all()


def test_lines_on_one_side_of_a_kink_are_the_function():
    low, high = np.array([[1.0, -2.0]]), np.array([[3.0, -1.0]])
    lines = lines_of(ACTIVATIONS["relu"], low, high)
    np.testing.assert_array_equal(lines.lower_slope, [[1, 0]])
    np.testing.assert_array_equal(lines.upper_slope, [[1, 0]])
    np.testing.assert_allclose(lines.lower_at, 0, atol=1e-11)


def test_lines_of_tanh_touch_it():
    lines = lines_of(ACTIVATIONS["tanh"], np.full((1, 1), -1.0), np.full((1, 1), 3.0))
    x = np.linspace(-1, 3, 100_001)
    gap = lines.upper_slope[0] * x + lines.upper_at[0] - np.tanh(x)
    assert 0 <= gap.min() <= 1e-9  # where the tangent touches
    assert abs(gap[0]) < 1e-6  # and at the end
    gap = np.tanh(x) - lines.lower_slope[0] * x - lines.lower_at[0]
    assert 0 <= gap.min() <= 1e-9


@given(
    bottom=st.floats(-2, 2) | st.just(-np.inf),
    length=st.floats(0.01, 3) | st.just(np.inf),
    low=st.floats(-4, 4),
    width=st.floats(0, 5),
)
def test_clipping_stays_between_its_lines(bottom, length, low, width):
    top = np.inf if np.isinf(bottom) else bottom + length
    lines = lines_of_clipping(
        np.array([bottom]), np.array([top]), np.array([[low]]), np.array([[low + width]])
    )
    x = np.linspace(low, low + width, 201)[:, None]
    clipped = np.clip(x, bottom, top)
    assert (lines.lower_slope * x + lines.lower_at <= clipped).all()
    assert (clipped <= lines.upper_slope * x + lines.upper_at).all()
    if bottom <= low and low + width <= top and width:
        np.testing.assert_allclose([lines.lower_slope, lines.upper_slope], 1)
