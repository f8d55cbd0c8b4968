"""All code that depends on the array library: namespaces, host and device.

The engine is written against the Python array API standard.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import array_api_compat
import numpy as np

Array = Any
Namespace = Any

# The namespace of host arrays, in which decisions per member are computed.  NumPy itself follows
# the standard; the functions that array-api-compat wraps take longer than a small sum.
host: Namespace = np
PINNED = 2**20  # bytes; smaller arrays go through pinned memory, so that the upload is asynchronous
device = array_api_compat.device


def namespace(*arrays: Array) -> Namespace:
    """Return the array namespace of `arrays`."""
    if isinstance(arrays[0], np.ndarray):
        return host  # the search through all libraries takes longer than a small sum
    xp = array_api_compat.array_namespace(*arrays)
    return host if array_api_compat.is_numpy_namespace(xp) else xp


def itemsize(like: Array) -> int:
    """Return the size in bytes of a real number in the precision of `like`."""
    return int(namespace(like).finfo(like.dtype).bits) // 8


def on_host(array: Array) -> bool:
    """Whether `array` is a NumPy array."""
    return bool(array_api_compat.is_numpy_array(array))


def array_library(values: Any) -> str | None:
    """Return the name of the library of an array; None for NumPy and for anything but arrays."""
    if on_host(values) or not array_api_compat.is_array_api_obj(values):
        return None
    return str(array_api_compat.array_namespace(values).__name__)


def followed(array: Array) -> bool:
    """Whether `array` is of a library other than NumPy that the engine supports."""
    if array_api_compat.is_cupy_array(array) or array_api_compat.is_torch_array(array):
        return True
    xp = array_api_compat.array_namespace(array)
    return bool(array_api_compat.is_array_api_strict_namespace(xp))


def on_cpu(array: Array) -> bool:
    """Whether `array`, of NumPy or a supported library, is in host memory."""
    if array_api_compat.is_cupy_array(array):
        return False
    if array_api_compat.is_torch_array(array):
        return bool(array.device.type == "cpu")
    if on_host(array):
        return True
    # The other devices of array-api-strict stand for devices with separate memory.
    return "CPU" in str(device(array))


def current_device(array: Array) -> AbstractContextManager[Any]:
    """Make the device of `array` current, which CuPy does not do automatically."""
    if array_api_compat.is_cupy_array(array):
        return array.device  # type: ignore[no-any-return]
    return nullcontext()


def placed(values: Any, like: Array, dtype: Any = None) -> Array:
    """Return host `values`, numbers or an array, as an array on the device of `like`.

    The dtype is kept unless one is given.  The upload does not wait for the device.
    """
    if isinstance(like, np.ndarray):
        return np.asarray(values, dtype=dtype)
    if array_api_compat.is_torch_array(like):
        if isinstance(values, float):
            return sys.modules["torch"].full((), values, dtype=dtype, device=like.device)
        if isinstance(values, np.ndarray):
            tensor = _torch_tensor(values, like)
            return tensor if dtype is None else tensor.to(dtype)
    return namespace(like).asarray(values, dtype=dtype, device=device(like))


def _torch_tensor(values: np.ndarray[Any, Any], like: Array) -> Array:
    """Copy host `values` to the device of the tensor `like`."""
    # PyTorch accepts neither read-only memory nor negative strides.
    shared = values.flags.writeable and all(stride >= 0 for stride in values.strides)
    tensor = sys.modules["torch"].from_numpy(values if shared else values.copy())
    if like.device.type == "cuda" and values.nbytes <= PINNED:
        tensor = tensor.pin_memory()
    return tensor.to(like.device, non_blocking=True)


def put(array: Array, rows: Array, columns: Array, values: Array) -> None:
    """Write ``array[row, columns[row], :] = values[row, ...]`` for the given host rows.

    `rows` must be increasing, and so must the `columns` of every row, (rows, columns).
    """
    xp = namespace(array)
    where = placed(rows, array)
    values = values if rows.size == values.shape[0] else xp.take(values, where, axis=0)
    if array_api_compat.is_array_api_strict_namespace(xp):
        # The standard only has assignment by masks, which would have to wait for the device.
        mask = host.zeros(array.shape[:2], dtype=bool)
        mask[rows[:, None], columns] = True
        array[placed(mask, array)] = xp.reshape(values, (-1, array.shape[2]))
    else:
        array[where[:, None], placed(columns, array)] = values


def spread(part: Array, rows: Array, n_rows: int) -> Array:
    """Expand the rows with these increasing host indices to `n_rows`; the others are arbitrary."""
    if rows.size == n_rows:
        return part
    place = host.clip(host.searchsorted(rows, host.arange(n_rows)), 0, rows.size - 1)
    return namespace(part).take(part, placed(place, part), axis=0)


def to_host(array: Array) -> np.ndarray[Any, Any]:
    """Return `array` as a NumPy array in host memory.  Only this function waits for a device."""
    if array_api_compat.is_numpy_array(array):
        return array
    if array_api_compat.is_cupy_array(array):
        return array.get()  # type: ignore[no-any-return]
    if array_api_compat.is_torch_array(array):
        array = array.detach().resolve_conj().resolve_neg().cpu()
        if array.dtype == sys.modules["torch"].bfloat16:  # NumPy has no bfloat16
            array = array.float()
        return array.numpy()  # type: ignore[no-any-return]
    return np.from_dlpack(array) if hasattr(array, "__dlpack__") else np.asarray(array)


def converted(array: Array, like: Array) -> Array:
    """Return `array` in the library and on the device of `like`."""
    if array_library(array) == array_library(like) and device(array) == device(like):
        return array
    return placed(to_host(array), like)


def contiguous(array: Array) -> Array:
    """Return `array` in C order, copied only if necessary."""
    if on_host(array):
        return np.ascontiguousarray(array)
    if array_api_compat.is_cupy_array(array):
        return sys.modules["cupy"].ascontiguousarray(array)
    return array.contiguous() if array_api_compat.is_torch_array(array) else array


def positive_part(xp: Namespace, z: Array) -> Array:
    """max(z, 0), entry by entry; NaN stays NaN."""
    # A zero-dimensional zero, since not every library accepts a Python number here.  `clip` would
    # do this too, but it is slow in array-api-compat.
    return xp.maximum(z, placed(0.0, z, z.dtype))


def quiet() -> AbstractContextManager[None]:
    """Silence floating-point warnings where a non-finite value is an expected, checked outcome."""
    return np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")


def free_memory(like: Array) -> int | None:
    """Return the number of free bytes on the device of `like`, or None in host memory."""
    if array_api_compat.is_cupy_array(like):
        pool = sys.modules["cupy"].get_default_memory_pool()
        return int(like.device.mem_info[0] + pool.free_bytes())
    if array_api_compat.is_torch_array(like) and like.device.type == "cuda":
        cuda = sys.modules["torch"].cuda
        unused = cuda.memory_reserved(like.device) - cuda.memory_allocated(like.device)
        return int(cuda.mem_get_info(like.device)[0] + unused)
    return None


def release_memory(like: Array) -> None:
    """Return the unused memory in CuPy's pool to the device."""
    if array_api_compat.is_cupy_array(like):
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()


def out_of_memory_errors() -> tuple[type[BaseException], ...]:
    """Return the exceptions raised when memory runs out; CuPy's error is a MemoryError."""
    torch = sys.modules.get("torch")
    return (MemoryError,) if torch is None else (MemoryError, torch.cuda.OutOfMemoryError)


def inverses(matrices: Array) -> Array:
    """Return the inverse of every matrix in a stack, without waiting for a device.

    The inverse of a singular matrix is not finite; NumPy and array-api-strict raise LinAlgError.
    """
    if array_api_compat.is_torch_array(matrices):
        inverse, info = sys.modules["torch"].linalg.inv_ex(matrices)
        return inverse.where((info == 0)[..., None, None], sys.modules["torch"].nan)
    return namespace(matrices).linalg.inv(matrices)
