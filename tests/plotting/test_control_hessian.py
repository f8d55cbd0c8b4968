"""The spectra of the Hessians."""

import numpy as np
import pytest

from skode import ODENetClassifier
from skode.inspection import ControlHessian, control_hessian
from skode.plotting import ControlHessianDisplay
from tests.estimators import short
from tests.plotting.models import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_spectra_of_the_hessian():
    X, y = fitted()[1:]
    parameters = {"N": 3, "n_channels": 2, "max_iter": 5, "n_restarts": 3}
    for constraint, number in ((None, 6), ("sphere", 4), ("orthogonal", 3)):
        model = short(ODENetClassifier, constraint=constraint, **parameters).fit(X, y)
        display = ControlHessianDisplay.from_estimator(model, X, y)
        found = control_hessian(model, X, y)
        assert len(display.lines_) == 3
        for k, line in enumerate(display.lines_):
            np.testing.assert_array_equal(line.get_xdata(), np.arange(1, number + 1))
            size = np.sort(np.abs(found.spectrum[:, k]), axis=1)[:, ::-1]
            expected = np.median(size / size[:, :1], axis=0)
            np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-12)
        assert display.ax_.get_yscale() == "log"
    assert set(display.near_line_.get_ydata()) == {1e-6}
    labels = [text.get_text() for text in display.legend_.get_texts()]
    assert labels == ["layer 1", "layer 2", "layer 3", "near zero below"]
    with_penalty = ControlHessianDisplay.from_estimator(model, X, y, alpha=0.5, legend=False)
    assert with_penalty.legend_ is None
    added = with_penalty.hessian.blocks - found.blocks
    np.testing.assert_allclose(added, np.broadcast_to(np.diag([0.5, 0.5, 0]), added.shape))
    again = ControlHessianDisplay(hessian=found).plot(name="Mine", line_kw={"lw": 3}, cmap="plasma")
    assert again.lines_[0].get_linewidth() == 3
    assert again.ax_.get_title(loc="left") == "Mine"


def test_eigenvalues_that_are_zero_lie_at_the_lower_end():
    values = np.array([[[0.0, 0.5, -1.0]], [[0.0, 0.0, 0.0]]])
    hessian = ControlHessian(np.zeros((2, 1, 1, 3, 3)), values, None, None)
    (line,) = ControlHessianDisplay(hessian=hessian).plot().lines_
    np.testing.assert_allclose(line.get_ydata(), [0.5, 0.25, 1e-16])
