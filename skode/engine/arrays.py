"""The one place that knows array libraries: namespaces, host and device, the `out` hint.

The engine is written against the Python array API standard.  On NumPy every function of the
namespace takes ``out=`` and writes in place; elsewhere the same argument is accepted and ignored.
So ``z = xp.matmul(K, y, out=z)`` is one code path, fast where in-place arithmetic saves memory and
correct everywhere, as long as the *returned* array is the one that is used.  CuPy could write in
place too, but its memory pool makes new arrays cheap, and only whole new ones have the layout that
cuBLAS takes without a copy; there `fusible` functions save the passes over memory.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, wraps
from typing import Any

import array_api_compat
import numpy as np

__all__ = [
    "Array",
    "Namespace",
    "Scratch",
    "ScratchPool",
    "array_library",
    "contiguous",
    "current_device",
    "device",
    "followed",
    "free_memory",
    "fusible",
    "host",
    "moved",
    "namespace",
    "on_cpu",
    "on_host",
    "out_of_memory_errors",
    "placed",
    "positive_part",
    "quiet",
    "release_memory",
    "singular_matrix_errors",
    "to_host",
]

Array = Any
Namespace = Any

# The namespace of host arrays, in which the descent makes its decisions per member.  NumPy itself
# follows the standard; the functions that array-api-compat wraps cost more than a small sum.
host: Namespace = np
device = array_api_compat.device

# The functions that the engine calls with `out=`.
_HINTED = frozenset(
    ("add", "expm1", "matmul", "maximum", "multiply", "negative", "sign", "subtract", "tanh")
)


class _OutIgnored:
    """An array namespace whose functions accept `out` as a hint and return a new array."""

    def __init__(self, xp: Namespace) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._xp, name)
        if name in _HINTED:
            function = _without_out(function)
        setattr(self, name, function)
        return function


def _without_out(function: Callable[..., Array]) -> Callable[..., Array]:
    def call(*args: Any, out: Array | None = None, **options: Any) -> Array:
        return function(*args, **options)

    return call


_out_ignored = cache(_OutIgnored)


def namespace(*arrays: Array) -> Namespace:
    """The array namespace of `arrays`, whose functions take the `out` hint."""
    if isinstance(arrays[0], np.ndarray):
        return host  # without the search through all libraries, which costs more than a small sum
    xp = array_api_compat.array_namespace(*arrays)
    return host if array_api_compat.is_numpy_namespace(xp) else _out_ignored(xp)


def on_host(array: Array) -> bool:
    """Whether `array` is of the host's own library."""
    return bool(array_api_compat.is_numpy_array(array))


def array_library(values: Any) -> str | None:
    """The name of the library whose array this is, or None where it is NumPy's or no array."""
    if on_host(values) or not array_api_compat.is_array_api_obj(values):
        return None
    return str(array_api_compat.array_namespace(values).__name__)


def followed(array: Array) -> bool:
    """Whether the engine is meant for the library of this array, which is not NumPy's."""
    if array_api_compat.is_cupy_array(array) or array_api_compat.is_torch_array(array):
        return True
    xp = array_api_compat.array_namespace(array)
    return bool(array_api_compat.is_array_api_strict_namespace(xp))


def on_cpu(array: Array) -> bool:
    """Whether the memory of `array`, of NumPy or a library that is followed, is the host's."""
    if array_api_compat.is_cupy_array(array):
        return False
    if array_api_compat.is_torch_array(array):
        return bool(array.device.type == "cpu")
    if on_host(array):
        return True
    # The other devices of array-api-strict stand for those with memory of their own.
    return "CPU" in str(device(array))


def current_device(array: Array) -> AbstractContextManager[Any]:
    """Compute on the device of `array`, which CuPy does not do by itself."""
    if array_api_compat.is_cupy_array(array):
        return array.device  # type: ignore[no-any-return]
    return nullcontext()


def placed(values: Any, like: Array, dtype: Any = None) -> Array:
    """The host's `values`, numbers or an array, as an array where `like` is; its own dtype stays.

    They are uploaded without waiting for the device.
    """
    if isinstance(like, np.ndarray):
        return np.asarray(values, dtype=dtype)
    if array_api_compat.is_torch_array(like) and isinstance(values, np.ndarray):
        # PyTorch takes neither memory that is read-only nor such as lies backward.
        shared = values.flags.writeable and all(stride >= 0 for stride in values.strides)
        values = values if shared else values.copy()
    return namespace(like).asarray(values, dtype=dtype, device=device(like))


def to_host(array: Array) -> np.ndarray[Any, Any]:
    """`array` as a NumPy array in host memory; the one place that waits for a device."""
    if array_api_compat.is_numpy_array(array):
        return array
    if array_api_compat.is_cupy_array(array):
        return array.get()  # type: ignore[no-any-return]
    if array_api_compat.is_torch_array(array):
        array = array.detach().resolve_conj().resolve_neg().cpu()
        if array.dtype == sys.modules["torch"].bfloat16:  # which NumPy has not
            array = array.float()
        return array.numpy()  # type: ignore[no-any-return]
    return np.from_dlpack(array) if hasattr(array, "__dlpack__") else np.asarray(array)


def moved(array: Array, like: Array) -> Array:
    """`array` in the library and on the device of `like`."""
    if array_library(array) == array_library(like) and device(array) == device(like):
        return array
    return placed(to_host(array), like)


def contiguous(array: Array) -> Array:
    """`array` with its last axis densest in memory, copied only if it is not."""
    if on_host(array):
        return np.ascontiguousarray(array)
    if array_api_compat.is_cupy_array(array):
        return sys.modules["cupy"].ascontiguousarray(array)
    return array.contiguous() if array_api_compat.is_torch_array(array) else array


def positive_part(xp: Namespace, z: Array, out: Array | None = None) -> Array:
    """max(z, 0), entry by entry; NaN stays NaN."""
    # A zero of no dimensions, since not every library takes a Python number here; `clip` would be
    # the function for this, but array-api-compat's is slow.
    return xp.maximum(z, placed(0.0, z, z.dtype), out=out)


def quiet() -> AbstractContextManager[None]:
    """Silence floating-point warnings where a non-finite value is an expected, checked outcome."""
    return np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")


def fusible(function: Callable[..., Array]) -> Callable[..., Array]:
    """Let ``function(xp, *arrays)``, entry by entry, be one kernel on CuPy.

    It must not hold any number, whose precision would be that of the kernel.
    """

    @cache
    def kernel(cupy: Any) -> Callable[..., Array]:
        def traced(*arrays: Array) -> Array:
            return function(cupy, *arrays)

        fused: Callable[..., Array] = cupy.fuse(kernel_name=f"skode_{function.__name__}")(traced)
        return fused

    @wraps(function)
    def call(xp: Namespace, *arrays: Array) -> Array:
        if array_api_compat.is_cupy_array(arrays[0]):
            return kernel(sys.modules["cupy"])(*arrays)
        return function(xp, *arrays)

    return call


def free_memory(like: Array) -> int | None:
    """The bytes that are free on the device of `like`, or None in host memory."""
    if array_api_compat.is_cupy_array(like):
        pool = sys.modules["cupy"].get_default_memory_pool()
        return int(like.device.mem_info[0] + pool.free_bytes())
    if array_api_compat.is_torch_array(like) and like.device.type == "cuda":
        cuda = sys.modules["torch"].cuda
        unused = cuda.memory_reserved(like.device) - cuda.memory_allocated(like.device)
        return int(cuda.mem_get_info(like.device)[0] + unused)
    return None


def release_memory(like: Array) -> None:
    """Give the memory that CuPy keeps for new arrays back to the device, to be parted anew."""
    if array_api_compat.is_cupy_array(like):
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()


def out_of_memory_errors() -> tuple[type[BaseException], ...]:
    """What is raised where memory runs out; CuPy's error is a MemoryError."""
    torch = sys.modules.get("torch")
    return (MemoryError,) if torch is None else (MemoryError, torch.cuda.OutOfMemoryError)


def singular_matrix_errors() -> tuple[type[BaseException], ...]:
    """What `linalg.inv` raises for a stack of matrices of which one is singular."""
    torch, error = sys.modules.get("torch"), np.linalg.LinAlgError
    return (error,) if torch is None else (error, torch.linalg.LinAlgError)


class Scratch:
    """Work arrays by name, allocated at first use and used again by every later block.

    Those of one name lie in the same memory, whatever their shape, so that a block with fewer
    samples finds it in the cache.

    Parameters
    ----------
    like : array
        Decides namespace, dtype and device of the work arrays.
    widest : int, default=1
        Up to which length of the last axis there is room from the beginning.
    """

    def __init__(self, like: Array, widest: int = 1) -> None:
        self.xp = namespace(like)
        self.in_place = self.xp is host
        self.dtype = like.dtype
        self._device = device(like)
        self._widest = widest
        self._flat: dict[Hashable, Array] = {}
        self._made: dict[Hashable, Any] = {}
        self._latest: Any = None

    def __call__(self, shape: tuple[int, ...], *name: object) -> Array | None:
        """The work array called `name`, or None where `out` would be ignored anyway."""
        if not self.in_place:
            return None
        size, flat = math.prod(shape), self._flat.get(name)
        if flat is None or flat.shape[0] < size:
            room = size // shape[-1] * max(shape[-1], self._widest)
            flat = self.xp.empty((room,), dtype=self.dtype, device=self._device)
            self._flat[name] = flat
        return self.xp.reshape(flat[:size], shape)

    def turned_to(self, user: object) -> bool:
        """Whether another user than before is to work in the memory now."""
        latest, self._latest = self._latest, user
        return latest is not user

    def array(self, values: Any) -> Array:
        """The values as an array like the work arrays."""
        return self.xp.asarray(values, dtype=self.dtype, device=self._device)

    def full(self, shape: tuple[int, ...], value: float) -> Array:
        """An array like the work arrays, with the same value everywhere."""
        return self.xp.full(shape, value, dtype=self.dtype, device=self._device)

    def once(self, make: Callable[..., Any], *arguments: Hashable) -> Any:
        """``make(scratch, *arguments)``, which is made when it is first asked for."""
        key = (make, *arguments)
        if key not in self._made:
            self._made[key] = make(self, *arguments)
        return self._made[key]


class ScratchPool:
    """Work arrays that threads borrow, so that each has its own.

    Parameters
    ----------
    like : array
    widest : int
        As of `Scratch`.
    """

    def __init__(self, like: Array, widest: int) -> None:
        self._like, self._widest = like, widest
        self._free: list[Scratch] = []

    @contextmanager
    def borrowed(self) -> Iterator[Scratch]:
        """Work arrays that nobody else has."""
        try:
            scratch = self._free.pop()
        except IndexError:
            scratch = Scratch(self._like, self._widest)
        yield scratch
        self._free.append(scratch)
