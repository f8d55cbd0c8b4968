"""Compilation of the loops: their types, and numba's cache on disk."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from numba import float64, from_dtype, int32, int64, njit, types, void

from . import cpu_fields, cpu_implicit, cpu_implicit_fields, cpu_layers, cpu_partitioned
from .cpu_networks import networks

EVALUATE_EXPLICIT, PREDICT_EXPLICIT, DIFFERENTIATE_EXPLICIT = networks(
    cpu_layers.step, cpu_layers.step_adjoint
)
EVALUATE_IMPLICIT, PREDICT_IMPLICIT, _ = networks(cpu_implicit.step, cpu_implicit.step_adjoint)
EVALUATE_TURNED, PREDICT_TURNED, DIFFERENTIATE_TURNED = networks(
    cpu_fields.step, cpu_fields.step_adjoint
)
EVALUATE_PARTITIONED, PREDICT_PARTITIONED, DIFFERENTIATE_PARTITIONED = networks(
    cpu_partitioned.step, cpu_partitioned.step_adjoint
)
EVALUATE_IMPLICIT_TURNED, PREDICT_IMPLICIT_TURNED, _ = networks(
    cpu_implicit_fields.step, cpu_implicit_fields.step_adjoint
)
SOURCES = (
    "cpu_anderson",
    "cpu_case",
    "cpu_fields",
    "cpu_implicit",
    "cpu_implicit_fields",
    "cpu_layers",
    "cpu_losses",
    "cpu_networks",
    "cpu_newton",
    "cpu_partitioned",
    "cpu_rows",
    "cpu_sparse",
    "cpu_stages",
    "elementary",
)


def _stamp() -> int:
    """Return a number that changes with the source of the loops."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return int.from_bytes(digest.digest()[:6], "big")


def _entries(stamp: int) -> dict[tuple[str, str], Callable[..., None]]:
    """Return the functions to compile, by name and by the kind of layers.

    numba's cache also distinguishes them by their free variables.  It would not notice a change in
    another file than this one; the stamp does.
    """
    return _evaluating(stamp) | _predicting(stamp) | _differentiating(stamp)


def _evaluating(stamp: int) -> dict[tuple[str, str], Callable[..., None]]:
    """Return the functions that evaluate networks, by name and by the kind of layers."""

    def evaluate_explicit(samples, folds, flat, tolerances, numbers, form, scheme, sums):
        if stamp >= 0:
            EVALUATE_EXPLICIT(samples, folds, flat, tolerances, numbers, form, scheme, sums)

    def evaluate_implicit(samples, folds, flat, tolerances, numbers, form, scheme, sums):
        if stamp >= 0:
            EVALUATE_IMPLICIT(samples, folds, flat, tolerances, numbers, form, scheme, sums)

    def evaluate_turned(samples, folds, flat, tolerances, numbers, form, scheme, sums):
        if stamp >= 0:
            EVALUATE_TURNED(samples, folds, flat, tolerances, numbers, form, scheme, sums)

    def evaluate_implicit_turned(samples, folds, flat, tolerances, numbers, form, scheme, sums):
        if stamp >= 0:
            EVALUATE_IMPLICIT_TURNED(samples, folds, flat, tolerances, numbers, form, scheme, sums)

    def evaluate_partitioned(samples, folds, flat, tolerances, numbers, form, scheme, sums):
        if stamp >= 0:
            EVALUATE_PARTITIONED(samples, folds, flat, tolerances, numbers, form, scheme, sums)

    return {
        ("evaluate", "explicit"): evaluate_explicit,
        ("evaluate", "implicit"): evaluate_implicit,
        ("evaluate", "turned"): evaluate_turned,
        ("evaluate", "implicit_turned"): evaluate_implicit_turned,
        ("evaluate", "partitioned"): evaluate_partitioned,
    }


def _predicting(stamp: int) -> dict[tuple[str, str], Callable[..., None]]:
    """Return the functions that predict, by name and by the kind of layers."""

    def predict_explicit(X, flat, weights, tolerances, numbers, scheme, combined, unsolved):
        if stamp >= 0:
            PREDICT_EXPLICIT(X, flat, weights, tolerances, numbers, scheme, combined, unsolved)

    def predict_implicit(X, flat, weights, tolerances, numbers, scheme, combined, unsolved):
        if stamp >= 0:
            PREDICT_IMPLICIT(X, flat, weights, tolerances, numbers, scheme, combined, unsolved)

    def predict_turned(X, flat, weights, tolerances, numbers, scheme, combined, unsolved):
        if stamp >= 0:
            PREDICT_TURNED(X, flat, weights, tolerances, numbers, scheme, combined, unsolved)

    def predict_implicit_turned(X, flat, weights, tolerances, numbers, scheme, combined, unsolved):
        if stamp >= 0:
            PREDICT_IMPLICIT_TURNED(
                X, flat, weights, tolerances, numbers, scheme, combined, unsolved
            )

    def predict_partitioned(X, flat, weights, tolerances, numbers, scheme, combined, unsolved):
        if stamp >= 0:
            PREDICT_PARTITIONED(X, flat, weights, tolerances, numbers, scheme, combined, unsolved)

    return {
        ("predict", "explicit"): predict_explicit,
        ("predict", "implicit"): predict_implicit,
        ("predict", "turned"): predict_turned,
        ("predict", "implicit_turned"): predict_implicit_turned,
        ("predict", "partitioned"): predict_partitioned,
    }


def _differentiating(stamp: int) -> dict[tuple[str, str], Callable[..., None]]:
    """Return the functions that differentiate outputs, by name and by the kind of layers.

    There are none for implicit schemes: to compile them takes longer than the reference does.
    """

    def differentiate_explicit(X, flat, dz, tolerances, numbers, scheme, found):
        if stamp >= 0:
            return DIFFERENTIATE_EXPLICIT(X, flat, dz, tolerances, numbers, scheme, found)
        return found[2]

    def differentiate_turned(X, flat, dz, tolerances, numbers, scheme, found):
        if stamp >= 0:
            return DIFFERENTIATE_TURNED(X, flat, dz, tolerances, numbers, scheme, found)
        return found[2]

    def differentiate_partitioned(X, flat, dz, tolerances, numbers, scheme, found):
        if stamp >= 0:
            return DIFFERENTIATE_PARTITIONED(X, flat, dz, tolerances, numbers, scheme, found)
        return found[2]

    return {
        ("differentiate", "explicit"): differentiate_explicit,
        ("differentiate", "turned"): differentiate_turned,
        ("differentiate", "partitioned"): differentiate_partitioned,
    }


def compilable(name: str, kind: str = "explicit", cache: bool = True) -> Any:
    """Return `evaluate`, `predict` or `differentiate` as a numba function that is cached on disk.

    The machine code includes the functions that it calls.  These are not cached one by one, since
    loading them would take most of the time that the cache saves.

    Raises
    ------
    RuntimeError
        If the cache cannot be written anywhere.
    """
    return njit(cache=cache, nogil=True, error_model="numpy")(_entries(_stamp())[name, kind])


def for_precision(name: str, kind: str, dtype: Any) -> Any:
    """Return one of these functions, compiled for arrays of one dtype only.

    Warns
    -----
    RuntimeWarning
        If the cache cannot be read or written; then the function is compiled for this process.
    """
    function = compilable(name, kind)
    if not hasattr(function, "compile"):  # with NUMBA_DISABLE_JIT=1
        return function
    signature = _signatures(from_dtype(dtype))[name]
    try:
        function.compile(signature)
    except Exception as error:  # a damaged file or a full disk can raise many exceptions
        message = (
            f"numba's cache in {function.stats.cache_path} fails ({error!r}), so that skode "
            "compiles its kernel in each process. Delete the files, or set NUMBA_CACHE_DIR."
        )
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        function = compilable(name, kind, cache=False)
        function.compile(signature)
    function.disable_compile()
    return function


def _signatures(real: Any) -> dict[str, Any]:
    """Return the types to compile for, by the name of the function."""

    def given(ndim: int, of: Any = real, order: Literal["A", "C"] = "A") -> Any:
        return types.Array(of, ndim, order, readonly=True)

    X = types.Tuple((given(2), given(1), given(1, int32), given(1, int64)))
    flat = given(2, order="C")
    numbers, scheme = given(1, int64, "C"), given(2, order="C")
    return {
        "evaluate": void(
            types.Tuple((X, given(2), given(1))),
            types.Tuple((given(1, int64), given(2), given(2), given(1, int64))),
            flat,
            given(1),
            numbers,
            given(1, order="C"),
            scheme,
            types.Tuple((*[float64[::1]] * 3, real[:, ::1], float64[:, ::1])),
        ),
        "predict": void(X, flat, given(1), given(1), numbers, scheme, real[:, ::1], int64[::1]),
        "differentiate": real[:, ::1](
            X,
            flat,
            given(4, order="C"),
            given(1),
            numbers,
            scheme,
            types.Tuple((*[real[:, :, ::1]] * 2, real[:, ::1])),
        ),
    }
