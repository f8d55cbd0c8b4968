"""NVIDIA's run-time compiler, from the wheel nvidia-cuda-nvrtc-cu12.  It does not need a device."""

from __future__ import annotations

import ctypes
import functools
import re
from pathlib import Path
from typing import NamedTuple

import pytest


@functools.cache
def library():
    """The compiler; without its wheel, tests that need it are skipped."""
    wheel = pytest.importorskip("nvidia.cuda_nvrtc", reason="nvidia-cuda-nvrtc-cu12 is missing")
    found = sorted(Path(wheel.__path__[0]).glob("lib/libnvrtc.so.*"))
    if not found:
        pytest.skip("the wheel of NVRTC has no library for this system")
    return ctypes.CDLL(str(found[0]))


@functools.cache
def architectures():
    """Return the supported compute capabilities, as numbers such as 90."""
    number = ctypes.c_int()
    assert library().nvrtcGetNumSupportedArchs(ctypes.byref(number)) == 0
    found = (ctypes.c_int * number.value)()
    assert library().nvrtcGetSupportedArchs(found) == 0
    return list(found)


def compiled(source, *options):
    """Return the log of the compiler; fail the test if the source does not compile."""
    program = ctypes.c_void_p()
    made = library().nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"explicit.cu", 0, None, None
    )
    assert made == 0
    values = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = library().nvrtcCompileProgram(program, len(options), values)
    size = ctypes.c_size_t()
    library().nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library().nvrtcGetProgramLog(program, log)
    library().nvrtcDestroyProgram(ctypes.byref(program))
    text = log.value.decode()
    assert not failed, text
    return text


class Used(NamedTuple):
    """Registers of a thread, and the bytes that do not fit into them."""

    registers: int
    spilled: int


def registers_and_spills(log, kernel):
    """Return the resources of a kernel, from the log of a compiler with --ptxas-options=-v."""
    found = re.search(
        rf"Compiling entry function '{kernel}'.*?(\d+) bytes spill stores.*?Used (\d+) registers",
        log,
        re.DOTALL,
    )
    return Used(int(found[2]), int(found[1]))
