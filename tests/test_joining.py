"""What is joined has the members of all parts, with what belongs to each of them."""

import numpy as np
import pytest

from skode._joining import equal, joined_folds, joined_penalties, same_splits
from skode.engine.penalties import Penalties
from skode.engine.sparse_rows import SparseRows
from tests.engine.everywhere import home, there
from tests.engine.problems import folds_of


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
