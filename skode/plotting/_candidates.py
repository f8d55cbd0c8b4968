"""The candidates of a fit: their held-out losses and weights."""

from __future__ import annotations

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ..inspection._pipelines import network_of
from ._networks import candidate_names, held_out_scale
from ._style import DARK, OKABE_ITO, keywords, legend_beside, open_axes, set_log_scale, set_title

BLUE, ORANGE = OKABE_ITO[:2]


class CandidatesDisplay:
    """Held-out loss of every candidate, and its weight in the model.

    A candidate is a penalty and a view of the features, see ``candidates_``. Small dots are its
    networks, one per fold and restart. The large marker is their mean: filled if the candidate
    counts, empty if it does not. Thin lines connect the networks of the same fold, since a fold
    that is hard for one candidate is mostly hard for the others too: look at whether lines rise or
    fall, not at whether ranges overlap.

    Use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    validation_loss : ndarray of shape (n_candidates, n_networks_each)
        Held-out loss or score of the networks of every candidate.
    weights : ndarray of shape (n_candidates,)
        Weight of each candidate in the model. The weights add up to one.
    names : list of str of length n_candidates
        Name of each candidate.
    score_name : str, default="loss"
        The criterion on the held-out samples: "loss" or the name of a score.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the losses.
    figure_ : matplotlib Figure
        Figure with the axes.
    points_ : list of PathCollection
        Networks, a collection per candidate.
    means_ : list of Line2D
        Means, one per candidate.
    lines_ : list of Line2D
        Connections, one per fold and restart.
    legend_ : Legend or None
        Legend beside the axes.

    See Also
    --------
    LossCurveDisplay : The held-out loss after every iteration.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from skode import ODENetClassifier
    >>> from skode.plotting import CandidatesDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ODENetClassifier(random_state=0).fit((X - X.mean(0)) / X.std(0), y)
    >>> CandidatesDisplay.from_estimator(model)
    <...>
    >>> plt.show()
    """

    def __init__(self, *, validation_loss, weights, names, score_name="loss"):
        self.validation_loss = validation_loss
        self.weights = weights
        self.names = names
        self.score_name = score_name

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **plot_kw):
        """Draw the candidates of a fitted estimator.

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
        CandidatesDisplay
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
            If nothing was held out in `fit`, so that candidates cannot be compared.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        model = network_of(estimator)
        if not hasattr(model, "candidates_"):
            raise ValueError(
                f"{cls.__name__} needs held-out losses, but this {type(model).__name__} was fitted "
                "with nothing held out. Set cv, or early_stopping=True, or give X_val and y_val to "
                "fit."
            )
        sign, score_name = held_out_scale(model)
        display = cls(
            validation_loss=sign * model.validation_loss_.reshape(len(model.validation_loss_), -1),
            weights=model.candidates_["weight"],
            names=candidate_names(model),
            score_name=score_name,
        )
        return display.plot(ax=ax, **plot_kw)

    def plot(
        self,
        ax=None,
        *,
        legend=True,
        name=None,
        scatter_kw=None,
        mean_kw=None,
        line_kw=None,
    ):
        """Draw the candidates.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure. In a figure of yours, take
            ``layout="constrained"``, so that there is room for the labels.
        legend : bool, default=True
            Whether to draw the legend.
        name : str, default=None
            Title of the axes.
        scatter_kw : dict, default=None
            Keywords of the networks, for matplotlib's ``scatter``.
        mean_kw : dict, default=None
            Keywords of the means, for matplotlib's ``plot``.
        line_kw : dict, default=None
            Keywords of the lines between networks of the same fold, for matplotlib's ``plot``.

        Returns
        -------
        CandidatesDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = open_axes(self, ax)
        self._draw(scatter_kw, mean_kw, line_kw)
        rows, losses = np.arange(len(self.names)), self.validation_loss
        found = losses[np.isfinite(losses)]
        if self.score_name == "loss" and found.min() > 0 and found.max() > 10 * found.min():
            set_log_scale(ax, "x")
        ax.set(xlabel=f"held-out {self.score_name}", ylim=(len(rows) - 0.5, -0.5))
        ax.set_yticks(rows, self._labels())
        set_title(ax, name)
        self.legend_ = legend_beside(ax, self._handles()) if legend else None
        return self

    def _draw(self, scatter_kw, mean_kw, line_kw):
        """Draw networks, their means, and the lines between networks of the same fold."""
        from matplotlib.collections import PathCollection
        from matplotlib.lines import Line2D

        losses = np.where(np.isfinite(self.validation_loss), self.validation_loss, np.nan)
        rows = np.arange(len(losses))
        line = keywords(Line2D, line_kw, color="0.75", linewidth=0.6, zorder=1)
        self.lines_ = [] if len(losses) == 1 else self.ax_.plot(losses, rows, **line)
        self.points_, self.means_ = [], []
        for row, weight, own in zip(rows, self.weights, losses, strict=True):
            dots = keywords(PathCollection, scatter_kw, s=20, color=BLUE, linewidth=0, zorder=2)
            self.points_.append(self.ax_.scatter(own, np.full(len(own), row), **dots))
            style = {"color": ORANGE, "marker": "D", "markersize": 9, "markeredgecolor": DARK}
            style |= {
                "markerfacecolor": ORANGE if weight else "white",
                "linestyle": "",
                "zorder": 3,
            }
            self.means_ += self.ax_.plot(np.mean(own), row, **keywords(Line2D, mean_kw, **style))

    def _labels(self):
        """Return the name and the weight of each candidate."""
        counts = [f"weight {w:.2g}" if w else "does not count" for w in self.weights]
        return [f"{name}\n{count}" for name, count in zip(self.names, counts, strict=True)]

    def _handles(self):
        """Return the entries of the legend."""
        from matplotlib.lines import Line2D

        filled = np.argmax(self.weights)
        mean = {"color": self.means_[filled].get_markerfacecolor(), "linestyle": ""}
        mean |= {"marker": self.means_[filled].get_marker(), "markeredgecolor": DARK}
        handles = [
            Line2D([], [], **mean, label="mean of a candidate that counts"),
        ]
        if not self.weights.all():
            empty = {**mean, "color": "white"}
            handles.append(Line2D([], [], **empty, label="mean of one that does not"))
        if self.validation_loss.shape[1] > 1:
            self.points_[0].set_label("its networks")
            handles.append(self.points_[0])
            if self.lines_:
                self.lines_[0].set_label("networks of the same fold")
                handles.append(self.lines_[0])
        return handles
