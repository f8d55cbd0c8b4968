"""Compilation of the CUDA kernel, and the devices that run it, through CuPy.

CuPy compiles the source for a number of channels, a number of stages, an activation and a precision
when they are first needed, and caches the result on disk.  Tensors of PyTorch are exchanged through
DLPack.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from ..arrays import Array, Namespace, current_device
from ..tableaux import ButcherTableau
from .interface import Problem

# From this number of channels on, a thread does not hold a whole sample in its registers.
FEWEST_OF_WIDE = {"float32": 33, "float64": 25}
FEW_SAMPLES = 8192  # at most this many are split more finely in wide networks
JOBS = 512  # per member, at most
ADDERS = 16  # rows of threads that add up the partial sums


@dataclass(frozen=True)
class Variant:
    """The compile-time parameters of the source; see products.cuh.

    Parameters
    ----------
    dtype : str
        "float32" or "float64".
    n_channels, n_stages : int
    codes : tuple (int, int)
        The codes of the activation.
    channel_threads, thread_channels, thread_samples, threads : int
        How the threads of a block share a tile of samples.
    """

    dtype: str
    n_channels: int
    n_stages: int
    codes: tuple[int, int]
    channel_threads: int
    thread_channels: int
    thread_samples: int
    threads: int

    @staticmethod
    def supports(dtype: Any) -> bool:
        """Whether this precision is supported."""
        return _name(dtype) in FEWEST_OF_WIDE

    @classmethod
    def of(cls, problem: Problem, dtype: Any, n_samples: int) -> Variant:
        """Return the variant for a problem and a number of samples."""
        network, n, dtype = problem.network, problem.layout.n_channels, _name(dtype)
        what = dtype, n, network.tableau.n_stages, network.activation.codes
        if n < FEWEST_OF_WIDE[dtype]:
            return cls(*what, channel_threads=1, thread_channels=n, thread_samples=1, threads=128)
        finer = dtype == "float64" or n_samples <= FEW_SAMPLES
        return cls(
            *what,
            channel_threads=16,
            thread_channels=math.ceil(n / 16),
            thread_samples=2 if finer else 4,
            threads=256,
        )

    @property
    def itemsize(self) -> int:
        """The size of a number in bytes."""
        return np.dtype(self.dtype).itemsize

    @property
    def channels(self) -> int:
        """The number of channels, rounded up to whole threads."""
        return self.channel_threads * self.thread_channels

    @property
    def tile(self) -> int:
        """The number of samples that a block of threads processes at a time."""
        return self.threads // self.channel_threads * self.thread_samples

    def n_jobs(self, n_samples: int) -> int:
        """Return how many partial sums over the samples of one member are computed in parallel."""
        return min(math.ceil(n_samples / self.tile), JOBS)

    def shared_bytes(self, n_outputs: int) -> int:
        """Return the shared memory of a block of threads; products.cuh has the same formula."""
        vector = 16 // self.itemsize
        row = self.tile + vector
        row_of_K = _rounded_up(self.channels, vector) + vector
        side = min(self.n_channels, 4) if self.channel_threads == 1 else self.thread_channels
        block = _rounded_up(self.n_channels, side)
        rows_of_Y = max(self.channels, block)
        rows_of_G = max(rows_of_Y, _rounded_up(n_outputs, block))
        numbers = self.channels * row_of_K + (rows_of_G + rows_of_Y) * row
        return _rounded_up(self.threads // 32, 2) * 8 + numbers * self.itemsize + self.tile

    @property
    def options(self) -> tuple[str, ...]:
        """Return the definitions as compiler options."""
        values = {
            "REAL": {"float32": "float", "float64": "double"}[self.dtype],
            "N_CHANNELS": self.n_channels,
            "N_STAGES": self.n_stages,
            "FIRST": self.codes[0],
            "SECOND": self.codes[1],
            "CHANNEL_THREADS": self.channel_threads,
            "THREAD_CHANNELS": self.thread_channels,
            "THREAD_SAMPLES": self.thread_samples,
            "THREADS": self.threads,
            "ADDERS": ADDERS,
        }
        return tuple(f"-D{name}={value}" for name, value in values.items())


class Launch(NamedTuple):
    """A launch of one of the kernels: its grid, shared memory in bytes, and arguments."""

    kernel: str
    blocks: int
    threads: int
    shared: int
    arguments: tuple[Any, ...]


class Machine(NamedTuple):
    """A device that runs the kernels, or its emulation.

    Parameters
    ----------
    xp : namespace
        CuPy, or NumPy.
    multiprocessors : int
    shared_bytes, memory_bytes : int
        Shared memory available to a block of threads, and memory of the device.
    empty : callable (shape, dtype) -> array
    tableau : callable (tableau, dtype) -> array
        The rows of A and, below them, b.
    run : callable (variant, launch)
    """

    xp: Namespace
    multiprocessors: int
    shared_bytes: int
    memory_bytes: int
    empty: Callable[[tuple[int, ...], Any], Array]
    tableau: Callable[[ButcherTableau, str], Array]
    run: Callable[[Variant, Launch], None]


def _rounded_up(number: int, multiple: int) -> int:
    return math.ceil(number / multiple) * multiple


def _name(dtype: Any) -> str:
    """Return the name of a dtype; torch.dtype has the prefix "torch."."""
    return str(dtype).rpartition(".")[2]


class Device(NamedTuple):
    """A device, and functions that move arrays into CuPy and results out of it."""

    machine: Machine
    take: Callable[[Array], Array]
    give: Callable[[Array], Array]


def machine_of(like: Array) -> Machine | None:
    """Return the device of a CuPy array, or of a PyTorch tensor if CuPy supports it; else None."""
    if array_api_compat.is_cupy_array(like):
        return _machine(like.device.id)
    if not array_api_compat.is_torch_array(like) or like.device.type != "cuda":
        return None
    return _machine(like.device.index) if _cupy_finds_devices() else None


@cache
def _cupy_finds_devices() -> bool:
    try:
        cupy = importlib.import_module("cupy")
        return bool(cupy.cuda.runtime.getDeviceCount() > 0)
    except Exception:  # CuPy is not installed, or does not support this driver
        return False


@contextmanager
def device_of(like: Array) -> Iterator[Device]:
    """Compute on the device of `like`; for a tensor, in PyTorch's current stream."""
    cupy = importlib.import_module("cupy")
    if array_api_compat.is_cupy_array(like):
        with current_device(like):
            yield Device(_machine(like.device.id), lambda array: array, lambda array: array)
        return
    torch, number = importlib.import_module("torch"), like.device.index

    def empty(shape: tuple[int, ...], dtype: Any) -> Array:
        # From PyTorch's memory pool, since `free_memory` refers to that.
        dtype = getattr(torch, np.dtype(dtype).name)
        return cupy.from_dlpack(torch.empty(shape, dtype=dtype, device=like.device))

    with ExitStack() as stack:
        stack.enter_context(cupy.cuda.Device(number))
        stream = torch.cuda.current_stream(like.device)
        if hasattr(cupy.cuda.Stream, "from_external") and hasattr(stream, "__cuda_stream__"):
            stack.enter_context(cupy.cuda.Stream.from_external(stream))
        else:  # CuPy 13
            stack.enter_context(cupy.cuda.ExternalStream(stream.cuda_stream, number))
        machine = _machine(number)._replace(empty=empty)
        yield Device(machine, lambda tensor: cupy.from_dlpack(tensor.detach()), torch.from_dlpack)


@cache
def _machine(number: int) -> Machine:
    """Return the device of a number."""
    cupy = importlib.import_module("cupy")
    facts = cupy.cuda.runtime.getDeviceProperties(number)

    @cache
    def tableau(of: ButcherTableau, dtype: str) -> Array:
        on_device = cupy.asarray(np.array([*of.A, of.b], dtype=dtype))
        cupy.cuda.get_current_stream().synchronize()  # once: other streams may be the next users
        return on_device

    @cache
    def module(variant: Variant) -> Any:
        return cupy.RawModule(code=source(), options=("--std=c++17", *variant.options))

    @cache
    def function(variant: Variant, kernel: str, large: bool) -> Any:
        found = module(variant).get_function(kernel)
        if large:  # the maximum, since the limit applies to all launches of the function
            found.max_dynamic_shared_size_bytes = facts["sharedMemPerBlockOptin"]
        return found

    def run(variant: Variant, launch: Launch) -> None:
        # A kernel must request more than 48 KiB explicitly.
        kernel = function(variant, launch.kernel, launch.shared > 48 * 1024)
        kernel((launch.blocks,), (launch.threads,), launch.arguments, shared_mem=launch.shared)

    return Machine(
        cupy,
        int(facts["multiProcessorCount"]),
        int(facts["sharedMemPerBlockOptin"]),
        int(facts["totalGlobalMem"]),
        cupy.empty,
        tableau,
        run,
    )


@cache
def source() -> str:
    """Return the CUDA source, all files joined."""
    folder = files(__package__)
    names = "products.cuh", "functions.cuh", "explicit.cu"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)
