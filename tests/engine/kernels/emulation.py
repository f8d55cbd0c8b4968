"""An emulated machine that runs the CUDA source on the CPU, compiled by a C++ compiler."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from skode.engine.kernels import cuda_machine

HERE = Path(__file__).parent
OPTIONS = (
    "-std=c++17",
    "-O1",
    "-shared",
    "-fPIC",
    "-w",
    "-U_FORTIFY_SOURCE",  # it would report a jump between fibers as an error
    "-ffp-contract=off",
)


@functools.cache
def folder():
    """The folder of the compiled libraries during the tests."""
    return tempfile.TemporaryDirectory(prefix="skode-emulation-")


@functools.cache
def compiler():
    """The C++ compiler; without one, tests that need it are skipped."""
    if sys.platform != "linux":
        pytest.skip("the emulation switches between threads with Linux's ucontext")
    for name in ("g++", "c++", "clang++"):
        if shutil.which(name):
            return name
    pytest.skip("no C++ compiler (g++, c++ or clang++) is installed")


@functools.cache
def library(code, definitions):
    """Return the kernels of a source, compiled with some definitions."""
    directory = Path(folder().name)
    source = directory / "source.cu"
    # The emulation defines that array; and kernels of different libraries need different names.
    array = "extern __shared__ __align__(16) unsigned char shared_memory[];"
    assert array in code
    source.write_text(code.replace(array, "").replace('extern "C" ', ""), encoding="utf-8")
    target = directory / f"{len(list(directory.iterdir()))}.so"
    command = [compiler(), *OPTIONS, *definitions, f'-DSOURCE="{source}"']
    done = subprocess.run(
        [*command, str(HERE / "emulation.cpp"), "-o", str(target)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(target))


def execute(compiled, launch, backward=False):
    """Execute a launch, with threads and blocks in order or in reverse order."""
    held = [
        np.array(a.ctypes.data, dtype=np.uintp) if isinstance(a, np.ndarray) else np.array(a)
        for a in launch.arguments
    ]
    values = (ctypes.c_void_p * len(held))(*(value.ctypes.data for value in held))
    emulate = getattr(compiled, f"emulate_{launch.kernel}")
    failed = emulate(launch.blocks, launch.threads, launch.shared, values, int(backward))
    assert not failed, "threads do not meet at a barrier, or write beyond their shared memory"


def run(variant, launch, backward=False):
    execute(library(cuda_machine.source(), variant.options), launch, backward)


def unwritten(shape, dtype):
    """Return an array of NaN."""
    return np.full(shape, np.nan, dtype=dtype)


def tableau(of, dtype):
    return np.array([*of.A, of.b], dtype=dtype)


def machine(backward=False, multiprocessors=1):
    """The emulated device."""
    return cuda_machine.Machine(
        np,
        multiprocessors,
        shared_bytes=227 * 1024,
        memory_bytes=2**30,
        empty=unwritten,
        tableau=tableau,
        run=functools.partial(run, backward=backward),
    )


# --- the part of CuPy that the package uses, with arrays that are really NumPy arrays


class Device(contextlib.nullcontext):
    id = 0
    mem_info = (2**30, 2**30)


class DeviceArray(np.ndarray):
    """An array that claims to be on a device."""

    device = Device()


class RawModule:
    def __init__(self, code, options):
        assert options[0] == "--std=c++17"
        self._library = library(code, options[1:])

    def get_function(self, name):
        return RawKernel(self._library, name)


class RawKernel:
    max_dynamic_shared_size_bytes = 48 * 1024

    def __init__(self, compiled, name):
        self._library, self._name = compiled, name

    def __call__(self, grid, block, arguments, shared_mem):
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        assert all(isinstance(a, (DeviceArray, np.generic)) for a in arguments)
        launch = cuda_machine.Launch(self._name, *grid, *block, shared_mem, arguments)
        execute(self._library, launch)


def on_device(values, dtype=None):
    return np.asarray(values, dtype=dtype).view(DeviceArray)


def contiguous(values, dtype=None):
    return np.ascontiguousarray(values, dtype=dtype).view(DeviceArray)


FACTS = {"multiProcessorCount": 2, "sharedMemPerBlockOptin": 227 * 1024, "totalGlobalMem": 2**30}
CUPY = SimpleNamespace(
    ndarray=DeviceArray,  # array-api-compat recognises arrays of CuPy by this
    asarray=on_device,
    ascontiguousarray=contiguous,
    empty=lambda shape, dtype: unwritten(shape, dtype).view(DeviceArray),
    from_dlpack=lambda x: np.from_dlpack(x).view(DeviceArray),
    get_default_memory_pool=lambda: SimpleNamespace(free_bytes=lambda: 0),
    RawModule=RawModule,
    cuda=SimpleNamespace(
        Device=lambda number: Device(),
        ExternalStream=lambda stream, number: contextlib.nullcontext(),
        Stream=SimpleNamespace(),
        get_current_stream=lambda: SimpleNamespace(synchronize=lambda: None),
        runtime=SimpleNamespace(getDeviceCount=lambda: 1, getDeviceProperties=lambda number: FACTS),
    ),
)
