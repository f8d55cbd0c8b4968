"""Rows of X in the memory of a worker, and all that is computed on them.

Dask makes an actor of a `Holder`: an object of one worker whose methods the driver calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from distributed import get_worker
from sklearn.utils import check_array

from .._devices import on_gpu
from .._gathering import n_threads
from ..engine.arrays import array_library, on_host, placed, to_host
from ..engine.blocks import Blocks, one_by_one, tree_sum
from ..engine.controls import Controls
from ..engine.fold_weights import FoldWeights
from ..engine.kernels import Problem, Samples, Sums
from ..engine.prediction import mean_outputs
from ..engine.threads import Threads
from ..engine.unsolved import UnsolvedStagesError


def loaded(part, dtype):
    """Return a part of X in the memory of this worker, after scikit-learn's checks.

    Parameters
    ----------
    part : array or data frame of shape (n_rows, n_features)
    dtype : dtype
        float32 or float64.

    Returns
    -------
    array of shape (n_rows, n_features)
        On the GPU if `part` is there, otherwise an ndarray.

    Raises
    ------
    ValueError
        If an entry is not a finite number.
    """
    device = part if array_library(part) is not None else np.empty(0)
    X = check_array(
        to_host(part) if array_library(part) is not None else part,
        dtype=dtype,
        order="C",
        input_name="X",
        ensure_min_samples=0,
    )
    return placed(X, device)


def mean_outputs_of(network, loss, U, weights, X, start):
    """Return `mean_outputs` of a part of the rows, or the number of its first row and an error.

    The controls and the result are on the host.
    """
    like = getattr(X, "like", X)
    U = Controls(*(None if part is None else placed(part, like) for part in U))
    weights = None if weights is None else placed(weights, like)
    try:
        return to_host(mean_outputs(network, loss, U, X, weights=weights))
    except UnsolvedStagesError as error:
        return start, error


class View(NamedTuple):
    """What the networks see of the features: the inputs of a feature map, or a part of them.

    Parameters
    ----------
    feature_map : FeatureMap or None
        None if the inputs are the features.
    columns : slice or None
        The inputs; None for all of them.
    """

    feature_map: Any = None
    columns: slice | None = None

    def of(self, X):
        """Return the inputs of rows of X: X itself, or computed row by row on access."""
        inputs = X if self.feature_map is None else self.feature_map.of(X)
        if self.columns is None:
            return inputs
        if hasattr(inputs, "of_columns"):
            return inputs.of_columns(self.columns)
        return inputs[:, self.columns]


class Rows(NamedTuple):
    """Consecutive rows: the number of the first, and the array."""

    start: int
    X: Any

    @property
    def stop(self):
        """One more than the number of the last row."""
        return self.start + len(self.X)

    def within(self, start, stop):
        """Return those of the rows between two numbers."""
        first = min(max(start, self.start), self.stop)
        last = max(first, min(stop, self.stop))
        return Rows(first, self.X[first - self.start : last - self.start, :])


class Labelled(NamedTuple):
    """What belongs to consecutive samples besides X; all are host arrays, see `Samples`."""

    targets: np.ndarray
    weights: np.ndarray
    group: np.ndarray | None

    def between(self, start, stop):
        """Return the part for samples between two numbers."""
        return Labelled(*(None if part is None else part[start:stop] for part in self))


@dataclass
class Placed:
    """Samples on which an objective is evaluated, cut into units.

    Parameters
    ----------
    problem : Problem
    view : View
    units : list of Samples
        The samples of each unit; their fold weights lack the splits of the members.
    nodes : list of int
        How many of the units, one after the other, belong to each subtree.
    size : int or None
        The number of samples in a block; None on a device, which decides by itself.
    """

    problem: Problem
    view: View
    units: list[Samples]
    nodes: list[int]
    size: int | None

    @property
    def like(self):
        """An array on the device where the sums are computed."""
        return self.units[0].weights


class Holder:
    """The rows that a worker holds.

    Parameters
    ----------
    starts : list of int
        The number of the first row of each part, in ascending order.
    parts : list of arrays of shape (n_rows, n_features)
        See `loaded`.
    n_jobs : int or None
        The number of threads; None means those of the worker.
    device : {"cpu", "cuda"} or None
        Where to compute; None means where the rows are.
    """

    def __init__(self, starts, parts, n_jobs, device):
        self._threads = get_worker().state.nthreads if n_jobs is None else n_threads(n_jobs)
        if device == "cpu":
            parts = [to_host(part) for part in parts]
        elif device == "cuda":
            parts = [on_gpu(part) for part in parts]
        self._rows = _merged([Rows(*pair) for pair in zip(starts, parts, strict=True)])
        self._placed = {}

    def ranges(self):
        """Return the numbers of the first row held, and of the one after the last, of each run."""
        return [(rows.start, rows.stop) for rows in self._rows]

    def rows(self, start, stop):
        """Return the rows between two numbers that are held, on the host, as `Rows`."""
        parts = (rows.within(start, stop) for rows in self._rows)
        return [Rows(part.start, to_host(part.X)) for part in parts if len(part.X)]

    def apply(self, function: Callable, view: View, selected: list[tuple[int, int, Any]]) -> list:
        """Return the results of a function for selected rows.

        Parameters
        ----------
        function : callable (X, start) -> object
            Gets the inputs, and the number of the first among the selected rows of all workers.
        view : View
        selected : list of (int, int, slice or ndarray of int)
            For each of some of the `ranges`: its position in that list, the number of the first
            among the selected rows, and which of its rows are selected.

        Returns
        -------
        list of (int, object)
            The numbers of the first rows, and the results.
        """
        tasks = []
        for which, start, chosen in selected:
            X = self._rows[which].X
            chosen = np.arange(*chosen.indices(len(X))) if isinstance(chosen, slice) else chosen
            ends = np.linspace(0, len(chosen), self._threads + 1).astype(int)
            for first, last in pairwise(ends.tolist()):
                if first < last:
                    tasks.append((start + first, X, chosen[first:last]))

        def result(task):
            start, X, chosen = task
            first, last = int(chosen[0]), int(chosen[-1]) + 1
            alone = last - first == len(chosen)  # consecutive rows need no copy
            part = X[first:last, :] if alone else X[placed(chosen, X), :]
            return start, function(view.of(part), start)

        with Threads(self._threads) as threads:
            return list(threads.map(result, tasks))

    def place(
        self,
        key: int,
        problem: Problem,
        view: View,
        size: int,
        runs: list[tuple[int, int, Labelled]],
        tables: tuple[np.ndarray, np.ndarray] | None,
        others: list[Rows],
        nodes: list[int],
    ) -> None:
        """Keep the samples of an objective under a key, in place of those of other keys.

        Parameters
        ----------
        size : int
            The number of samples in a unit.
        runs : list of (int, int, Labelled)
            The first and last row, and the rest, of samples that are units of this worker.
        tables : pair of ndarrays, or None
            `train` and `held_out` of the fold weights.
        others : list of Rows
            Rows of these units that other workers hold.
        nodes : list of int
            See `Placed`.
        """
        units, everything = [], sorted([*self._rows, *others], key=lambda rows: rows.start)
        for start, stop, labelled in runs:
            for first in range(start, stop, size):
                last = min(first + size, stop)
                X = _joined([rows.within(first, last).X for rows in everything])
                mine = labelled.between(first - start, last - start)
                units.append(_samples(X, mine, tables))
        device = not on_host(self._rows[0].X)
        self._placed = {key: Placed(problem, view, units, nodes, None if device else size)}

    def add_up(self, key, flat, split, gradient, tolerance):
        """Return the sums of the nodes, with host arrays; see `Blocks.add_up`.

        `split`, (members,), is the split of each member, or None.
        """
        here = self._placed[key]
        U, split = placed(flat, here.like), _split(split, here.like)
        blocks = Blocks(size=here.size)

        def of_unit(unit: Samples) -> Sums:
            samples = unit._replace(X=here.view.of(unit.X)[:, :], folds=_with(unit.folds, split))
            return _on_host(blocks.add_up(here.problem, samples, U, gradient, tolerance))

        with Threads(self._threads) as threads:
            found = one_by_one(threads.map(of_unit, here.units))
            return [tree_sum(found, 0, number) for number in here.nodes]

    def add_up_some(
        self, problem, view, selected, labelled, tables, flat, split, gradient, tolerance
    ):
        """Return the sums over some rows, given as pairs of `ranges` and rows; see `add_up`."""
        X = _joined([self._rows[k].X[placed(rows, self._rows[k].X), :] for k, rows in selected])
        samples = _samples(X, labelled, tables)
        U, split = placed(flat, samples.weights), _split(split, samples.weights)
        samples = samples._replace(X=view.of(X)[:, :], folds=_with(samples.folds, split))
        with Threads(self._threads) as threads:
            return _on_host(Blocks(threads).add_up(problem, samples, U, gradient, tolerance))


def _merged(parts: list[Rows]) -> list[Rows]:
    """Join parts that follow each other; leave out empty ones."""
    runs: list[list[Rows]] = []
    for part in parts:
        if not len(part.X):
            continue
        if runs and runs[-1][-1].stop == part.start:
            runs[-1].append(part)
        else:
            runs.append([part])
    return [Rows(run[0].start, _joined([part.X for part in run])) for run in runs]


def _joined(parts):
    """Join arrays of rows; a single one is not copied."""
    parts = [part for part in parts if len(part)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    like = parts[0] if array_library(parts[0]) is not None else parts[-1]
    if array_library(like) is None:
        return np.concatenate(parts)
    return placed(np.concatenate([to_host(part) for part in parts]), like)


def _samples(X, labelled, tables):
    """Return samples on the device of X."""
    (targets, weights, group), folds = labelled, None
    if group is not None:
        folds = FoldWeights(group, *tables, np.zeros(0, int)).placed(X)
    return Samples(X, placed(targets, X), placed(weights, X), folds)


def _split(split, like):
    return None if split is None else placed(split, like)


def _with(folds, split):
    return None if folds is None else folds._replace(split=split)


def _on_host(sums: Sums) -> Sums:
    return Sums(*(None if part is None else to_host(part) for part in sums))
