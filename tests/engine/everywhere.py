"""Tests in every namespace: NumPy arrays are converted to it, and results back to NumPy."""

from itertools import product

import array_api_compat
import numpy as np
import pytest

from skode.engine.arrays import namespace, to_host
from tests.namespaces import NAMESPACES, Namespace

# For slow tests.  Array-api-strict checks every call, and is ten times as slow.
NOT_STRICT = [name for name in NAMESPACES if not name.startswith("strict")]
not_strict = pytest.mark.parametrize("xp", NOT_STRICT, indirect=True)
not_cupy = pytest.mark.parametrize(
    "xp", [name for name in NAMESPACES if name != "cupy"], indirect=True
)
numpy_only = pytest.mark.parametrize("xp", ["numpy"], indirect=True)


def there(xp, values):
    """Convert NumPy arrays in the values to the namespace.

    This includes arrays in tuples, lists and dictionaries.  The namespace itself becomes the `xp`
    of the engine.
    """
    return _changed(
        lambda array: xp.asarray(array) if isinstance(array, np.ndarray) else array, values
    )


def home(xp, values):
    """Convert arrays in the values, which have to be in the namespace, to NumPy arrays."""

    def bring(array):
        assert xp.holds(array), f"not in {xp}: {array!r}"
        return to_host(array)

    return _changed(bring, values)


def on(xp, function):
    """Call the function in the namespace, with NumPy arrays as arguments and results."""

    def call(*args, **options):
        return home(xp, function(*there(xp, args), **there(xp, options)))

    return call


def _changed(change, values):
    if isinstance(values, Namespace):
        return namespace(values.zeros(1))
    if isinstance(values, dict):
        return {name: _changed(change, value) for name, value in values.items()}
    if isinstance(values, (tuple, list)):
        parts = [_changed(change, value) for value in values]
        return type(values)(*parts) if hasattr(values, "_fields") else type(values)(parts)
    return change(values) if array_api_compat.is_array_api_obj(values) else values


def everywhere(names=NAMESPACES, **choices):
    """Parametrise with all combinations of the choices on NumPy, and with few on other libraries.

    Those few include each choice at least once.  A list that is shorter than others is repeated,
    each time from another start, so that different choices are combined.
    """
    lists = [list(values) for values in choices.values()]
    few = [
        [values[(k + j * (k // len(values))) % len(values)] for j, values in enumerate(lists)]
        for k in range(max(map(len, lists)))
    ]
    every = {name: list(product(*lists)) if name == "numpy" else few for name in names}
    return pytest.mark.parametrize(
        ("xp", *choices),
        [(name, *combination) for name, some in every.items() for combination in some],
        indirect=["xp"],
    )
