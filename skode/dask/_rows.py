"""Rows of X on the workers, as the estimators and the engine see them."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from operator import itemgetter

import numpy as np

from ..engine.blocks import one_by_one, tree_sum
from ..engine.elsewhere import Elsewhere
from ..engine.unsolved import UnsolvedStagesError
from ._holder import Labelled, View, mean_outputs_of
from ._placement import placement_for
from ._store import LostWorkerError

AS_GIVEN = View()


class DistributedRows(Elsewhere):
    """Some of the rows of a store, seen by networks in some way.

    Each worker does what can be done with the rows that it holds.  If workers are lost, it is done
    again, after their rows have been loaded by others.

    Parameters
    ----------
    store : Store
    rows : slice or ndarray of int
        The rows, in ascending order; a slice has a step of 1.
    view : View
    """

    def __init__(self, store, rows=None, view=AS_GIVEN):
        self._store, self._view = store, view
        self._rows = slice(0, store.n_rows) if rows is None else rows
        number = len(self._rows) if isinstance(self._rows, np.ndarray) else _length(self._rows)
        n_columns = store.shape[1] if view.feature_map is None else view.feature_map.n_inputs
        if view.columns is not None:
            n_columns = view.columns.stop - view.columns.start
        self.shape, self.dtype = (number, n_columns), store.dtype
        self.like = np.empty((0, 0), store.dtype)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        rows = key[0] if isinstance(key, tuple) else key  # with all columns
        mine = self._rows
        if isinstance(mine, slice):
            if isinstance(rows, slice):
                start, stop, _ = rows.indices(len(self))
                rows = slice(mine.start + start, mine.start + max(start, stop))
            else:
                rows = mine.start + np.asarray(rows)
        else:
            rows = mine[rows]
        return DistributedRows(self._store, rows, self._view)

    def take(self, rows, axis=0, out=None, mode="raise"):
        """Return the rows with these numbers; the signature is that of NumPy's method."""
        return self[rows]

    def example(self):
        """Return a table of one row with the same columns."""
        X = np.zeros((1, self.shape[1]), self.dtype)
        if self._store.names is None:
            return X
        return import_module("pandas").DataFrame(X, columns=self._store.names)

    def of_columns(self, columns):
        """Return the same rows with a slice of the inputs."""
        start = 0 if self._view.columns is None else self._view.columns.start
        columns = slice(start + columns.start, start + columns.stop)
        return DistributedRows(self._store, self._rows, self._view._replace(columns=columns))

    def mapped(self, feature_map):
        """Return the inputs of a feature map for these rows."""
        return DistributedRows(self._store, self._rows, View(feature_map))

    def followed_by(self, other):
        """Join these rows with those that follow them in the store."""
        rows = slice(self._rows.start, other._rows.stop)
        return DistributedRows(self._store, rows, self._view)

    def apply(self, function):
        """See `Elsewhere.apply`."""

        def results():
            asked = [
                (remote, (function, self._view, selected))
                for remote in self._store.remotes
                if (selected := self._selected(remote))
            ]
            answers = self._store.call("apply", asked)
            return sorted((pair for _, answer in answers for pair in answer), key=itemgetter(0))

        return [result for _, result in self._persistently(results)]

    def mean_outputs(self, network, loss, U, weights=None):
        """See `Elsewhere.mean_outputs`."""
        found = self.apply(partial(mean_outputs_of, network, loss, U, weights))
        if errors := [part for part in found if isinstance(part, tuple)]:
            raise UnsolvedStagesError.joined(errors)
        return np.concatenate(found, axis=-1)

    def add_up(self, problem, samples, flat, gradient, tolerance=None):
        """See `Elsewhere.add_up`."""
        call = samples, flat, gradient, tolerance
        whole = isinstance(self._rows, slice) and len(self) == self._store.n_rows
        rounds = self._of_all if whole else self._of_some
        return self._persistently(lambda: rounds(problem, *call))

    def _persistently(self, attempt):
        """Return the result of an attempt, and of further ones if workers are lost."""
        while True:
            try:
                return attempt()
            except LostWorkerError:
                self._store.recover()

    def _of_all(self, problem, samples, flat, gradient, tolerance):
        placement = placement_for(self._store, self._view, problem, samples, flat)
        split = None if samples.folds is None else samples.folds.split
        given = placement.key, flat, split, gradient, tolerance
        asked = [(remote, given) for remote, _ in placement.subtrees]
        found = {}
        answers = self._store.call("add_up", asked)
        for (_, subtrees), (_, sums) in zip(placement.subtrees, answers, strict=True):
            found.update(zip(subtrees, sums, strict=True))
        return tree_sum(lambda *subtree: found.get(subtree), 0, placement.n_units)

    def _of_some(self, problem, samples, flat, gradient, tolerance):
        """Return the sums over rows in any order."""
        order = np.argsort(self._rows, kind="stable")
        rows, folds = self._rows[order], samples.folds
        tables = None if folds is None else (folds.train, folds.held_out)
        split = None if folds is None else folds.split
        asked = []
        for remote in self._store.remotes:
            selected, mine = [], []
            for k, (start, stop) in enumerate(remote.ranges):
                first, last = np.searchsorted(rows, [start, stop])
                if first < last:
                    selected.append((k, rows[first:last] - start))
                    mine.append(order[first:last])
            if selected:
                mine = np.concatenate(mine)
                group = None if folds is None else folds.group[mine]
                labelled = Labelled(samples.targets[mine], samples.weights[mine], group)
                given = (problem, self._view, selected, labelled, tables)
                asked.append((remote, (*given, flat, split, gradient, tolerance)))
        answers = (answer for _, answer in self._store.call("add_up_some", asked))
        return tree_sum(one_by_one(answers), 0, len(asked))

    def _selected(self, remote):
        """Return which of the rows of a holder are selected, see `Holder.apply`."""
        selected, mine = [], self._rows
        for k, (start, stop) in enumerate(remote.ranges):
            if isinstance(mine, slice):
                first, last = max(mine.start, start), min(mine.stop, stop)
                if first < last:
                    selected.append((k, first - mine.start, slice(first - start, last - start)))
            else:
                first, last = np.searchsorted(mine, [start, stop]).tolist()
                if first < last:
                    selected.append((k, first, mine[first:last] - start))
        return selected


def _length(rows):
    return rows.stop - rows.start
