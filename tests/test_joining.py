"""What is joined has the members of all parts, with what belongs to each of them."""

import numpy as np
import pytest

from skode._joining import (
    equal,
    joined_folds,
    joined_penalties,
    merged_objective,
    merged_samples,
    same_splits,
)
from skode._padding import cut_back, padded
from skode.engine.arrays import namespace
from skode.engine.blocks import Blocks
from skode.engine.controls import Layout
from skode.engine.kernels import Samples
from skode.engine.networks import ode_net
from skode.engine.objective import ALL_BUT_STEPS
from skode.engine.penalties import Penalties
from skode.engine.schemes import TABLEAUX
from skode.engine.sparse_rows import SparseRows
from tests.engine.everywhere import home, there
from tests.engine.problems import folds_of, objective_of, problem


def sparse(entry=2.0, column=1):
    """Two rows with one entry each."""
    data, indices = np.array([1.0, entry]), np.array([0, column], dtype=np.int32)
    return SparseRows(data, indices, np.array([0, 1, 2]), 3)


def test_equal_arrays(xp):
    one = np.arange(6.0).reshape(2, 3)
    assert equal(xp.asarray(one), xp.asarray(one.copy()))
    for other in (one + np.eye(2, 3), one[:1], one.astype(np.float32), one.ravel()):
        assert not equal(xp.asarray(one), xp.asarray(other))


def test_equal_sparse_rows():
    assert equal(sparse(), sparse())
    assert not equal(sparse(), sparse(entry=3.0))
    assert not equal(sparse(), sparse(column=2))
    assert not equal(sparse(), np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))


@pytest.mark.parametrize("same", [True, False])
def test_every_member_keeps_its_weights(xp, same):
    one, other = folds_of(2, 40), folds_of(3, 40)
    if same:
        other = one.of_members(np.array([1, 0, 1]))
    else:
        other = other._replace(group=other.group[::-1].copy())
    assert same_splits(one, other) is same
    w = np.linspace(1, 2, 40)[None]
    found = joined_folds([there(xp, part) for part in (one, other, one)])
    expected = zip(*(part.weights(w) for part in (one, other, one)), strict=True)
    for joined, parts in zip(found.weights(xp.asarray(w)), expected, strict=True):
        np.testing.assert_array_equal(home(xp, joined), np.concatenate(parts))


def test_strengths_of_penalties_stay_numbers_where_they_are_equal(xp):
    parts = [Penalties(xp.ones(2), 0.3, 0.5), Penalties(xp.zeros(1), 0.3, 0.5)]
    found = joined_penalties(parts)
    np.testing.assert_array_equal(home(xp, found.alpha), [1, 1, 0])
    assert found[1:] == (0.3, 0.5)
    found = joined_penalties([*parts, Penalties(xp.ones(1), 0.3, 1.0)])
    np.testing.assert_array_equal(home(xp, found.beta), [0.3] * 4)
    np.testing.assert_array_equal(home(xp, found.h), [0.5, 0.5, 0.5, 1.0])


def table(rows, seed, folds=None):
    """A table of samples, with fold weights."""
    rng = np.random.default_rng(seed)
    return Samples(rng.normal(size=(rows, 2)), rng.normal(size=(rows, 1)), rng.random(rows), folds)


@pytest.mark.parametrize("folded", [True, False])
def test_merged_samples_have_their_weights_on_their_own_rows(xp, folded):
    first, other = table(7, 0), table(11, 1)
    parts, numbers = [first, other, first], [2, 3, 3]
    if folded:
        folds = folds_of(2), folds_of(3, 11), folds_of(3)
        parts = [part._replace(folds=each) for part, each in zip(parts, folds, strict=True)]
    found = merged_samples([there(xp, part) for part in parts], numbers)
    for i in range(3):
        np.testing.assert_array_equal(home(xp, found[i]), np.concatenate([first[i], other[i]]))
    train, held_out = home(xp, found.folds.weights(found.weights[None, :]))
    place = {7: slice(0, 7), 11: slice(7, 18)}
    expected = np.zeros((2, 8, 18))
    ends = np.cumsum([0, *numbers])
    for k, part in enumerate(parts):
        mine, w = slice(ends[k], ends[k + 1]), part.weights
        own = part.folds.weights(w[None]) if folded else (w, 0 * w)
        expected[0, mine, place[len(w)]], expected[1, mine, place[len(w)]] = own
    np.testing.assert_array_equal(train, expected[0])
    np.testing.assert_array_equal(held_out, expected[1])


def test_layers_of_zeros_are_added_and_removed(xp):
    layout = Layout(2, 3, 1, lifted=2)
    flat = np.random.default_rng(0).normal(size=(4, layout.size))
    longer = padded(xp.asarray(flat), layout, 5)
    U, V = layout.views(flat), Layout(5, 3, 1, lifted=2).views(home(xp, longer))
    for name in ("W", "mu", "V", "nu"):
        np.testing.assert_array_equal(getattr(V, name), getattr(U, name))
    for name in ("K", "b", "h"):
        np.testing.assert_array_equal(getattr(V, name)[:, :2], getattr(U, name))
        assert not getattr(V, name)[:, 2:].any()
    np.testing.assert_array_equal(home(xp, cut_back(longer, layout, 5)), flat)
    mask = there(xp, layout.mask(("W",), flat)[None, :])
    assert home(xp, padded(mask, layout, 5)).sum() == 3


@pytest.mark.parametrize("xp", ["strict-device1", "torch", "cupy"], indirect=True)
def test_a_merged_objective_has_the_values_of_its_parts(xp):
    """No held-out loss without folds; no gradient along layers that were added."""
    network, parts, starts = ode_net(TABLEAUX["heun"], "softplus"), [], []
    for k, (N, free) in enumerate(
        [(3, ALL_BUT_STEPS), (5, (*ALL_BUT_STEPS, "h")), (3, ("W", "h"))]
    ):
        layout, flat, *data = problem("logistic", "learned", N=N, seed=k, samples=7 + k)
        parts.append(objective_of(network, layout, "logistic", there(xp, data), free))
        starts.append(xp.asarray(flat))
    whole = merged_objective([[part] for part in parts], Blocks())
    layouts = [part.layout for part in parts]
    flat = [padded(start, layout, 5) for start, layout in zip(starts, layouts, strict=True)]
    found = whole.evaluate(namespace(flat[0]).concat(flat))
    assert found.held_out is None
    for k, (part, start, layout) in enumerate(zip(parts, starts, layouts, strict=True)):
        mine, alone = slice(2 * k, 2 * k + 2), part.evaluate(start)
        np.testing.assert_allclose(home(xp, found.J)[mine], home(xp, alone.J), rtol=1e-13)
        expected = home(xp, padded(alone.gradient, layout, 5))
        gradient = home(xp, found.gradient)[mine]
        np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-13)
        assert not gradient[expected == 0].any()


def test_the_objective_on_several_tables_has_the_bits_of_its_parts():
    """For all members, for some of them, and for some of these, which are numbered anew."""
    network, parts, starts = ode_net(TABLEAUX["heun"]), [], []
    for k in range(3):
        layout, flat, *data = problem("logistic", "learned", seed=k, samples=7 + k)
        parts.append(objective_of(network, layout, "logistic", data, folds=folds_of(2, 7 + k)))
        starts.append(flat)
    whole, flat = merged_objective([[part] for part in parts], Blocks()), np.concatenate(starts)
    alone = [part.evaluate(start) for part, start in zip(parts, starts, strict=True)]
    expected = [np.concatenate(field) for field in zip(*(each[:3] for each in alone), strict=True)]
    some = np.array([1, 4, 5])
    of_some = whole.of_members(some)
    for rows, objective, members in [
        (np.arange(6), whole, None),
        (some, whole, some),
        (some, whole, some),  # the same array again
        (np.array([4]), whole, np.array([4])),
        (some, of_some, None),
        (some[1:], of_some, np.array([1, 2])),
    ]:
        found = objective.evaluate(flat[rows], members)
        for mine, its in zip(found, expected, strict=False):
            np.testing.assert_array_equal(mine, its[rows])
    assert whole.evaluate(flat, gradient=False).gradient is None
