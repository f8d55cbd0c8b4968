"""What holds for all displays: layout, documentation, and what they need."""

import inspect
import io
import subprocess
import sys

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc
from sklearn.base import clone

import skode
from skode import ODENetClassifier, ODENetRegressor
from skode.datasets import make_spirals
from skode.plotting import (
    CandidatesDisplay,
    ControlHessianDisplay,
    ControlsDisplay,
    LossCurveDisplay,
    StepSizeDisplay,
    TrajectoryDisplay,
)
from tests.estimators import short
from tests.plotting.models import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def displays(ensemble):
    """Return one of each display, with long names."""
    model, X, y = ensemble
    long = np.array([f"a class with the rather long name number {k}" for k in range(3)])
    named = clone(model).fit(X, long[y])
    yield TrajectoryDisplay.from_estimator(named, X, long[y])
    yield LossCurveDisplay.from_estimator(model, candidates="all", name="Training")
    yield CandidatesDisplay.from_estimator(model)
    yield StepSizeDisplay(h=np.abs(model.b_[:, 0]), start=0.5).plot()
    for kind in ("entries", "image", "norm"):
        yield ControlsDisplay.from_estimator(model, kind=kind)
    yield ControlHessianDisplay.from_estimator(model, X, y, name="Spectra")
    plane, X, y = fitted()
    yield TrajectoryDisplay.from_estimator(plane, X, y)
    target = np.exp(3 * X[:, 0])
    regressor = short(ODENetRegressor, n_channels=2, max_iter=5).fit(X, target)
    yield TrajectoryDisplay.from_estimator(regressor, X, target)


def labels_in_view(axis):
    """Return the tick labels that are drawn."""
    low, high = sorted(axis.get_view_interval())
    ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
    return [label for place, label in ticks if low <= place <= high]


def test_nothing_is_clipped_and_no_legend_covers_data(ensemble):
    for display in displays(ensemble):
        figure, ax = display.figure_, display.ax_
        assert figure.get_layout_engine() is not None
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()
        inside = figure.bbox.padded(1.0)
        every = [*ax.texts, ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label]
        every += [*labels_in_view(ax.xaxis), *labels_in_view(ax.yaxis)] if ax.axison else []
        for other in figure.axes:
            if other is not ax:  # a colour bar
                every += [other.yaxis.label, *labels_in_view(other.yaxis)]
                assert not other.get_window_extent().overlaps(ax.get_window_extent())
        legend = ax.get_legend()
        if legend is not None:
            assert not legend.get_window_extent(renderer).overlaps(ax.get_window_extent())
            every += [legend, *legend.get_texts()]
        for artist in every:
            box = artist.get_window_extent(renderer)
            if artist.get_visible() and box.width:
                assert inside.x0 <= box.x0 <= box.x1 <= inside.x1, artist
                assert inside.y0 <= box.y0 <= box.y1 <= inside.y1, artist
        # The axes take most of the figure.
        assert ax.get_window_extent().width > 0.45 * figure.bbox.width


def test_parameters_and_attributes_are_described(ensemble):
    for display in displays(ensemble):
        cls = type(display)
        assert [part.name for part in ClassDoc(cls)["Parameters"]] == list(
            inspect.signature(cls).parameters
        )
        for method in (cls.from_estimator, display.plot):
            described = [part.name.lstrip("*") for part in FunctionDoc(method)["Parameters"]]
            assert described == list(inspect.signature(method).parameters)
        described = {part.name for part in ClassDoc(cls)["Attributes"]}
        public = {name for name in vars(display) if name.endswith("_")}
        assert described == public


def test_import_works_without_matplotlib_and_drawing_says_what_is_missing():
    code = """
import sys
sys.modules["matplotlib"] = None
from skode import ODENetClassifier
from skode import plotting
for name in plotting.__all__:
    method = getattr(plotting, name).from_estimator
    arguments = {"TrajectoryDisplay": ([[0.0]],), "ControlHessianDisplay": ([[0.0]], [0])}
    arguments = arguments.get(name, ())
    try:
        method(ODENetClassifier(), *arguments)
    except ImportError as error:
        assert f"{name}.from_estimator requires matplotlib" in str(error), error
    else:
        raise AssertionError(name)
try:
    plotting.StepSizeDisplay(h=None, start=1.0).plot()
except ImportError as error:
    assert "StepSizeDisplay.plot requires matplotlib" in str(error), error
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_displays_of_a_saved_model_are_those_of_the_model():
    file = io.BytesIO()
    model = ODENetClassifier(cv=3, scoring="accuracy", max_iter=20, tol=1e-2, random_state=0)
    model.fit(*make_spirals(90, random_state=0))
    skode.save(model, file)
    file.seek(0)
    for cls in (LossCurveDisplay, CandidatesDisplay):
        label = cls.from_estimator(skode.load(file)).ax_.get_ylabel()
        assert label == cls.from_estimator(model).ax_.get_ylabel()
        file.seek(0)
