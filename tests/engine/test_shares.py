from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skode.engine.shares import Shares
from tests import reference
from tests.engine.everywhere import home, on, there
from tests.engine.problems import shares_of


@given(st.integers(1, 4), st.integers(1, 12), st.data())
def test_weights_of_a_block_are_those_of_its_groups(xp, members, samples, data):
    shares = shares_of(members, samples)
    w = np.random.default_rng(samples).uniform(size=samples)
    start = data.draw(st.integers(0, samples - 1))
    rows = slice(start, data.draw(st.integers(start + 1, samples)))
    train, held_out = on(xp, Shares.weights)(shares, rows, w[None, rows])
    for k in range(members):
        for found, table in ((train, shares.train), (held_out, shares.held_out)):
            expected = reference.share_of(w, shares.group, table[k])[rows]
            np.testing.assert_array_equal(found[k], expected)


def test_some_of_the_members_in_any_order(xp):
    host = shares_of(members=4, samples=9)
    w = np.linspace(1, 2, 9)[None]
    some = there(xp, host).of(xp.asarray([3, 0, 1]))
    fewer = some.of(xp.asarray([2, 0]))
    every = host.weights(slice(2, 8), w[:, 2:8])
    for part, members in ((some, [3, 0, 1]), (fewer, [1, 3])):
        weights = part.weights(slice(2, 8), xp.asarray(w[:, 2:8]))
        for found, expected in zip(weights, every, strict=True):
            np.testing.assert_array_equal(home(xp, found), expected[members])


def test_members_may_share_a_split(xp):
    host = shares_of(members=2, samples=9)
    split = np.array([0, 1, 0, 1, 1])
    w = np.linspace(1, 2, 9)[None]
    expected = host.weights(slice(9), w)
    found = on(xp, Shares.weights)(replace(host, split=split), slice(9), w)
    for one, rows in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, rows[split])


def test_folds_use_every_sample_on_one_side_of_every_split(xp):
    # Five folds, of which each member holds out one.
    group = np.resize(np.arange(5), 23)
    shares = Shares(group, 1 - np.eye(5), np.eye(5))
    train, held_out = on(xp, Shares.weights)(shares, slice(23), np.ones((1, 23)))
    np.testing.assert_array_equal(train + held_out, 1)
    np.testing.assert_array_equal(held_out.sum(axis=0), 1)


def test_single_precision_is_kept(xp):
    shares = Shares(np.array([0, 1]), *np.ones((2, 1, 2), dtype=np.float32))
    for weights in on(xp, Shares.weights)(shares, slice(2), np.ones((1, 2), dtype=np.float32)):
        assert weights.dtype == np.float32
