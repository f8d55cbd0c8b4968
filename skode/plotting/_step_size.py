"""The steps of the layers."""

from __future__ import annotations

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ..inspection._pipelines import network_of
from ._style import (
    BAND,
    DARK,
    OKABE_ITO,
    colours_of,
    keywords,
    legend_beside,
    open_axes,
    set_integer_ticks,
    set_title,
)

BLUE, VERMILLION = OKABE_ITO[0], OKABE_ITO[-1]


class StepSizeDisplay:
    """Steps h of the layers: their mean and range over networks.

    Steps that are exactly zero, which ``learn_step="simplex"`` can lead to, have a cross: a layer
    with a zero step does nothing and could be removed.

    Use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    h : ndarray of shape (n_networks, N)
        Steps.
    start : float
        Step that training began with.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the steps.
    figure_ : matplotlib Figure
        Figure with the axes.
    lines_ : list of Line2D
        Mean over the networks, or a line per network.
    band_ : PolyCollection or None
        Range over the networks. None for a single network, or if each network has a line.
    zeros_ : list of PathCollection
        Crosses on layers whose step is exactly zero: first those that have a zero step in all
        networks, then those that have one in some.
    start_line_ : Line2D
        The step that training began with.
    legend_ : Legend or None
        Legend beside the axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.plotting import StepSizeDisplay
    >>> X, y = make_spirals(200, random_state=0)
    >>> model = ODENetClassifier(N=6, learn_step=True, random_state=0).fit(X, y)
    >>> StepSizeDisplay.from_estimator(model)
    <...>
    >>> plt.show()
    """

    def __init__(self, *, h, start):
        self.h = h
        self.start = start

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **plot_kw):
        """Draw the steps of a fitted estimator.

        Parameters
        ----------
        estimator : estimator of skode or Pipeline
            A fitted classifier or regressor, or a fitted pipeline that ends in one.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        **plot_kw : dict
            Keywords of `plot`.

        Returns
        -------
        StepSizeDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator is not one of skode.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        model = network_of(estimator)
        return cls(h=model.h_, start=model._fitted_recipe["h"]).plot(ax=ax, **plot_kw)

    def plot(
        self,
        ax=None,
        *,
        networks="band",
        cmap=None,
        legend=True,
        name=None,
        line_kw=None,
        fill_between_kw=None,
        scatter_kw=None,
    ):
        """Draw the steps.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure. In a figure of yours, take
            ``layout="constrained"``, so that there is room for the legend.
        networks : {"band", "lines"}, default="band"
            Whether to draw mean and range over the networks, or a line for each network.
        cmap : str or Colormap, default=None
            Colours of the networks where each has a line. None means the colours of Okabe and Ito
            for up to seven networks, and "viridis" for more.
        legend : bool, default=True
            Whether to draw the legend.
        name : str, default=None
            Title of the axes.
        line_kw : dict, default=None
            Keywords of the lines, for matplotlib's ``plot``.
        fill_between_kw : dict, default=None
            Keywords of the band, for matplotlib's ``fill_between``.
        scatter_kw : dict, default=None
            Keywords of the crosses on zero steps, for matplotlib's ``scatter``.

        Returns
        -------
        StepSizeDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `networks` is unknown.
        """
        if networks not in ("band", "lines"):
            raise ValueError(f"networks must be 'band' or 'lines'; got {networks!r}.")
        ax = open_axes(self, ax)
        self.band_ = self.legend_ = None
        ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        self.start_line_ = ax.axhline(
            self.start, color=DARK, linestyle=":", linewidth=1.2, label="start value"
        )
        if networks == "lines":
            self._draw_lines(cmap, line_kw)
        else:
            self._draw_band(line_kw, fill_between_kw)
        self._mark_zeros(scatter_kw)
        ax.set(xlabel="layer", ylabel="step h", xlim=(0.4, self.h.shape[1] + 0.6))
        set_integer_ticks(ax.xaxis)
        set_title(ax, name)
        if legend:
            lines = self.lines_ if networks == "band" else self.lines_[:1]
            handles = [*lines, self.band_, *self.zeros_, self.start_line_]
            self.legend_ = legend_beside(ax, [h for h in handles if h is not None])
        return self

    @property
    def _layers(self):
        return np.arange(1, self.h.shape[1] + 1)

    def _draw_band(self, line_kw, fill_between_kw):
        from matplotlib.collections import PolyCollection
        from matplotlib.lines import Line2D

        label = "step" if len(self.h) == 1 else f"mean of {len(self.h)} networks"
        style = {"color": BLUE, "marker": "o", "markersize": 4, "linewidth": 1.2, "label": label}
        style["drawstyle"] = "steps-mid"
        options = keywords(Line2D, line_kw, **style)
        self.lines_ = self.ax_.plot(self._layers, self.h.mean(axis=0), **options)
        if not np.ptp(self.h, axis=0).any():  # one network, or all are equal
            return
        band = keywords(
            PolyCollection,
            fill_between_kw,
            facecolor=options["color"],
            alpha=BAND,
            linewidth=0,
            label="smallest to largest step",
        )
        # Each layer has a separate bar, since there is nothing between layers.
        edges = np.repeat(np.arange(self.h.shape[1] + 1) + 0.5, 2)[1:-1]
        low, high = (np.repeat(end, 2) for end in (self.h.min(axis=0), self.h.max(axis=0)))
        self.band_ = self.ax_.fill_between(edges, low, high, **band)

    def _draw_lines(self, cmap, line_kw):
        from matplotlib.lines import Line2D

        style = {"marker": "o", "markersize": 3, "linewidth": 0.8, "drawstyle": "steps-mid"}
        self.lines_ = []
        for h, colour in zip(self.h, colours_of(len(self.h), cmap), strict=True):
            options = keywords(
                Line2D, line_kw, **style, color=colour, label=f"{len(self.h)} networks"
            )
            self.lines_ += self.ax_.plot(self._layers, h, **options)

    def _mark_zeros(self, scatter_kw):
        """Mark zeros: thick crosses if all networks have a zero step, thin ones if only some do."""
        from matplotlib.collections import PathCollection

        zero = self.h == 0
        all_, some = zero.all(axis=0), zero.any(axis=0) & ~zero.all(axis=0)
        where = " in all networks" if len(self.h) > 1 else ""
        self.zeros_ = []
        for layers, label, width in ((all_, where, 2.2), (some, " in some networks", 0.8)):
            if layers.any():
                number = f"{layers.sum()} of {len(layers)} layers"
                style = {"marker": "x", "c": VERMILLION, "s": 36, "zorder": 3}
                style |= {"linewidth": width, "label": f"exactly zero{label} ({number})"}
                options = keywords(PathCollection, scatter_kw, **style)
                at = self._layers[layers]
                self.zeros_.append(self.ax_.scatter(at, np.zeros(len(at)), **options))
