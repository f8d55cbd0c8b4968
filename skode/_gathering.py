"""Fits that run side by side, so that their networks are trained in one batch.

Functions of scikit-learn that fit many estimators, such as searches, pass the fits to joblib.  The
backend `Gathering` runs each of them in a thread, but only one thread at a time.  A fit that comes
to the training of its networks pauses, and the next one goes on.  When all of them have paused, all
their networks are trained, in as few batches as possible, and the fits go on with the results.
"""

from __future__ import annotations

import threading
import warnings
from collections import deque
from contextlib import contextmanager
from functools import partial

from joblib import cpu_count
from joblib.parallel import ParallelBackendBase, parallel_config

from ._together import train_together
from .engine.arrays import free_memory
from .engine.threads import Threads, blas_threads

BATCH_BYTES = 2**24  # of a batch on the host; larger ones leave the cache and are not faster
DEVICE_FRACTION = 0.25  # of the free memory of a device, for a batch
_this = threading.local()


def training_of(job):
    """Return the function that trains the networks of a fit: now, or with those of other fits."""
    fit = getattr(_this, "fit", None)
    return job.run if fit is None or not job.can_wait else partial(fit.wait_for, job)


def n_threads(n_jobs):
    """The number of threads for `n_jobs`, as joblib counts; None is as many as BLAS uses."""
    if n_jobs is None:
        return blas_threads()
    return n_jobs if n_jobs > 0 else max(1, cpu_count() + 1 + n_jobs)


def n_threads_of_fit(n_jobs):
    """The number of threads of a fit: that of all fits together, where they are gathered."""
    fit = getattr(_this, "fit", None)
    return n_threads(n_jobs) if fit is None or n_jobs is not None else fit.gathering.threads.number


class Abandoned(BaseException):
    """Ends a fit that has paused, since the others have failed or were interrupted."""


class Fit:
    """A fit in a thread of its own, which pauses to have its networks trained.

    Parameters
    ----------
    gathering : Gathering
    function : callable
        The task of joblib that contains the fit.
    callback : callable
        Joblib's function to call with the result.

    Attributes
    ----------
    job : Job or None
        What it waits for.
    done : bool
        Whether it has ended.
    """

    def __init__(self, gathering, function, callback):
        self.gathering, self.job, self.done = gathering, None, False
        self._function, self._callback = function, callback
        self._result, self._error, self._training = None, None, None
        self._turn, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._warnings = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def get(self, timeout=None):
        """Return the result, for which other fits may have to go on too."""
        self.gathering.end(self)
        if self._error is not None:
            raise self._error
        return self._result

    def go_on(self, training=None):
        """Continue, in its thread, with the training that it waits for, until it pauses or ends.

        An exception in place of a training is raised in the thread.
        """
        self.job, self._training = None, training
        outside = warnings.filters, warnings.showwarning
        if self._warnings is not None:
            _set_warnings(self._warnings)
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._turn.release()
        self._paused.acquire()
        self._warnings = warnings.filters, warnings.showwarning
        _set_warnings(outside)
        if self.done:
            self._thread.join()
            if self._error is None:
                self._callback(self._result)

    def wait_for(self, job):
        """Pause until a job is trained, in the thread of this fit."""
        self.job = job
        self._paused.release()
        self._turn.acquire()
        training, self._training = self._training, None
        if isinstance(training, BaseException):
            raise training
        return training

    def _run(self):
        _this.fit = self
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error
        self.done = True
        self._paused.release()


def _set_warnings(state):
    """Restore the filters of warnings, which all threads share."""
    warnings.filters, warnings.showwarning = state
    with warnings.catch_warnings():  # its end tells Python that the filters have changed
        pass


class Gathering(ParallelBackendBase):
    """The backend of joblib that gathers fits.

    Parameters
    ----------
    threads : Threads
        The threads of the training.
    n_fits : int
        The largest number of fits that have begun at any time.
    """

    uses_threads = True
    supports_sharedmem = True
    supports_retrieve_callback = False

    def __init__(self, threads, n_fits, **options):
        super().__init__(**options)
        self.threads, self._n_fits = threads, n_fits
        self._waiting, self._begun = deque(), []

    def effective_n_jobs(self, n_jobs):
        """The number of fits that begin together."""
        return self._n_fits

    def configure(self, n_jobs=1, parallel=None, **options):
        """Prepare for the tasks of `parallel`."""
        self.parallel = parallel
        return self._n_fits

    def submit(self, function, callback=None):
        """Accept a task; it begins when the first result is requested."""
        fit = Fit(self, function, callback or (lambda result: None))
        self._waiting.append(fit)
        return fit

    apply_async = submit  # its name before joblib 1.5

    def end(self, fit):
        """Let fits go on until this one has ended."""
        while not fit.done:
            while self._waiting and len(self._begun) < self._n_fits:
                self._begun.append(self._waiting.popleft())
                self._begun[-1].go_on()
            self._train()
            self._begun = [fit for fit in self._begun if not fit.done]

    def _train(self):
        """Train the networks of all fits that have paused, and let the fits go on."""
        paused = [fit for fit in self._begun if not fit.done]
        jobs = [fit.job for fit in paused]
        if jobs:
            free = free_memory(jobs[0].start)  # on a device
            most = BATCH_BYTES if free is None else int(DEVICE_FRACTION * free)
            trainings = train_together(jobs, self.threads, most)
            for fit, training in zip(paused, trainings, strict=True):
                fit.go_on(training)

    def terminate(self):
        """End the fits that have begun."""
        begun, self._begun, self._waiting = self._begun, [], deque()
        for fit in begun:
            while not fit.done:
                fit.go_on(Abandoned())

    def abort_everything(self, ensure_ready=True):
        """End the fits that have begun, after an error."""
        self.terminate()


@contextmanager
def gathered_fits(n_fits):
    """Train the networks of the fits that joblib runs in parallel in as few batches as possible."""
    with (
        Threads(blas_threads()) as threads,
        parallel_config(backend=Gathering(threads, n_fits), n_jobs=n_fits),
    ):
        yield
