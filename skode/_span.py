"""Training in the span of the samples, if there are more inputs than samples.

A network with the lift V x + ν uses V only in products with samples.  So the part of V that is
orthogonal to all samples does not change the loss, and the penalty makes it zero.  Let the rows of
X be the samples and G = X Xᵀ.  Then Z = G^½ contains the same samples in coordinates of their span,
since Z Zᵀ = X Xᵀ.  The columns of Q = Xᵀ G^-½ are an orthonormal basis, and Z = X Q.  Training on Z
has the same losses and penalties for V Q as training on X has for V.  A matrix V′ that was trained
on Z corresponds to V = V′ Qᵀ.  Of all orthonormal bases, this one is closest to the samples
themselves.  So it does not depend on their order, and hardly on rounding.  If the samples are
linearly dependent, G^-½ is that of the pseudo-inverse.

Reference: Löwdin, "On the non-orthogonality problem connected with the use of atomic wave functions
in the theory of molecules and crystals" (Journal of Chemical Physics 18, 1950), for the basis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ._inputs import cast
from ._sparse import matrix
from .engine.arrays import device, namespace, placed, quiet, to_host
from .engine.elsewhere import Elsewhere
from .engine.sparse_rows import SparseRows

WIDE = 1000  # inputs of a view; a view with at most this many is never wide
MOST_ROWS = 4096  # samples; the time for a root of G grows with their cube
BLOCK = 2**22  # entries of X that are in float64 at a time


class Span:
    """The columns that networks are trained on in place of the inputs of a feature map.

    The columns of a view are its inputs or, if the view is wide, their coordinates in a basis of
    the span of the samples.  A view is wide if it has more than twice as many inputs as there are
    samples, and more than `WIDE`; and if there are at most `MOST_ROWS` samples.

    Parameters
    ----------
    feature_map : FeatureMap
    bases : dict of str to Basis, default={}
        The bases of the wide views.

    Attributes
    ----------
    views : dict of str to slice
        The columns that belong to each view.
    n_columns : int
        The number of columns of all views.
    """

    def __init__(self, feature_map, bases=None):
        self._inputs, self._bases = feature_map.views, bases or {}
        self.views, self.n_columns = {}, 0
        for name, inputs in self._inputs.items():
            number = inputs.stop - inputs.start
            if name in self._bases:
                number = len(self._bases[name].root)
            self.views[name] = slice(self.n_columns, self.n_columns + number)
            self.n_columns += number

    @classmethod
    def of_samples(cls, feature_map, data):
        """Return the span of samples, for networks with a lift, and the samples in its columns."""
        m, bases = len(data), {}
        if isinstance(data.X, Elsewhere):
            return cls(feature_map), data
        for name, inputs in feature_map.views.items():
            if m <= MOST_ROWS and inputs.stop - inputs.start > max(WIDE, 2 * m):
                bases[name] = Basis.of(data.X, inputs, data.given_weights > 0)
        bases = {name: basis for name, basis in bases.items() if basis is not None}
        span = cls(feature_map, bases)
        return span, replace(data, X=span._columns(data)) if bases else data

    def _columns(self, data):
        """Return the samples in the columns, on their device."""
        X = placed(np.empty((len(data), self.n_columns), data.precision), data.like)
        for name, columns in self.views.items():
            if name in self._bases:
                X[:, columns] = placed(cast(self._bases[name].root, data.precision), data.like)
            else:
                X[:, columns] = data.of_columns(self._inputs[name]).X[:, :]
        return X

    def n_inputs(self, view):
        """Return the number of inputs of a view."""
        return self._inputs[view].stop - self._inputs[view].start

    def seen_by(self, view, controls):
        """Return the controls of networks with a view, with only the inputs of that view in V."""
        if controls.V is None:
            return controls
        return controls._replace(V=controls.V[:, :, self._inputs[view]])

    def embedded(self, view, controls):
        """Expand controls from the columns of a view to all columns; V is zero in the others."""
        if len(self.views) == 1:
            return controls
        V, columns, xp = controls.V, self.views[view], namespace(controls.V)
        before, after = (
            xp.zeros((*V.shape[:2], number), dtype=V.dtype, device=device(V))
            for number in (columns.start, self.n_columns - columns.stop)
        )
        return controls._replace(V=xp.concat([before, V, after], axis=2))

    def project(self, view, controls):
        """Convert host controls from the inputs of a view to its columns.

        The part of V that is orthogonal to the samples is lost.
        """
        if view not in self._bases or controls.V is None:
            return controls
        return controls._replace(V=self._bases[view].project(controls.V))

    def restore(self, V):
        """Return V for the inputs of all views, (networks, channels, inputs), on the host.

        If no view is wide, this is V itself.
        """
        if not self._bases:
            return V
        V, n_inputs = to_host(V), max(inputs.stop for inputs in self._inputs.values())
        found = np.zeros((*V.shape[:2], n_inputs), V.dtype)
        for name, columns in self.views.items():
            part, mine = V[:, :, columns], found[:, :, self._inputs[name]]
            if name in self._bases:
                self._bases[name].restore(part, out=mine)
            else:
                mine[:] = part
        return found


@dataclass(frozen=True)
class Basis:
    """The orthonormal basis Q = Xᵀ G^-½ of the span of samples.

    Parameters
    ----------
    X : array of shape (n_samples, inputs of all views), SparseRows, Inputs or Joined
        The samples.
    inputs : slice
        The columns of X that belong to this view.
    used : ndarray of bool of shape (n_samples,)
        A mask of the samples in the span.
    root, inverse_root : ndarrays of shape (n_samples, n_samples)
        G^½ and G^-½ of these samples, with zeros for the others.
    """

    X: Any
    inputs: slice
    used: np.ndarray
    root: np.ndarray
    inverse_root: np.ndarray

    @classmethod
    def of(cls, X, inputs, used):
        """Return the basis for the samples in a mask; None if squares of their entries overflow."""
        m = len(used)
        G = np.zeros((m, m))
        with quiet():  # other samples may contain any values
            for _, block in _column_blocks(X, inputs):
                product = block @ block.T
                G += product.toarray() if isinstance(X, SparseRows) else product
        G = G if used.all() else G[np.ix_(used, used)]
        if not np.isfinite(G).all():
            return None
        values, of_used = np.linalg.eigh(G)
        del G
        some = values > m * np.finfo(float).eps * values[-1]
        values, vectors = values[some], np.zeros((m, some.sum()))
        vectors[used] = of_used[:, some]
        roots = ((vectors * values**power) @ vectors.T for power in (0.5, -0.5))
        return cls(X, inputs, used, *roots)

    def project(self, V):
        """Return V Q for host V, (networks, channels, n_inputs)."""
        flat, products = V.reshape(-1, V.shape[2]), 0.0
        with quiet():
            for columns, block in _column_blocks(self.X, self.inputs):
                products += flat[:, columns] @ block.T
        products[:, ~self.used] = 0.0
        return (products @ self.inverse_root).reshape(*V.shape[:2], -1)

    def restore(self, V, out):
        """Write V Qᵀ of host V, (networks, channels, n_samples), to `out`."""
        V = V @ self.inverse_root
        for columns, block in _column_blocks(self.X, self.inputs):
            for k in np.flatnonzero(V.any(axis=(1, 2))):  # one by one, as they are large
                out[k, :, columns] = V[k] @ block


def _column_blocks(X, inputs):
    """Yield blocks of the columns of X, in float64 on the host.

    Each block comes with the slice of its columns, counted from the first of `inputs`.
    """
    m, d = X.shape[0], inputs.stop - inputs.start
    if isinstance(X, SparseRows):  # it has no other columns
        yield slice(0, d), matrix(X).astype(np.float64, copy=False)
        return
    step = max(1, BLOCK // m)
    for start in range(0, d, step):
        columns = slice(start, min(start + step, d))
        here = slice(inputs.start + columns.start, inputs.start + columns.stop)
        part = X.of_columns(here)[:, :] if hasattr(X, "of_columns") else X[:, here]
        yield columns, np.asarray(to_host(part), dtype=np.float64)
