"""The rows of X on the workers of a cluster, and calls of the holders of these rows."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import uuid4

import dask
import numpy as np
from distributed import wait

from ._holder import Holder, loaded

PATIENCE = 1.0  # seconds without an answer, after which a worker is looked for
GONE = 10.0  # seconds in which the scheduler notices that a worker is lost
NO_WORKER = 60.0  # seconds to wait for a worker if there is none

logger = logging.getLogger("skode.dask")


class LostWorkerError(Exception):
    """Workers do not answer any more."""


@dataclass
class Remote:
    """A holder on a worker.

    Parameters
    ----------
    future : distributed.Future
    actor : distributed.Actor
    address : str
        The address of the worker.
    parts : list of int
        The parts of X that it holds.
    ranges : list of (int, int)
        The numbers of its rows, see `Holder.ranges`.
    """

    future: Any
    actor: Any
    address: str
    parts: list[int]
    ranges: list[tuple[int, int]] = field(default_factory=list)


class Store:
    """The rows of X on the workers, which keep them until the end of a ``with`` statement.

    The rows of a lost worker are loaded again by others.

    Parameters
    ----------
    client : distributed.Client
    table : Table
    n_jobs, device
        See `Holder`.

    Attributes
    ----------
    shape : (int, int)
    lengths : list of int
        The numbers of rows of the parts.
    dtype : dtype
        float32 or float64.
    names : list of str, or None
        The names of the columns of a data frame.
    remotes : list of Remote
        In the order of their first rows.
    placement : Placement or None
        The samples of the objective that was evaluated last.
    """

    def __init__(self, client, table, n_jobs, device):
        self.client, self.dtype, self.names = client, table.dtype, table.names
        self._options = n_jobs, device
        self.lengths, self._parts = table.lengths, table.parts
        self._futures, self.remotes, self.placement = [], [], None
        self._way = client.direct_to_workers
        try:
            self._load(list(range(len(self._parts))))
        except BaseException:
            self.close()
            raise
        self.shape = sum(self.lengths), table.n_columns
        # Large messages take half the time if the scheduler does not pass them on.
        if self._way is None and client.sync(_reachable, client, self._workers()):
            client.direct_to_workers = True

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Let the workers forget the rows."""
        self.client.direct_to_workers = self._way
        self.remotes, self.placement, futures = [], None, self._futures
        if self.client.status == "running":  # actors have more references than that of the future
            self.client.cancel(futures, force=True)
        self._futures = []

    @property
    def n_rows(self):
        """The number of rows."""
        return self.shape[0]

    def call(self, method, arguments):
        """Call a method of holders, and return their answers.

        Parameters
        ----------
        method : str
        arguments : list of (Remote, tuple)
            Those who are called, and with what.

        Returns
        -------
        list of (Remote, object)

        Raises
        ------
        LostWorkerError
            If a worker does not answer any more.
        """
        futures = []
        for remote, given in arguments:
            try:
                futures.append(getattr(remote.actor, method)(*given))
            except RuntimeError as error:  # Dask knows that the worker is lost
                raise LostWorkerError(remote.address) from error
        found = [None] * len(futures)
        open_ = list(range(len(futures)))
        while open_:
            answers = self.client.sync(_answers, [futures[k] for k in open_], PATIENCE)
            for k, answer in zip(open_, answers, strict=True):
                if isinstance(answer, BaseException):
                    self._judge(arguments[k][0], answer)
                found[k] = answer
            waiting = [k for k, answer in zip(open_, answers, strict=True) if answer is WAITING]
            if waiting:
                self._require({arguments[k][0].address for k in waiting})
            open_ = waiting
        return [(remote, answer) for (remote, _), answer in zip(arguments, found, strict=True)]

    def recover(self):
        """Load the rows of lost workers again, on others.

        Raises
        ------
        TimeoutError
            If there is no worker, and none comes within a minute.
        """
        self.placement, alive = None, self._workers()
        lost = [remote for remote in self.remotes if remote.address not in alive]
        self.remotes = [remote for remote in self.remotes if remote.address in alive]
        parts = sorted(part for remote in lost for part in remote.parts)
        # Otherwise Dask would go on to know what their parts are made of, tied to lost workers.
        self.client.cancel([remote.future for remote in lost], force=True)
        for remote in lost:
            logger.warning(
                "Worker %s is lost; %d parts of X are loaded again.",
                remote.address,
                len(remote.parts),
            )
        self._load(parts)

    def _load(self, numbers):
        """Load some parts of X, each worker a run of them with about as many rows."""
        while numbers:
            try:
                self._hold(numbers)
                break
            except LostWorkerError as lost:
                logger.warning(
                    "Worker %s was lost while it loaded X; others begin again.", str(lost)
                )
        asked = [(remote, ()) for remote in self.remotes if not remote.ranges]
        try:
            for remote, ranges in self.call("ranges", asked):
                remote.ranges = ranges
        except LostWorkerError:
            self.recover()
        self.remotes = [remote for remote in self.remotes if remote.ranges]  # others hold nothing
        self.remotes.sort(key=lambda remote: remote.ranges)

    def _hold(self, numbers):
        """Let workers hold some parts of X.

        Raises
        ------
        LostWorkerError
            If one of them is lost meanwhile.
        """
        runs, name = [], f"skode-load-{uuid4().hex}"  # a new one each time
        for address, mine in self._assigned(numbers):
            # Another worker may do it if this one is lost.
            where = {"workers": [address], "allow_other_workers": True}
            # What the parts are made of is tied to no worker: if all were lost, Dask would wait.
            with dask.annotate(**where):
                parts = [
                    dask.delayed(loaded)(self._parts[k], self.dtype, dask_key_name=(name, k))
                    for k in mine
                ]
            runs.append((mine, self.client.compute(parts), where))
        if self.lengths is None:
            parts = [part for _, parts, _ in runs for part in parts]
            self.lengths = self.client.gather(self.client.map(len, parts, pure=False))
        starts = np.cumsum([0, *self.lengths]).tolist()
        holders = [
            self.client.submit(
                Holder,
                [starts[k] for k in mine],
                parts,
                *self._options,
                actor=True,
                key=f"skode-rows-{uuid4().hex}",
                **where,
            )
            for mine, parts, where in runs
        ]
        self._futures += holders
        try:
            actors = self._awaited(holders, {where["workers"][0] for _, _, where in runs})
        except LostWorkerError:
            # Otherwise what the parts are made of would remain tied to the lost worker.
            self.client.cancel(
                [*holders, *(part for _, parts, _ in runs for part in parts)], force=True
            )
            raise
        self.remotes += [
            Remote(holder, actor, actor._address, mine)
            for (mine, _, _), holder, actor in zip(runs, holders, actors, strict=True)
        ]

    def _awaited(self, holders, addresses):
        """Return the actors, once they are there; raise if one of the workers is lost."""
        while not all(holder.done() for holder in holders):
            with suppress(TimeoutError):
                wait(holders, timeout=PATIENCE)
            self._require(addresses)
        actors = [holder.result() for holder in holders]
        self._require({actor._address for actor in actors})
        return actors

    def _assigned(self, numbers):
        """Return pairs of a worker and a run of parts."""
        workers = sorted(self._workers())
        sizes = [1 if self.lengths is None else self.lengths[k] for k in numbers]
        middle = np.cumsum(sizes) - np.array(sizes) / 2
        worker = np.minimum(middle / max(1, sum(sizes)) * len(workers), len(workers) - 1)
        worker = worker.astype(int)
        cuts = [0, *(np.flatnonzero(np.diff(worker)) + 1).tolist(), len(numbers)]
        return [(workers[worker[first]], numbers[first:last]) for first, last in pairwise(cuts)]

    def _workers(self):
        """Return the addresses of the workers; wait if there is none."""
        if not self.client.nthreads():
            self.client.wait_for_workers(1, timeout=NO_WORKER)
        return list(self.client.nthreads())

    def _require(self, addresses):
        """Raise unless these workers are there."""
        if lost := addresses - self.client.nthreads().keys():
            raise LostWorkerError(", ".join(sorted(lost)))

    def _judge(self, remote, error):
        """Raise the error of a holder, or another one if the reason is that its worker is lost."""
        if isinstance(error, OSError | KeyError | RuntimeError):
            end = time.monotonic() + (GONE if isinstance(error, OSError) else 0.0)
            self._require({remote.address})
            while time.monotonic() < end:
                time.sleep(0.05)
                self._require({remote.address})
        raise error


WAITING = object()  # in place of an answer


async def _reachable(client, addresses):
    """Whether all workers answer to this process itself, and not only to the scheduler."""
    try:
        asked = asyncio.gather(*(client.rpc(address).identity() for address in addresses))
        await asyncio.wait_for(asked, PATIENCE)
    except (OSError, TimeoutError):
        return False
    return True


async def _answers(futures, seconds):
    """Return answers, errors, or `WAITING`, after at most some seconds."""
    tasks = [asyncio.ensure_future(_answer(future)) for future in futures]
    await asyncio.wait(tasks, timeout=seconds)
    answers = [task.result() if task.done() else WAITING for task in tasks]
    for task in tasks:
        task.cancel()
    return answers


async def _answer(future):
    try:
        return await future
    except Exception as error:
        return error
