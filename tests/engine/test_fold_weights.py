import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from skode.engine.fold_weights import FoldWeights
from tests import reference
from tests.engine.everywhere import home, on, there
from tests.engine.problems import folds_of


@settings(max_examples=10)
@given(st.integers(1, 4), st.integers(1, 12), st.data())
def test_weights_of_some_samples_are_those_of_their_groups(xp, members, samples, data):
    folds = folds_of(members, samples)
    w = np.random.default_rng(samples).uniform(size=samples)
    start = data.draw(st.integers(0, samples - 1))
    stop = data.draw(st.integers(start + 1, samples))
    some = data.draw(st.lists(st.integers(0, samples - 1), min_size=1, max_size=samples))
    for rows in (slice(start, stop), np.array(some)):
        part = on(xp, FoldWeights.of_samples)(folds, rows)
        train, held_out = on(xp, FoldWeights.weights)(part, w[None, rows])
        for k in range(members):
            for found, table in ((train, folds.train), (held_out, folds.held_out)):
                expected = reference.weights_of_member(w, folds.group, table[k])[rows]
                np.testing.assert_array_equal(found[k], expected)


def test_some_of_the_members_in_any_order(xp):
    host = folds_of(members=4, samples=9)
    w = np.linspace(1, 2, 9)[None]
    every = host.weights(w)
    folds = there(xp, host)
    some = folds.of_members(xp.asarray([3, 0, 1]))
    fewer = some.of_members(xp.asarray([2, 0]))
    neighbours = folds.of_members(slice(1, 3))
    for part, members in ((some, [3, 0, 1]), (fewer, [1, 3]), (neighbours, [1, 2])):
        for found, expected in zip(part.weights(xp.asarray(w)), every, strict=True):
            np.testing.assert_array_equal(home(xp, found), expected[members])


def test_members_may_have_one_split_in_common(xp):
    host = folds_of(members=2, samples=9)
    split = np.array([0, 1, 0, 1, 1])
    w = np.linspace(1, 2, 9)[None]
    found = on(xp, FoldWeights.weights)(host._replace(split=split), w)
    for one, rows in zip(found, host.weights(w), strict=True):
        np.testing.assert_array_equal(one, rows[split])


def test_folds_use_every_sample_on_one_side_of_every_split(xp):
    # Five folds; each member holds out one.
    group = np.resize(np.arange(5), 23)
    folds = FoldWeights(group, 1 - np.eye(5), np.eye(5), np.arange(5))
    train, held_out = on(xp, FoldWeights.weights)(folds, np.ones((1, 23)))
    np.testing.assert_array_equal(train + held_out, 1)
    np.testing.assert_array_equal(held_out.sum(axis=0), 1)


def test_single_precision_stays(xp):
    tables = np.ones((2, 1, 2), dtype=np.float32)
    folds = FoldWeights(np.array([0, 1]), *tables, np.array([0]))
    for weights in on(xp, FoldWeights.weights)(folds, np.ones((1, 2), dtype=np.float32)):
        assert weights.dtype == np.float32


def test_small_integers_of_the_host_are_placed_as_indices_of_the_library(xp):
    # The folds of many samples are stored in the smallest integer type for the groups.
    host = folds_of(members=2, samples=9)
    folds = host._replace(group=host.group.astype(np.int8)).placed(xp.zeros(1))
    w = np.ones((1, 9))
    for found, expected in zip(folds.weights(xp.asarray(w)), host.weights(w), strict=True):
        np.testing.assert_array_equal(home(xp, found), expected)
