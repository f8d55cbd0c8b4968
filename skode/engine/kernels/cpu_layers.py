"""Networks on blocks of samples, in compiled loops without the interpreter's lock.

The formulas are those of `steps` and `networks`, for one member and an explicit scheme.  A member
is computed by itself, in blocks of samples, one layer after the other.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numba import float64, from_dtype, int64, njit, types, void

from .cpu_losses import add_member, data_loss, multiply, weigh, weighted_sum
from .cpu_rows import (
    NO,
    NOTHING,
    ONE,
    SKIP,
    YES,
    accumulate,
    activate,
    add_outer_product,
    add_row_sums,
    combine,
    dot,
    loops,
    parts,
    product,
    pull_back,
)

FIRST, SECOND = np.int64(0), np.int64(1)  # places
FLUSH = 16  # blocks, after which a gradient in single precision is added up in double


class Case(NamedTuple):
    """The computation, encoded as integers: shapes, codes of functions, and options."""

    n_features: Any
    n_layers: Any
    n_channels: Any
    n_outputs: Any
    lifted: Any
    n_stages: Any
    activation: Any
    lift: Any
    loss: Any
    skip: Any
    learn_step: Any
    gradient: Any
    block: Any
    panel: Any


class _Starts(NamedTuple):
    """Where the parts of the controls begin in a flat row; see `Layout`."""

    b: Any
    h: Any
    W: Any
    mu: Any
    V: Any
    nu: Any


@loops
def _described(numbers):
    """The case that an array of numbers stands for."""
    n = numbers
    codes = (n[6], n[7]), (n[8], n[9])
    rest = n[10], n[11], n[12], n[13], n[14], n[15]
    return Case(n[0], n[1], n[2], n[3], n[4], n[5], *codes, *rest)


@loops
def _starts_of(case):
    """Where the parts of the controls begin."""
    b = case.n_layers * case.n_channels * case.n_channels
    h = b + case.n_layers * case.n_channels
    W = h + case.n_layers
    mu = W + case.n_outputs * case.n_channels
    V = mu + case.n_outputs
    return _Starts(b, h, W, mu, V, V + case.n_channels * case.lifted)


@loops
def _has_terms(scheme, row):
    """Whether some number in a row is not zero."""
    found = False
    for i in range(scheme.shape[1]):
        found |= scheme[row, i] != 0
    return found


@loops
def _place_of_state(case, layer):
    """The place of y of a layer; from y¹ on they take turns if no gradient is wanted."""
    if case.gradient or layer == 0:
        return layer
    return 1 + layer % 2


@loops
def _place_of_values(case, layer):
    """The place of F₁ of a layer; the other Fi follow."""
    return case.n_layers + 1 + layer * case.n_stages if case.gradient else 3


@loops
def _place_of_stage(case, scheme, layer, i):
    """The place of Yi of a layer, which is that of y for a stage that depends on no other."""
    if not _has_terms(scheme, i):
        return _place_of_state(case, layer)
    if not case.gradient:
        return 3 + case.n_stages
    return _place_of_values(case, case.n_layers) + layer * (case.n_stages - 1) + i - 1


@loops
def _places_of_costates(case):
    """The places of Γi, of Gi, of p, and of V₁, which the others follow."""
    first = _place_of_values(case, case.n_layers) + case.n_layers * (case.n_stages - 1)
    return first, first + 1, first + 2, first + 3


@loops
def _n_places(case):
    """The number of places."""
    return _places_of_costates(case)[3] + case.n_stages if case.gradient else 4 + case.n_stages


class _Work(NamedTuple):
    """Arrays for a block of samples.

    states (places, channels, samples); features (1, n_features, samples), none without a lift;
    outputs (2, n_outputs, samples), z or ∂J/∂z and below it the targets; rows of samples; the
    numbers 1, 0 and the skip.
    """

    states: Any
    features: Any
    outputs: Any
    rows: Any
    betas: Any


@loops
def _room(case, n_rows, like):
    """One array for those of the largest block, and the numbers."""
    n, q, d = case.n_channels, case.n_outputs, case.lifted
    betas = np.empty(3, like.dtype)
    betas[0], betas[1], betas[2] = 1, 0, case.skip
    rows = np.empty((_n_places(case) * n + d + 2 * q + n_rows) * case.block, like.dtype)
    return rows, betas


@loops
def _work_for(case, space, n_rows, m):
    """The arrays for a block of m samples."""
    rows, betas = space
    n, q, d = case.n_channels, case.n_outputs, case.lifted
    x = _n_places(case) * n * m
    z = x + d * m
    rest = z + 2 * q * m
    return _Work(
        rows[:x].reshape((-1, n, m)),
        rows[x:z].reshape((1, d, m)),
        rows[z:rest].reshape((2, q, m)),
        rows[rest : rest + n_rows * m].reshape((n_rows, m)),
        betas,
    )


@loops
def _fill(samples, start, blocks, place):
    """Put the rows of `samples` from `start` on in the columns of a block, and zeros below."""
    for i in range(blocks.shape[1]):
        for j in range(blocks.shape[2]):
            blocks[place, i, j] = samples[start + j, i] if i < samples.shape[1] else 0


@parts
def _step(case, scheme, U, layer, states, betas):
    """Put y⁺ and the Fi of a layer in their places."""
    n, s, starts = case.n_channels, case.n_stages, _starts_of(case)
    h, K = U[starts.h + layer], layer * n * n
    y, F, after = (
        _place_of_state(case, layer),
        _place_of_values(case, layer),
        _place_of_state(case, layer + 1),
    )
    for i in range(s):
        Y = _place_of_stage(case, scheme, layer, i)
        if y != Y:
            combine(betas[ONE], h, scheme, i, states, (y, F, Y))
        product(U, states, states, betas, (K, NO, Y, F + i, NOTHING))
        activate(case.activation, U, starts.b + layer * n, states, F + i)
    combine(betas[SKIP], h, scheme, s, states, (y, F, after))


@parts
def _step_adjoint(case, scheme, U, layer, dU, states, betas):
    """Put p in the place of p⁺, and add the gradient with respect to the controls of the layer."""
    n, s, starts, one = case.n_channels, case.n_stages, _starts_of(case), betas[ONE]
    h, F, K = U[starts.h + layer], _place_of_values(case, layer), layer * n * n
    gamma, G, p, V = _places_of_costates(case)
    for i in range(s - 1, -1, -1):
        costate, factor = p, scheme[s, i]
        if _has_terms(scheme, s + 1 + i):
            costate, factor = gamma, one
            combine(scheme[s, i], one, scheme, s + 1 + i, states, (p, V, gamma))
        places = (F + i, costate, G)
        pull_back(case.activation, h * factor, states, places, dU, starts.b + layer * n)
        if case.learn_step:
            dU[starts.h + layer] += factor * dot(states, F + i, costate)
        Y = _place_of_stage(case, scheme, layer, i)
        add_outer_product(states, states, betas, dU, (G, Y, K, case.panel))
        if i > 0:
            product(U, states, states, betas, (K, YES, G, V + i, NOTHING))
        elif layer > 0 or case.lifted:
            product(U, states, states, betas, (K, YES, G, p, SKIP))
            accumulate(states, p, V + 1, s - 1)


@parts
def _forward(case, scheme, U, work):
    """Put the states of all layers, and the outputs, in their places."""
    starts, states, z, betas = _starts_of(case), work.states, work.outputs, work.betas
    if case.lifted:
        product(U, work.features, states, betas, (starts.V, NO, FIRST, FIRST, NOTHING))
        activate(case.lift, U, starts.nu, states, FIRST)
    for layer in range(case.n_layers):
        _step(case, scheme, U, layer, states, betas)
    last = _place_of_state(case, case.n_layers)
    product(U, states, z, betas, (starts.W, NO, last, FIRST, NOTHING))
    for k in range(z.shape[1]):
        for j in range(z.shape[2]):
            z[0, k, j] += U[starts.mu + k]


@parts
def _backward(case, scheme, U, dU, work):
    """Add the gradient with respect to all controls to dU, from ∂J/∂z."""
    starts, states, dz, betas = _starts_of(case), work.states, work.outputs, work.betas
    _, G, p, _ = _places_of_costates(case)
    add_row_sums(dz, dU, starts.mu)
    last = _place_of_state(case, case.n_layers)
    add_outer_product(dz, states, betas, dU, (FIRST, last, starts.W, case.panel))
    product(U, dz, states, betas, (starts.W, YES, FIRST, p, NOTHING))
    for layer in range(case.n_layers - 1, -1, -1):
        _step_adjoint(case, scheme, U, layer, dU, states, betas)
    if case.lifted:
        pull_back(case.lift, betas[ONE], states, (FIRST, p, G), dU, starts.nu)
        add_outer_product(states, work.features, betas, dU, (G, FIRST, starts.V, case.panel))


@parts
def _forget_idle(weights, states, features, z):
    """Zero out the samples of weight zero whose outputs are not finite.

    Otherwise they would turn the gradient into NaN.  Return whether there are any: their features
    are gone too, for the members that follow.
    """
    found = False
    for j in range(states.shape[2]):
        size = 0.0
        for k in range(z.shape[1]):
            size += z[0, k, j] if weights[j] <= 0 else 0
        if not np.isfinite(size):
            found = True
            for blocks in (states, features):
                for place in range(blocks.shape[0]):
                    for k in range(blocks.shape[1]):
                        blocks[place, k, j] = 0
    return found


@parts
def evaluate(samples, folds, flat, numbers, scheme, sums):
    """Add to the sums over the samples for every member, the gradient only where it is wanted.

    Parameters
    ----------
    samples : tuple of arrays
        X, targets and weights; see `Samples`.
    folds : tuple of arrays
        The fields of `FoldWeights`, the group of length zero where there are no fold weights.
    flat : array of shape (members, size)
        The controls.
    numbers : array of int
        The fields of `Case`.
    scheme : array of shape (2 n_stages + 1, n_stages)
        A, below it b, and below that the transpose of A.
    sums : tuple of arrays
        The losses (members,) and the held-out losses (members,) in float64; the gradient
        (members, size); and that in float64 where it is to be added up so, else of length zero.
    """
    X, targets, weights = samples
    loss, held_out, gradient, total = sums
    case, n_rows = _described(numbers), np.int64(4)
    space = _room(case, n_rows, scheme)
    for start in range(0, len(X), case.block):
        work = _work_for(case, space, n_rows, min(case.block, len(X) - start))
        z, c, rows = work.outputs[0], work.outputs[1], work.rows
        first = work.features if case.lifted else work.states
        _fill(X, start, first, FIRST)
        _fill(targets, start, work.outputs, SECOND)
        for member in range(len(flat)):
            U = flat[member]
            weigh(weights, folds, member, start, rows)
            _forward(case, scheme, U, work)
            if case.gradient:
                spoilt = _forget_idle(rows[0], work.states, work.features, work.outputs)
            data_loss(case.loss, z, c, rows[2], rows[3])
            loss[member] += weighted_sum(rows[0], rows[2])
            held_out[member] += weighted_sum(rows[1], rows[2])
            if case.gradient:
                multiply(rows[0], z)
                _backward(case, scheme, U, gradient[member], work)
                if spoilt:
                    _fill(X, start, first, FIRST)
        if start // case.block % FLUSH == FLUSH - 1 or start + case.block >= len(X):
            _flush(gradient, total)


@parts
def _flush(gradient, total):
    """Add the gradient to the total in float64, where there is one, and begin it anew."""
    for member in range(len(total)):
        for k in range(total.shape[1]):
            total[member, k] += gradient[member, k]
            gradient[member, k] = 0


@parts
def predict(X, flat, weights, numbers, scheme, together):
    """Put what all members say together in `together`, (classes or outputs, samples).

    The weights of the members are given by their logarithms where the targets are classes.
    """
    case, n_rows = _described(numbers), 2 + len(together)
    space = _room(case, n_rows, scheme)
    for start in range(0, len(X), case.block):
        m = min(case.block, len(X) - start)
        work = _work_for(case, space, n_rows, m)
        part = together[:, start : start + m]
        _fill(X, start, work.features if case.lifted else work.states, FIRST)
        for member in range(len(flat)):
            _forward(case, scheme, flat[member], work)
            add_member(case.loss, member == 0, weights[member], work.outputs[0], part, work.rows)


def _stamp() -> int:
    """A number that changes with the source of the loops."""
    digest = hashlib.sha256()
    for name in ("cpu_layers", "cpu_rows", "cpu_losses", "elementary"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return int.from_bytes(digest.digest()[:6], "big")


def _entries(stamp: int) -> dict[str, Callable[..., None]]:
    """The functions to compile, by name.

    numba's cache tells them apart by their free variables too.  It would not notice that another
    file than this has changed; the stamp does.
    """

    def evaluate_samples(samples, folds, flat, numbers, scheme, sums):
        if stamp >= 0:
            evaluate(samples, folds, flat, numbers, scheme, sums)

    def predict_samples(X, flat, weights, numbers, scheme, together):
        if stamp >= 0:
            predict(X, flat, weights, numbers, scheme, together)

    return {"evaluate": evaluate_samples, "predict": predict_samples}


def compilable(name: str, cache: bool = True) -> Any:
    """`evaluate` or `predict` as numba compiles it, which caches it on disk.

    The functions that it calls are in its machine code.  They are not cached one by one: to load
    them would take the time that is to be saved.

    Raises
    ------
    RuntimeError
        If there is no place for the cache.
    """
    return njit(cache=cache, nogil=True, error_model="numpy")(_entries(_stamp())[name])


def for_precision(name: str, dtype: Any) -> Any:
    """`evaluate` or `predict`, compiled for arrays of a dtype, and never for another.

    Warns
    -----
    RuntimeWarning
        If the cache cannot be read or written; then it is compiled for this process alone.
    """
    function = compilable(name)
    if not hasattr(function, "compile"):  # numba is told not to compile
        return function
    signature = _signatures(from_dtype(dtype))[name]
    try:
        function.compile(signature)
    except Exception as error:  # whatever a damaged file or a full disk gives rise to
        message = (
            f"numba's cache in {function.stats.cache_path} fails ({error!r}), so that skode "
            "compiles its kernel in each process. Delete the files, or set NUMBA_CACHE_DIR."
        )
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        function = compilable(name, cache=False)
        function.compile(signature)
    function.disable_compile()
    return function


def _signatures(real: Any) -> dict[str, Any]:
    """The types that are compiled for, by the name of the function."""

    def given(ndim: int, of: Any = real, order: Literal["A", "C"] = "A") -> Any:
        return types.Array(of, ndim, order, readonly=True)

    flat = given(2, order="C")
    numbers, scheme = given(1, int64, "C"), given(2, order="C")
    return {
        "evaluate": void(
            types.Tuple((given(2), given(2), given(1))),
            types.Tuple((given(1, int64), given(2), given(2), given(1, int64))),
            flat,
            numbers,
            scheme,
            types.Tuple((float64[::1], float64[::1], real[:, ::1], float64[:, ::1])),
        ),
        "predict": void(given(2), flat, given(1), numbers, scheme, real[:, ::1]),
    }
