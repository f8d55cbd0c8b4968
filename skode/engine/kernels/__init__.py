"""Kernels: code that computes the data loss, its gradient and the held-out loss of samples.

The `reference` computes every case with every array library, and defines what is right.  The others
are optimisations of it for the cases that their `is_usable_for` names.  Code outside this package
never asks which one runs.
"""

from __future__ import annotations

from ..arrays import Array
from . import cpu, cuda, reference
from .interface import Kernel, Problem, Samples, Sums

__all__ = ["KERNELS", "Kernel", "Problem", "Samples", "Sums", "kernel_for"]

# The first that is usable serves; the last always is.
KERNELS: tuple[Kernel, ...] = (cpu, cuda, reference)


def kernel_for(problem: Problem, like: Array) -> Kernel:
    """Return the kernel that serves a problem with controls like `like`."""
    return next(kernel for kernel in KERNELS if kernel.is_usable_for(problem, like))
