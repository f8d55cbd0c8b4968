"""The controls K and b over the layers."""

from __future__ import annotations

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ..inspection._pipelines import network_of
from ._networks import chosen_network, title_of
from ._style import (
    BAND,
    colours_of,
    keywords,
    legend_beside,
    open_axes,
    set_integer_ticks,
    set_title,
)

KINDS = ("auto", "entries", "image", "norm")
FEW_CHANNELS = 2  # "auto" draws every entry up to this number
FEW_LAYERS = 12  # "auto" draws images up to this number
GAP = 0.35  # between images, relative to their width
STRIP = 0.1  # width of the image of b, if K has width 1
CLIPPED = 0.5  # percent of the entries that may be beyond each end of the colour bar
LINESTYLES = ("-", "--", "-.", ":")


class ControlsDisplay:
    """Controls K and b over the layers: the trained vector field as a function of time.

    There are three kinds of drawings of the vector field σ(K y + b).

    - "entries": a line for each entry of K and b of one network. The lines are steps, as the
      controls are constant within a layer.
    - "image": a picture of K and b for each layer of one network, all with the same colours.
    - "norm": the spectral norm of K and the Euclidean norm of b, their mean and range over all
      networks. The change of a state in a layer grows by at most h‖K‖ times the distance of two
      states, if σ is 1-Lipschitz, as "relu" and "tanh" are.

    Use `from_estimator` to create a display. All parameters are stored as attributes.

    Parameters
    ----------
    K : ndarray of shape (n_networks, N, n_channels, n_channels)
        Weights of the layers.
    b : ndarray of shape (n_networks, N, n_channels)
        Biases of the layers.
    h : float or None, default=None
        Step of all layers, if it is the same for all, and None otherwise. With a step the
        horizontal axis is the time t; without, it is the number of the layer.
    network : int, default=0
        Network to draw as "entries" or "image".
    network_name : str, default=""
        Title for these two: which network is drawn.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the controls.
    figure_ : matplotlib Figure
        Figure with the axes.
    kind_ : {"entries", "image", "norm"}
        Kind of the drawing.
    lines_ : list of StepPatch
        Entries of K, row by row, and of b; or the mean norm of K and that of b.
    bands_ : list of StepPatch
        Ranges of the norms over the networks.
    images_ : list of AxesImage
        Images of K and b of every layer: K of the first layer, b of the first layer, and so on.
    colorbar_ : Colorbar or None
        Scale of the images.
    legend_ : Legend or None
        Legend beside the axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.plotting import ControlsDisplay
    >>> X, y = make_spirals(200, random_state=0)
    >>> model = ODENetClassifier(N=6, n_channels=8, random_state=0).fit(X, y)
    >>> ControlsDisplay.from_estimator(model)
    <...>
    >>> plt.show()
    """

    def __init__(self, *, K, b, h=None, network=0, network_name=""):
        self.K = K
        self.b = b
        self.h = h
        self.network = network
        self.network_name = network_name

    @classmethod
    def from_estimator(cls, estimator, *, network=None, ax=None, **plot_kw):
        """Draw the controls of a fitted estimator.

        Parameters
        ----------
        estimator : estimator of skode or Pipeline
            A fitted classifier or regressor, or a fitted pipeline that ends in one.
        network : int, default=None
            Network to draw as "entries" or "image", as an index into ``K_``. None means the first
            network of the candidate that counts most.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        **plot_kw : dict
            Keywords of `plot`.

        Returns
        -------
        ControlsDisplay
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
            If there is no such network.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        model = network_of(estimator)
        network = chosen_network(model, network)
        h = float(model.h_[0, 0])
        timed = model._fitted_network().skip != 0 and (model.h_ == h).all()
        display = cls(
            K=model.K_,
            b=model.b_,
            h=h if timed else None,
            network=network,
            network_name=title_of(model, network),
        )
        return display.plot(ax=ax, **plot_kw)

    def plot(
        self,
        ax=None,
        *,
        kind="auto",
        cmap=None,
        legend=True,
        name=None,
        line_kw=None,
        fill_between_kw=None,
        image_kw=None,
    ):
        """Draw the controls.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure. In a figure of yours, take
            ``layout="constrained"``, so that there is room for the legend.
        kind : {"auto", "entries", "image", "norm"}, default="auto"
            What to draw. "auto" means "entries" for at most two channels; for more channels
            "image" up to 12 layers, and "norm" above.
        cmap : str or Colormap, default=None
            Colours. None means the colours of Okabe and Ito for lines, and "viridis" for images.
        legend : bool, default=True
            Whether to draw the legend or the colour bar.
        name : str, default=None
            Title of the axes. None means which network is drawn, if it is one of several; "" draws
            no title.
        line_kw : dict, default=None
            Keywords of the lines, for matplotlib's ``stairs``.
        fill_between_kw : dict, default=None
            Keywords of the bands, for matplotlib's ``stairs``.
        image_kw : dict, default=None
            Keywords of the images, for matplotlib's ``imshow``.

        Returns
        -------
        ControlsDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `kind` is unknown.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}; got {kind!r}.")
        N, n = self.K.shape[1:3]
        if kind == "auto":
            kind = "entries" if n <= FEW_CHANNELS else "image" if N <= FEW_LAYERS else "norm"
        ax = open_axes(self, ax)
        self.kind_, self.lines_, self.bands_, self.images_ = kind, [], [], []
        self.colorbar_ = self.legend_ = None
        if kind == "image":
            self._draw_images(cmap, legend, image_kw)
        elif kind == "norm":
            self._draw_norms(cmap, line_kw, fill_between_kw)
        else:
            self._draw_entries(cmap, line_kw)
        default = "" if kind == "norm" else self.network_name
        set_title(ax, default if name is None else name)
        if legend and kind != "image":
            handles = self.lines_ + self.bands_[:1]
            self.legend_ = legend_beside(ax, handles)
        return self

    def _draw_stairs(self, values, style, line_kw):
        """Draw a line that is constant within a layer."""
        from matplotlib.patches import StepPatch

        options = keywords(StepPatch, line_kw, linewidth=1.5, **style)
        self.lines_.append(self.ax_.stairs(values, self._edges(), baseline=None, **options))

    def _edges(self):
        """Set the label of the horizontal axis, and return the ends of the layers on it."""
        N = self.K.shape[1]
        if self.h is None:
            self.ax_.set_xlabel("layer")
            set_integer_ticks(self.ax_.xaxis)
            return np.arange(N + 1) + 0.5
        self.ax_.set_xlabel(f"time t (a layer takes {self.h:g})")
        return self.h * np.arange(N + 1)

    def _draw_entries(self, cmap, line_kw):
        """Draw every entry of K and b: a colour for each row, a line style for each column."""
        K, b = self.K[self.network], self.b[self.network]
        n = K.shape[1]
        colours = colours_of(n, cmap)
        for i in range(n):
            for j in range(n):
                style = {"edgecolor": colours[i], "linestyle": LINESTYLES[j % 3]}
                self._draw_stairs(K[:, i, j], {**style, "label": _entry("K", i, j)}, line_kw)
        for i in range(n):
            style = {"edgecolor": colours[i], "linestyle": LINESTYLES[3], "label": _entry("b", i)}
            self._draw_stairs(b[:, i], style, line_kw)
        self.ax_.set_ylabel("entries of the controls")
        self.ax_.axhline(0, color="0.8", linewidth=0.8, zorder=0)

    def _draw_norms(self, cmap, line_kw, fill_between_kw):
        """Draw mean and range of the norms over the networks."""
        from matplotlib.patches import StepPatch

        norms = np.linalg.norm(self.K, 2, axis=(2, 3)), np.linalg.norm(self.b, axis=2)
        names = "spectral norm of K", "Euclidean norm of b"
        several = len(self.K) > 1
        for norm, name, colour, line in zip(
            norms, names, colours_of(2, cmap), LINESTYLES, strict=False
        ):
            label = f"{name}, mean of {len(norm)} networks" if several else name
            style = {"edgecolor": colour, "linestyle": line, "label": label}
            self._draw_stairs(norm.mean(axis=0), style, line_kw)
            if several:
                band = {"facecolor": colour, "alpha": BAND, "linewidth": 0, "fill": True}
                options = keywords(
                    StepPatch, fill_between_kw, **band, label="smallest to largest norm"
                )
                low, high = norm.min(axis=0), norm.max(axis=0)
                self.bands_.append(self.ax_.stairs(high, self._edges(), baseline=low, **options))
        self.ax_.set(ylabel="norm", ylim=(0, None))

    def _draw_images(self, cmap, legend, image_kw):
        """Draw K and b of every layer, side by side in rows, with the same scale of colours."""
        K, b = self.K[self.network], self.b[self.network]
        N = len(K)
        top = np.percentile(np.abs(np.concatenate([K.ravel(), b.ravel()])), 100 - CLIPPED)
        options = {"cmap": cmap or "viridis", "vmin": -top, "vmax": top, **(image_kw or {})}
        n_columns = min(N, max(3, int(np.ceil(np.sqrt(1.6 * N)))))
        pitch = 1 + GAP + STRIP
        for layer in range(N):
            left, bottom = pitch * (layer % n_columns), -(1 + GAP) * (layer // n_columns) - 1
            strip = left + 1 + STRIP / 2
            for image, ends in (
                (K[layer], (left, left + 1)),
                (b[layer, :, None], (strip, strip + STRIP)),
            ):
                extent = (*ends, bottom, bottom + 1)
                self.images_.append(self.ax_.imshow(image, extent=extent, **options))
            self.ax_.text(left, bottom + 1.04, f"layer {layer + 1}", fontsize="small")
        right = pitch * n_columns - GAP + STRIP
        self.ax_.set(xlim=(-0.05, right), ylim=(bottom - 0.05, 0.3), aspect="equal")
        self.ax_.set_axis_off()
        if legend:
            self.colorbar_ = self.figure_.colorbar(
                self.images_[0],
                ax=self.ax_,
                label="K, and in the narrow strip b",
                extend="both",
                shrink=0.8,
            )


def _entry(name, *indices):
    """Return the name of an entry, counted from 1."""
    return f"${name}_{{{''.join(str(i + 1) for i in indices)}}}$"
