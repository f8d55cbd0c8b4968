"""The steps of the layers."""

import numpy as np
import pytest

from skode import FeedForwardClassifier
from skode.plotting import StepSizeDisplay
from tests.estimators import short
from tests.plotting.models import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_step_sizes():
    model = short(FeedForwardClassifier, h=0.8, learn_step=True, max_iter=20)
    model.fit(*fitted()[1:])
    display = StepSizeDisplay.from_estimator(model)
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), model.h_[0])
    assert set(display.start_line_.get_ydata()) == {0.8}
    assert display.ax_.get_xlabel() == "layer"
    assert display.ax_.get_ylabel() == "step h"
    assert display.band_ is None
    assert not display.zeros_
    # The start is the value during the fit, not a parameter that was set later; aliases work.
    again = StepSizeDisplay.from_estimator(model.set_params(h=99.0), line_kw={"ls": "-", "lw": 3})
    assert set(again.start_line_.get_ydata()) == {0.8}
    assert (again.lines_[0].get_linestyle(), again.lines_[0].get_linewidth()) == ("-", 3)


def test_mean_and_range_of_steps_and_zeros():
    h = np.array([[0.0, 0.5, -0.25, 0.0], [0.0, 0.0, 0.75, 1.0]])
    display = StepSizeDisplay(h=h, start=0.5).plot()
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), h.mean(axis=0))
    box = display.band_.get_paths()[0].get_extents()
    np.testing.assert_allclose([box.x0, box.x1, box.y0, box.y1], [0.5, 4.5, -0.25, 1.0])
    in_all, in_some = display.zeros_
    np.testing.assert_array_equal(in_all.get_offsets(), [[1, 0]])
    np.testing.assert_array_equal(in_some.get_offsets(), [[2, 0], [4, 0]])
    assert in_all.get_label() == "exactly zero in all networks (1 of 4 layers)"
    assert in_some.get_label() == "exactly zero in some networks (2 of 4 layers)"
    lines = StepSizeDisplay(h=h, start=0.5).plot(networks="lines").lines_
    np.testing.assert_array_equal([line.get_ydata() for line in lines], h)
    alone = StepSizeDisplay(h=h[:1], start=0.5).plot()
    (zeros,) = alone.zeros_
    assert zeros.get_label() == "exactly zero (2 of 4 layers)"
    with pytest.raises(ValueError, match="networks must be 'band' or 'lines'; got 'all'"):
        alone.plot(networks="all")
