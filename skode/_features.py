"""The inputs of the networks, computed from the features: views of the features."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array, issparse

from ._inputs import precision
from ._sparse import columns_of, matrix, rows_of
from .engine.arrays import array_library, namespace, placed, quiet
from .engine.elsewhere import Elsewhere
from .engine.sparse_rows import SparseRows

__all__ = ["GIVEN", "PIECEWISE", "FeatureMap"]

GIVEN, PIECEWISE = "given", "piecewise"
VIEWS = {"given": (GIVEN,), "piecewise": (PIECEWISE,), "both": (GIVEN, PIECEWISE)}
PIECES = 8  # per feature
OUTER = 0.05  # divided by the number of pieces: the share of samples below all pieces, and above
FEW_VALUES = 10  # a feature with at most this many values is not cut into pieces
SPREAD = 0.5  # standard deviation of an input that is a piece
# The least divisor of a piece that runs from 0 to 1, even if its standard deviation is smaller.
# Otherwise the few samples at one end of a piece that hardly varies would become outliers.
LEAST_DEVIATION = 0.05
MOST_INPUTS = 600  # from pieces; with many features each gets fewer pieces, but at least one
# The attributes of a map that are arrays, which define every input.
MAP_PARTS = ("column", "low", "high", "origin", "mean", "width")


class FeatureMap:
    """The inputs of the networks, computed from single features, in one or two views.

    "given" are the features themselves.  "piecewise" has several inputs for each feature x, one for
    each piece between two neighbouring quantiles qₖ of the training data: x clipped to the piece,
    min(max(x, qₖ₋₁), qₖ), and scaled to mean 0 and standard deviation ½.  A linear map of these is
    a continuous function of x that is linear on every piece and constant outside all pieces.  So
    neither heavy tails nor the unit of x matter.  A few of a thousand samples are outside the
    outermost quantiles, and more if there are many features, since then each has fewer pieces.  A
    feature with few values, such as a column of zeros and ones, is not changed.

    Parameters
    ----------
    names : tuple of str
        The views, "given" or "piecewise".
    X : array of shape (n_samples, n_features)
        The training data, of any array library.
    weights : ndarray of shape (n_samples,)
        Their weights; samples with a weight of 0 are ignored.

    Attributes
    ----------
    views : dict of str to slice
        The inputs that belong to each view.
    n_features_in : int
        The number of features.
    column, low, high, origin, mean, width : ndarrays of shape (n_inputs,)
        Input i is ((min(max(x, low), high) - origin) - mean) / width of the feature x in `column`.

    References
    ----------
    Gorishniy, Rubachev, Babenko, "On embeddings for numerical features in tabular deep learning"
    (2022), section 3.2.
    """

    def __init__(self, names, X, weights):
        parts = []
        for name in names:
            every = np.arange(X.shape[1])
            parts.append(_as_given(every) if name == GIVEN else _in_pieces(X, weights))
        sizes = [(name, len(part[0])) for name, part in zip(names, parts, strict=True)]
        self._set(X.shape[1], sizes, map(np.concatenate, zip(*parts, strict=True)))

    @classmethod
    def of_parts(cls, n_features_in, sizes, parts):
        """Create the map from the numbers of inputs of the views, as pairs, and its arrays."""
        feature_map = cls.__new__(cls)
        feature_map._set(n_features_in, sizes, parts)
        return feature_map

    def _set(self, n_features_in, sizes, parts):
        self.n_features_in = n_features_in
        self.views, start = {}, 0
        for name, number in sizes:
            self.views[name] = slice(start, start + number)
            start += number
        self.column, self.low, self.high, self.origin, self.mean, self.width = parts

    @property
    def sizes(self):
        """The views and their numbers of inputs, as pairs."""
        return [(name, inputs.stop - inputs.start) for name, inputs in self.views.items()]

    def __repr__(self):
        return f"FeatureMap({', '.join(self.views)}: {self.n_features_in} -> {self.n_inputs})"

    @property
    def n_inputs(self):
        """The number of inputs of all views."""
        return len(self.column)

    @property
    def is_identity(self):
        """Whether the inputs are the features."""
        return tuple(self.views) == (GIVEN,)

    def transform(self, X):
        """Compute the inputs from features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_inputs)
            The inputs, in the library, on the device and in the precision of X; numbers other than
            float32 become float64.  If the inputs are the features, X itself; otherwise the inputs
            of sparse features are a dense array.

        Raises
        ------
        ValueError
            If X has another number of features.
        """
        if issparse(X):
            X = csr_array(X)
            X = X if X.dtype in (np.float32, np.float64) else X.astype(np.float64)
        elif array_library(X) is None and not isinstance(X, SparseRows):
            X = np.asarray(X)
            X = X if X.dtype in (np.float32, np.float64) else X.astype(np.float64)
        if len(X.shape) != 2 or X.shape[1] != self.n_features_in:
            raise ValueError(
                f"X must have the shape (n_samples, {self.n_features_in}); it is {X.shape}."
            )
        return X if self.is_identity else self._some(rows_of(X), slice(0, self.n_inputs))

    def _some(self, X, inputs):
        """Compute a slice of the inputs from validated features."""
        x = _taken(X, self.column[inputs])
        xp = namespace(x)
        low, high, origin, mean, width = (
            placed(part[inputs].astype(precision(X)), x)[None, :]
            for part in (self.low, self.high, self.origin, self.mean, self.width)
        )
        with quiet():
            # The first difference is exact up to the last digits of x, whatever the range of x.
            return ((xp.minimum(xp.maximum(x, low), high) - origin) - mean) / width

    def of(self, X):
        """Return inputs that are computed row by row on access."""
        if self.is_identity:
            return X
        return X.mapped(self) if isinstance(X, Elsewhere) else Inputs(self, X)

    def pull_back(self, X, G):
        """Convert derivatives for the inputs to derivatives for the features.

        Parameters
        ----------
        X : ndarray or sparse matrix of shape (n_samples, n_features)
            The features.
        G : ndarray of shape (..., n_samples, n_inputs)
            The derivatives with respect to the inputs.

        Returns
        -------
        ndarray of shape (..., n_samples, n_features)
            The derivatives.  At the end of a piece, the mean of both one-sided derivatives.
        """
        if self.is_identity:
            return G
        x = (X.toarray() if issparse(X) else X)[:, self.column]
        slope = ((self.low <= x) & (x < self.high)) / 2 + ((self.low < x) & (x <= self.high)) / 2
        found = np.zeros((*G.shape[:-1], self.n_features_in), G.dtype)
        np.add.at(found, (..., self.column), G * (slope / self.width))
        return found


class Inputs:
    """The inputs, or a slice of them, computed row by row on access like an array."""

    def __init__(self, feature_map, X, inputs=None):
        self._map, self._X = feature_map, X
        self._inputs = slice(0, feature_map.n_inputs) if inputs is None else inputs
        self.like, self.dtype = getattr(X, "like", X), X.dtype
        self.shape = (X.shape[0], self._inputs.stop - self._inputs.start)

    @property
    def parts(self):
        """The arrays that the inputs are computed from."""
        maps = (getattr(self._map, name)[self._inputs] for name in MAP_PARTS)
        return self._X, *maps

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        rows = key[0] if isinstance(key, tuple) else key  # with all columns
        return self._map._some(self._X[rows, :], self._inputs)

    def take(self, rows, axis=0, out=None, mode="raise"):
        """Return the rows with these numbers; the signature is that of NumPy's method."""
        return self[rows]

    def of_columns(self, columns):
        """Return the same rows with a slice of the columns."""
        start = self._inputs.start
        columns = slice(start + columns.start, start + columns.stop)
        return Inputs(self._map, self._X, columns)


def _taken(X, columns):
    """Return some columns of features, as an array."""
    if isinstance(X, SparseRows):
        return matrix(X)[:, columns].toarray()
    return namespace(X).take(X, placed(columns, X), axis=1)


def some_in_pieces(X, weights):
    """Whether a feature has enough values to be cut into pieces."""
    used = weights > 0
    return any(_many_values(x[used]) for x in columns_of(X))


def _many_values(x):
    return len(np.unique(x)) > FEW_VALUES


def _as_given(columns):
    """Return the columns, lows, highs, origins, means and widths of the features themselves."""
    each = np.ones(len(columns))
    return columns, -np.inf * each, np.inf * each, 0 * each, 0 * each, each


def _in_pieces(X, weights):
    """Return the columns, lows, highs, origins, means and widths of the pieces of the features."""
    used = weights > 0
    weights = weights[used] / weights.sum()
    many = [_many_values(x[used]) for x in columns_of(X)]
    n_pieces = min(PIECES, max(1, MOST_INPUTS // max(1, sum(many))))
    parts = []
    for j, column in enumerate(columns_of(X)):  # one by one, so that X is never copied as a whole
        if many[j]:
            x = column[used].astype(np.float64)
            knots = _quantiles(x, weights, n_pieces)
            low, high = knots[:-1], knots[1:]
            with quiet():
                length = high - low
                share = (np.clip(x[:, None], low, high) - low) / length
                mean = weights @ share
                deviation = np.maximum((weights @ (share - mean) ** 2) ** 0.5, LEAST_DEVIATION)
                width = length * deviation / SPREAD
                parts.append((np.full(len(low), j), low, high, low, length * mean, width))
        else:
            parts.append(_as_given(np.array([j])))
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def _quantiles(x, weights, n_pieces):
    """Return the ends of the pieces of values whose weights add up to one; each end is a value."""
    order = np.argsort(x, kind="stable")
    x, share = x[order], np.cumsum(weights[order])
    # Slightly lower, so that the rounding of sums does not decide between two values.
    outer = OUTER / n_pieces
    levels = np.linspace(outer, 1 - outer, n_pieces + 1) * (1 - 1e-9)
    ends = np.unique(x[np.searchsorted(share, levels * share[-1])])
    if len(ends) == 1:  # nearly all samples have this value; use the others
        values = np.unique(x)
        ends = np.unique(
            values[np.round(np.linspace(0, len(values) - 1, n_pieces + 1)).astype(int)]
        )
    return ends
