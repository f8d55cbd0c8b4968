"""Sums over blocks of samples, computed in threads and added up in a fixed order.

All computations over samples are sums, or sequences, over blocks.  This bounds the memory for any
number of samples.  The number of samples in a block depends only on shapes, and a kernel treats
members one by one.  So results do not depend, to the last bit, on the number of threads or on the
other members of the batch.  The reference is an exception: it solves the equations of implicit
schemes for all members together.  There a member depends on the others up to rounding, and members
are not distributed among threads.

Blocks are added up along a binary tree: the first half, plus the second half.  So the blocks of a
subtree may be added up anywhere, even by another process, and errors of rounding grow with the
logarithm of the number of blocks.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

from .arrays import Array, itemsize, namespace, on_host, out_of_memory_errors, release_memory
from .elsewhere import Elsewhere
from .kernels import Kernel, Problem, Samples, Sums, kernel_for
from .threads import Threads

Result = TypeVar("Result")

LEAST_WORK = 2**20  # bytes of the states of all layers, below which threads do not pay off
TASKS = 2  # per thread, at least, if the members can be distributed


class Blocks:
    """The size of blocks of samples, and the threads that compute them; by default one.

    A block has `size` samples; the kernel decides by default.  If memory runs out, the size is
    halved, with a RuntimeWarning.
    """

    def __init__(self, threads: Threads | None = None, size: int | None = None) -> None:
        self.threads = Threads() if threads is None else threads
        self.size = size
        self._sizes: dict[tuple[int, int, Kernel], tuple[int, int]] = {}

    def add_up(
        self,
        problem: Problem,
        samples: Samples,
        flat: Array,
        gradient: bool,
        tolerance: Array | None = None,
    ) -> Sums:
        """Return the sums of a kernel over all samples; see `Sums` and `Kernel.evaluate`."""
        if isinstance(samples.X, Elsewhere):
            return samples.X.add_up(problem, samples, flat, gradient, tolerance)
        kernel = kernel_for(problem, flat)
        n_samples = samples.X.shape[0]
        while True:
            n_members, size = self._call_size(kernel, problem, flat, n_samples)
            try:
                if size >= n_samples and n_members >= flat.shape[0]:
                    # A slice, since X may hold the rows of two arrays, which slicing joins.
                    whole = samples.of(slice(0, n_samples))
                    return kernel.evaluate(problem, whole, flat, gradient, tolerance)
                return self._in_parts(kernel, problem, samples, flat, gradient, tolerance)
            except out_of_memory_errors():
                if min(size, n_samples) == 1:
                    raise
            # At this point the exception and all that it referenced are gone.
            self._halve(min(size, n_samples), flat)

    def size_of(self, problem: Problem, flat: Array, n_samples: int) -> int:
        """Return the number of samples in a block."""
        return self._call_size(kernel_for(problem, flat), problem, flat, n_samples)[1]

    def map(
        self, compute: Callable[[slice], Result], problem: Problem, flat: Array, n_samples: int
    ) -> list[Result]:
        """Return the results of `compute` for every block of samples, in order."""
        kernel = kernel_for(problem, flat)
        while True:
            _, size = self._call_size(kernel, problem, flat, n_samples)
            rows = _slices(n_samples, size)
            alone = not _worth_threads(problem, flat, n_samples)
            try:
                return list(self.threads.map(compute, rows, alone))
            except out_of_memory_errors():
                if min(size, n_samples) == 1:
                    raise
            self._halve(min(size, n_samples), flat)

    def _in_parts(
        self,
        kernel: Kernel,
        problem: Problem,
        samples: Samples,
        flat: Array,
        gradient: bool,
        tolerance: Array | None,
    ) -> Sums:
        n_samples, total = samples.X.shape[0], flat.shape[0]
        n_members, size = self._call_size(kernel, problem, flat, n_samples)
        members, rows = _slices(total, n_members), _slices(n_samples, size)
        tasks = [(some, part) for some in rows for part in members]

        def compute(task: tuple[slice, slice]) -> Sums:
            some, part = task
            of_part = samples.of(some).of_members(part)
            exactness = None if tolerance is None else tolerance[part]
            return kernel.evaluate(problem, of_part, flat[part, :], gradient, exactness)

        alone = not _worth_threads(problem, flat, n_samples)
        found = self.threads.map(compute, tasks, alone)
        of_rows = (_joined(found, len(members)) for _ in rows)
        return tree_sum(one_by_one(of_rows), 0, len(rows))

    def _call_size(
        self, kernel: Kernel, problem: Problem, flat: Array, n_samples: int
    ) -> tuple[int, int]:
        """Return the number of members and of samples for one call of the kernel."""
        total = flat.shape[0]
        key = (total, n_samples, kernel)
        if key not in self._sizes:  # a device is queried for its free memory only once
            self._sizes[key] = kernel.call_size(problem, total, n_samples, flat)
        n_members, size = self._sizes[key]
        size = self.size or size
        parted = self.threads.number > 1 and total > 1 and kernel.members_are_independent(problem)
        if parted and _worth_threads(problem, flat, n_samples):
            parts = math.ceil(TASKS * self.threads.number / math.ceil(n_samples / size))
            n_members = min(n_members, math.ceil(total / parts))
        return n_members, size

    def _halve(self, size: int, flat: Array) -> None:
        """Continue with blocks of half the size, and warn that memory has run out."""
        release_memory(flat)
        self.size = size // 2
        message = f"Memory ran out with {size} samples in a block; continuing with {self.size}."
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def _slices(number: int, size: int) -> list[slice]:
    """Cut 0 … number into slices of a size; the last may be smaller."""
    return [slice(k, min(k + size, number)) for k in range(0, number, size)]


def _worth_threads(problem: Problem, flat: Array, n_samples: int) -> bool:
    """Whether the states of all members, layers and stages are large enough for threads to pay off.

    Devices, and libraries other than NumPy, use threads of their own.
    """
    if not on_host(flat):
        return False
    layout, s = problem.layout, problem.network.tableau.n_stages
    states: int = flat.shape[0] * layout.n_layers * s * layout.n_channels * n_samples
    return states * itemsize(flat) >= LEAST_WORK


def _joined(found: Iterator[Sums], number: int) -> Sums:
    """Join the next `number` sums, which belong to different members."""
    parts = [next(found) for _ in range(number)]
    if number == 1:
        return parts[0]
    concat = namespace(parts[0].loss).concat
    by_field = zip(*parts, strict=True)
    return Sums(*(None if each[0] is None else concat(each) for each in by_field))


def tree_sum(known: Callable[[int, int], Sums | None], first: int, last: int) -> Sums:
    """Add up the blocks from `first` to before `last` along the tree.

    ``known(first, last)`` returns the sums over a subtree, or None if its halves have to be added
    up.  It is called for the subtrees in the order of their blocks.
    """
    sums = known(first, last)
    if sums is not None:
        return sums
    middle = end_of_first_half(first, last)
    one, other = tree_sum(known, first, middle), tree_sum(known, middle, last)
    return Sums(*(x if x is None else x + y for x, y in zip(one, other, strict=True)))


def end_of_first_half(first: int, last: int) -> int:
    """Return where the second of both subtrees begins."""
    return first + (last - first + 1) // 2


def one_by_one(found: Iterator[Sums]) -> Callable[[int, int], Sums | None]:
    """Return the argument of `tree_sum` for the sums of single blocks, in their order."""
    return lambda first, last: next(found) if last - first == 1 else None
