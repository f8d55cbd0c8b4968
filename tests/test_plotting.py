import inspect
import io
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb, to_rgba
from numpydoc.docscrape import ClassDoc, FunctionDoc
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skode
from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor
from skode.datasets import make_donut2d, make_spirals
from skode.inspection import ControlHessian, control_hessian, trajectories
from skode.plotting import (
    CandidatesDisplay,
    ControlHessianDisplay,
    ControlsDisplay,
    LossCurveDisplay,
    StepSizeDisplay,
    TrajectoryDisplay,
)
from tests.estimators import curve, short
from tests.namespaces import NAMESPACES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
OF_NETWORKS = [LossCurveDisplay, StepSizeDisplay, ControlsDisplay]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def fitted(n_features=2, n_classes=2, **parameters):
    X, y = make_blobs(50, n_features, centers=n_classes, random_state=0)
    X /= X.std()
    labels = np.array(["a", "b", "c", "d", "e"])[y]
    options = {"n_channels": n_features, "max_iter": 20, "learn_step": True, **parameters}
    return short(ODENetClassifier, **options).fit(X, labels), X, labels


@pytest.fixture(scope="module")
def ensemble():
    """Two candidates of four folds with two restarts; both may have weight."""
    X, y = make_blobs(80, 4, centers=3, cluster_std=4.0, random_state=0)
    X /= X.std()
    model = ODENetClassifier(
        N=4,
        n_channels=5,
        features="given",
        alpha=[1e-3, 1e-2, 10.0],
        cv=4,
        n_restarts=2,
        max_iter=25,
        random_state=0,
    )
    return model.fit(X, y), X, y


# --- trajectories


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


# --- training


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


# --- candidates


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


# --- steps


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


# --- Hessians


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


# --- controls


def test_entries_of_the_controls():
    model, *_ = fitted(learn_step=False, h=0.5)
    display = ControlsDisplay.from_estimator(model)
    assert display.kind_ == "entries"
    K, b = model.K_[0], model.b_[0]
    expected = [K[:, 0, 0], K[:, 0, 1], K[:, 1, 0], K[:, 1, 1], b[:, 0], b[:, 1]]
    for patch, values in zip(display.lines_, expected, strict=True):
        np.testing.assert_array_equal(patch.get_data().values, values)
        np.testing.assert_allclose(patch.get_data().edges, [0.0, 0.5, 1.0, 1.5])
    assert display.ax_.get_xlabel() == "time t (a layer takes 0.5)"
    labels = [patch.get_label() for patch in display.lines_]
    assert labels == ["$K_{11}$", "$K_{12}$", "$K_{21}$", "$K_{22}$", "$b_{1}$", "$b_{2}$"]
    looks = {(p.get_edgecolor(), p.get_linestyle()) for p in display.lines_}
    assert len(looks) == 6
    # Learned steps have no common time, and layers without an ODE have no time.
    learned, X, y = fitted()
    assert ControlsDisplay.from_estimator(learned).ax_.get_xlabel() == "layer"
    plain = short(FeedForwardClassifier, n_channels=2, max_iter=5).fit(X, y)
    assert ControlsDisplay.from_estimator(plain).ax_.get_xlabel() == "layer"


def test_norms_of_the_controls(ensemble):
    model, *_ = ensemble
    display = ControlsDisplay.from_estimator(model, kind="norm")
    spectral = np.linalg.svd(model.K_, compute_uv=False)[..., 0]
    euclidean = np.sqrt((model.b_**2).sum(axis=2))
    for patch, band, norm in zip(
        display.lines_, display.bands_, (spectral, euclidean), strict=True
    ):
        np.testing.assert_allclose(patch.get_data().values, norm.mean(axis=0))
        np.testing.assert_allclose(band.get_data().values, norm.max(axis=0))
        np.testing.assert_allclose(band.get_data().baseline, norm.min(axis=0))


@pytest.mark.parametrize("N", [1, 3, 40])
def test_images_of_the_controls(N):
    rng = np.random.default_rng(0)
    K, b = rng.normal(size=(2, N, 6, 6)), rng.normal(size=(2, N, 6))
    display = ControlsDisplay(K=K, b=b, network=1, network_name="mine").plot(kind="image")
    for layer in range(N):
        image, strip = display.images_[2 * layer : 2 * layer + 2]
        np.testing.assert_array_equal(image.get_array(), K[1, layer])
        np.testing.assert_array_equal(strip.get_array(), b[1, layer, :, None])
    boxes = [np.reshape(image.get_extent(), (2, 2)) for image in display.images_]
    for i, one in enumerate(boxes):  # no two of them overlap
        for other in boxes[:i]:
            assert (one[:, 1] <= other[:, 0]).any() or (other[:, 1] <= one[:, 0]).any()
    assert {image.get_clim() for image in display.images_} == {display.images_[0].get_clim()}
    low, high = display.images_[0].get_clim()
    assert low == -high
    texts = [text.get_text() for text in display.ax_.texts]
    assert texts == [f"layer {k + 1}" for k in range(N)]
    assert display.ax_.get_title(loc="left") == "mine"


def test_the_kind_of_drawing_follows_the_shape():
    def kind(N, n):
        display = ControlsDisplay(K=np.ones((1, N, n, n)), b=np.ones((1, N, n)))
        return display.plot().kind_

    assert [kind(3, 2), kind(40, 2), kind(3, 48), kind(40, 48)] == [
        "entries",
        "entries",
        "image",
        "norm",
    ]
    with pytest.raises(ValueError, match=r"kind must be one of .*got 'surface'"):
        ControlsDisplay(K=np.ones((1, 1, 1, 1)), b=np.ones((1, 1, 1))).plot(kind="surface")


# --- layout


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


# --- documentation


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


# --- without matplotlib


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
