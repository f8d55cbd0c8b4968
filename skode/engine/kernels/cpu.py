"""The kernel for host arrays, which releases the interpreter's lock.

numba compiles the loops in `cpu_networks` when they are first used, once for every precision and
kind of scheme, and caches the result on disk.  If numba is missing, or cannot write a cache, the
reference is used instead.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

from ..arrays import Array, on_host, quiet
from ..controls import Layout
from ..implicit import ROUNDINGS
from ..losses import LOGISTIC
from ..networks import Network
from ..partitioned import PartitionedTableau, Scheme
from ..sparse_rows import SparseRows
from ..tableaux import ButcherTableau
from ..threads import blas_architectures
from . import reference
from .interface import CONTROLS, FEATURES, Problem, Samples, Sums

STATE_BYTES = 2**14  # of one state of a block: most of the states that a layer uses fit into L1
FOR_BLAS = 240  # samples of a block, at least, unless the states of all layers would then exceed
ALL_BYTES = 2**22  # bytes, which is several times the L2 cache
BLOCK_SIZES = 64, 512  # the least and the most samples of a block
BLOCK_STEP = 8  # the size of a block is a multiple of this, to fill vector registers
CALL_WORK = 2**22  # multiplications per call, so many that Python's overhead is negligible
CALLS = 64  # for many samples: enough calls for the threads of most machines

# On these processors OpenBLAS multiplies A Bᵀ without packing A and B first, which is faster, if
# the product has at most this many entries.
UNPACKED = 1200
AVX512 = {"SkylakeX", "Cooperlake", "SapphireRapids"}
PRECISIONS = np.dtype(np.float32), np.dtype(np.float64)

logger = logging.getLogger(__name__)
_lock = Lock()


def is_usable_for(problem: Problem, like: Array) -> bool:
    """Whether the arrays are NumPy arrays, and numba works."""
    return on_host(like) and like.dtype in PRECISIONS and _numba_works()


@cache
def _numba_works() -> bool:
    """Whether numba is installed, may compile, and can write its cache."""
    try:
        import numba

        from . import cpu_compile

        cpu_compile.compilable("evaluate")
    except (ImportError, RuntimeError) as error:
        logger.info("numba does not work here, so that NumPy computes: %s", error)
        return False
    # Without compilation the loops would be much slower than the reference.
    return not vars(numba.config).get("DISABLE_JIT")


def _compiled(name: str, problem: Problem, dtype: Any) -> Callable[..., Any]:
    """Return a function of `cpu_networks`, compiled for a kind of layers and a precision."""
    network = problem.network
    if isinstance(network.tableau, PartitionedTableau):
        kind = "partitioned"
    elif network.field.plain:
        kind = "explicit" if network.tableau.explicit else "implicit"
    else:
        kind = "turned" if network.tableau.explicit else "implicit_turned"
    with _lock:  # only one thread compiles
        return _compile(name, kind, dtype)


@cache
def _compile(name: str, kind: str, dtype: Any) -> Callable[..., Any]:
    from . import cpu_compile

    function: Callable[..., Any] = cpu_compile.for_precision(name, kind, dtype)
    return function


def members_are_independent(problem: Problem) -> bool:
    """Return True: the kernel computes them one by one."""
    return True


def call_size(problem: Problem, n_members: int, n_samples: int, like: Array) -> tuple[int, int]:
    """Return the numbers of members and samples per call; samples do not depend on members."""
    layout, s = problem.layout, problem.network.tableau.n_stages
    n = layout.n_channels
    # The rest takes about as long as the product with 20 more channels.
    work = n_samples * layout.n_layers * s * n * (n + 20)
    # A power of two, so that most numbers of threads share the work evenly.
    calls = min(CALLS, 2 ** max(0, math.floor(math.log2(max(1, work / CALL_WORK)))))
    block = _block_size(problem, like.dtype)
    return n_members, block * math.ceil(n_samples / calls / block)


def evaluate(
    problem: Problem,
    samples: Samples,
    flat: Array,
    gradient: bool,
    tolerance: Array | None = None,
) -> Sums:
    """Return the sums over the samples; `flat` has one row for every member."""
    X, targets, weights, folds = samples
    dtype, n_members = flat.dtype, len(flat)
    if folds is None:
        of_folds = _no_folds(dtype)
    else:
        of_folds = (
            np.asarray(folds.group, dtype=np.int64),
            np.asarray(folds.train, dtype=dtype),
            np.asarray(folds.held_out, dtype=dtype),
            np.asarray(folds.split, dtype=np.int64),
        )
    loss, held_out, sensitivity = np.zeros((3, n_members))
    implicit = not problem.network.tableau.explicit
    dU = np.zeros(flat.shape if gradient else (0, 0), dtype)
    total = np.zeros(dU.shape if dtype == np.float32 else (0, 0))
    scheme = _scheme(problem.network, dtype)
    _compiled("evaluate", problem, dtype)(
        (_features(X, dtype), _given(targets, dtype), _given(weights, dtype)),
        of_folds,
        np.ascontiguousarray(flat),
        _tolerances(flat, tolerance),
        _numbers(problem, X, scheme, CONTROLS if gradient else 0),
        np.array([problem.loss.width, problem.loss.quantile], dtype),
        scheme,
        (loss, held_out, sensitivity, dU, total),
    )
    return Sums(
        loss,
        None if folds is None else np.where(np.isnan(held_out), np.inf, held_out),
        None if not gradient else total.astype(dtype) if total.size else dU,
        sensitivity if gradient and implicit else None,
    )


def predict(problem: Problem, X: Array, flat: Array, weights: Array | None = None) -> Array:
    """Return `loss.mean` of the outputs, (classes or outputs, samples)."""
    dtype, q = flat.dtype, problem.layout.n_outputs
    scheme = _scheme(problem.network, dtype)
    weights_given = weights
    if weights is None:
        weights = np.full(len(flat), 1 / len(flat))
    of_classes = problem.loss.log_proba is not None
    if of_classes:
        with quiet():
            weights = np.log(weights)
    binary = of_classes and (q == 1 or problem.loss.code == LOGISTIC)
    combined = np.empty((2 * q if binary else q, len(X)), dtype)
    unsolved = np.zeros(1, np.int64)
    _compiled("predict", problem, dtype)(
        _features(X, dtype),
        np.ascontiguousarray(flat),
        np.asarray(weights, dtype=dtype),
        _tolerances(flat),
        _numbers(problem, X, scheme),
        scheme,
        combined,
        unsolved,
    )
    if unsolved[0]:  # it names them in the error, unless it can solve them
        return reference.predict(problem, X, flat, weights_given)
    # Rounding may make a probability slightly larger than one.
    return np.minimum(combined, 0, out=combined) if of_classes else combined


def input_gradients(
    problem: Problem, X: Array, flat: Array, of_outputs: Callable[[Array], Array]
) -> Array:
    """Return derivatives with respect to the features, (functions, n_features, samples).

    Those of implicit schemes are left to the reference: they are rarely wanted, and compiling would
    take longer.
    """
    if not problem.network.tableau.explicit:
        return reference.input_gradients(problem, X, flat, of_outputs)
    problem = problem._replace(learn_step=False)
    lifted, rows = _with_lift(problem, flat, X.shape[1])
    dtype, (n_members, q), n = flat.dtype, (len(flat), problem.layout.n_outputs), X.shape[0]
    scheme, compiled = _scheme(problem.network, dtype), _compiled("differentiate", problem, dtype)
    numbers = _numbers(lifted, X, scheme, FEATURES, n_members)
    given, tolerances = _features(X, dtype), _tolerances(flat)
    z, G = np.empty((n_members, q, n), dtype), np.empty((0, X.shape[1], n), dtype)
    dz, values = np.empty((0, *z.shape), dtype), np.empty((0, 0), dtype)
    values = compiled(given, rows, dz, tolerances, numbers, scheme, (z, G, values))
    dz = np.ascontiguousarray(of_outputs(z), dtype)
    G = np.zeros((len(dz), X.shape[1], n), dtype)
    compiled(given, rows, dz, tolerances, numbers, scheme, (z, G, values))
    return G


def _with_lift(problem: Problem, flat: Array, n_features: int) -> tuple[Problem, Array]:
    """Return the same networks with a lift: for features padded with zeros, V is ones and zeros."""
    layout = problem.layout
    if layout.lifted:
        return problem, np.ascontiguousarray(flat)
    wide = Layout(layout.n_layers, layout.n_channels, layout.n_outputs, n_features)
    n_members, n = len(flat), layout.n_channels
    V = np.broadcast_to(np.eye(n, n_features, dtype=flat.dtype), (n_members, n, n_features))
    nu = np.zeros((n_members, n), flat.dtype)
    return problem._replace(layout=wide), wide.flatten(layout.views(flat)._replace(V=V, nu=nu))


def _given(x: Array, dtype: Any) -> Array:
    """Convert an array for the compiled functions: to their dtype, aligned, and no memory map."""
    x = np.asarray(x, dtype=dtype)
    return x if x.flags.aligned else x.copy()


def _features(X: Array | SparseRows, dtype: Any) -> tuple[Array, ...]:
    """Convert X to an array and the fields of `SparseRows`; one of the two is empty."""
    if isinstance(X, SparseRows):
        entries = _given(X.data, dtype), _given(X.indices, np.int32), _given(X.indptr, np.int64)
        return np.empty((0, 0), dtype), *entries
    return _given(X, dtype), np.empty(0, dtype), np.empty(0, np.int32), np.zeros(1, np.int64)


@cache
def _no_folds(dtype: Any) -> tuple[Array, ...]:
    """Return empty arrays in place of the fields of `FoldWeights`."""
    nothing, table = np.empty(0, np.int64), np.empty((0, 0), dtype)
    return nothing, table, table, nothing


@cache
def _scheme(network: Network, dtype: Any) -> Array:
    """Return the coefficients of a scheme, as the loops for the network take them."""
    tableau = network.tableau
    if not isinstance(tableau, PartitionedTableau):
        return _plain_scheme(tableau, dtype)
    # See `cpu_partitioned`; the field of the second half has a minus.
    rows = [(0 if first else 1, part if first else -part) for first, part in tableau.moves]
    return np.array(rows, dtype).T.copy()


def _plain_scheme(tableau: ButcherTableau, dtype: Any) -> Array:
    """Return the coefficients of a scheme that is not partitioned.

    For an explicit scheme: A, b, and the transpose of A, one below the other, without stages that
    nothing depends on.  For an implicit one: the same rows with the part of A below its blocks,
    then the blocks, their transpose, and two rows with the first stage of each stage's block and
    the number of its stages; 0 stages if the block is explicit.
    """
    A, b = np.array(tableau.A, dtype), np.array(tableau.b, dtype)
    if tableau.explicit:
        needed = b != 0
        for i in reversed(range(len(b))):
            needed |= needed[i] & (A[i] != 0)
        A = A[np.ix_(needed, needed)]
        return np.vstack([A, b[needed], A.T])
    inside, blocks = np.zeros_like(A), np.zeros((2, len(b)), dtype)
    for block in tableau.blocks:
        stages = slice(block.start, block.start + len(block.A))
        inside[stages, stages] = block.A
        blocks[0, stages], blocks[1, stages] = block.start, 0 if block.explicit else len(block.A)
    return np.vstack([A - inside, b, (A - inside).T, inside, inside.T, blocks])


@cache
def _most_stages(tableau: Scheme) -> int:
    """Return the size of the largest block of implicit stages; 0 for an explicit scheme."""
    return max((0 if block.explicit else len(block.A)) for block in tableau.blocks)


def _tolerances(flat: Array, given: Array | None = None) -> Array:
    """The tolerance of the stage equations for every member; by default rounding."""
    rounding = np.full(len(flat), ROUNDINGS * np.finfo(flat.dtype).eps)
    found = rounding if given is None else np.maximum(given, rounding)
    return found.astype(flat.dtype)


def _numbers(
    problem: Problem, X: Array, scheme: Array, gradient: int = 0, n_members: int = 1
) -> Array:
    """Return the fields of `cpu_case.Case`."""
    network, layout, loss, learn_step = problem
    n_samples, n_features = X.shape
    block = _block_size(problem, scheme.dtype)
    # Blocks of nearly the same size, so that the last is not small.
    block = math.ceil(n_samples / math.ceil(n_samples / block) / BLOCK_STEP) * BLOCK_STEP
    return np.array(
        [
            n_features,
            layout.n_layers,
            layout.n_channels,
            layout.n_outputs,
            layout.lifted,
            scheme.shape[1],
            *network.activation.codes,
            *network.lift.codes,
            loss.code,
            network.skip,
            learn_step,
            gradient,
            block,
            _panel(),
            _most_stages(network.tableau),
            isinstance(X, SparseRows),
            network.field.turn,
            n_members,
        ],
        np.int64,
    )


@cache
def _panel() -> int:
    """How many entries of an outer product are computed at once, depending on the BLAS."""
    return UNPACKED if blas_architectures() & AVX512 else sys.maxsize


def _block_size(problem: Problem, dtype: Any) -> int:
    """Return the number of samples in a block."""
    layout, s = problem.layout, problem.network.tableau.n_stages
    bytes_of_state = layout.n_channels * int(dtype.itemsize)
    wanted = max(FOR_BLAS, STATE_BYTES // bytes_of_state)
    samples = min(wanted, ALL_BYTES // (2 * s * layout.n_layers * bytes_of_state))
    least, most = BLOCK_SIZES
    return max(least, min(most, samples // BLOCK_STEP * BLOCK_STEP))
