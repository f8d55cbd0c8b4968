"""The course of training."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from skode import ODENetClassifier
from skode.datasets import make_donut2d
from skode.plotting import CandidatesDisplay, LossCurveDisplay
from tests.plotting.models import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_loss_curves_of_one_network():
    model, *_ = fitted()
    display = LossCurveDisplay.from_estimator(model, line_kw={"linewidth": 2})
    (line,) = display.training_lines_
    np.testing.assert_array_equal(line.get_ydata(), model.loss_curve_[:, 0])
    assert line.get_linewidth() == 2
    assert display.ax_.get_xlabel() == "iteration"
    assert display.ax_.get_ylabel() == "training objective"
    assert display.ax_.get_yscale() == "log"
    assert not display.held_out_lines_
    assert not display.bands_
    (kept,) = display.kept_
    best = model.best_iter_[0]
    np.testing.assert_allclose(kept.get_offsets(), [[best, model.loss_curve_[best, 0]]])
    with pytest.raises(ValueError, match=r"curves='held-out' needs held-out losses.*Set cv"):
        LossCurveDisplay.from_estimator(model, curves="held-out")


def until_the_end(curve):
    """Fill a curve with its last value, by pandas."""
    return pd.DataFrame(curve).ffill(axis=1).to_numpy()


def test_bands_are_the_middle_half_of_the_networks(ensemble):
    model, *_ = ensemble
    display = LossCurveDisplay.from_estimator(model)
    weights = model.candidates_["weight"]
    kept = np.flatnonzero(weights)
    each = model.validation_curve_[kept[0]].reshape(8, -1)
    each = until_the_end(each[:, np.isfinite(each).any(axis=0)])
    line = display.held_out_lines_[0]
    np.testing.assert_allclose(line.get_ydata(), np.median(each, axis=0))
    # Training first, then the held-out samples.
    assert len(display.bands_) == 2 * len(kept)
    vertices = display.bands_[1].get_paths()[0].vertices
    last = vertices[vertices[:, 0] == each.shape[1] - 1][:, 1]
    assert last.min() == pytest.approx(np.quantile(each[:, -1], 0.25))
    assert last.max() == pytest.approx(np.quantile(each[:, -1], 0.75))
    training = until_the_end(model.loss_curve_.T[:8])
    drawn = display.training_lines_[0].get_ydata()
    np.testing.assert_allclose(drawn, np.median(training, axis=0)[: len(drawn)])
    # Each kept iterate is the best one of its network.
    marks = np.concatenate([marks.get_offsets() for marks in display.kept_])
    np.testing.assert_array_equal(marks[:, 0], model.best_iter_)
    np.testing.assert_allclose(marks[:, 1], model.validation_loss_[kept].ravel())
    texts = " ".join(text.get_text() for text in display.legend_.get_texts())
    assert "middle half of 8 networks" in texts.replace("\n", " ")


def test_candidates_and_networks_can_each_have_a_line(ensemble):
    model, *_ = ensemble
    display = LossCurveDisplay.from_estimator(model, candidates="all", networks="lines")
    assert len(display.held_out_lines_) == 24
    assert len(display.training_lines_) == len(model.K_)
    assert not display.bands_
    assert len({to_rgba(line.get_color()) for line in display.held_out_lines_}) == 3
    expected = model.validation_curve_[1, 0, 1]
    np.testing.assert_array_equal(display.held_out_lines_[9].get_ydata(), expected)
    texts = [text.get_text() for text in display.legend_.get_texts()[:3]]
    assert texts[2] == "alpha=10\ndoes not count"
    assert not LossCurveDisplay.from_estimator(model, curves="training").held_out_lines_
    assert not LossCurveDisplay.from_estimator(model, curves="held-out").training_lines_
    for name in ("curves", "candidates", "networks"):
        with pytest.raises(ValueError, match=f"{name} must be one of .*got 'no'"):
            LossCurveDisplay.from_estimator(model, **{name: "no"})


def test_scores_are_drawn_as_scores():
    X, y = make_donut2d(120, random_state=0)
    model = ODENetClassifier(
        scoring="roc_auc",
        alpha=[1e-3, 1e-2],
        cv=3,
        max_iter=15,
        n_channels=6,
        features="given",
        random_state=0,
    )
    model.fit(X, y).set_params(scoring="auto")  # the fitted value is used
    display = LossCurveDisplay.from_estimator(model)
    assert display.ax_.get_ylabel() == "held-out roc_auc"
    assert display.ax_.get_yscale() == "linear"
    assert not display.training_lines_  # another scale
    best = np.concatenate([marks.get_offsets()[:, 1] for marks in display.kept_])
    kept = model.candidates_["weight"] > 0
    np.testing.assert_allclose(best, -model.validation_loss_[kept].ravel())
    assert (best > 0).all()
    display = CandidatesDisplay.from_estimator(model)
    assert display.ax_.get_xlabel() == "held-out roc_auc"
    (mean, *_) = display.means_[0].get_xdata()
    assert mean == pytest.approx(-model.candidates_["validation_loss"][0])


def test_networks_of_a_stream_have_curves():
    X, y = make_donut2d(200, random_state=0)
    model = ODENetClassifier(solver="adam", cv=2, n_channels=4, max_iter=2, tol=0.0, random_state=0)
    model.fit(X, y)
    for _ in range(3):
        model.partial_fit(X, y)
    display = LossCurveDisplay.from_estimator(model)
    assert not display.held_out_lines_
    assert display.training_lines_[0].get_xdata()[-1] == model.network_n_iter_.max()
    with pytest.raises(
        ValueError, match=r"CandidatesDisplay needs held-out losses.*ODENetClassifier"
    ):
        CandidatesDisplay.from_estimator(model)
    fresh = ODENetClassifier(solver="adam", n_restarts=2, n_channels=4).partial_fit(X, y, [0, 1])
    assert len(LossCurveDisplay.from_estimator(fresh).training_lines_) == 1
