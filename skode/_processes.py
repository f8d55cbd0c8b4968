"""Fits in several processes, each of which trains the networks of its part of them in batches.

`Processes` is a backend of joblib.  It collects the tasks of a search, and hands them in parts to
the backend that would have run them one by one.  In the process that gets a part, the fits are
gathered as in one process, see `_gathering`.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise

import numpy as np
from joblib import Parallel, delayed, parallel_config
from joblib.parallel import ParallelBackendBase, get_active_backend

from ._gathering import gathered_fits

PARTS = 3  # for each process, since some take longer than others
SMALLEST = 25  # tasks of a part, unless there are many processes, since batches should be large


class Task:
    """A task of joblib that has not been run, or its result.

    Parameters
    ----------
    processes : Processes
    function : callable
        The task.
    callback : callable
        Joblib's function to call with the result.
    """

    def __init__(self, processes, function, callback):
        self.function, self._processes, self._callback = function, processes, callback
        self._results = None

    def get(self, timeout=None):
        """Return the result, after those of all tasks have been computed."""
        if self._results is None:
            self._processes.run()
        return self._results

    def end(self, results):
        """Accept the result."""
        self._results, self.function = results, None
        self._callback(results)


class Processes(ParallelBackendBase):
    """The backend of joblib that runs parts of the tasks in processes.

    Parameters
    ----------
    backend : ParallelBackendBase
        Runs the parts.
    n_processes : int
        The number of processes.
    n_fits : int
        The largest number of fits that have begun in a process at any time.
    """

    uses_threads = False
    supports_sharedmem = False
    supports_retrieve_callback = False

    def __init__(self, backend, n_processes, n_fits, **options):
        super().__init__(**options)
        self.backend, self.n_processes, self._n_fits = backend, n_processes, n_fits
        self._tasks = []

    def effective_n_jobs(self, n_jobs):
        """A number so large that joblib hands over all tasks at once."""
        return self.n_processes * self._n_fits

    def configure(self, n_jobs=1, parallel=None, **options):
        """Prepare for the tasks of `parallel`."""
        self.parallel = parallel
        return self.effective_n_jobs(n_jobs)

    def submit(self, function, callback=None):
        """Accept a task."""
        self._tasks.append(Task(self, function, callback or (lambda result: None)))
        return self._tasks[-1]

    apply_async = submit  # its name before joblib 1.5

    def run(self):
        """Run all tasks that have been accepted, in parts of neighbours, which are often alike."""
        tasks, self._tasks = self._tasks, []
        n_parts = max(self.n_processes, min(PARTS * self.n_processes, len(tasks) // SMALLEST))
        ends = np.linspace(0, len(tasks), min(n_parts, len(tasks)) + 1).round().astype(int)
        parts = [tasks[first:last] for first, last in pairwise(ends)]
        results = Parallel(self.n_processes, backend=self.backend)(
            delayed(run_gathered)([task.function for task in part], self._n_fits) for part in parts
        )
        for part, some in zip(parts, results, strict=True):
            for task, result in zip(part, some, strict=True):
                task.end(result)

    def terminate(self):
        """Forget the tasks that have not been run."""
        self._tasks = []

    def abort_everything(self, ensure_ready=True):
        """Forget the tasks that have not been run, after an error."""
        self.terminate()


def run_gathered(tasks, n_fits):
    """Return the results of tasks of joblib, whose networks are trained in batches."""
    with gathered_fits(n_fits):
        return Parallel()(delayed(task)() for task in tasks)


@contextmanager
def batching(n_jobs, n_fits):
    """Train the networks of the fits that joblib runs in parallel in batches.

    Parameters
    ----------
    n_jobs : int or None
        The number of processes, as joblib counts.  Where joblib uses threads, it is one.
    n_fits : int
        The largest number of fits of all processes that have begun at any time.
    """
    backend, default = get_active_backend()
    number = default if n_jobs is None else n_jobs
    if isinstance(backend, Processes):
        backend, number = backend.backend, backend.n_processes
    elif getattr(backend, "uses_threads", False):
        number = 1
    number = backend.effective_n_jobs(number)
    if number == 1:
        with gathered_fits(n_fits):
            yield
    else:
        processes = Processes(backend, number, max(2, n_fits // number))
        with parallel_config(backend=processes, n_jobs=number):
            yield
