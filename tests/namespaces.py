"""The array libraries, and their devices, for the tests."""

from __future__ import annotations

import functools
import importlib

import array_api_compat
import numpy as np
import pytest

# Functions that create an array without array arguments.
CREATION = frozenset(("arange", "empty", "eye", "full", "linspace", "ones", "zeros"))


class Namespace:
    """An array library with one of its devices, on which arrays are created.

    Parameters
    ----------
    name : str
    module : namespace
        Implements the array API standard.
    device : device
    frozen : bool, default=False
        Whether `asarray` returns read-only arrays, so that code that writes into its input fails.
    """

    def __init__(self, name, module, device, frozen=False):
        self.name, self.module, self.device, self._frozen = name, module, device, frozen

    def __repr__(self):
        return self.name

    def __getattr__(self, name):
        function = getattr(self.module, name)
        return functools.partial(function, device=self.device) if name in CREATION else function

    def asarray(self, values, dtype=None):
        """Convert the values, for example a NumPy array, to this library and device."""
        values = np.array(values)  # a copy that shares no memory
        if self._frozen:
            values = values.astype(dtype or values.dtype)
            values.setflags(write=False)
            return values
        return self.module.asarray(values, dtype=dtype, device=self.device)

    def holds(self, array):
        """Whether the array belongs to this library and device."""
        if self.module is np:
            return isinstance(array, np.ndarray)
        found = array_api_compat.array_namespace(array), array_api_compat.device(array)
        return found == (array_api_compat.array_namespace(self.zeros(1)), self.device)


def _numpy(frozen):
    return Namespace("numpy, read-only" if frozen else "numpy", np, "cpu", frozen)


def _strict(name):
    strict = pytest.importorskip("array_api_strict")
    return Namespace(f"array_api_strict on {name}", strict, strict.Device(name))


def _torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    return Namespace(
        "torch", importlib.import_module("array_api_compat.torch"), torch.device("cpu")
    )


def _cupy():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        number = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"CuPy finds no CUDA device: {error}")
    if not number:
        pytest.skip("CuPy finds no CUDA device")
    module = importlib.import_module("array_api_compat.cupy")
    return Namespace("cupy", module, cupy.cuda.Device(0))


# On its second device, array-api-strict rejects hidden copies to the host.
NAMESPACES = {
    "numpy": functools.partial(_numpy, frozen=False),
    "numpy-read-only": functools.partial(_numpy, frozen=True),
    "strict": functools.partial(_strict, "CPU_DEVICE"),
    "strict-device1": functools.partial(_strict, "device1"),
    "torch": _torch,
    "cupy": _cupy,
}
