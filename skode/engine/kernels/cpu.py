"""The kernel for host arrays and explicit schemes: one call without the interpreter's lock.

The loops are compiled by numba at the first use, once for each precision and machine: numba writes
what it has compiled to a cache.  Where numba is missing or can write no cache the reference serves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, on_host
from ..losses import LOGISTIC_SQUARED
from ..tableaux import ButcherTableau
from .interface import Problem, Samples, Sums

__all__ = ["call_size", "evaluate", "is_usable_for", "predict"]

CACHE_BYTES = 384 * 1024  # of the states of all layers of a block, which L2 holds
BLOCK_STEP = 32  # a block is a multiple of so many samples
LARGEST_BLOCK = 512
CALL_BYTES = 2**22  # of the states of all layers in one call
logger = logging.getLogger(__name__)


class Compiled(NamedTuple):
    """The compiled functions for one precision."""

    evaluate: Callable[..., None]
    predict: Callable[..., None]


def is_usable_for(problem: Problem, like: Array) -> bool:
    """Whether arrays are the host's, the scheme is explicit, and numba works."""
    return (
        on_host(like)
        and like.dtype in (np.float32, np.float64)
        and problem.network.tableau.explicit
        and compiled(like.dtype) is not None
    )


@cache
def compiled(dtype: Any) -> Compiled | None:
    """Return the compiled functions for a precision; None where numba does not work."""
    try:
        from numba import from_dtype, int64, float64, njit, void
        from numba.types import Array as ArrayType
        from numba.types import Tuple

        from . import cpu_layers
    except ImportError:
        return None
    real = from_dtype(np.dtype(dtype))

    def given(ndim: int, of: Any = real, order: str = "A") -> Any:
        return ArrayType(of, ndim, order, readonly=True)

    samples = Tuple((given(2), given(2), given(1)))
    folds = Tuple((given(1, int64), given(2), given(2), given(1, int64)))
    sums = Tuple((float64[::1], float64[::1], float64[:, ::1]))
    flat, numbers, scheme = given(2, order="C"), given(1, int64, "C"), given(2, order="C")
    signatures = {
        cpu_layers.evaluate: void(samples, folds, flat, numbers, scheme, sums),
        cpu_layers.predict: void(given(2), flat, numbers, scheme, real[:, ::1]),
    }
    done = []
    try:
        for function, signature in signatures.items():
            one = njit(signature, cache=True, nogil=True, error_model="numpy")(function.py_func)
            done.append(one.overloads[signature.args].entry_point)
    except RuntimeError:  # no place for a cache
        return None
    return Compiled(*done)


def call_size(problem: Problem, n_members: int, n_samples: int, like: Array) -> tuple[int, int]:
    """Return how many members and samples one call takes; the latter does not depend on members."""
    block = _block(problem, like)
    per_block = _bytes_of_sample(problem, like) * block
    size = block * max(1, CALL_BYTES // per_block)
    return n_members, size


def evaluate(problem: Problem, samples: Samples, flat: Array, gradient: bool) -> Sums:
    """Return the sums over the samples, by one row of `flat` for every member."""
    dtype, n_members = flat.dtype, len(flat)
    X, targets, weights, folds = samples
    X = X.astype(dtype, copy=False)
    loss, held_out = np.zeros((2, n_members))
    dU = np.zeros(flat.shape if gradient else (0, 0))
    if folds is None:
        of_folds = _NO_FOLDS[dtype.name]
    else:
        group, train, tested, split = folds
        of_folds = (
            group.astype(np.int64, copy=False),
            train.astype(dtype, copy=False),
            tested.astype(dtype, copy=False),
            split.astype(np.int64, copy=False),
        )
    numbers = _numbers(problem, X.shape[1], gradient, dtype)
    scheme = _scheme(problem.network.tableau, dtype)
    compiled(dtype).evaluate(
        (X, targets, weights), of_folds, np.ascontiguousarray(flat), numbers, scheme,
        (loss, held_out, dU),
    )
    if folds is not None:
        held_out[np.isnan(held_out)] = np.inf
    return Sums(loss, None if folds is None else held_out, dU.astype(dtype, copy=False) if gradient else None)


def predict(problem: Problem, X: Array, flat: Array) -> Array:
    """Return what `loss.mean` makes of the outputs, (classes or outputs, samples)."""
    dtype, q = flat.dtype, problem.layout.n_outputs
    said = 2 if q == 1 and problem.loss.log_proba is not None else q
    out = np.empty((said, len(X)), dtype)
    numbers = _numbers(problem, X.shape[1], False, dtype)
    scheme = _scheme(problem.network.tableau, dtype)
    compiled(dtype).predict(
        X.astype(dtype, copy=False), np.ascontiguousarray(flat), numbers, scheme, out
    )
    return out


_NO_FOLDS = {
    name: (np.zeros(0, np.int64), np.zeros((1, 1), name), np.zeros((1, 1), name), np.zeros(0, np.int64))
    for name in ("float32", "float64")
}


@cache
def _scheme(tableau: ButcherTableau, dtype: Any) -> Array:
    """A, and below it b, without the stages that nothing depends on."""
    A, b = np.array(tableau.A, dtype), np.array(tableau.b, dtype)
    needed = b != 0
    for i in range(len(b) - 1, -1, -1):
        if needed[i]:
            needed |= A[i] != 0
    A, b = A[np.ix_(needed, needed)], b[needed]
    return np.vstack([A, b, A.T])


def _numbers(problem: Problem, n_features: int, gradient: bool, dtype: Any) -> Array:
    """The fields of `Case`."""
    network, layout, loss, learn_step = problem
    return np.array(
        [
            n_features,
            layout.n_layers,
            layout.n_channels,
            layout.n_outputs,
            layout.lifted,
            _scheme(network.tableau, dtype).shape[1],
            *network.activation.codes,
            *network.lift.codes,
            loss.code,
            network.skip,
            learn_step,
            gradient,
            _block(problem, dtype),
        ],
        np.int64,
    )


def _bytes_of_sample(problem: Problem, like) -> int:
    layout, s = problem.layout, problem.network.tableau.n_stages
    item = np.dtype(getattr(like, "dtype", like)).itemsize
    return layout.n_channels * ((layout.n_layers * (s + 1)) + s + 4) * item


def _block(problem: Problem, like) -> int:
    if BLOCK: return BLOCK
    size = CACHE_BYTES // _bytes_of_sample(problem, like)
    return max(64, min(LARGEST_BLOCK, size // BLOCK_STEP * BLOCK_STEP))
BLOCK = 0
