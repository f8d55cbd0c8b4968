"""Which worker evaluates which samples of an objective."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

import numpy as np

from ..engine.blocks import Blocks, end_of_first_half
from ..engine.kernels import Problem, Samples
from ._holder import Labelled, View
from ._store import Remote, Store

# A problem with at least MANY units has work for many workers.  If there are more workers than half
# of the units, the units are made smaller: PER_WORKER for each.
MANY, PER_WORKER = 32, 4

_keys = count()


@dataclass(frozen=True)
class Placement:
    """The samples of an objective, distributed among workers.

    On one machine, the samples are cut into blocks, and sums over blocks are added up along a tree;
    see `blocks`.  Here, the same blocks are called units.  Each worker gets units, most of whose
    rows it holds, and adds up the subtrees that consist of its units.  So the sums have the same
    bits as on one machine, for any number of workers, unless there are so many that units are made
    smaller.

    Parameters
    ----------
    key : int
        See `Holder.place`.
    what : tuple
        The view, the problem, and the arrays of the samples.
    n_units : int
    subtrees : list of (Remote, list of (int, int))
        The subtrees of each worker, by their first unit and the one after their last.
    """

    key: int
    what: tuple[Any, ...]
    n_units: int
    subtrees: list[tuple[Remote, list[tuple[int, int]]]]

    def is_of(self, what: tuple[Any, ...]) -> bool:
        """Whether it is the placement of these samples."""
        if len(what) != len(self.what) or what[:2] != self.what[:2]:
            return False
        return all(one is other for one, other in zip(what[2:], self.what[2:], strict=True))


def placement_for(
    store: Store, view: View, problem: Problem, samples: Samples, flat: np.ndarray
) -> Placement:
    """Return where samples are placed; place them unless they are those of the last call."""
    folds = samples.folds
    tables = None if folds is None else (folds.train, folds.held_out)
    labelled = Labelled(samples.targets, samples.weights, None if folds is None else folds.group)
    what = (view, problem, *labelled, *(tables or ()))
    last = store.placement
    if last is not None and last.is_of(what):
        return last
    size = _unit_size(problem, flat, store.n_rows, len(store.remotes))
    n_units, key = math.ceil(store.n_rows / size), next(_keys)
    owner = _owners(store, (np.arange(n_units) * size + size // 2).clip(max=store.n_rows - 1))
    asked, subtrees = [], []
    for k, remote in enumerate(store.remotes):
        mine = owner == k
        if not mine.any():
            continue
        trees = list(_subtrees(np.append(0, np.cumsum(mine)), 0, n_units))
        ends = [(first * size, min(last * size, store.n_rows)) for first, last in _runs(mine)]
        runs = [(start, stop, labelled.between(start, stop)) for start, stop in ends]
        others = [rows for run in ends for rows in _missing(store, remote, *run)]
        numbers = [last - first for first, last in trees]
        asked.append((remote, (key, problem, view, size, runs, tables, others, numbers)))
        subtrees.append((remote, trees))
    store.call("place", asked)
    store.placement = Placement(key, what, n_units, subtrees)
    return store.placement


def _unit_size(problem, flat, n_samples, n_workers):
    """Return the number of samples in a unit."""
    size = Blocks().size_of(problem, flat, n_samples)
    if MANY <= math.ceil(n_samples / size) < 2 * n_workers:
        size = math.ceil(n_samples / (PER_WORKER * n_workers))
    return size


def _owners(store, rows):
    """Return the holders of rows, as numbers of `remotes`."""
    ranges = sorted((*ends, k) for k, remote in enumerate(store.remotes) for ends in remote.ranges)
    starts, _, owners = np.array(ranges).T
    return owners[np.searchsorted(starts, rows, side="right") - 1]


def _runs(mask):
    """Return the first and the one after the last of the entries of each run of True."""
    ends = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return list(pairwise(ends.tolist()))[::2]


def _subtrees(before, first, last):
    """Yield the largest subtrees that consist of marked units; `before` counts these."""
    number = before[last] - before[first]
    if number == last - first:
        yield first, last
    elif number:
        middle = end_of_first_half(first, last)
        yield from _subtrees(before, first, middle)
        yield from _subtrees(before, middle, last)


def _missing(store, remote, start, stop):
    """Return the rows between two numbers that others hold."""
    found = []
    for other in store.remotes:
        if other is not remote and any(a < stop and start < b for a, b in other.ranges):
            ((_, rows),) = store.call("rows", [(other, (start, stop))])
            found += rows
    return found
