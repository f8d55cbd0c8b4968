"""Displays of fitted networks, in the style of scikit-learn's: they need matplotlib."""

from __future__ import annotations

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_consistent_length
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ._devices import host_values
from .inspection import network_and_features, network_of, trajectories

__all__ = ["LossCurveDisplay", "StepSizeDisplay", "TrajectoryDisplay"]


class TrajectoryDisplay:
    """The features on their way through the layers, with what the readout makes of the states.

    That are the decision regions of a classifier, or the predictions of a regressor.

    States of two channels are drawn as they are.  Of more, their first two principal components
    are drawn, and the axes say so; the regions are then those in the plane through the mean final
    state that the two components span.

    Use `from_estimator` to make one.

    Parameters
    ----------
    states : ndarray of shape (N + 1, n_samples, n_channels)
        The states of one network.
    labels : ndarray of shape (n_samples,)
        Index into `classes` of each sample; without classes, its target.
    classes : ndarray of shape (n_classes,) or None
        Class labels; None for regression.
    W : ndarray of shape (n_outputs, n_channels)
        Weights of the readout; those of a regressor in units of the target.
    mu : ndarray of shape (n_outputs,)
        Biases of the readout.
    log_link : bool, default=False
        Whether the readout gives the logarithm of the target.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    paths_ : list of LineCollection
        The samples' ways, one collection per class; one in all for a regressor.
    points_ : list of PathCollection
        The final states, likewise.
    surface_ : QuadContourSet
        The decision regions, or the predictions.
    colorbar_ : Colorbar
        The scale of the targets; for regressors only.

    References
    ----------
    Figure 2 of Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as optimal control
    problems" (2021).
    """

    def __init__(self, *, states, labels, classes, W, mu, log_link=False):
        self.states = states
        self.labels = labels
        self.classes = classes
        self.W = W
        self.mu = mu
        self.log_link = log_link

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, member=0, target=0, ax=None, **plot_options):
        """Draw the trajectories of the samples X.

        Parameters
        ----------
        estimator : estimator of skode or Pipeline
            A fitted classifier or regressor, or a fitted pipeline that ends in one.
        X : array-like of shape (n_samples, n_features)
            Samples; a few hundred make a legible figure.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Their classes, labels or targets, which give the colours.  None means the predicted
            ones.
        member : int, default=0
            Which network to draw, out of those of all folds and restarts.
        target : int, default=0
            Which target of a regressor with several ones, or which label of a classifier.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default new ones.
        **plot_options : dict
            Passed to `plot`.

        Returns
        -------
        TrajectoryDisplay

        Raises
        ------
        ValueError
            If `y` has labels that are not classes of the estimator, or another number of targets
            than in `fit`, or another length than X, or there is no such member, target or label.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        network, features = network_and_features(estimator, X)
        states = trajectories(estimator, X)
        if member not in range(len(states)) or isinstance(member, bool):
            raise ValueError(
                f"member={member!r} does not exist: the estimator has the members 0 to "
                f"{len(states) - 1}."
            )
        y = network.predict(features) if y is None else host_values(y)
        check_consistent_length(states[0, 0], y)
        log_link = False
        if is_classifier(network):
            labels, classes = network._kind.codes(y), network.classes_
            W, mu = network.W_[member], network.mu_[member]
            if labels.ndim == 2:
                _check_target(target, "label", labels.shape[1])
                labels, classes, W, mu = labels[:, target], np.arange(2), W[[target]], mu[[target]]
        else:
            _check_target(target, "target", network.n_outputs_)
            mean, scale = np.ravel(network._centre)[target], np.ravel(network._scale)[target]
            labels, classes = mean + scale * network._checked_targets(y)[:, target], None
            W, mu = network.W_[member, [target]], network.mu_[member, [target]]
            log_link = network._loss_of_fit.log_link
            W, mu = (W, mu + np.log(scale)) if log_link else (scale * W, mean + scale * mu)
        display = cls(
            states=states[member], labels=labels, classes=classes, W=W, mu=mu, log_link=log_link
        )
        return display.plot(ax=ax, **plot_options)

    def plot(self, ax=None, *, grid_resolution=200, alpha=0.35):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default new ones.
        grid_resolution : int, default=200
            Points of the grid, in each direction, on which the regions are computed.
        alpha : float, default=0.35
            Opacity of the paths.

        Returns
        -------
        TrajectoryDisplay
            The display itself.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        self.ax_ = _axes(ax)
        self.figure_ = self.ax_.figure
        origin, axes, labels = self._plane()
        paths = (self.states - origin) @ axes.T
        self.ax_.set(xlabel=labels[0], ylabel=labels[1])
        if self.classes is None:
            self._draw_targets(paths, origin, axes, grid_resolution, alpha)
            return self
        few = len(self.classes) <= 10
        colours = plt.colormaps["tab10" if few else "hsv"](
            np.arange(len(self.classes)) if few else np.linspace(0, 0.95, len(self.classes))
        )

        grid, z = self._readout(paths, origin, axes, grid_resolution)
        region = (z[..., 0] > 0).astype(int) if z.shape[-1] == 1 else z.argmax(axis=-1)
        self.surface_ = self.ax_.contourf(
            *grid,
            region,
            levels=np.arange(len(self.classes) + 1) - 0.5,
            colors=colours,
            alpha=0.15,
            zorder=0,
        )
        self.paths_, self.points_ = [], []
        for k, (name, colour) in enumerate(zip(self.classes, colours, strict=True)):
            mine = paths[:, self.labels == k]
            self._draw_paths(mine, alpha, {"color": colour}, {"colors": [colour]}, label=name)
        self.ax_.legend(
            self.points_,
            map(str, self.classes),
            title="class (dots: yᴺ)",
            loc="best",
            fontsize="small",
        )
        return self

    def _plane(self):
        """The origin and the axes of the drawing in state space, and the labels of its axes."""
        n = self.states.shape[2]
        if n == 1:
            return np.zeros(1), np.array([[1.0], [0.0]]), ("channel 1", "(one channel only)")
        if n == 2:
            return np.zeros(2), np.eye(2), ("channel 1", "channel 2")
        origin = self.states[-1].mean(axis=0)
        everything = (self.states - self.states.mean(axis=(0, 1))).reshape(-1, n)
        _, size, axes = np.linalg.svd(everything, full_matrices=False)
        share = size**2 / max((size**2).sum(), np.finfo(size.dtype).tiny)
        return (
            origin,
            axes[:2],
            tuple(
                f"principal component {k + 1} of {n} channels ({share[k]:.0%} of variance)"
                for k in range(2)
            ),
        )

    def _draw_paths(self, paths, alpha, points, lines, **options):
        """The ways of some samples, with the options of their points and of their lines."""
        from matplotlib.collections import LineCollection

        ways = LineCollection(np.swapaxes(paths, 0, 1), linewidths=0.6, alpha=alpha, **lines)
        self.paths_.append(self.ax_.add_collection(ways))
        self.ax_.scatter(*paths[0].T, s=3, alpha=alpha, **points)
        final = {"s": 14, "edgecolors": "white", "linewidths": 0.4, **points, **options}
        self.points_.append(self.ax_.scatter(*paths[-1].T, **final))

    def _draw_targets(self, paths, origin, axes, resolution, alpha):
        """Everything in the colours of the targets: the ways, and what the readout predicts."""
        from matplotlib.colors import Normalize

        grid, z = self._readout(paths, origin, axes, resolution)
        values = np.exp(z[..., 0]) if self.log_link else z[..., 0]
        scale = {"cmap": "viridis", "norm": Normalize(self.labels.min(), self.labels.max())}
        self.surface_ = self.ax_.contourf(
            *grid, values, levels=20, alpha=0.3, zorder=0, extend="both", **scale
        )
        self.paths_, self.points_ = [], []
        lines = {"array": self.labels, **scale}
        self._draw_paths(paths, alpha, {"c": self.labels, **scale}, lines)
        self.colorbar_ = self.figure_.colorbar(self.points_[0], ax=self.ax_, label="y (dots: yᴺ)")

    def _readout(self, paths, origin, axes, resolution):
        """A grid over the drawing, and the outputs of the readout on it."""
        low, high = paths.min(axis=(0, 1)), paths.max(axis=(0, 1))
        margin = 0.05 * (high - low) + 1e-3
        grid = np.meshgrid(*np.linspace(low - margin, high + margin, resolution).T)
        plane = origin + np.stack(grid, axis=-1) @ axes
        return grid, plane @ self.W.T + self.mu


def _check_target(target, name, number):
    """Raise unless there is the target or label."""
    if target not in range(number) or isinstance(target, bool):
        raise ValueError(
            f"target={target!r} does not exist: the estimator has the {name}s 0 to {number - 1}."
        )


class LossCurveDisplay:
    """The objective after every iteration, one line per network.

    Use `from_estimator` to make one.

    Parameters
    ----------
    loss_curve : ndarray of shape (n_networks, n_iterations + 1)
        Objectives; NaN after a network has ended.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of Line2D
        One per network.
    """

    def __init__(self, *, loss_curve):
        self.loss_curve = loss_curve

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **line_options):
        """Draw the training of a fitted estimator.

        Parameters
        ----------
        estimator : estimator of skode or Pipeline
            A fitted classifier or regressor, or a fitted pipeline that ends in one.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default new ones.
        **line_options : dict
            Passed to `plot`.

        Returns
        -------
        LossCurveDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        return cls(loss_curve=network_of(estimator).loss_curve_.T).plot(ax=ax, **line_options)

    def plot(self, ax=None, **line_options):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default new ones.
        **line_options : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        LossCurveDisplay
            The display itself.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        self.ax_ = _axes(ax)
        self.figure_ = self.ax_.figure
        self.lines_ = []
        for k, curve in enumerate(self.loss_curve):
            self.lines_ += self.ax_.plot(curve, **_line_options(line_options, label=f"network {k}"))
        self.ax_.set(xlabel="iteration", ylabel="objective J", yscale="log")
        if len(self.loss_curve) > 1:
            self.ax_.legend(fontsize="small")
        return self


class StepSizeDisplay:
    """The steps h of the layers, one line of markers per network.

    Use `from_estimator` to make one.

    Parameters
    ----------
    h : ndarray of shape (n_networks, N)
        Steps.
    start : float
        The step that training began with.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of Line2D
        One per network.
    start_line_ : Line2D
        The start value.
    """

    def __init__(self, *, h, start):
        self.h = h
        self.start = start

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **line_options):
        """Draw the steps of a fitted estimator.

        Parameters
        ----------
        estimator : estimator of skode or Pipeline
            A fitted classifier or regressor, or a fitted pipeline that ends in one.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default new ones.
        **line_options : dict
            Passed to `plot`.

        Returns
        -------
        StepSizeDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        network = network_of(estimator)
        return cls(h=network.h_, start=network._fitted_recipe["h"]).plot(ax=ax, **line_options)

    def plot(self, ax=None, **line_options):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default new ones.
        **line_options : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        StepSizeDisplay
            The display itself.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        from matplotlib.ticker import MaxNLocator

        self.ax_ = _axes(ax)
        self.figure_ = self.ax_.figure
        layers = np.arange(1, self.h.shape[1] + 1)
        self.lines_ = []
        for k, h in enumerate(self.h):
            options = _line_options(
                line_options, marker="o", linestyle="--", linewidth=0.6, label=f"network {k}"
            )
            self.lines_ += self.ax_.plot(layers, h, **options)
        self.start_line_ = self.ax_.axhline(
            self.start, color="grey", linestyle=":", label="start value"
        )
        self.ax_.set(xlabel="layer", ylabel="step h")
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.ax_.legend(fontsize="small")
        return self


def _line_options(given, **defaults):
    """The options of a line, whose aliases (`ls`, `lw`) are as good as their names."""
    from matplotlib import cbook
    from matplotlib.lines import Line2D

    return {**defaults, **cbook.normalize_kwargs(given, Line2D)}


def _axes(ax):
    """The given axes, or those of a new figure."""
    import matplotlib.pyplot as plt

    return plt.subplots()[1] if ax is None else ax
