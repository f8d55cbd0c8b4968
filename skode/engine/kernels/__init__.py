"""Kernels: code that computes the data loss, its gradient and the held-out loss of samples.

The `reference` computes every case with every array library and defines the correct results.  The
others are faster in the cases that their `is_usable_for` accepts.  Code outside this package does
not depend on which one runs.
"""

from __future__ import annotations

from ..arrays import Array
from . import cpu, cuda, reference
from .interface import Kernel, Problem, Samples, Sums

__all__ = ["KERNELS", "Kernel", "Problem", "Samples", "Sums", "kernel_for"]

# The first usable kernel is chosen; the last is always usable.
KERNELS: tuple[Kernel, ...] = (cpu, cuda, reference)


def kernel_for(problem: Problem, like: Array) -> Kernel:
    """Return the kernel for a problem with controls like `like`."""
    return next(kernel for kernel in KERNELS if kernel.is_usable_for(problem, like))
