"""Products of the lift with sparse features, in loops over the nonzero entries.

The loops finish a row of V, or of its gradient, before the next: a row stays in the cache, while
the whole matrix may be much larger.
"""

from __future__ import annotations

from .cpu_rows import loops
from .elementary import constants


@loops
def sparse_product(a, rows, out, places):
    """Compute A x in a place of the block `out`, for sparse features x.

    The places are where A begins in `a`, the number of its columns, and the place of the block.
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

    The places are the place of the block x, where the matrix begins in `out`, and the number of its
    columns.
    """
    place, start, columns = places
    data, indices, indptr = rows
    for i in range(x.shape[1] if len(out) > 0 else 0):
        first = start + i * columns
        for j in range(x.shape[2]):
            factor = x[place, i, j]
            for t in range(indptr[j], indptr[j + 1]):
                out[first + indices[t]] += factor * data[t]
