"""The CUDA kernel: explicit schemes, all members, layers and samples in one launch.

The kernels are in explicit.cu, and the arrangement of their threads in products.cuh.  CuPy compiles
them for a number of channels, a number of stages, an activation and a precision when they are first
needed, and remembers them on disk.  Tensors of PyTorch come and go through DLPack.

What is prepared here is executed by a `Machine`: a device, or its emulation on the CPU in the
tests.  Sums are added up in an order that the shapes of one member decide; so results are the same
bit for bit each time, and those of a member do not depend on the others.
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

from ..activations import IDENTITY, TANH
from ..arrays import (
    Array,
    Namespace,
    current_device,
    free_memory,
    itemsize,
    namespace,
    quiet,
)
from ..fold_weights import FoldWeights
from ..tableaux import ButcherTableau
from .interface import Problem, Samples, Sums

__all__ = ["call_size", "evaluate", "is_usable_for", "predict"]

# Up to so many channels a thread has a whole sample in its registers.
NARROWEST_OF_WIDE = {"float32": 33, "float64": 25}
MOST_CHANNELS = 128  # from there on cuBLAS is as fast
MOST_STAGES = 16
MOST_SAMPLES = 2**30
FEW_SAMPLES = 8192  # so few are parted finer in wide networks, for more multiprocessors

JOBS = 512  # of a member, at most
ADDERS = 16  # rows of threads that add up the jobs
DEVICE_FRACTION = 0.5  # of the free memory
RECORD_FRACTION = 0.125  # of all memory, for what the way back needs


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

    @classmethod
    def of(cls, problem: Problem, dtype: Any, n_samples: int) -> Variant:
        """The variant for a problem and a number of samples."""
        network, n, dtype = problem.network, problem.layout.n_channels, _name(dtype)
        what = dtype, n, network.tableau.n_stages, network.activation.codes
        if n < NARROWEST_OF_WIDE[dtype]:
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


def is_usable_for(problem: Problem, like: Array) -> bool:
    """Whether it serves this problem with controls like `like`, on this machine."""
    if not _on_cuda(like) or _name(like.dtype) not in NARROWEST_OF_WIDE:
        return False
    number = like.device.index if array_api_compat.is_torch_array(like) else like.device.id
    return serves(_machine(number), problem, like.dtype)


def serves(machine: Machine, problem: Problem, dtype: Any) -> bool:
    """Whether a machine can compute a problem; what the controls are is another matter."""
    network, layout = problem.network, problem.layout
    variant = Variant.of(problem, dtype, MOST_SAMPLES)
    return (
        network.tableau.explicit
        and network.tableau.n_stages <= MOST_STAGES
        and network.lift.codes in (network.activation.codes, (IDENTITY, IDENTITY))
        and layout.n_channels <= MOST_CHANNELS
        and variant.shared_bytes(layout.n_outputs) <= machine.shared_bytes
    )


def call_size(problem: Problem, n_members: int, n_samples: int, like: Array) -> tuple[int, int]:
    """All samples, and as many members as there is memory for the sums of their jobs."""
    layout, variant = problem.layout, Variant.of(problem, like.dtype, n_samples)
    of_member = variant.n_jobs(n_samples) * (layout.size + 4) * variant.itemsize
    room = int(DEVICE_FRACTION * (free_memory(like) or 0))
    return max(1, min(n_members, room // of_member)), min(n_samples, MOST_SAMPLES)


def evaluate(problem: Problem, samples: Samples, flat: Array, gradient: bool) -> Sums:
    """Return the sums over the samples, by one row of `flat` for every member."""
    with _device_of(flat) as device:
        folds = None if samples.folds is None else FoldWeights(*map(device.take, samples.folds))
        X, targets, weights = map(device.take, samples[:3])
        taken = Samples(X, targets, weights, folds)
        sums = evaluate_on(device.machine, problem, taken, device.take(flat), gradient)
        return Sums(*(part if part is None else device.give(part) for part in sums))


def predict(problem: Problem, X: Array, flat: Array) -> Array:
    """Return what `loss.mean` makes of the outputs, (classes or outputs, samples)."""
    n_samples, (n_members, _) = X.shape[0], flat.shape
    # `mean` makes a few arrays of the size of the outputs, or of one output more.
    of_sample = 6 * n_members * (problem.layout.n_outputs + 1) * itemsize(flat)
    room = free_memory(flat)
    at_once = n_samples if room is None else int(DEVICE_FRACTION * room) // of_sample
    at_once = max(1, min(at_once, MOST_SAMPLES))
    with _device_of(flat) as device, quiet():
        X, flat = device.take(X), device.take(flat)
        means = []
        for first in range(0, n_samples, at_once):
            z = outputs_on(device.machine, problem, X[first : first + at_once, :], flat)
            means.append(problem.loss.mean(namespace(z), z))
        return device.give(namespace(flat).concat(means, axis=1))


def evaluate_on(
    machine: Machine, problem: Problem, samples: Samples, flat: Array, gradient: bool
) -> Sums:
    """The sums, by a launch that computes them for every job, and one that adds up the jobs."""
    variant = Variant.of(problem, flat.dtype, samples.X.shape[0])
    n_members, size = flat.shape
    n_jobs = variant.n_jobs(samples.X.shape[0])
    losses = machine.empty((n_members, n_jobs, 2), np.float64)
    gradients, result = None, None
    if gradient:
        gradients = machine.empty((n_members, n_jobs, size), flat.dtype)
        result = machine.empty((n_members, size), flat.dtype)
    _launch(machine, variant, problem, samples, flat, (gradients, losses, None))
    loss = machine.empty((n_members,), np.float64)
    held_out = None if samples.folds is None else machine.empty((n_members,), np.float64)
    columns = size if gradient else 0
    arguments = (np.int32(n_jobs), np.int32(columns), losses, gradients, loss, held_out, result)
    blocks, threads = n_members * math.ceil((2 + columns) / 32), 32 * ADDERS
    machine.run(variant, Launch("add_up", blocks, threads, 8 * threads, _nulls(arguments)))
    return Sums(loss, held_out, result)


def outputs_on(machine: Machine, problem: Problem, X: Array, flat: Array) -> Array:
    """The outputs for the rows of X, (members, n_outputs, samples)."""
    variant = Variant.of(problem, flat.dtype, X.shape[0])
    z = machine.empty((flat.shape[0], problem.layout.n_outputs, X.shape[0]), flat.dtype)
    _launch(machine, variant, problem, Samples(X, None, None), flat, (None, None, z))
    return z


def _launch(
    machine: Machine,
    variant: Variant,
    problem: Problem,
    samples: Samples,
    flat: Array,
    results: tuple[Array, Array, Array],
) -> None:
    """Launch `evaluate` of explicit.cu for its results: gradients and losses, or outputs."""
    network, layout, loss, learn_step = problem
    n_jobs = variant.n_jobs(samples.X.shape[0])
    blocks = min(flat.shape[0] * n_jobs, machine.multiprocessors * (512 // variant.threads))
    memory, stored = None, _states_are_stored(problem)
    if results[0] is not None:
        parts = layout.n_layers * (variant.n_stages + stored)
        block = parts * variant.channels * variant.tile
        room = int(RECORD_FRACTION * machine.memory_bytes) // (block * variant.itemsize)
        blocks = max(1, min(blocks, room))
        memory = machine.empty((blocks, block), flat.dtype)
    nonlinear = bool(layout.lifted) and network.lift.codes != (IDENTITY, IDENTITY)
    arguments = (
        np.int32(layout.n_layers),
        np.int32(layout.n_outputs),
        np.int32(samples.X.shape[1]),
        np.int32(layout.lifted > 0),
        np.int32(nonlinear),
        np.int32(stored),
        np.int32(learn_step),
        np.int32(loss.code),
        np.dtype(variant.dtype).type(network.skip),
        machine.tableau(network.tableau, variant.dtype),
        *_arguments_of_samples(machine, samples, flat.dtype),
        np.int32(flat.shape[0]),
        machine.xp.ascontiguousarray(flat),
        np.int32(layout.size),
        np.int32(n_jobs),
        memory,
        *results,
    )
    shared = variant.shared_bytes(layout.n_outputs)
    machine.run(variant, Launch("evaluate", blocks, variant.threads, shared, _nulls(arguments)))


def _states_are_stored(problem: Problem) -> bool:
    """Whether the states are stored for the way back, rather than recovered by y⁺ - h Σ bi Fi.

    A state that has grown has lost digits of those before it; and the sign of what relu gave must
    be that.  So they are recovered only where σ is bounded, all of it tanh.
    """
    return problem.network.skip != 1.0 or problem.network.activation.codes != (TANH, TANH)


def _arguments_of_samples(machine: Machine, samples: Samples, dtype: Any) -> tuple[Any, ...]:
    """The samples and their fold weights, as `evaluate` of explicit.cu takes them."""
    contiguous = machine.xp.ascontiguousarray
    X = machine.xp.asarray(samples.X, dtype=dtype)
    arguments = [np.int32(X.shape[0]), X, *(np.int64(stride // X.itemsize) for stride in X.strides)]
    arguments += [
        None if part is None else contiguous(part, dtype=dtype)
        for part in (samples.targets, samples.weights)
    ]
    folds = samples.folds
    if folds is None:
        return *arguments, None, None, None, None, np.int32(0)
    return (
        *arguments,
        contiguous(folds.group, dtype=np.int64),
        contiguous(folds.train, dtype=dtype),
        contiguous(folds.held_out, dtype=dtype),
        contiguous(folds.split, dtype=np.int64),
        np.int32(folds.train.shape[1]),
    )


def _nulls(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with null pointers for None, which CuPy takes for no argument at all."""
    return tuple(np.uintp(0) if argument is None else argument for argument in arguments)


def _rounded_up(number: int, multiple: int) -> int:
    return math.ceil(number / multiple) * multiple


def _name(dtype: Any) -> str:
    """The name of a dtype: that of a torch.dtype has the library's in front."""
    return str(dtype).rpartition(".")[2]


# --- devices


class _Device(NamedTuple):
    """A device, and how arrays get into CuPy, and results out of it."""

    machine: Machine
    take: Callable[[Array], Array]
    give: Callable[[Array], Array]


def _on_cuda(like: Array) -> bool:
    """Whether this is an array of CuPy, or one of PyTorch on a device that CuPy finds as well."""
    if array_api_compat.is_torch_array(like):
        return bool(like.device.type == "cuda") and _cupy_finds_devices()
    return bool(array_api_compat.is_cupy_array(like))


@cache
def _cupy_finds_devices() -> bool:
    try:
        cupy = importlib.import_module("cupy")
        return bool(cupy.cuda.runtime.getDeviceCount() > 0)
    except Exception:  # CuPy is not there, or not made for this driver
        return False


@contextmanager
def _device_of(like: Array) -> Iterator[_Device]:
    """Compute on the device of `like`; that of a tensor in PyTorch's present stream."""
    cupy = importlib.import_module("cupy")
    if array_api_compat.is_cupy_array(like):
        with current_device(like):
            yield _Device(_machine(like.device.id), lambda array: array, lambda array: array)
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
        yield _Device(machine, lambda tensor: cupy.from_dlpack(tensor.detach()), torch.from_dlpack)


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
    def function(variant: Variant, kernel: str, shared: int) -> Any:
        found = module(variant).get_function(kernel)
        if shared > 48 * 1024:  # which a kernel has to ask for
            found.max_dynamic_shared_size_bytes = shared
        return found

    def run(variant: Variant, launch: Launch) -> None:
        kernel = function(variant, launch.kernel, launch.shared)
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
