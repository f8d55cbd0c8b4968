"""The candidates that a fit has tried."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from skode import ODENetClassifier
from skode.datasets import make_donut2d
from skode.plotting import CandidatesDisplay, TrajectoryDisplay

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_candidates(ensemble):
    model, *_ = ensemble
    display = CandidatesDisplay.from_estimator(model)
    weights = model.candidates_["weight"]
    for k in range(3):
        losses = model.validation_loss_[k].ravel()
        np.testing.assert_allclose(display.points_[k].get_offsets()[:, 0], losses)
        (mean,) = display.means_[k].get_xdata()
        assert mean == pytest.approx(losses.mean())
        hollow = to_rgba(display.means_[k].get_markerfacecolor()) == to_rgba("white")
        assert hollow == (weights[k] == 0)
    assert len(display.lines_) == 8
    np.testing.assert_allclose(display.lines_[3].get_xdata(), model.validation_loss_[:, 1, 1])
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels[0].startswith("alpha=0.001\n")
    assert labels[2] == "alpha=10\ndoes not count"
    shown = [f"{w:.2g}" for w in weights if w]
    assert [label.split("weight ")[1] for label in labels if "weight" in label] == shown


def test_views_of_the_features_are_named():
    X, y = make_donut2d(200, random_state=0)
    model = ODENetClassifier(alpha=[1e-2], cv=2, n_channels=4, max_iter=5, random_state=0).fit(X, y)
    labels = [t.get_text() for t in CandidatesDisplay.from_estimator(model).ax_.get_yticklabels()]
    assert [label.split("\n")[0] for label in labels] == [
        "given, alpha=0.01",
        "piecewise, alpha=0.01",
    ]
    names = {"given": "", "piecewise": "pieces of the features, "}
    for k, features in enumerate(model.network_features_):
        title = TrajectoryDisplay.from_estimator(model, X, y, network=k).ax_.get_title(loc="left")
        assert title.startswith(f"network={k} of {len(model.K_)}, {names[features]}weight")
