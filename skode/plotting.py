"""Displays of fitted networks, in the style of scikit-learn's: they need matplotlib."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._optional_dependencies import check_matplotlib_support

from .inspection import network_of, trajectories

__all__ = ["LossCurveDisplay", "StepSizeDisplay", "TrajectoryDisplay"]


class TrajectoryDisplay:
    """The features on their way through the layers, with the decision regions of the readout.

    States of two channels are drawn as they are.  Of more, their first two principal components
    are drawn, and the axes say so; the decision regions are then those in the plane through the
    mean final state that the two components span.

    Use `from_estimator` to make one.

    Parameters
    ----------
    states : ndarray of shape (N + 1, n_samples, n_channels)
        The states of one member.
    labels : ndarray of shape (n_samples,)
        Index into `classes` of each sample.
    classes : ndarray of shape (n_classes,)
        Class labels.
    W : ndarray of shape (n_outputs, n_channels)
        Weights of the readout.
    mu : ndarray of shape (n_outputs,)
        Biases of the readout.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    paths_ : list of LineCollection
        The samples' ways, one collection per class.
    points_ : list of PathCollection
        The final states, one collection per class.
    surface_ : QuadContourSet
        The decision regions.

    References
    ----------
    Figure 2 of Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as optimal control
    problems" (2021).
    """

    def __init__(self, *, states, labels, classes, W, mu):
        self.states = states
        self.labels = labels
        self.classes = classes
        self.W = W
        self.mu = mu

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, member=0, ax=None, **plot_options):
        """Draw the trajectories of the samples X.

        Parameters
        ----------
        estimator : ODENetClassifier, FeedForwardClassifier or Pipeline
            A fitted classifier, or a fitted pipeline that ends in one.
        X : array-like of shape (n_samples, n_features)
            Samples; a few hundred make a legible figure.
        y : array-like of shape (n_samples,), default=None
            Their classes, which give the colours.  None means the predicted ones.
        member : int, default=0
            Which network to draw.
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
            If `y` has labels that are not classes of the estimator or another length than X, or
            there is no such member.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        network = network_of(estimator)
        states = trajectories(estimator, X)
        if member not in range(len(states)) or isinstance(member, bool):
            raise ValueError(
                f"member={member!r} does not exist: the estimator has the members 0 to "
                f"{len(states) - 1}."
            )
        y = estimator.predict(X) if y is None else column_or_1d(y)
        check_consistent_length(states[0, 0], y)
        display = cls(
            states=states[member],
            labels=network._codes(y),
            classes=network.classes_,
            W=network.W_[member],
            mu=network.mu_[member],
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
        from matplotlib.collections import LineCollection

        self.ax_ = _axes(ax)
        self.figure_ = self.ax_.figure
        origin, axes, labels = self._plane()
        paths = (self.states - origin) @ axes.T
        few = len(self.classes) <= 10
        colours = plt.colormaps["tab10" if few else "hsv"](
            np.arange(len(self.classes)) if few else np.linspace(0, 0.95, len(self.classes))
        )

        self._draw_regions(paths, origin, axes, colours, grid_resolution)
        self.paths_, self.points_ = [], []
        for k, (name, colour) in enumerate(zip(self.classes, colours, strict=True)):
            mine = paths[:, self.labels == k]
            lines = LineCollection(
                np.swapaxes(mine, 0, 1), colors=[colour], linewidths=0.6, alpha=alpha
            )
            self.paths_.append(self.ax_.add_collection(lines))
            self.ax_.scatter(*mine[0].T, s=3, color=colour, alpha=alpha)
            self.points_.append(
                self.ax_.scatter(
                    *mine[-1].T, s=14, color=colour, edgecolors="white", linewidths=0.4, label=name
                )
            )
        self.ax_.set(xlabel=labels[0], ylabel=labels[1])
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

    def _draw_regions(self, paths, origin, axes, colours, resolution):
        """The class that the readout gives to each point of the plane."""
        low, high = paths.min(axis=(0, 1)), paths.max(axis=(0, 1))
        margin = 0.05 * (high - low) + 1e-3
        grid = np.meshgrid(*np.linspace(low - margin, high + margin, resolution).T)
        plane = origin + np.stack(grid, axis=-1) @ axes
        z = plane @ self.W.T + self.mu
        region = (z[..., 0] > 0).astype(int) if z.shape[-1] == 1 else z.argmax(axis=-1)
        self.surface_ = self.ax_.contourf(
            *grid,
            region,
            levels=np.arange(len(self.classes) + 1) - 0.5,
            colors=colours,
            alpha=0.15,
            zorder=0,
        )


class LossCurveDisplay:
    """The objective after every iteration, one line per member.

    Use `from_estimator` to make one.

    Parameters
    ----------
    loss_curve : ndarray of shape (n_members, n_iterations + 1)
        Objectives; NaN after a member has ended.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of Line2D
        One per member.
    """

    def __init__(self, *, loss_curve):
        self.loss_curve = loss_curve

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **line_options):
        """Draw the training of a fitted estimator.

        Parameters
        ----------
        estimator : ODENetClassifier, FeedForwardClassifier or Pipeline
            A fitted classifier, or a fitted pipeline that ends in one.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default new ones.
        **line_options : dict
            Passed to `plot`.

        Returns
        -------
        LossCurveDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        return cls(loss_curve=network_of(estimator).loss_curve_).plot(ax=ax, **line_options)

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
            self.lines_ += self.ax_.plot(curve, **_line_options(line_options, label=f"member {k}"))
        self.ax_.set(xlabel="iteration", ylabel="objective J", yscale="log")
        if len(self.loss_curve) > 1:
            self.ax_.legend(fontsize="small")
        return self


class StepSizeDisplay:
    """The steps h of the layers, one line of markers per member.

    Use `from_estimator` to make one.

    Parameters
    ----------
    h : ndarray of shape (n_members, N)
        Steps.
    start : float
        The step that training began with.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of Line2D
        One per member.
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
        estimator : ODENetClassifier, FeedForwardClassifier or Pipeline
            A fitted classifier, or a fitted pipeline that ends in one.
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
                line_options, marker="o", linestyle="--", linewidth=0.6, label=f"member {k}"
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
