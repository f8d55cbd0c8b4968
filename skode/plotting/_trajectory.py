"""The flow of the samples through the layers."""

from __future__ import annotations

import numpy as np
from sklearn.utils import _safe_indexing, check_consistent_length, check_random_state
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import _num_samples

from .._devices import host_values
from ..inspection import trajectories
from ..inspection._pipelines import network_and_features
from ._arrows import draw_arrows
from ._networks import chosen_network, title_of
from ._plane import class_polygons, decision, plane_of, strips
from ._readout import channel_names_of, labels_of, outputs_of, predicted, target_name_of
from ._style import (
    DARK,
    area_of,
    colours_of,
    keywords,
    legend_beside,
    marker_of,
    open_axes,
    set_title,
    tints_of,
)

FAR = 50.0  # regions extend this many times further than the states, for zooming out
LEVELS = 20  # of the predictions of a regressor
MOST_IN_LEGEND = 24  # classes; with more there is a colour bar
FINAL = 22  # area of a final state
FAINTEST = 0.2  # opacity of a path at its start, relative to its end


class TrajectoryDisplay:
    """Flow of the samples through the layers of one network, and the decisions of its readout.

    Each sample is a path, from its lifted features (a small dot) to its final state (a marker).
    Paths become darker along the way, and some have an arrow. The background shows the result of
    the readout for a final state: the class regions, or the predictions of a regressor.
    A sample that the network classifies wrongly is crossed out.

    States of two channels are drawn as they are. States of one channel are drawn over the layers.
    States of more channels are projected onto a plane, see `projection` of `plot`. The background
    is drawn only if it is right for every sample: the readout must give the same result for a state
    and its projection. Otherwise it is left out.

    Use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    states : ndarray of shape (N + 1, n_samples, n_channels)
        States of one network, as `skode.inspection.trajectories` returns them.
    labels : ndarray of shape (n_samples,)
        For each sample the index of its class in `classes`, or its target.
    classes : ndarray of shape (n_classes,) or None
        Class labels. None for regression.
    W : ndarray of shape (n_outputs, n_channels)
        Weights of the readout; for a regressor one row, in units of the target.
    mu : ndarray of shape (n_outputs,)
        Biases of the readout.
    log_link : bool, default=False
        Whether the readout gives the logarithm of the target.
    name : str, default=""
        Title: which network is drawn.
    target_name : str or None, default=None
        Title of the legend or label of the colour bar. None means "class" or "target".
    channel_names : sequence of str or None, default=None
        Names of the channels, for the axes of states of at most two channels. None means
        "channel 1" and "channel 2".

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the flow.
    figure_ : matplotlib Figure
        Figure with the axes.
    paths_ : list of LineCollection
        Paths: one collection per class, or one for a regressor. Each path has N segments.
    points_ : list of PathCollection
        Final states, likewise.
    starts_ : list of PathCollection
        Lifted features, likewise.
    wrong_ : PathCollection or None
        Crosses on the samples that the network classifies wrongly.
    arrows_ : list of FancyArrowPatch
        Arrows along some paths.
    surface_ : PolyCollection or None
        One polygon per class in which it is decided, or polygons between levels of the prediction.
        None if the plane does not show the decisions of the readout.
    legend_ : Legend or None
        Legend beside the axes.
    colorbar_ : Colorbar or None
        Scale of the targets of a regressor, or of more than 24 classes.

    See Also
    --------
    skode.inspection.trajectories : The states as an array.

    References
    ----------
    Figure 2 of Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as optimal control
    problems" (2021).

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.plotting import TrajectoryDisplay
    >>> X, y = make_spirals(200, random_state=0)
    >>> model = ODENetClassifier(
    ...     "heun", N=10, h=0.3, n_channels=2, lift="pad", activation="tanh", random_state=0
    ... ).fit(X, y)
    >>> TrajectoryDisplay.from_estimator(model, X, y)
    <...>
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        states,
        labels,
        classes,
        W,
        mu,
        log_link=False,
        name="",
        target_name=None,
        channel_names=None,
    ):
        self.states = states
        self.labels = labels
        self.classes = classes
        self.W = W
        self.mu = mu
        self.log_link = log_link
        self.name = name
        self.target_name = target_name
        self.channel_names = channel_names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        network=None,
        target=0,
        subsample=300,
        random_state=0,
        ax=None,
        **plot_kw,
    ):
        """Draw the flow of the samples X.

        Parameters
        ----------
        estimator : estimator of skode or Pipeline
            A fitted classifier or regressor, or a fitted pipeline that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Their classes, labels or targets, which give the colours. None means the predictions of
            the drawn network.
        network : int, default=None
            Which network to draw, as an index into ``K_``. None means the first network of the
            candidate that counts most, see ``network_weights_``.
        target : int, default=0
            Which target of a regressor with several targets, or which label of a classifier with
            several labels.
        subsample : int or None, default=300
            Number of samples to draw, chosen at random if there are more. None draws all.
        random_state : int, RandomState instance or None, default=0
            Determines the choice of samples.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        **plot_kw : dict
            Keywords of `plot`.

        Returns
        -------
        TrajectoryDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator is not one of skode.
        ValueError
            If `y` has labels that are not classes of the estimator, another number of targets than
            in `fit` or another length than X, or if there is no such network, target or label.

        Examples
        --------
        >>> from skode import ODENetRegressor
        >>> from sklearn.datasets import load_diabetes
        >>> from skode.plotting import TrajectoryDisplay
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = ODENetRegressor(random_state=0).fit(X / X.std(), y)
        >>> display = TrajectoryDisplay.from_estimator(model, X / X.std(), y, network=1)
        >>> display.states.shape
        (3, 300, 48)
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        model, features = network_and_features(estimator, X)
        network = chosen_network(model, network)
        outputs = outputs_of(model, network, target)
        labels = None if y is None else labels_of(model, host_values(y), target)
        check_consistent_length(features, labels)
        n_samples = _num_samples(features)
        if subsample is not None and n_samples > subsample:
            rng = check_random_state(random_state)
            rows = np.sort(rng.choice(n_samples, subsample, replace=False))
            features = _safe_indexing(features, rows)
            labels = labels if labels is None else labels[rows]
        states = trajectories(model, features)[network]
        if labels is None:
            labels = predicted(states[-1] @ outputs["W"].T + outputs["mu"], outputs)
        display = cls(
            states=states,
            labels=labels,
            **outputs,
            name=title_of(model, network),
            target_name=target_name_of(y, target),
            channel_names=channel_names_of(estimator, model),
        )
        return display.plot(ax=ax, **plot_kw)

    def plot(
        self,
        ax=None,
        *,
        projection="readout",
        cmap=None,
        arrows=8,
        legend=True,
        name=None,
        scatter_kw=None,
        wrong_kw=None,
        line_kw=None,
        surface_kw=None,
        arrow_kw=None,
    ):
        """Draw the flow.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure. In a figure of yours, take
            ``layout="constrained"``, so that there is room for the legend.
        projection : {"readout", "pca"}, default="readout"
            Plane for states of more than two channels. "readout": the directions that the readout
            depends on. For two classes and for regressors this is one direction, and the second
            axis is the principal component of the rest. For three classes there are two directions.
            In both cases the background is right for every sample. For more classes, the plane
            shows the two of these directions in which the states vary most, and there is no
            background. "pca": the first two principal components of the states, without background.
        cmap : str or Colormap, default=None
            Colours. None means the colours of Okabe and Ito for up to seven classes, and "viridis"
            otherwise.
        arrows : int, default=8
            Number of arrows per class; for a regressor, in total.
        legend : bool, default=True
            Whether to draw the legend or the colour bar.
        name : str, default=None
            Title of the axes. None means the display's `name`; "" draws no title.
        scatter_kw : dict, default=None
            Keywords of the final states, for matplotlib's ``scatter``.
        wrong_kw : dict, default=None
            Keywords of the crosses on samples that are classified wrongly, for matplotlib's
            ``scatter``.
        line_kw : dict, default=None
            Keywords of the paths, for matplotlib's ``LineCollection``.
        surface_kw : dict, default=None
            Keywords of the background, for matplotlib's ``PolyCollection``.
        arrow_kw : dict, default=None
            Keywords of the arrows, for matplotlib's ``FancyArrowPatch``.

        Returns
        -------
        TrajectoryDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `projection` is unknown.
        """
        if projection not in ("readout", "pca"):
            raise ValueError(f"projection must be 'readout' or 'pca'; got {projection!r}.")
        open_axes(self, ax)
        channels = self.channel_names or [f"channel {k + 1}" for k in range(2)]
        plane = plane_of(self.states, self.W, projection, channels)
        view = _show(self.ax_, plane)
        set_title(self.ax_, self.name if name is None else name)
        self.paths_, self.points_, self.starts_, self.arrows_ = [], [], [], []
        self.surface_ = self.wrong_ = self.legend_ = self.colorbar_ = None
        styles = [scatter_kw, line_kw]
        if self.classes is None:
            self._draw_targets(plane, view, cmap, styles, surface_kw)
        else:
            self._draw_classes(plane, view, cmap, styles, surface_kw)
            self._cross_out(plane.paths[-1], wrong_kw)
        self._draw_arrows(plane.paths, arrows, arrow_kw)
        if legend:
            self._explain()
        return self

    def _draw_classes(self, plane, view, cmap, styles, surface_kw):
        """Draw regions and paths in the colours of the classes."""
        self._colours = colours_of(len(self.classes), cmap)
        if plane.W is not None:
            polygons = class_polygons(plane.W, self.mu, len(self.classes), view)
            self._draw_surface(
                polygons,
                surface_kw,
                facecolor=tints_of(self._colours, 0.2),
                edgecolor=DARK,
                linewidth=0.8,
            )
        for k, name in enumerate(self.classes):
            colour = self._colours[[k]]
            marker = marker_of(k)
            options = {"c": colour, "marker": marker, "label": str(name)}
            options["s"] = area_of(marker, FINAL)
            self._draw_paths(plane.paths[:, self.labels == k], colour, options, styles)

    def _cross_out(self, final, wrong_kw):
        """Draw crosses on final states that the readout classifies wrongly."""
        from matplotlib.collections import PathCollection

        predicted = decision(self.states[-1] @ self.W.T + self.mu, len(self.classes))
        wrong = predicted != self.labels
        if wrong.any():
            label = f"wrong ({wrong.sum()} of {len(wrong)})"
            style = {"s": 26, "c": "black", "marker": "x", "linewidth": 1.1, "label": label}
            options = keywords(PathCollection, wrong_kw, zorder=4, **style)
            self.wrong_ = self.ax_.scatter(*final[wrong].T, **options)

    def _draw_targets(self, plane, view, cmap, styles, surface_kw):
        """Draw paths in the colours of the targets, on a background of the predictions."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        scale = ScalarMappable(Normalize(self.labels.min(), self.labels.max()), cmap or "viridis")
        if plane.W is not None:
            levels = np.linspace(*scale.get_clim(), LEVELS + 1)
            z = levels
            if self.log_link:
                with np.errstate(divide="ignore"):  # counts of zero
                    z = np.log(levels)
            middle = np.concatenate([levels[:1], (levels[1:] + levels[:-1]) / 2, levels[-1:]])
            self._draw_surface(
                strips(plane.W[0], self.mu[0], z, view),
                surface_kw,
                facecolor=tints_of(scale.to_rgba(middle), 0.35),
                edgecolor="none",
                antialiased=False,
            )
        colours = scale.to_rgba(self.labels)
        options = {"c": self.labels, "cmap": scale.cmap, "norm": scale.norm, "s": FINAL}
        self._draw_paths(plane.paths, colours, options, styles)

    def _draw_surface(self, polygons, surface_kw, **defaults):
        from matplotlib.collections import PolyCollection

        options = keywords(PolyCollection, surface_kw, zorder=0, **defaults)
        self.surface_ = self.ax_.add_collection(PolyCollection(polygons, **options), autolim=False)

    def _draw_paths(self, paths, colours, points, styles):
        """Draw the paths of some samples with both ends, in one colour or with a colour each."""
        from matplotlib.collections import LineCollection, PathCollection

        n_layers, n_samples = len(paths) - 1, paths.shape[1]
        segments = np.stack([paths[:-1], paths[1:]], axis=2)  # layer, sample, end
        shades = np.tile(np.broadcast_to(colours, (n_samples, 4)), (n_layers, 1, 1))
        shades[:, :, 3] = 0.6 * np.linspace(FAINTEST, 1, n_layers + 1)[1:, None]
        scatter_kw, line_kw = styles
        line = keywords(LineCollection, line_kw, linewidth=0.7, colors=shades.reshape(-1, 4))
        self.paths_.append(
            self.ax_.add_collection(
                LineCollection(segments.reshape(-1, 2, 2), **line), autolim=False
            )
        )
        start = {"c": colours, "marker": "o", "s": 3, "linewidths": 0}
        self.starts_.append(self.ax_.scatter(*paths[0].T, **start))
        final = keywords(
            PathCollection, scatter_kw, edgecolor="white", linewidth=0.3, zorder=3, **points
        )
        self.points_.append(self.ax_.scatter(*paths[-1].T, **final))

    def _draw_arrows(self, paths, number, arrow_kw):
        """Draw an arrow halfway along some paths of each class, or of all paths of a regressor."""
        groups = [np.arange(paths.shape[1])]
        if self.classes is not None:
            groups = [np.flatnonzero(self.labels == k) for k in range(len(self.classes))]
        for rows, colours in zip(groups, self._arrow_colours(groups), strict=True):
            self.arrows_ += draw_arrows(self.ax_, paths, rows, colours, number, arrow_kw)

    def _arrow_colours(self, groups):
        """Return the colours of the arrows for each group of samples."""
        if self.classes is None:
            return [self.points_[0].to_rgba(self.labels)]
        return [self._colours[[k]] for k in range(len(groups))]

    def _explain(self):
        """Draw the colour bar of a regressor, or the legend of a classifier."""
        from matplotlib.lines import Line2D

        name = self.target_name or ("target" if self.classes is None else "class")
        if self.classes is None:
            self.colorbar_ = self.figure_.colorbar(self.points_[0], ax=self.ax_, label=name)
        elif len(self.classes) > MOST_IN_LEGEND:
            self._explain_many_classes(name)
        else:
            dot = {"color": DARK, "linestyle": "", "marker": "o", "markersize": 2}
            start = Line2D([], [], label="start, layer 0", **dot)
            handles = [*self.points_, start, *filter(None, [self.wrong_])]
            self.legend_ = legend_beside(self.ax_, handles, title=name)

    def _explain_many_classes(self, name):
        """Draw a colour bar with the names of some classes, since a legend would be too tall."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import BoundaryNorm, ListedColormap

        number = len(self.classes)
        norm = BoundaryNorm(np.arange(number + 1) - 0.5, number)
        scale = ScalarMappable(norm, ListedColormap(self._colours))
        ticks = np.unique(np.linspace(0, number - 1, 12).astype(int))
        self.colorbar_ = self.figure_.colorbar(scale, ax=self.ax_, label=name, ticks=ticks)
        self.colorbar_.set_ticklabels([str(self.classes[k]) for k in ticks])


def _show(ax, plane):
    """Show the plane on the axes, and return the corners of a rectangle far around the states."""
    low, high = plane.paths.min(axis=(0, 1)), plane.paths.max(axis=(0, 1))
    ax.update_datalim([low, high])
    ax.autoscale_view()
    ax.set(xlabel=plane.labels[0], ylabel=plane.labels[1])
    if plane.equal:
        # Both may have to stay unchanged.
        shared = all(
            len(axes.get_siblings(ax)) > 1
            for axes in (ax.get_shared_x_axes(), ax.get_shared_y_axes())
        )
        ax.set_aspect("equal", adjustable="box" if shared else "datalim")
    reach = FAR * max(*(high - low), 1.0)
    (left, bottom), (right, top) = low - reach, high + reach
    return np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
