import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor
from skode.inspection import trajectories
from skode.plotting import LossCurveDisplay, StepSizeDisplay, TrajectoryDisplay
from tests.estimators import curve, short
from tests.namespaces import NAMESPACES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def fitted(n_features=2, n_classes=2, **parameters):
    X, y = make_blobs(50, n_features, centers=n_classes, random_state=0)
    X /= X.std()
    labels = np.array(["a", "b", "c"])[y]
    options = {"n_channels": n_features, "max_iter": 20, "learn_step": True, **parameters}
    return short(ODENetClassifier, **options).fit(X, labels), X, labels


def test_networks_of_another_library_are_drawn_alike():
    away = NAMESPACES["strict-device1"]()
    model, X, labels = fitted()
    y = np.unique(labels, return_inverse=True)[1]
    there = clone(model).fit(away.asarray(X), away.asarray(y))
    assert away.holds(there.K_)
    display = TrajectoryDisplay.from_estimator(there, away.asarray(X))
    expected = TrajectoryDisplay.from_estimator(model, X)
    np.testing.assert_allclose(display.states, expected.states, atol=1e-9)
    np.testing.assert_allclose(display.W, expected.W, atol=1e-9)
    assert set(np.unique(display.labels)) == {0, 1}
    for kind in (LossCurveDisplay, StepSizeDisplay):
        (line, *_), (wanted, *_) = (kind.from_estimator(m).lines_ for m in (there, model))
        np.testing.assert_allclose(line.get_ydata(), wanted.get_ydata(), atol=1e-9)


def test_two_channels_are_drawn_as_they_are():
    model, X, y = fitted()
    display = TrajectoryDisplay.from_estimator(model, X, y)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("channel 1", "channel 2")
    states = trajectories(model, X)[0]
    for name, lines, points in zip("ab", display.paths_, display.points_, strict=True):
        assert points.get_label() == name
        np.testing.assert_allclose(points.get_offsets(), states[-1][y == name])
        segments = np.array(lines.get_segments())
        np.testing.assert_allclose(segments, np.swapaxes(states[:, y == name], 0, 1))
    assert display.figure_ is display.ax_.figure


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_regions_are_the_decisions_of_the_readout(n_classes):
    model, X, _ = fitted(n_classes=n_classes)
    display = TrajectoryDisplay.from_estimator(model, X)
    surface = display.surface_
    final = trajectories(model, X)[0, -1]
    for sample, label in zip(final, model.predict(X), strict=True):
        k = list(model.classes_).index(label)
        # The regions are drawn from a grid: right up to its spacing at a boundary.
        inside = [path.contains_point(sample, radius=1e-2) for path in surface.get_paths()]
        assert inside[k]
    expected = [to_rgba(plt.colormaps["tab10"](k)) for k in range(n_classes)]
    found = [points.get_facecolor()[0] for points in display.points_]
    np.testing.assert_allclose(found, expected)


def test_more_channels_are_drawn_by_principal_components_and_the_figure_says_so():
    model, X, y = fitted(n_features=3, n_classes=3, n_channels=5)
    display = TrajectoryDisplay.from_estimator(model, X, y)
    assert "principal component 1 of 5 channels" in display.ax_.get_xlabel()
    assert "principal component 2 of 5 channels" in display.ax_.get_ylabel()
    assert "% of variance" in display.ax_.get_xlabel()
    # An independent projection: coordinates along the leading eigenvectors of the covariance.
    states = trajectories(model, X)[0]
    centred = (states - states.mean((0, 1))).reshape(-1, 5)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    expected = (states[-1] - states[-1].mean(0)) @ vectors[:, ::-1][:, :2]
    found = np.concatenate([points.get_offsets() for points in display.points_])
    order = np.concatenate([np.flatnonzero(y == name) for name in "abc"])
    np.testing.assert_allclose(np.abs(found), np.abs(expected[order]), atol=1e-10)


def test_one_channel_has_a_line_and_one_member_of_several_can_be_chosen():
    model, X, y = fitted(n_features=1, n_restarts=2)
    _, ax = plt.subplots()
    display = TrajectoryDisplay.from_estimator(model, X, y, member=1, ax=ax, grid_resolution=20)
    assert display.ax_ is ax
    states = trajectories(model, X)[1, -1, :, 0]
    found = np.concatenate([points.get_offsets()[:, 0] for points in display.points_])
    np.testing.assert_allclose(np.sort(found), np.sort(states))


def test_trajectories_of_what_does_not_exist():
    model, X, y = fitted()
    with pytest.raises(ValueError, match=r"member=1 does not exist.*members 0 to 0"):
        TrajectoryDisplay.from_estimator(model, X, y, member=1)
    for member in (True, -1, 0.5, None):
        with pytest.raises(ValueError, match=r"does not exist: .* the members 0 to 0"):
            TrajectoryDisplay.from_estimator(model, X, y, member=member)
    with pytest.raises(ValueError, match=r"not among the classes \['a' 'b'\]"):
        TrajectoryDisplay.from_estimator(model, X, np.where(y == "a", "z", y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TrajectoryDisplay.from_estimator(model, X, y[:-1])
    for display, data in ((TrajectoryDisplay, (X,)), (LossCurveDisplay, ()), (StepSizeDisplay, ())):
        with pytest.raises(NotFittedError):
            display.from_estimator(ODENetClassifier(), *data)


def test_pipelines_are_drawn_by_the_network_that_they_end_in():
    _, X, y = fitted()
    network = short(ODENetClassifier, N=2, n_channels=2, max_iter=10)
    pipeline = make_pipeline(StandardScaler(), network).fit(100 * X, y)
    display = TrajectoryDisplay.from_estimator(pipeline, 100 * X, y)
    starts = np.concatenate([lines.get_segments() for lines in display.paths_])[:, 0]
    np.testing.assert_allclose(np.sort(starts, 0), np.sort(StandardScaler().fit_transform(X), 0))
    assert len(LossCurveDisplay.from_estimator(pipeline).lines_) == 1
    assert len(StepSizeDisplay.from_estimator(pipeline).lines_) == 1
    alone = make_pipeline(network).fit(X, y)
    np.testing.assert_array_equal(trajectories(alone, X), trajectories(alone[-1], X))
    for other in (StandardScaler(), Pipeline([])):
        with pytest.raises(TypeError, match=r"one of skode, or a pipeline.*got"):
            LossCurveDisplay.from_estimator(other)


def test_labels_in_a_column_and_more_classes_than_colours():
    X, y = make_blobs(120, 2, centers=12, random_state=0)
    model = short(ODENetClassifier, max_iter=5).fit(X / X.std(), y)
    display = TrajectoryDisplay.from_estimator(model, X / X.std(), y[:, None])
    np.testing.assert_array_equal(display.labels, y)
    with pytest.raises(ValueError, match="not among the classes"):
        TrajectoryDisplay.from_estimator(model, X / X.std(), y.astype(str))
    colours = {tuple(points.get_facecolor()[0]) for points in display.points_}
    assert len(colours) == 12


@pytest.mark.parametrize("options", [{"lift": "linear", "n_channels": 2}, {"cv": 3}])
def test_any_network_of_folds_and_with_a_lift_can_be_drawn(options):
    model, X, y = fitted(n_restarts=2, **options)
    last = len(model.K_) - 1
    display = TrajectoryDisplay.from_estimator(model, X, y, member=last)
    states = trajectories(model, X)[last]
    starts = np.concatenate([lines.get_segments() for lines in display.paths_])[:, 0]
    np.testing.assert_allclose(np.sort(starts, 0), np.sort(states[0], 0))
    with pytest.raises(ValueError, match=f"the members 0 to {last}"):
        TrajectoryDisplay.from_estimator(model, X, y, member=last + 1)
    assert len(LossCurveDisplay.from_estimator(model).lines_) == last + 1
    assert len(StepSizeDisplay.from_estimator(model).lines_) == last + 1


@pytest.mark.parametrize("n_targets", [None, 3])
@pytest.mark.parametrize("lift", ["pad", "linear"])
def test_regressors_are_drawn_in_the_colours_of_their_targets(lift, n_targets):
    X, y = curve(40, n_features=2, n_targets=n_targets)
    y = 100 + 10 * y
    target = 0 if n_targets is None else 2
    model = short(ODENetRegressor, n_channels=2, lift=lift, max_iter=40).fit(X, y)
    display = TrajectoryDisplay.from_estimator(model, X, y, target=target)
    (points,), (paths,) = display.points_, display.paths_
    values = y if n_targets is None else y[:, 2]
    np.testing.assert_allclose(points.get_array(), values)
    np.testing.assert_allclose(paths.get_array(), values)
    states = trajectories(model, X)[0]
    np.testing.assert_allclose(points.get_offsets(), states[-1])
    np.testing.assert_allclose(np.array(paths.get_segments()), np.swapaxes(states, 0, 1))
    assert display.colorbar_.ax.get_ylabel() == "y (dots: yᴺ)"
    assert display.colorbar_.vmin == pytest.approx(values.min())
    # The readout is in the units of y, and so are the levels of the surface.
    predicted = model.predict(X) if n_targets is None else model.predict(X)[:, 2]
    np.testing.assert_allclose((states[-1] @ display.W.T + display.mu)[:, 0], predicted)
    levels = display.surface_.levels
    assert levels.min() - np.diff(levels)[0] < predicted.min()
    assert levels.max() + np.diff(levels)[0] > predicted.max()
    # The predicted targets by default.
    display = TrajectoryDisplay.from_estimator(model, X, target=target)
    np.testing.assert_allclose(display.points_[0].get_array(), predicted)
    last = model.n_outputs_ - 1
    for wrong in (last + 1, -1, True, 0.5, None):
        with pytest.raises(ValueError, match=f"does not exist: .* the targets 0 to {last}"):
            TrajectoryDisplay.from_estimator(model, X, y, target=wrong)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TrajectoryDisplay.from_estimator(model, X, y[:-1])
    assert len(LossCurveDisplay.from_estimator(model).lines_) == 1
    assert len(StepSizeDisplay.from_estimator(model).lines_) == 1


def test_what_a_log_link_predicts_is_drawn_in_its_units():
    X, y = curve(40, n_features=2)
    y = np.random.default_rng(0).poisson(5 * np.exp(y))
    model = short(ODENetRegressor, loss="poisson", n_channels=2, max_iter=40).fit(X, y)
    display = TrajectoryDisplay.from_estimator(model, X, y)
    np.testing.assert_allclose(display.points_[0].get_array(), y)
    z = trajectories(model, X)[0, -1] @ display.W.T + display.mu
    predicted = model.predict(X)
    np.testing.assert_allclose(np.exp(z[:, 0]), predicted)
    levels = display.surface_.levels
    assert levels.min() >= 0
    assert levels.max() > predicted.max()


def test_one_label_of_several_is_drawn():
    X, y = curve(40, n_features=2, n_targets=3)
    labels = (y > 0).astype(int)
    model = short(ODENetClassifier, n_channels=2, max_iter=10).fit(X, labels)
    display = TrajectoryDisplay.from_estimator(model, X, labels, target=2)
    np.testing.assert_array_equal(display.labels, labels[:, 2])
    z = trajectories(model, X)[0, -1] @ display.W.T + display.mu
    np.testing.assert_allclose(z[:, 0], model.decision_function(X)[:, 2], rtol=1e-6)
    assert len(display.points_) == 2
    with pytest.raises(ValueError, match=r"does not exist: .* the labels 0 to 2"):
        TrajectoryDisplay.from_estimator(model, X, labels, target=3)


def test_loss_curves():
    model, *_ = fitted(n_restarts=2)
    display = LossCurveDisplay.from_estimator(model, linewidth=2)
    assert [line.get_label() for line in display.lines_] == ["network 0", "network 1"]
    assert len(display.lines_) == 2
    for line, losses in zip(display.lines_, model.loss_curve_.T, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), losses)
        assert line.get_linewidth() == 2
    assert display.ax_.get_xlabel() == "iteration"
    assert display.ax_.get_ylabel() == "objective J"
    assert display.ax_.get_yscale() == "log"


def test_step_sizes():
    model = short(FeedForwardClassifier, h=0.8, learn_step=True, max_iter=20)
    model.fit(*fitted()[1:])
    display = StepSizeDisplay.from_estimator(model)
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), model.h_[0])
    assert set(display.start_line_.get_ydata()) == {0.8}
    assert display.ax_.get_xlabel() == "layer"
    assert display.ax_.get_ylabel() == "step h"
    # The start is that of the fit, not a parameter that was set since; aliases of matplotlib work.
    again = StepSizeDisplay.from_estimator(model.set_params(h=99.0), ls="-", lw=3)
    assert set(again.start_line_.get_ydata()) == {0.8}
    assert (again.lines_[0].get_linestyle(), again.lines_[0].get_linewidth()) == ("-", 3)
