"""The device of an estimator: the device of X, unless the parameter `device` is set.

Labels, targets, weights and splits are always on the host, where all decisions are made.  The
features, and everything computed from them, stay on the device.
"""

from __future__ import annotations

import ctypes
import importlib
import inspect
import os
import sys
from contextlib import nullcontext
from functools import partial, wraps

import numpy as np
from sklearn import config_context, get_config
from sklearn.utils._array_api import get_namespace, get_namespace_and_device

from .engine.arrays import array_library, current_device, followed, on_cpu, to_host
from .engine.elsewhere import Elsewhere
from .engine.sparse_rows import SparseRows

__all__ = [
    "check_same_namespace",
    "float_type",
    "float_types",
    "follows_data",
    "host_values",
    "naming_the_class",
    "on_gpu",
    "where_computed",
]


OLDEST_CUDA = (12, 0)  # for the CuPy packages named below


def follows_data(method):
    """Make a method compute on the device of X, or as the parameter `device` requires.

    Arrays on a GPU are supported even if scikit-learn's array API dispatch is off, since NumPy
    could not read them.
    """
    arguments = inspect.signature(method)

    @wraps(method)
    def call(self, *args, **kwargs):
        given = bound(arguments, method.__name__, self, args, kwargs)
        X = _moved_argument(self, given.arguments["X"])
        # With a NumPy X, labels and weights of any library are copied to the host.
        enter = host_values if array_library(X) is None else partial(_moved_argument, self)
        for name, value in given.arguments.items():
            if name not in ("self", "X"):
                given.arguments[name] = enter(value)
        given.arguments["X"] = X
        with _dispatch(X), current_device(X):
            return method(*given.args, **given.kwargs)

    return call


def naming_the_class(method):
    """Name the public class in the error if the arguments of a method do not fit."""
    arguments = inspect.signature(method)

    @wraps(method)
    def call(self, *args, **kwargs):
        bound(arguments, method.__name__, self, args, kwargs)
        return method(self, *args, **kwargs)

    return call


def bound(arguments, method, estimator, args, kwargs):
    """Bind the arguments of a method call to their names.

    The method may belong to a base class, but the error names the public class.

    Raises
    ------
    TypeError
        If the arguments do not fit the signature `arguments`.
    """
    try:
        return arguments.bind(estimator, *args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{type(estimator).__name__}.{method}(): {error}.") from None


def _moved_argument(estimator, value):
    """Return an argument without its gradient, and on the host with ``device="cpu"``.

    Arrays of unsupported libraries are also copied to the host.
    """
    if array_library(value) is None:
        return value
    if not followed(value) or (estimator.device == "cpu" and not on_cpu(value)):
        return to_host(value)
    return value.detach() if getattr(value, "requires_grad", False) else value


def _dispatch(X):
    """Return a context in which scikit-learn supports X, if X is on a GPU.

    Raises
    ------
    RuntimeError
        If the environment does not allow it.
    """
    if array_library(X) is None or on_cpu(X) or get_config()["array_api_dispatch"]:
        return nullcontext()
    if os.environ.get("SCIPY_ARRAY_API") != "1":
        raise RuntimeError(
            f"X is an array of {array_library(X)} on a device. To compute there, set "
            "SCIPY_ARRAY_API=1 in the environment before SciPy and scikit-learn are imported; to "
            "compute with NumPy, set device='cpu'."
        )
    return config_context(array_api_dispatch=True)


def host_values(values):
    """Convert labels, targets, weights or groups from other array libraries to NumPy."""
    return values if array_library(values) is None else to_host(values)


def where_computed(estimator, X):
    """Return the whole of the validated features on the device where the estimator computes.

    Raises
    ------
    TypeError
        If the features are sparse and ``device="cuda"``.
    """
    if estimator.device != "cuda" or isinstance(X, Elsewhere):
        return X
    if isinstance(X, SparseRows):
        raise TypeError(
            "Sparse X is supported on the host alone: set device=None, or give X.toarray()."
        )
    return on_gpu(X)


def on_gpu(X):
    """Return an array on the GPU: of CuPy, unless it is on a GPU already."""
    return _cupy().asarray(to_host(X)) if on_cpu(X) else X


def float_types(X):
    """Return the floating-point types that X may have; others are converted to the first."""
    xp, _ = get_namespace(X)
    return xp.float64, xp.float32


def float_type(X, precision):
    """Return the type of X for a `precision`, which is a NumPy type."""
    xp, _ = get_namespace(X)
    return xp.float32 if precision == np.float32 else xp.float64


def check_same_namespace(estimator, X, method):
    """With array API dispatch, raise unless X is on the device where the estimator was fitted.

    Raises
    ------
    ValueError
        With the message of scikit-learn.
    """
    if not get_config()["array_api_dispatch"] or estimator.device == "cpu":
        return
    of_numpy = array_library(estimator.K_) is None and array_library(X) is None
    fitted, _, device_fitted = get_namespace_and_device(estimator.K_)
    given, _, device_given = get_namespace_and_device(X)
    if of_numpy or (fitted == given and device_fitted == device_given):
        return
    raise ValueError(
        f"Inputs passed to {type(estimator).__name__}.{method}() must use the same namespace and "
        "the same device as those passed to fit(). "
        f"Array namespace and device used during fit: {fitted.__name__}, {device_fitted}; "
        f"in {method}: {given.__name__}, {device_given}. "
        "Move X there; or move the estimator to NumPy with to_host()."
    )


def _cupy():
    """Return CuPy, if there is a device to compute on.

    Raises
    ------
    ImportError
        If CuPy is not installed.
    RuntimeError
        If there is no usable device.
    """
    driver = _cuda_driver()
    package = "cupy-cuda13x" if driver and driver >= (13, 0) else "cupy-cuda12x"
    found = "No NVIDIA driver was found here"
    if driver:
        found = "An NVIDIA driver for CUDA {}.{} was found here".format(*driver)
        if driver < OLDEST_CUDA:
            found += ", which is too old: it has to support CUDA {}.{}".format(*OLDEST_CUDA)
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise ImportError(
            f"device='cuda' needs CuPy, which cannot be imported ({error}). "
            f"Install it with: pip install {package}. {found}."
        ) from error
    try:
        n_devices, why = cupy.cuda.runtime.getDeviceCount(), "it counts 0 devices"
    except cupy.cuda.runtime.CUDARuntimeError as error:
        n_devices, why = 0, str(error)
    if not n_devices:
        raise RuntimeError(
            f"device='cuda' needs an NVIDIA GPU, but CuPy {cupy.__version__} finds none: {why}. "
            f"{found}. With a GPU and its driver, the package is installed with: "
            f"pip install {package}. Without, leave device=None."
        )
    return cupy


def _cuda_driver():
    """Return the highest version of CUDA that the driver supports, (major, minor), or None."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    version = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    return version.value // 1000, version.value % 1000 // 10
