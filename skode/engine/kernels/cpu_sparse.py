"""The products of the lift with sparse features, in loops over the entries that are not zero.

The loops go through a row of V, or of its gradient, before they come to the next: such a row stays
in the cache, while V as a whole may be far larger.
"""

from __future__ import annotations

from .cpu_rows import loops
from .elementary import constants


@loops
def sparse_product(a, rows, out, places):
    """Put A x in a place of the block `out`, for sparse features x.

    The places are where A begins in `a`, how many columns it has, and that of the block.
    """
    start, columns, place = places
    data, indices, indptr = rows
    for i in range(out.shape[1]):
        first = start + i * columns
        for j in range(out.shape[2]):
            total = constants(a[start]).zero
            for t in range(indptr[j], indptr[j + 1]):
                total += a[first + indices[t]] * data[t]
            out[place, i, j] = total


@loops
def add_sparse_outer_product(x, rows, out, places):
    """Add x yᵀ, the sum over the samples of a block, to `out`, for sparse features y.

    The places are that of the block x, where the matrix begins in `out`, and how many columns it
    has.
    """
    place, start, columns = places
    data, indices, indptr = rows
    for i in range(x.shape[1]):
        first = start + i * columns
        for j in range(x.shape[2]):
            factor = x[place, i, j]
            for t in range(indptr[j], indptr[j + 1]):
                out[first + indices[t]] += factor * data[t]
