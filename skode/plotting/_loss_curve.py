"""The course of training: the objective and the held-out loss after every iteration."""

from __future__ import annotations

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ..inspection._pipelines import network_of
from ._networks import candidate_names, candidates_of_networks, held_out_scale
from ._style import (
    BAND,
    DARK,
    colours_of,
    draw_quartiles,
    keywords,
    legend_beside,
    marker_of,
    open_axes,
    set_integer_ticks,
    set_log_scale,
    set_title,
)

TRAINING, HELD_OUT = "--", "-"


class LossCurveDisplay:
    """Training objective and held-out loss after every iteration.

    The networks of a candidate are shown by their median, as a line, and by their middle half, from
    the lower to the upper quartile, as a band. A network that has ended counts with its last value.
    Markers show the iterate of each network that was kept: the one with the lowest held-out loss,
    or if nothing is held out the one with the lowest objective.

    The training objective (dashed) includes the penalty, and the held-out loss (solid) does not. So
    the held-out loss may well be lower.

    Use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    loss_curve : ndarray of shape (n_networks, n_iterations + 1)
        Training objective of the networks that were kept. NaN after a network has ended.
    best_iter : ndarray of shape (n_networks,)
        Iteration that was kept.
    candidate : ndarray of shape (n_networks,)
        Candidate of each of these networks.
    weights : ndarray of shape (n_candidates,)
        Weight of each candidate in the model.
    names : list of str of length n_candidates
        Name of each candidate.
    validation_curve : ndarray of shape (n_candidates, n_networks_each, n_iterations + 1) or None
        Held-out loss or score of all networks. NaN after a network has ended. None if nothing was
        held out.
    score_name : str, default="loss"
        The criterion on the held-out samples: "loss" or the name of a score.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure with the axes.
    training_lines_ : list of Line2D
        Training objective: a line per candidate that is kept, or per network.
    held_out_lines_ : list of Line2D
        Held-out loss: a line per candidate, or per network.
    bands_ : list of PolyCollection
        Middle half of the networks.
    kept_ : list of PathCollection
        Markers of the iterates that were kept, a collection per candidate.
    legend_ : Legend or None
        Legend beside the axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from skode import ODENetClassifier
    >>> from skode.plotting import LossCurveDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ODENetClassifier(random_state=0).fit((X - X.mean(0)) / X.std(0), y)
    >>> LossCurveDisplay.from_estimator(model)
    <...>
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        loss_curve,
        best_iter,
        candidate,
        weights,
        names,
        validation_curve=None,
        score_name="loss",
    ):
        self.loss_curve = loss_curve
        self.best_iter = best_iter
        self.candidate = candidate
        self.weights = weights
        self.names = names
        self.validation_curve = validation_curve
        self.score_name = score_name

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **plot_kw):
        """Draw the training of a fitted estimator.

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
        LossCurveDisplay
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
        options = {
            "loss_curve": model.loss_curve_.T,
            "best_iter": model.best_iter_,
            "candidate": candidates_of_networks(model),
        }
        if hasattr(model, "candidates_"):
            sign, score_name = held_out_scale(model)
            curve = sign * model.validation_curve_
            options |= {
                "weights": model.candidates_["weight"],
                "names": candidate_names(model),
                "validation_curve": curve.reshape(len(curve), -1, curve.shape[-1]),
                "score_name": score_name,
            }
        else:
            number = model._n_kept
            weights = model.network_weights_.reshape(number, -1).sum(axis=1)
            options |= {"weights": weights, "names": [f"candidate {k}" for k in range(number)]}
        return cls(**options).plot(ax=ax, **plot_kw)

    def plot(
        self,
        ax=None,
        *,
        curves="auto",
        candidates="kept",
        networks="band",
        cmap=None,
        legend=True,
        name=None,
        line_kw=None,
        fill_between_kw=None,
        scatter_kw=None,
    ):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure. In a figure of yours, take
            ``layout="constrained"``, so that there is room for the legend.
        curves : {"auto", "training", "held-out"}, default="auto"
            Which curves to draw. "auto" means both, or the held-out ones alone if these are scores,
            which have another scale than the objective.
        candidates : {"kept", "all"}, default="kept"
            Whether to draw the candidates that count in the model, or the held-out loss of the
            others too.
        networks : {"band", "lines"}, default="band"
            Whether to draw median and middle half of the networks of a candidate, or a line for
            each network.
        cmap : str or Colormap, default=None
            Colours of the candidates. None means the colours of Okabe and Ito.
        legend : bool, default=True
            Whether to draw the legend.
        name : str, default=None
            Title of the axes.
        line_kw : dict, default=None
            Keywords of the lines, for matplotlib's ``plot``.
        fill_between_kw : dict, default=None
            Keywords of the bands, for matplotlib's ``fill_between``.
        scatter_kw : dict, default=None
            Keywords of the markers, for matplotlib's ``scatter``.

        Returns
        -------
        LossCurveDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If an option is unknown, or if held-out curves are requested and there are none.
        """
        self._check(curves, candidates, networks)
        ax = open_axes(self, ax)
        self.training_lines_, self.held_out_lines_ = [], []
        self.bands_, self.kept_, self.legend_ = [], [], None
        self._networks, self._styles = networks, (line_kw, fill_between_kw, scatter_kw)
        shown = np.flatnonzero((self.weights > 0) | (candidates == "all"))
        held_out = self.validation_curve is not None and curves != "training"
        training = curves == "training" or (curves == "auto" and self._one_scale)
        self._looks = {
            k: (colour, marker_of(i))
            for i, (k, colour) in enumerate(zip(shown, colours_of(len(shown), cmap), strict=True))
        }
        for k in shown:
            mine = self.candidate == k
            if training and mine.any():
                mark = None if held_out else self.best_iter[mine]
                self._draw(self.loss_curve[mine], mark, k, TRAINING)
            if held_out:
                curve = self.validation_curve[k]
                self._draw(curve, self._best(curve), k, HELD_OUT)
        self._set_scale(training, held_out)
        set_title(ax, name)
        if legend:
            self._explain(shown)
        return self

    def _check(self, curves, candidates, networks):
        for name, value, options in (
            ("curves", curves, ("auto", "training", "held-out")),
            ("candidates", candidates, ("kept", "all")),
            ("networks", networks, ("band", "lines")),
        ):
            if value not in options:
                raise ValueError(f"{name} must be one of {options}; got {value!r}.")
        if curves == "held-out" and self.validation_curve is None:
            raise ValueError(
                "curves='held-out' needs held-out losses, but the model was fitted with nothing "
                "held out. Set cv, or early_stopping=True, or give X_val and y_val to fit."
            )

    @property
    def _one_scale(self):
        """Whether held-out curves, if there are any, have the scale of the objective."""
        return self.validation_curve is None or self.score_name == "loss"

    def _best(self, curves):
        """Return the best iterate of each network on the held-out samples."""
        worst = np.inf if self.score_name == "loss" else -np.inf
        filled = np.where(np.isnan(curves), worst, curves)
        return filled.argmin(axis=1) if worst > 0 else filled.argmax(axis=1)

    def _draw(self, curves, kept, k, linestyle):
        """Draw the curves of a candidate, and markers of the kept iterates if they are given.

        A candidate without weight is drawn faintly.
        """
        from matplotlib.collections import PathCollection
        from matplotlib.lines import Line2D

        line_kw, fill_between_kw, scatter_kw = self._styles
        colour, marker = self._looks[k]
        lines = self.training_lines_ if linestyle == TRAINING else self.held_out_lines_
        style = {"color": colour, "linestyle": linestyle, "linewidth": 1.6}
        length = int(np.isfinite(curves).any(axis=0).nonzero()[0].max(initial=0)) + 1
        filled, x = _carried_on(curves[:, :length]), np.arange(length)
        if self.weights[k] == 0:
            style |= {"linewidth": 0.9, "alpha": 0.7}
        if self._networks == "lines":
            style = keywords(Line2D, line_kw, **{**style, "linewidth": 0.7})
            for curve in curves:
                lines += self.ax_.plot(curve, **style)
        else:
            line, band = draw_quartiles(self.ax_, x, filled, style, line_kw, fill_between_kw)
            lines.append(line)
            if band is not None:
                self.bands_.append(band)
        if kept is None or self.weights[k] == 0:
            return
        options = keywords(
            PathCollection,
            scatter_kw,
            s=22,
            c=[colour],
            marker=marker,
            edgecolor="white",
            linewidth=0.6,
            zorder=3,
        )
        self.kept_.append(self.ax_.scatter(kept, curves[np.arange(len(kept)), kept], **options))

    def _set_scale(self, training, held_out):
        label = "training objective" if training else f"held-out {self.score_name}"
        if training and held_out:
            label = "loss"
        curves = [c for c in (self.loss_curve, self.validation_curve) if c is not None]
        positive = all(np.nanmin(curve) > 0 for curve in curves)
        logarithmic = positive and self.score_name == "loss"
        self.ax_.set(xlabel="iteration", ylabel=label)
        if logarithmic:
            set_log_scale(self.ax_, "y")
        set_integer_ticks(self.ax_.xaxis)

    def _explain(self, shown):
        """Draw the legend: colours of candidates, styles of lines, bands and markers."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        handles = []
        if len(shown) > 1:
            for k, (colour, marker) in self._looks.items():
                counts = f"weight {self.weights[k]:.2g}" if self.weights[k] else "does not count"
                marked = marker if self.weights[k] and self.kept_ else ""
                style = {"color": colour, "marker": marked, "markersize": 5}
                handles.append(Line2D([], [], label=f"{self.names[k]}\n{counts}", **style))
        if self.training_lines_:
            label = "training objective, penalty included"
            handles.append(Line2D([], [], color=DARK, linestyle=TRAINING, label=label))
        if self.held_out_lines_:
            label = f"held-out {self.score_name}"
            handles.append(Line2D([], [], color=DARK, linestyle=HELD_OUT, label=label))
        if self.bands_:
            number = max(np.sum(self.candidate == k) for k in shown)
            label = f"median and middle half of {number} networks"
            handles.append(Patch(facecolor=DARK, alpha=BAND, label=label))
        if self.kept_:
            style = {"color": DARK, "linestyle": "", "marker": "o", "markersize": 5}
            handles.append(
                Line2D(
                    [],
                    [],
                    label="kept iterate of each network"
                    if len(self.candidate) > 1
                    else "kept iterate",
                    **style,
                )
            )
        self.legend_ = legend_beside(self.ax_, handles)


def _carried_on(curves):
    """Fill the curves with their last value after they have ended."""
    last = np.where(np.isnan(curves), 0, np.arange(curves.shape[1]))
    return np.take_along_axis(curves, np.maximum.accumulate(last, axis=1), axis=1)
