"""The spectra of the Hessians of the Hamiltonians."""

from __future__ import annotations

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ..inspection import ControlHessian, control_hessian
from ._style import DARK, colours_of, keywords, legend_beside, open_axes, set_title

SMALLEST = 1e-16  # of the largest absolute eigenvalue; what is smaller, or zero, is drawn there


class ControlHessianDisplay:
    """Absolute eigenvalues of the Hessian of the Hamiltonian, from the largest to the smallest.

    There is a line for each layer, the median over the networks, on a logarithmic axis and relative
    to the largest eigenvalue of each network and layer. A line that falls by many decades belongs
    to a Hessian that is nearly singular. If the controls were kept on a manifold, the eigenvalues
    are those on the manifold.

    Use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    hessian : ControlHessian
        What `skode.inspection.control_hessian` returns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the spectra.
    figure_ : matplotlib Figure
        Figure with the axes.
    lines_ : list of Line2D
        Spectra of the layers, in their order.
    near_line_ : Line2D
        The size below which an eigenvalue counts as near zero.
    legend_ : Legend or None
        Legend beside the axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.plotting import ControlHessianDisplay
    >>> X, y = make_spirals(100, random_state=0)
    >>> model = ODENetClassifier(activation="tanh", n_channels=6, random_state=0).fit(X, y)
    >>> ControlHessianDisplay.from_estimator(model, X, y)
    <...>
    >>> plt.show()
    """

    def __init__(self, *, hessian):
        self.hessian = hessian

    @classmethod
    def from_estimator(cls, estimator, X, y, *, alpha=0.0, ax=None, **plot_kw):
        """Compute the Hessian of a fitted estimator and draw its spectra.

        Parameters
        ----------
        estimator : estimator of skode or Pipeline
            A fitted classifier or regressor, or a fitted pipeline that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their classes, labels or targets.
        alpha : float, default=0.0
            Strength of a penalty that is added to the Hamiltonian.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        **plot_kw : dict
            Keywords of `plot`.

        Returns
        -------
        ControlHessianDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError, TypeError, ValueError
            As `skode.inspection.control_hessian`.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        hessian = control_hessian(estimator, X, y, alpha=alpha)
        return cls(hessian=hessian).plot(ax=ax, **plot_kw)

    def plot(self, ax=None, *, cmap="viridis", legend=True, name=None, line_kw=None):
        """Draw the spectra.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure. In a figure of yours, take
            ``layout="constrained"``, so that there is room for the legend.
        cmap : str or Colormap, default="viridis"
            Colours of the layers.
        legend : bool, default=True
            Whether to draw the legend.
        name : str, default=None
            Title of the axes.
        line_kw : dict, default=None
            Keywords of the lines, for matplotlib's ``plot``.

        Returns
        -------
        ControlHessianDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = open_axes(self, ax)
        from matplotlib.lines import Line2D

        spectra, self.lines_, self.legend_ = self._spectra(), [], None
        self.near_line_ = ax.axhline(
            ControlHessian.NEAR, color=DARK, linestyle=":", linewidth=1.2, label="near zero below"
        )
        number = np.arange(1, spectra.shape[1] + 1)
        layers = enumerate(zip(spectra, colours_of(len(spectra), cmap), strict=True), 1)
        for k, (spectrum, colour) in layers:
            style = {"color": colour, "linewidth": 1.2, "label": f"layer {k}"}
            self.lines_ += ax.plot(number, spectrum, **keywords(Line2D, line_kw, **style))
        ax.set(
            xlabel="number of the eigenvalue",
            ylabel="absolute eigenvalue / largest one",
            yscale="log",
            ylim=(SMALLEST / 2, 3),
        )
        set_title(ax, name)
        if legend:
            self.legend_ = legend_beside(ax, [*self.lines_, self.near_line_])
        return self

    def _spectra(self):
        """The median over the networks of relative absolute eigenvalues, (N, number of them)."""
        size = -np.sort(-np.abs(self.hessian.spectrum), axis=-1)
        largest = size[..., :1]
        relative = size / np.where(largest > 0, largest, 1.0)
        return np.median(np.maximum(relative, SMALLEST), axis=0)
