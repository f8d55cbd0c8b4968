"""Code shared by all displays: axes, colours, markers, keywords and legends."""

from __future__ import annotations

from textwrap import fill

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

# The colours of Okabe and Ito, "Color universal design" (2008), without yellow, which is hard to
# see on white.  Neighbours in this order differ in lightness too, so they differ in grey.
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#D55E00")
MARKERS = "os^Dv*<>Pd"  # "x" marks wrong predictions
THIN = "*Pd"  # these need a larger area
DARK = "#333333"
BAND = 0.18  # opacity of a band
WIDER = 1.25  # width of a new figure relative to the default, since the legend is beside the axes
LONGEST_LINE = 24  # characters in a line of a legend
DECADES = 2.0  # of a logarithmic axis; shorter ones also have labels at 2 and 5
MOST_ENTRIES = 24  # in one column of a legend


def open_axes(display, ax):
    """Set `ax_` and `figure_` of a display: the given axes, or those of a new figure."""
    check_matplotlib_support(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    if ax is None:
        width, height = plt.rcParams["figure.figsize"]
        _, ax = plt.subplots(figsize=(WIDER * width, height), layout="constrained")
    display.ax_, display.figure_ = ax, ax.figure
    return ax


def colours_of(number, cmap=None):
    """Return distinguishable colours as an array of RGBA.

    Parameters
    ----------
    number : int
        Number of colours.
    cmap : str or Colormap, default=None
        Source of the colours.  None means Okabe and Ito's colours, or "viridis" if these are not
        enough.
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap, to_rgba_array

    if cmap is None and number <= len(OKABE_ITO):
        return to_rgba_array(OKABE_ITO[:number])
    cmap = plt.get_cmap("viridis" if cmap is None else cmap)
    if isinstance(cmap, ListedColormap) and number <= cmap.N < 64:  # a colormap of separate colours
        return cmap(np.arange(number))
    return cmap(np.linspace(0, 1, number))


def tints_of(colours, strength):
    """Return opaque tints of RGBA colours for backgrounds, so that overlaps leave no seams."""
    tints = np.ones_like(colours)
    tints[:, :3] += strength * (colours[:, :3] - 1)
    return tints


def marker_of(k):
    """Return the marker with index k, so that things can be distinguished without colour."""
    return MARKERS[k % len(MARKERS)]


def area_of(marker, area):
    """Return the area for which a marker looks about as large as a circle of the given area."""
    return (1.7 if marker in THIN else 1.0) * area


def keywords(artist, given, **defaults):
    """Merge keywords of an artist: given ones, under any alias, override the defaults."""
    from matplotlib.cbook import normalize_kwargs

    return {**normalize_kwargs(defaults, artist), **normalize_kwargs(given or {}, artist)}


def legend_beside(ax, handles, title=None):
    """Draw a legend to the right of the axes, where it covers nothing."""
    return ax.legend(
        handles=handles,
        labels=[wrapped(handle.get_label()) for handle in handles],
        title=title,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize="small",
        title_fontsize="small",
        alignment="left",
        ncols=-(-len(handles) // MOST_ENTRIES),
    )


def wrapped(text):
    """Wrap text in lines short enough for a legend."""
    return "\n".join(fill(line, LONGEST_LINE) for line in str(text).splitlines())


def set_integer_ticks(axis):
    """Set ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def set_log_scale(ax, axis):
    """Make an axis, "x" or "y", logarithmic, with plain numbers that do not overlap as labels."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set(**{f"{axis}scale": "log"})
    low, high = getattr(ax, f"get_{axis}lim")()
    several = np.log10(high / low) < DECADES
    its = getattr(ax, f"{axis}axis")
    its.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if several else (1.0,)))
    its.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    its.set_minor_formatter(NullFormatter())


def set_title(ax, text):
    """Set a left-aligned title of medium size; none if there is no text."""
    if text:
        ax.set_title(text, loc="left", fontsize="medium")


def draw_quartiles(ax, x, curves, style, line_kw=None, fill_between_kw=None):
    """Draw the median of some curves as a line and their middle half as a band; return both.

    `style` holds the keywords of the line; the band has the same colour.  A single curve has no
    band.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D

    options = keywords(Line2D, line_kw, **style)
    (line,) = ax.plot(x, np.median(curves, axis=0), **options)
    if len(curves) == 1:
        return line, None
    band = keywords(
        PolyCollection,
        fill_between_kw,
        facecolor=options.get("color", line.get_color()),
        alpha=BAND,
        linewidth=0,
    )
    return line, ax.fill_between(x, *np.quantile(curves, (0.25, 0.75), axis=0), **band)
