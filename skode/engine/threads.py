"""Computation of blocks of samples in parallel threads, with results in the order of the blocks.

The compiled kernel and NumPy's functions release the interpreter's lock while they compute, so
threads run in parallel, each with one BLAS thread.  Results do not depend on the number of
threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from threading import Lock
from typing import Any, Self, TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

WAITING = 16  # results per thread that wait to be consumed, at most


@cache
def _libraries() -> ThreadpoolController:
    """Return the BLAS libraries of this process; finding them takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")


class _OneBlasThread:
    """A context in which BLAS has one thread, from the first entry to the last exit.

    Fits may overlap in threads of the caller.  With separate contexts, each would restore the
    number of threads at its entry.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._limits: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limits = _libraries().limit(limits=1)
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limits.restore_original_limits()


_one_blas_thread = _OneBlasThread()


def blas_threads() -> int:
    """Return how many threads BLAS would use: for example, one in a worker process of joblib."""
    return max((library.num_threads for library in _libraries().lib_controllers), default=1)


def blas_architectures() -> set[str]:
    """Return the processors for which the BLAS libraries are optimised, by OpenBLAS' names."""
    return {library.get("architecture", "") for library in _libraries().info()}


class Threads:
    """A number of threads that work in parallel, including the calling thread.

    In a ``with`` statement BLAS uses one thread.  The threads start when they are first needed, and
    end with the statement.

    Parameters
    ----------
    number : int, default=1
    """

    def __init__(self, number: int = 1) -> None:
        self.number = number
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        _one_blas_thread.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        _one_blas_thread.__exit__()

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], alone: bool = False
    ) -> Iterator[Result]:
        """Yield ``function(item)`` for every item, in order.

        At most `WAITING` results per thread wait to be consumed.  With `alone`, or without further
        threads, everything is computed in the calling thread, one by one.
        """
        if alone or self.number == 1 or len(items) == 1:
            yield from map(function, items)
            return
        size = WAITING * self.number
        for start in range(0, len(items), size):
            yield from self._side_by_side(function, items[start : start + size])

    def _side_by_side(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> list[Result]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.number - 1, thread_name_prefix="skode")
        results: dict[int, Result] = {}
        open_ = deque(enumerate(items))

        def work() -> None:
            while True:
                try:
                    k, item = open_.popleft()
                except IndexError:
                    return
                results[k] = function(item)

        helpers = [self._pool.submit(work) for _ in range(min(self.number, len(items)) - 1)]
        try:
            work()
        finally:
            open_.clear()  # after an error or Ctrl-C, no thread starts another item
            wait(helpers)
        for helper in helpers:
            helper.result()  # raises the error of a thread
        return [results[k] for k in range(len(items))]
