"""The paths of samples through a network."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb, to_rgba
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skode import ODENetClassifier, ODENetRegressor
from skode.inspection import trajectories
from skode.plotting import (
    CandidatesDisplay,
    ControlsDisplay,
    LossCurveDisplay,
    StepSizeDisplay,
    TrajectoryDisplay,
)
from tests.estimators import curve, short
from tests.namespaces import NAMESPACES
from tests.plotting.models import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
OF_NETWORKS = [LossCurveDisplay, StepSizeDisplay, ControlsDisplay]


def test_networks_of_another_library_are_drawn_alike():
    away = NAMESPACES["strict-device1"]()
    model, X, labels = fitted()
    y = np.unique(labels, return_inverse=True)[1]
    there = clone(model).fit(away.asarray(X), away.asarray(y))
    assert away.holds(there.K_)
    display = TrajectoryDisplay.from_estimator(there, away.asarray(X), subsample=20)
    expected = TrajectoryDisplay.from_estimator(model, X, subsample=20)
    np.testing.assert_allclose(display.states, expected.states, atol=1e-9)
    np.testing.assert_allclose(display.W, expected.W, atol=1e-9)
    assert set(np.unique(display.labels)) == {0, 1}
    for kind in OF_NETWORKS:
        drawn, wanted = (kind.from_estimator(m).ax_ for m in (there, model))
        lines = zip(drawn.lines, wanted.lines, strict=True)
        steps = zip(drawn.patches, wanted.patches, strict=True)
        pairs = [(a.get_ydata(), b.get_ydata()) for a, b in lines]
        pairs += [(a.get_data().values, b.get_data().values) for a, b in steps]
        assert pairs
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours, theirs, atol=1e-9)


def paths_of(display):
    """Return the drawn paths, (N + 1, n_samples, 2), in the order of the classes."""
    found = []
    for lines, points in zip(display.paths_, display.points_, strict=True):
        n_samples = len(points.get_offsets())
        segments = np.reshape(lines.get_segments(), (-1, n_samples, 2, 2))
        np.testing.assert_allclose(segments[:-1, :, 1], segments[1:, :, 0])
        found.append(np.concatenate([segments[:1, :, 0], segments[:, :, 1]]))
    return np.concatenate(found, axis=1)


def test_two_channels_are_drawn_as_they_are():
    model, X, y = fitted()
    display = TrajectoryDisplay.from_estimator(model, X, y)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("channel 1", "channel 2")
    assert display.ax_.get_aspect() == 1.0
    states = trajectories(model, X)[0]
    order = np.concatenate([np.flatnonzero(y == name) for name in "ab"])
    np.testing.assert_allclose(paths_of(display), states[:, order])
    for name, start, points in zip("ab", display.starts_, display.points_, strict=True):
        assert points.get_label() == name
        np.testing.assert_allclose(points.get_offsets(), states[-1][y == name])
        np.testing.assert_allclose(start.get_offsets(), states[0][y == name])
    assert display.figure_ is display.ax_.figure


def test_paths_become_darker_and_arrows_point_along_them():
    model, X, y = fitted()
    display = TrajectoryDisplay.from_estimator(model, X, y, arrows=3)
    for lines, points in zip(display.paths_, display.points_, strict=True):
        opacity = lines.get_colors()[:, 3].reshape(-1, len(points.get_offsets()))
        assert (np.diff(opacity, axis=0) > 0).all()
    assert len(display.arrows_) == 6
    states = trajectories(model, X)[0]
    pieces = np.diff(states, axis=0)
    for arrow in display.arrows_:
        start, end = (np.array(point) for point in arrow._posA_posB)
        # The middle of the arrow is on a path, and the arrow has the direction of the path there.
        along = (end - start) / np.linalg.norm(end - start)
        directions = pieces / np.linalg.norm(pieces, axis=2, keepdims=True)
        offset = states[:-1] - (start + end) / 2
        beside = np.abs(offset[..., 0] * along[1] - offset[..., 1] * along[0])
        same = (directions @ along > 1 - 1e-9) & (beside < 1e-9)
        assert same.any()
    assert not TrajectoryDisplay.from_estimator(model, X, y, arrows=0).arrows_


def colour_under(display, point):
    """Return the colours of the background at a point of the drawing; polygons do not overlap."""
    surface = display.surface_
    found = [
        colour
        for path, colour in zip(surface.get_paths(), surface.get_facecolor(), strict=True)
        if len(path.vertices) and path.contains_point(point)
    ]
    assert len(found) <= 1
    return found[0] if found else None  # on a line between two


def tint_of(colour, surface):
    """Return the index of the background colour that has the hue of a point's colour."""
    tints = surface.get_facecolor()[:, :3]
    expected = 1 + 0.2 * (np.asarray(to_rgb(colour)) - 1)
    return int(np.abs(tints - expected).sum(axis=1).argmin())


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 7])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_correct_points_are_on_their_own_colour_and_wrong_ones_never(n_classes, n_channels, loss):
    X, y = make_blobs(150, 2, centers=n_classes, cluster_std=3.0, random_state=0)
    X /= X.std()
    options = {"n_channels": n_channels, "lift": "linear", "loss": loss, "max_iter": 15}
    model = short(ODENetClassifier, **options).fit(X, y)
    display = TrajectoryDisplay.from_estimator(model, X, y)
    predicted = model.predict(X)
    assert 0 < np.sum(predicted != y) < len(y)
    checked = 0
    for k, points in enumerate(display.points_):
        for point, said in zip(points.get_offsets(), predicted[y == k], strict=True):
            colour = colour_under(display, point)
            if colour is not None:
                own = tint_of(points.get_facecolor()[0], display.surface_)
                under = int(np.abs(display.surface_.get_facecolor() - colour).sum(1).argmin())
                assert (under == own) == (said == k)
                assert under == said
                checked += 1
    assert checked > 140
    # The wrong ones are crossed out.
    final = np.concatenate([points.get_offsets() for points in display.points_])
    order = np.argsort(y, kind="stable")
    expected = final[predicted[order] != y[order]]
    crosses = display.wrong_.get_offsets()
    np.testing.assert_allclose(np.sort(crosses, axis=0), np.sort(expected, axis=0))
    assert display.wrong_.get_label() == f"wrong ({len(expected)} of 150)"


@pytest.mark.parametrize("projection", ["readout", "pca"])
def test_no_background_where_it_would_be_wrong(projection):
    n_classes = 5 if projection == "readout" else 3
    model, X, y = fitted(n_features=3, n_classes=n_classes, n_channels=6)
    display = TrajectoryDisplay.from_estimator(model, X, y, projection=projection)
    assert display.surface_ is None
    with pytest.raises(ValueError, match="projection must be 'readout' or 'pca'; got 'tsne'"):
        display.plot(projection="tsne")


def test_principal_components_and_the_readout_are_projected_on():
    model, X, y = fitted(n_features=3, n_classes=3, n_channels=5)
    states = trajectories(model, X)[0]
    centred = (states - states.mean((0, 1))).reshape(-1, 5)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    order = np.concatenate([np.flatnonzero(y == name) for name in "abc"])

    display = TrajectoryDisplay.from_estimator(model, X, y, projection="pca")
    share = values[-1] / values.sum()
    expected = f"principal component 1 of 5 channels ({share:.0%} of variance)"
    assert display.ax_.get_xlabel() == expected
    drawn = np.concatenate([points.get_offsets() for points in display.points_])
    expected = states[-1][order] @ vectors[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(drawn), np.abs(expected), atol=1e-10)

    # Differences of the outputs are functions of the points in the plane of the readout.
    display = TrajectoryDisplay.from_estimator(model, X, y)
    assert display.ax_.get_xlabel().startswith("readout axis 1 of 5 channels")
    drawn = np.concatenate([points.get_offsets() for points in display.points_])
    z = states[-1][order] @ model.W_[0].T + model.mu_[0]
    differences = z - z.mean(axis=1, keepdims=True)
    affine = np.column_stack([drawn, np.ones(len(drawn))])
    _, residual, *_ = np.linalg.lstsq(affine, differences)
    assert residual.max() < 1e-16

    # With two classes, the output is the first coordinate up to scale and shift.
    model, X, y = fitted(n_features=3, n_channels=5)
    display = TrajectoryDisplay.from_estimator(model, X, y)
    assert display.ax_.get_xlabel().startswith("readout direction of 5 channels")
    first = np.concatenate([points.get_offsets()[:, 0] for points in display.points_])
    order = np.concatenate([np.flatnonzero(y == name) for name in "ab"])
    z = model.decision_function(X[order])
    size = np.linalg.norm(model.W_[0])
    np.testing.assert_allclose(size * first + model.mu_[0, 0], z, atol=1e-9)


def test_one_channel_is_drawn_over_the_layers_and_any_network_can_be_chosen():
    model, X, y = fitted(n_features=1, n_restarts=2)
    _, ax = plt.subplots()
    display = TrajectoryDisplay.from_estimator(model, X, y, network=1, ax=ax)
    assert display.ax_ is ax
    assert ax.get_title(loc="left") == "network=1 of 2, weight 0.5"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("layer", "channel 1")
    order = np.concatenate([np.flatnonzero(y == name) for name in "ab"])
    paths = paths_of(display)
    np.testing.assert_allclose(paths[:, :, 1], trajectories(model, X)[1][:, order, 0])
    np.testing.assert_array_equal(paths[:, 0, 0], np.arange(4))


def test_the_network_that_is_drawn_by_default_counts_most(ensemble):
    model, X, y = ensemble
    display = TrajectoryDisplay.from_estimator(model, X, y)
    k = np.flatnonzero(model.network_weights_ == model.network_weights_.max())[0]
    np.testing.assert_array_equal(display.W, model.W_[k])
    title = display.ax_.get_title(loc="left")
    assert title.startswith(f"network={k} of {len(model.K_)}, weight ")
    own = TrajectoryDisplay.from_estimator(model, X, y, name="Mine").ax_.get_title(loc="left")
    assert own == "Mine"
    # Without y, every point has the colour of its network's prediction.
    assert TrajectoryDisplay.from_estimator(model, X, network=2).wrong_ is None


def test_trajectories_of_what_does_not_exist():
    model, X, y = fitted()
    for network in (1, True, -1, 0.5, "0"):
        with pytest.raises(ValueError, match=r"does not exist: .* the networks 0 to 0"):
            TrajectoryDisplay.from_estimator(model, X, y, network=network)
        with pytest.raises(ValueError, match=r"does not exist: .* the networks 0 to 0"):
            ControlsDisplay.from_estimator(model, network=network)
    with pytest.raises(ValueError, match=r"not among the classes \['a' 'b'\]"):
        TrajectoryDisplay.from_estimator(model, X, np.where(y == "a", "z", y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TrajectoryDisplay.from_estimator(model, X, y[:-1])
    with pytest.raises(NotFittedError):
        TrajectoryDisplay.from_estimator(ODENetClassifier(), X)
    for display in (*OF_NETWORKS, CandidatesDisplay):
        with pytest.raises(NotFittedError):
            display.from_estimator(ODENetClassifier())
    for other in (StandardScaler(), Pipeline([])):
        with pytest.raises(TypeError, match=r"one of skode, or a pipeline.*got"):
            LossCurveDisplay.from_estimator(other)


def test_pipelines_and_names_of_features():
    _, X, y = fitted()
    network = short(ODENetClassifier, N=2, n_channels=2, max_iter=10)
    frame = pd.DataFrame(100 * X, columns=["petal length", "petal width"])
    labels = pd.Series(y, name="species")
    pipeline = make_pipeline(StandardScaler(), network).fit(frame, labels)
    display = TrajectoryDisplay.from_estimator(pipeline, frame, labels)
    starts = np.concatenate([points.get_offsets() for points in display.starts_])
    np.testing.assert_allclose(np.sort(starts, 0), np.sort(StandardScaler().fit_transform(X), 0))
    assert display.ax_.get_xlabel() == "channel 1 (starts as petal length)"
    assert display.ax_.get_ylabel() == "channel 2 (starts as petal width)"
    assert display.legend_.get_title().get_text() == "species"
    for kind in OF_NETWORKS:
        assert kind.from_estimator(pipeline).ax_.get_xlabel()
    alone = make_pipeline(network).fit(frame / 100, labels)
    display = TrajectoryDisplay.from_estimator(alone, frame / 100)
    assert display.ax_.get_xlabel() == "channel 1 (starts as petal length)"
    # A step that does not define names, and a lift that mixes all features.
    scale = FunctionTransformer(lambda X: X / 100)
    nameless = make_pipeline(scale, network.set_params(lift="linear")).fit(frame, labels)
    assert TrajectoryDisplay.from_estimator(nameless, frame).ax_.get_xlabel() == "channel 1"
    network.set_params(lift="pad")
    nameless = make_pipeline(StandardScaler(), scale, network).fit(frame, labels)
    assert TrajectoryDisplay.from_estimator(nameless, frame).ax_.get_xlabel() == "channel 1"


def test_many_samples_are_thinned_out():
    model, X, y = fitted()
    many, labels = np.tile(X, (20, 1)), np.tile(y, 20)
    display = TrajectoryDisplay.from_estimator(model, many, labels)
    assert display.states.shape == (4, 300, 2)
    again = TrajectoryDisplay.from_estimator(model, many, labels)
    np.testing.assert_array_equal(again.states, display.states)
    # States and labels still belong together.
    code = {tuple(x): "ab".index(label) for x, label in zip(X, y, strict=True)}
    np.testing.assert_array_equal([code[tuple(y0)] for y0 in display.states[0]], display.labels)
    assert TrajectoryDisplay.from_estimator(model, many, subsample=None).states.shape[1] == 1000


def test_labels_in_a_column_and_more_classes_than_colours():
    X, y = make_blobs(150, 2, centers=30, random_state=0)
    model = short(ODENetClassifier, max_iter=5).fit(X / X.std(), y)
    display = TrajectoryDisplay.from_estimator(model, X / X.std(), y[:, None])
    np.testing.assert_array_equal(display.labels, y)
    with pytest.raises(ValueError, match="not among the classes"):
        TrajectoryDisplay.from_estimator(model, X / X.std(), y.astype(str))
    colours = {tuple(points.get_facecolor()[0]) for points in display.points_}
    assert len(colours) == 30
    assert display.legend_ is None  # it would be taller than the figure
    ticks = [int(tick.get_text()) for tick in display.colorbar_.ax.get_yticklabels()]
    assert ticks[0] == 0
    assert ticks[-1] == 29


def test_colours_and_keywords_are_the_users():
    model, X, y = fitted(cv=2)
    display = TrajectoryDisplay.from_estimator(
        model,
        X,
        y,
        cmap="Set2",
        scatter_kw={"s": 50, "lw": 2},
        line_kw={"lw": 3, "color": "red"},
        surface_kw={"alpha": 0.5},
        arrow_kw={"mutation_scale": 20},
        legend=False,
        name="",
    )
    assert display.legend_ is None
    assert display.ax_.get_title(loc="left") == ""
    for k, points in enumerate(display.points_):
        np.testing.assert_allclose(points.get_facecolor()[0], plt.colormaps["Set2"](k))
        assert points.get_sizes() == [50]
        assert points.get_linewidths() == [2]
    assert display.paths_[0].get_linewidths() == [3]
    np.testing.assert_array_equal(display.paths_[0].get_colors(), [to_rgba("red")])
    assert display.surface_.get_alpha() == 0.5
    assert display.arrows_[0].get_mutation_scale() == 20
    plot = {"networks": "lines", "cmap": "cividis", "line_kw": {"ls": "-."}}
    for line in StepSizeDisplay.from_estimator(model, **plot).lines_:
        assert line.get_linestyle() == "-."
    colours = {
        line.get_color().tobytes() for line in StepSizeDisplay.from_estimator(model, **plot).lines_
    }
    expected = plt.colormaps["cividis"]([0.0, 1.0])
    assert colours == {colour.tobytes() for colour in expected}


def test_classes_differ_without_colour():
    model, X, y = fitted(n_classes=5)
    display = TrajectoryDisplay.from_estimator(model, X, y)
    shapes = {points.get_paths()[0].vertices.tobytes() for points in display.points_}
    assert len(shapes) == 5
    grey = [
        to_rgb(points.get_facecolor()[0]) @ np.array([0.2126, 0.7152, 0.0722])
        for points in display.points_[:3]
    ]
    assert np.abs(np.diff(grey)).min() > 0.08
    assert len({points.get_facecolor().tobytes() for points in display.points_}) == 5


@pytest.mark.parametrize("options", [{"lift": "linear", "n_channels": 2}, {"cv": 3}])
def test_any_network_of_folds_and_with_a_lift_can_be_drawn(options):
    model, X, y = fitted(n_restarts=2, **options)
    last = len(model.K_) - 1
    display = TrajectoryDisplay.from_estimator(model, X, y, network=last)
    states = trajectories(model, X)[last]
    order = np.concatenate([np.flatnonzero(y == name) for name in "ab"])
    np.testing.assert_allclose(paths_of(display), states[:, order])
    with pytest.raises(ValueError, match=f"the networks 0 to {last}"):
        TrajectoryDisplay.from_estimator(model, X, y, network=last + 1)


@pytest.mark.parametrize("n_channels", [2, 5])
@pytest.mark.parametrize("n_targets", [None, 3])
@pytest.mark.parametrize("lift", ["pad", "linear"])
def test_regressors_are_drawn_in_the_colours_of_their_targets(lift, n_targets, n_channels):
    X, y = curve(40, n_features=2, n_targets=n_targets)
    y = 100 + 10 * y
    target = 0 if n_targets is None else 2
    model = short(ODENetRegressor, n_channels=n_channels, lift=lift, max_iter=40).fit(X, y)
    display = TrajectoryDisplay.from_estimator(model, X, y, target=target)
    (points,) = display.points_
    values = y if n_targets is None else y[:, 2]
    np.testing.assert_allclose(points.get_array(), values)
    states = trajectories(model, X)[0]
    if n_channels == 2:
        np.testing.assert_allclose(paths_of(display), states)
    assert display.colorbar_.ax.get_ylabel() == "target"
    assert display.colorbar_.vmin == pytest.approx(values.min())
    # The colours of the background are the predictions, in the units of y.
    predicted = model.predict(X) if n_targets is None else model.predict(X)[:, 2]
    np.testing.assert_allclose((states[-1] @ display.W.T + display.mu)[:, 0], predicted)
    edges = np.linspace(values.min(), values.max(), 21)
    for point, said in zip(points.get_offsets(), predicted, strict=True):
        colour = colour_under(display, point)
        surface = display.surface_.get_facecolor()
        at = int(np.abs(surface - colour).sum(axis=1).argmin())
        wanted = np.searchsorted(edges, said)
        shade = plt.colormaps["viridis"](
            points.norm(np.r_[edges[0], (edges[1:] + edges[:-1]) / 2, edges[-1]])
        )
        np.testing.assert_allclose(surface[at, :3], 1 + 0.35 * (shade[wanted, :3] - 1), atol=1e-9)
    # The predicted targets by default.
    display = TrajectoryDisplay.from_estimator(model, X, target=target)
    np.testing.assert_allclose(display.points_[0].get_array(), predicted)
    last = model.n_outputs_ - 1
    for wrong in (last + 1, -1, True, 0.5, None):
        with pytest.raises(ValueError, match=f"does not exist: .* the targets 0 to {last}"):
            TrajectoryDisplay.from_estimator(model, X, y, target=wrong)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TrajectoryDisplay.from_estimator(model, X, y[:-1])


def test_what_a_log_link_predicts_is_drawn_in_its_units():
    X, y = curve(40, n_features=2)
    y = np.random.default_rng(0).poisson(5 * np.exp(y))
    model = short(ODENetRegressor, loss="poisson", n_channels=2, max_iter=40).fit(X, y)
    display = TrajectoryDisplay.from_estimator(model, X, pd.Series(y, name="visits"))
    np.testing.assert_allclose(display.points_[0].get_array(), y)
    assert display.colorbar_.ax.get_ylabel() == "visits"
    z = trajectories(model, X)[0, -1] @ display.W.T + display.mu
    predicted = model.predict(X)
    np.testing.assert_allclose(np.exp(z[:, 0]), predicted)
    edges, surface = np.linspace(y.min(), y.max(), 21), display.surface_
    for point, said in zip(display.points_[0].get_offsets(), predicted, strict=True):
        inside = [len(p.vertices) and p.contains_point(point) for p in surface.get_paths()]
        assert np.flatnonzero(inside) == np.searchsorted(edges, said)
    display = TrajectoryDisplay.from_estimator(model, X)
    np.testing.assert_allclose(display.points_[0].get_array(), predicted)


def test_one_label_of_several_is_drawn():
    X, y = curve(40, n_features=2, n_targets=3)
    labels = (y > 0).astype(int)
    model = short(ODENetClassifier, n_channels=2, max_iter=10).fit(X, labels)
    display = TrajectoryDisplay.from_estimator(model, X, labels, target=2)
    np.testing.assert_array_equal(display.labels, labels[:, 2])
    z = trajectories(model, X)[0, -1] @ display.W.T + display.mu
    np.testing.assert_allclose(z[:, 0], model.decision_function(X)[:, 2], rtol=1e-6)
    assert len(display.points_) == 2
    frame = pd.DataFrame(labels, columns=["red", "green", "blue"])
    display = TrajectoryDisplay.from_estimator(model, X, frame, target=2)
    assert display.legend_.get_title().get_text() == "blue"
    with pytest.raises(ValueError, match=r"does not exist: .* the labels 0 to 2"):
        TrajectoryDisplay.from_estimator(model, X, labels, target=3)


def test_axes_that_are_shared_can_be_drawn_on():
    model, X, y = fitted()
    figure, axes = plt.subplots(1, 2, sharex=True, sharey=True, layout="constrained")
    for ax in axes:
        TrajectoryDisplay.from_estimator(model, X, y, ax=ax)
    figure.draw_without_rendering()
    assert axes[0].get_xlim() == axes[1].get_xlim()
