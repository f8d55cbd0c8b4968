"""A picture of the accuracy that is left when samples are moved."""

from __future__ import annotations

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ..inspection._pipelines import network_of
from ..plotting._style import (
    BAND,
    DARK,
    colours_of,
    keywords,
    legend_beside,
    marker_of,
    open_axes,
    set_title,
)
from ._attacks import robust_accuracy
from ._certified import certified_accuracy
from ._norms import checked_eps, checked_norm

ATTACKED = ("-", "--", "-.", (0, (6, 1, 1, 1, 1, 1)))  # styles of the attacks, in their order
CERTIFIED, CLEAN = ":", (0, (1, 4))
NAMES = {  # of the attacks in the legend
    "fgsm": "FGSM",
    "pgd": "PGD",
    "autoattack": "AutoAttack",
    "deepfool": "DeepFool",
    "carlini": "Carlini & Wagner",
    "hopskipjump": "HopSkipJump",
    "grid": "grid",
}


class RobustnessDisplay:
    """Accuracy of classifiers against the radius in which samples may be moved.

    Lines with markers are the accuracy that an attack has left, an upper bound of the true robust
    accuracy. Dotted lines are what is certified, a lower bound. The truth lies between them, in the
    band. The faint line is the accuracy without attack. Each classifier has a colour and a marker.

    Use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    eps : ndarray of shape (n_radii,)
        The radii.
    clean : ndarray of shape (n_estimators,)
        Accuracy without attack.
    attacked : dict of str to ndarray of shape (n_estimators, n_radii)
        Accuracy under attack, by the name of the attack. May be empty.
    certified : ndarray of shape (n_estimators, n_radii), default=None
        Certified accuracy.
    names : list of str of length n_estimators, default=None
        What each classifier is. None means that there is no need to say it.
    norm : {"inf", 2}, default="inf"
        The norm of the balls.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure with the axes.
    attacked_lines_ : dict of str to list of Line2D
        Accuracy under each attack, a line per classifier.
    certified_lines_ : list of Line2D
        Certified accuracy, a line per classifier.
    clean_lines_ : list of Line2D
        Accuracy without attack, a line per classifier.
    bands_ : list of PolyCollection
        Between what is certified and the lowest curve of an attack, one per classifier.
    legend_ : Legend or None
        Legend beside the axes.

    See Also
    --------
    robust_accuracy : The numbers.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skode import FeedForwardClassifier, ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.robustness import RobustnessDisplay
    >>> X, y = make_spirals(200, random_state=0)
    >>> models = {
    ...     "ODE network": ODENetClassifier(random_state=0).fit(X, y),
    ...     "feed-forward network": FeedForwardClassifier(random_state=0).fit(X, y),
    ... }
    >>> RobustnessDisplay.from_estimator(models, X, y, eps=[0, 0.05, 0.1], attacks="grid")
    <...>
    >>> plt.show()
    """

    def __init__(self, *, eps, clean, attacked, certified=None, names=None, norm="inf"):
        self.eps = eps
        self.clean = clean
        self.attacked = attacked
        self.certified = certified
        self.names = names
        self.norm = norm

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        eps,
        norm="inf",
        attacks="pgd",
        certified=False,
        clip_values=None,
        attack_params=None,
        n_points=51,
        random_state=None,
        ax=None,
        **plot_kw,
    ):
        """Attack fitted classifiers, and draw the accuracy that is left.

        Parameters
        ----------
        estimator : classifier of skode, Pipeline, list or dict of these
            A fitted classifier, or a fitted pipeline that ends in one. Several as a list, or as a
            dict with their names.
        X : array-like of shape (n_samples, n_features)
            Samples, which were not trained on.
        y : array-like of shape (n_samples,)
            Their classes.
        eps : array-like of shape (n_radii,)
            Radii of the balls, in the units of X.
        norm : {"inf", 2}, default="inf"
            The norm of the balls.
        attacks : str, list, dict or None, default="pgd"
            What `robust_accuracy` takes as `attack`: one, a list, or a dict with names for the
            legend. None means that nothing is attacked.
        certified : bool, default=False
            Whether to draw the certified accuracy.
        clip_values, attack_params, n_points, random_state
            As those of `robust_accuracy`.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        **plot_kw : dict
            Keywords of `plot`.

        Returns
        -------
        RobustnessDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed, or what the attack needs.
        NotFittedError, TypeError
            As `robust_accuracy`.
        ValueError
            As `robust_accuracy`; if `eps` is not a sequence; or if there is nothing to draw.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        estimators, names = _named(estimator)
        radii = checked_eps(eps)
        if radii.ndim != 1:
            raise ValueError(f"eps must be a sequence of radii; its shape is {radii.shape}.")
        radii = np.unique(radii)
        attacks = _by_name(attacks)
        if not attacks and not certified:
            raise ValueError("There is nothing to draw: no attacks, and certified is False.")
        options = {
            "clip_values": clip_values,
            "attack_params": attack_params,
            "n_points": n_points,
            "random_state": random_state,
        }
        # What is cheap comes first, so that errors in X and y do too.
        clean = [robust_accuracy(one, X, y, 0.0, norm, _not_run) for one in estimators]
        display = cls(
            eps=radii,
            clean=np.array(clean),
            attacked={
                name: np.stack(
                    [
                        robust_accuracy(one, X, y, radii, norm, attack, **options)
                        for one in estimators
                    ]
                )
                for name, attack in attacks.items()
            },
            certified=_certified(estimators, X, y, radii, norm) if certified else None,
            names=names,
            norm="inf" if checked_norm(norm) == np.inf else 2,
        )
        return display.plot(ax=ax, **plot_kw)

    def plot(
        self,
        ax=None,
        *,
        cmap=None,
        legend=True,
        name=None,
        line_kw=None,
        certified_kw=None,
        clean_kw=None,
        fill_between_kw=None,
    ):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure. In a figure of yours, take
            ``layout="constrained"``, so that there is room for the legend.
        cmap : str or Colormap, default=None
            Colours of the classifiers. None means the colours of Okabe and Ito.
        legend : bool, default=True
            Whether to draw the legend.
        name : str, default=None
            Title of the axes.
        line_kw : dict, default=None
            Keywords of the accuracy under attack, for matplotlib's ``plot``.
        certified_kw : dict, default=None
            Keywords of the certified accuracy, for matplotlib's ``plot``.
        clean_kw : dict, default=None
            Keywords of the accuracy without attack, for matplotlib's ``axhline``.
        fill_between_kw : dict, default=None
            Keywords of the bands, for matplotlib's ``fill_between``.

        Returns
        -------
        RobustnessDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = open_axes(self, ax)
        self._looks = [
            (colour, marker_of(k)) for k, colour in enumerate(colours_of(len(self.clean), cmap))
        ]
        self._draw_bands(fill_between_kw)
        self._draw_clean(clean_kw)
        self._draw_certified(certified_kw)
        self._draw_attacked(line_kw)
        of_norm = "∞-norm" if self.norm == "inf" else "2-norm"
        ax.set(xlabel=f"radius ε ({of_norm})", ylabel="accuracy", ylim=(-0.02, 1.02))
        ax.margins(x=0.02)
        set_title(ax, name)
        self.legend_ = legend_beside(ax, self._handles()) if legend else None
        return self

    def _draw_bands(self, fill_between_kw):
        """Where the truth lies, between both bounds."""
        from matplotlib.collections import PolyCollection

        self.bands_ = []
        if self.certified is None or not self.attacked:
            return
        upper = np.min(list(self.attacked.values()), axis=0)
        for (colour, _), low, high in zip(self._looks, self.certified, upper, strict=True):
            band = keywords(
                PolyCollection, fill_between_kw, facecolor=colour, alpha=BAND, linewidth=0
            )
            self.bands_.append(self.ax_.fill_between(self.eps, low, high, **band))

    def _draw_clean(self, clean_kw):
        from matplotlib.lines import Line2D

        self.clean_lines_ = []
        for (colour, _), accuracy in zip(self._looks, self.clean, strict=True):
            style = keywords(
                Line2D, clean_kw, color=colour, linestyle=CLEAN, linewidth=1.2, zorder=1.5
            )
            self.clean_lines_.append(self.ax_.axhline(accuracy, **style))

    def _draw_certified(self, certified_kw):
        from matplotlib.lines import Line2D

        self.certified_lines_ = []
        if self.certified is None:
            return
        for (colour, _), accuracy in zip(self._looks, self.certified, strict=True):
            style = keywords(
                Line2D, certified_kw, color=colour, linestyle=CERTIFIED, linewidth=1.8, zorder=2
            )
            self.certified_lines_ += self.ax_.plot(self.eps, accuracy, **style)

    def _draw_attacked(self, line_kw):
        from matplotlib.lines import Line2D

        self.attacked_lines_ = {}
        for j, (attack, accuracies) in enumerate(self.attacked.items()):
            lines = self.attacked_lines_[attack] = []
            for (colour, marker), accuracy in zip(self._looks, accuracies, strict=True):
                style = {"color": colour, "linestyle": ATTACKED[j % len(ATTACKED)]}
                style |= {"marker": marker, "markersize": 5, "markeredgecolor": "white"}
                style |= {"markeredgewidth": 0.6, "linewidth": 1.6, "zorder": 3}
                lines += self.ax_.plot(self.eps, accuracy, **keywords(Line2D, line_kw, **style))

    def _handles(self):
        """What the legend explains: colours of classifiers, and styles of lines."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        handles = []
        for (colour, marker), name in zip(self._looks, self.names or [], strict=bool(self.names)):
            style = {"color": colour, "marker": marker, "markersize": 5}
            handles.append(Line2D([], [], label=name, **style))
        styles = [("without attack", CLEAN, 1.2)]
        styles += [
            (f"under attack: {NAMES.get(attack, attack)}", ATTACKED[j % len(ATTACKED)], 1.6)
            for j, attack in enumerate(self.attacked)
        ]
        if self.certified is not None:
            styles.append(("certified", CERTIFIED, 1.8))
        handles += [
            Line2D([], [], color=DARK, linestyle=line, linewidth=width, label=label)
            for label, line, width in styles
        ]
        if self.bands_:
            label = "where the true robust accuracy lies"
            handles.append(Patch(facecolor=DARK, alpha=BAND, label=label))
        return handles


def _named(estimator):
    """The estimators as a list, and their names; None for a single one."""
    if isinstance(estimator, dict):
        found, names = list(estimator.values()), [str(name) for name in estimator]
    elif isinstance(estimator, (list, tuple)):
        found = list(estimator)
        names = [type(network_of(one)).__name__ for one in found]
        names = _numbered(names)
    else:
        return [estimator], None
    if not found:
        raise ValueError("There is no estimator to draw.")
    return found, names


def _by_name(attacks):
    """The attacks by their names."""
    if attacks is None:
        return {}
    if isinstance(attacks, dict):
        return attacks
    if isinstance(attacks, (list, tuple)):
        names = [one if isinstance(one, str) else _name(one) for one in attacks]
        return dict(zip(_numbered(names), attacks, strict=True))
    return {attacks if isinstance(attacks, str) else _name(attacks): attacks}


def _name(attack):
    """The name of a function, or of the class of an attack."""
    return getattr(attack, "__name__", type(attack).__name__)


def _numbered(names):
    """The names, with numbers if they are not all different."""
    if len({*names}) == len(names):
        return names
    return [f"{name} {k}" for k, name in enumerate(names, 1)]


def _not_run(estimator, X, y, eps):
    """An attack in balls of radius zero, which nothing is tried in."""
    return X


def _certified(estimators, X, y, eps, norm):
    return np.stack([certified_accuracy(one, X, y, eps, norm=norm) for one in estimators])
