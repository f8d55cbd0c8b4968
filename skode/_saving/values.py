"""Parameters and other small values as JSON, which lacks tuples, NaN and arrays.

Values that JSON supports are stored directly, except dictionaries, whose keys may be of any type.
They and all other values become an object with a single name, which defines how to read it.
"""

from __future__ import annotations

import inspect
import math
import re

import numpy as np
from sklearn import model_selection

from .._devices import host_values
from ..engine.tableaux import ButcherTableau

# The splitters of scikit-learn that are defined by their parameters.
SPLITTERS = (
    "GroupKFold",
    "GroupShuffleSplit",
    "KFold",
    "LeaveOneGroupOut",
    "LeaveOneOut",
    "LeavePGroupsOut",
    "LeavePOut",
    "PredefinedSplit",
    "RepeatedKFold",
    "RepeatedStratifiedKFold",
    "ShuffleSplit",
    "StratifiedGroupKFold",
    "StratifiedKFold",
    "StratifiedShuffleSplit",
    "TimeSeriesSplit",
)
# The types of numbers and dates in arrays.
TYPES = re.compile(r"b1|[iu][1248]|f[48]|[Mm]8(\[\w+\])?")


class UnstorableError(TypeError):
    """A value that can only be stored by pickle."""


def encoded(value):
    """Encode a value as JSON.

    Raises
    ------
    UnstorableError
        If it is not plain data, a tableau or a splitter of scikit-learn.
    """
    if isinstance(value, np.datetime64 | np.timedelta64):
        return {"array": _encoded_array(np.asarray(value))}
    if isinstance(value, np.bool_ | np.number | np.str_) and not isinstance(value, np.longdouble):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if type(value) is list:
        return [encoded(item) for item in value]
    if type(value) is tuple:
        return {"tuple": [encoded(item) for item in value]}
    if type(value) is dict:
        return {"dict": [[encoded(key), encoded(item)] for key, item in value.items()]}
    if isinstance(value, ButcherTableau):
        return {"tableau": [encoded(part) for part in (value.A, value.b, value.c, value.name)]}
    if type(value).__module__.startswith("sklearn.") and type(value).__name__ in SPLITTERS:
        return {"splitter": [type(value).__name__, encoded(_parameters(value))]}
    value = host_values(value)
    if type(value) is np.ndarray:
        return {"array": _encoded_array(value)}
    raise UnstorableError(f"{type(value).__name__} is not plain data")


def decoded(value):
    """Decode a value that `encoded` has encoded.

    Raises
    ------
    ValueError
        If this is not possible.
    """
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1 or not value.keys() <= DECODERS.keys():
        raise ValueError(f"unknown kind of value: {', '.join(map(repr, value))}")
    ((kind, content),) = value.items()
    try:
        return DECODERS[kind](content)
    except (TypeError, OverflowError, AttributeError) as error:
        raise ValueError(f"this is not a value of kind {kind!r} ({error})") from error


def _parameters(splitter):
    """Return the parameters of a splitter; some store a part of them in a dictionary."""
    attributes = {**vars(splitter), **getattr(splitter, "cvargs", {})}
    return {name: attributes[name] for name in inspect.signature(type(splitter)).parameters}


def _encoded_array(array):
    shape, flat = list(array.shape), array.ravel()
    if array.dtype.kind == "U":
        return ["str", shape, flat.tolist()]
    native = array.dtype.newbyteorder("=")
    dtype = native.str.lstrip("<>|")
    if not TYPES.fullmatch(dtype):
        raise UnstorableError(f"an array of type {array.dtype} is not plain data")
    flat = flat.astype(native)
    numbers = flat.view(np.int64) if native.kind in "Mm" else flat
    return [dtype, shape, encoded(numbers.tolist())]


def _decoded_array(content):
    dtype, shape, flat = content
    if dtype == "str":
        if not all(isinstance(item, str) for item in flat):
            raise TypeError("not all of its entries are text")
        return np.array(flat, dtype=str).reshape(shape)
    if not TYPES.fullmatch(dtype):
        raise TypeError(f"unknown type {dtype!r}")
    if dtype[0] in "Mm":
        dates = np.array(flat, dtype=np.int64).view(dtype).reshape(shape)
        return dates if shape else dates[()]
    return np.array(decoded(flat), dtype=dtype).reshape(shape)


def _decoded_dict(content):
    return {decoded(key): decoded(item) for key, item in content}


def _decoded_float(content):
    if content not in ("nan", "inf", "-inf"):
        raise TypeError(f"{content!r} is neither NaN nor infinite")
    return float(content)


def _decoded_splitter(content):
    name, parameters = content
    if name not in SPLITTERS:
        raise TypeError(f"unknown splitter {name!r}")
    return getattr(model_selection, name)(**decoded(parameters))


DECODERS = {
    "array": _decoded_array,
    "dict": _decoded_dict,
    "float": _decoded_float,
    "splitter": _decoded_splitter,
    "tableau": lambda content: ButcherTableau(*map(decoded, content)),
    "tuple": lambda content: tuple(map(decoded, content)),
}
