"""Sums along the tree of units, wherever these are."""

from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode.dask import _placement as placement
from skode.dask._placement import placement_for
from skode.dask._rows import DistributedRows
from skode.dask._store import Store
from skode.dask._tables import features
from skode.engine.blocks import one_by_one, tree_sum
from skode.engine.kernels import Sums
from skode.engine.networks import ode_net
from skode.engine.schemes import TABLEAUX
from tests.engine.problems import FREE, folds_of, objective_of, problem


def sums(value):
    return Sums(np.array([value]), None, np.array([[value]]))


@given(st.data())
def test_any_distribution_of_units_gives_the_same_bits(data):
    number = data.draw(st.integers(1, 40))
    owner = np.array(data.draw(st.lists(st.integers(0, 4), min_size=number, max_size=number)))
    values = np.random.default_rng(number).normal(size=number) * 10.0 ** np.arange(number)
    alone = tree_sum(one_by_one(map(sums, values)), 0, number)
    found, covered = {}, np.zeros(number, dtype=int)
    for k in range(5):
        before = np.append(0, np.cumsum(owner == k))
        for first, last in placement._subtrees(before, 0, number):
            covered[first:last] += owner[first:last] == k
            some = one_by_one(map(sums, values[first:last]))
            found[first, last] = tree_sum(some, 0, last - first)
    assert (covered == 1).all()
    total = tree_sum(lambda *subtree: found.get(subtree), 0, number)
    assert total.loss == alone.loss
    assert total.gradient == alone.gradient
    assert total.held_out is None
    np.testing.assert_allclose(alone.loss, values.sum(), rtol=1e-12)


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_runs_are_the_ranges_of_a_mask(mask):
    again = np.zeros(len(mask), dtype=bool)
    runs = placement._runs(np.array(mask))
    for first, last in runs:
        assert first < last
        again[first:last] = True
    assert again.tolist() == mask
    assert all(one[1] < other[0] for one, other in pairwise(runs))


def test_many_workers_get_smaller_units(monkeypatch):
    class Kernel:
        call_size = staticmethod(lambda *arguments: (1, 1000))
        members_are_independent = staticmethod(lambda problem: True)

    monkeypatch.setattr("skode.engine.blocks.kernel_for", lambda *arguments: Kernel)
    flat = np.zeros((1, 1))
    assert placement._unit_size(None, flat, 64_000, 32) == 1000
    assert placement._unit_size(None, flat, 64_000, 33) == -(-64_000 // (4 * 33))
    assert placement._unit_size(None, flat, 8_000, 33) == 1000  # too few for all workers


@pytest.fixture
def objective():
    """An objective of four members, flat controls, and its arguments."""
    layout, flat, *data = problem("softmax", "learned", members=4, samples=300, lifted=True)
    arguments = ode_net(TABLEAUX["heun"]), layout, "softmax"
    return flat, arguments, data, folds_of(4, 300)


@pytest.mark.parametrize("sizes", [(300,), (100, 200), (1, 298, 1), (90, 10, 30, 100, 70)])
def test_rows_of_a_unit_may_be_held_by_several_workers(sizes, objective, client, small_units):
    flat, arguments, (X, *rest), folds = objective
    options = {"folds": folds}
    local = objective_of(*arguments, [X, *rest], FREE["learned"], **options)
    table = features(da.from_array(X, chunks=(sizes, X.shape[1])))
    with Store(client, table, None, None) as store:
        rows = DistributedRows(store)
        there = objective_of(*arguments, [rows, *rest], FREE["learned"], **options)
        assert there.elsewhere
        for members in (None, np.array([2, 0])):
            some = flat if members is None else flat[members]
            for gradient in (True, False):
                one, two = (each.evaluate(some, members, gradient) for each in (local, there))
                for mine, its in zip(one, two, strict=True):
                    np.testing.assert_array_equal(mine, its)
        first = store.placement
        assert first.n_units > 10
        assert sum(len(trees) for _, trees in first.subtrees) < first.n_units
        there.evaluate(flat)
        assert store.placement is first  # the samples are sent once
        batch = np.random.default_rng(0).permutation(300)[:50]
        one, two = (each.sample(batch).evaluate(flat) for each in (local, there))
        np.testing.assert_allclose(one.gradient, two.gradient, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(one.held_out, two.held_out, rtol=1e-12)
        assert store.placement is first


def test_rows_are_selected_like_those_of_an_array(client):
    X = np.random.default_rng(0).normal(size=(50, 3))
    table = features(da.from_array(X, chunks=((20, 5, 25), 3)))
    with Store(client, table, None, None) as store:
        rows = DistributedRows(store)
        for key in (slice(None), slice(3, 40), slice(40, 3), slice(7, 100), np.arange(0, 50, 7)):
            some = rows[key, :]
            assert some.shape == X[key].shape
            assert len(some) == len(X[key])
            if len(some):
                np.testing.assert_array_equal(np.concatenate(some.apply(_taken)), X[key])
        some = rows[10:40][np.array([1, 5, 29])].of_columns(slice(1, 3))
        np.testing.assert_array_equal(np.concatenate(some.apply(_taken)), X[[11, 15, 39], 1:])
        starts = [start for start, _ in rows[5:45].apply(_start)]
        assert starts == sorted(starts)
        assert starts[0] == 0


def _taken(X, start):
    return X[:, :]


def _start(X, start):
    return start, len(X)


def test_the_placement_is_that_of_the_last_samples(objective, client, small_units):
    flat, arguments, (X, *rest), folds = objective
    with Store(client, features(da.from_array(X, chunks=(100, 2))), None, None) as store:
        rows = DistributedRows(store)
        one = objective_of(*arguments, [rows, *rest], FREE["learned"], folds=folds)
        view, problem_, samples = rows._view, one.problem, one.samples
        first = placement_for(store, view, problem_, samples, flat)
        assert placement_for(store, view, problem_, samples, flat) is first
        heavier = samples._replace(weights=2 * samples.weights)
        second = placement_for(store, view, problem_, heavier, flat)
        assert second is not first
        assert store.placement is second
