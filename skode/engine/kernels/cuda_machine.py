"""What the CUDA kernel is compiled for, and what it runs on: a device, through CuPy.

CuPy compiles the source for a number of channels, a number of stages, an activation and a precision
when they are first needed, and remembers that on disk.  Tensors of PyTorch come and go through
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

# From so many channels on, a thread does not hold all those of a sample in its registers.
FEWEST_OF_WIDE = {"float32": 33, "float64": 25}
FEW_SAMPLES = 8192  # so few are parted finer in wide networks, for more multiprocessors
JOBS = 512  # of a member, at most
ADDERS = 16  # rows of threads that add up the jobs


@dataclass(frozen=True)
class Variant:
    """What the source is compiled for; see products.cuh.

    Parameters
    ----------
    dtype : str
        "float32" or "float64".
    n_channels, n_stages : int
    codes : tuple (int, int)
        Those of the activation.
    channel_threads, thread_channels, thread_samples, threads : int
        How a block of threads parts a tile of samples.
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
    def knows(dtype: Any) -> bool:
        """Whether there are variants in this precision."""
        return _name(dtype) in FEWEST_OF_WIDE

    @classmethod
    def of(cls, problem: Problem, dtype: Any, n_samples: int) -> Variant:
        """The variant for a problem and a number of samples."""
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
        """The bytes of a number."""
        return np.dtype(self.dtype).itemsize

    @property
    def channels(self) -> int:
        """The channels, and zeros up to whole threads."""
        return self.channel_threads * self.thread_channels

    @property
    def tile(self) -> int:
        """The samples that a block of threads takes at a time."""
        return self.threads // self.channel_threads * self.thread_samples

    def n_jobs(self, n_samples: int) -> int:
        """How many sums over samples of one member are computed side by side."""
        return min(math.ceil(n_samples / self.tile), JOBS)

    def shared_bytes(self, n_outputs: int) -> int:
        """Shared memory of a block of threads: the same formula is in products.cuh."""
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
        """The definitions, as a compiler takes them."""
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
    """What the kernels run on: a device, or its emulation.

    Parameters
    ----------
    xp : namespace
        CuPy, or NumPy.
    multiprocessors : int
    shared_bytes, memory_bytes : int
        Shared memory that a block of threads may have, and memory of the device.
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
    """The name of a dtype: that of a torch.dtype has the library's in front."""
    return str(dtype).rpartition(".")[2]


class Device(NamedTuple):
    """A device, and how arrays get into CuPy, and results out of it."""

    machine: Machine
    take: Callable[[Array], Array]
    give: Callable[[Array], Array]


def machine_of(like: Array) -> Machine | None:
    """The device of an array of CuPy, or of PyTorch if CuPy finds it as well; None elsewhere."""
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
    except Exception:  # CuPy is not there, or not made for this driver
        return False


@contextmanager
def device_of(like: Array) -> Iterator[Device]:
    """Compute on the device of `like`; that of a tensor in PyTorch's present stream."""
    cupy = importlib.import_module("cupy")
    if array_api_compat.is_cupy_array(like):
        with current_device(like):
            yield Device(_machine(like.device.id), lambda array: array, lambda array: array)
        return
    torch, number = importlib.import_module("torch"), like.device.index

    def empty(shape: tuple[int, ...], dtype: Any) -> Array:
        # Of PyTorch's own memory, since that is what its `free_memory` tells.
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
    """The device of a number."""
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
        if large:  # all that there is, since the limit is one for all launches
            found.max_dynamic_shared_size_bytes = facts["sharedMemPerBlockOptin"]
        return found

    def run(variant: Variant, launch: Launch) -> None:
        # A kernel has to ask for more than 48 KiB.
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
    """The CUDA source, one file after the other."""
    folder = files(__package__)
    names = "products.cuh", "functions.cuh", "explicit.cu"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)
