"""Equal rows are found and kept on one side of every split, so that scores are not too high."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from skode import ODENetClassifier
from skode import _folds as folds
from skode._copies import units_of_equal_rows
from skode._folds import choose_splits
from skode._sparse import rows_of
from tests.estimators import short
from tests.splits import counts, samples

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def copied(seed=0, n_samples=100, n_classes=3):
    """Return rows with up to eight copies, in random order, and their classes."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.repeat(np.arange(n_samples), rng.integers(1, 8, n_samples)))
    return rng.normal(size=(n_samples, 4))[rows], rng.integers(0, n_classes, n_samples)[rows], rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cv", ["auto", 4, None])
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_copies_of_a_row_are_on_the_same_side(kind, cv, dtype):
    X, codes, rows = copied()
    data = samples(np.ones(len(X)), codes if kind == "classes" else None)
    data = replace(data, X=X.astype(dtype))
    estimator = short(ODENetClassifier, cv=cv, early_stopping=True, validation_fraction=0.25)
    splits = choose_splits(estimator, data, None, seed=0)
    train, held_out = counts(splits)
    assert len(splits) == {"auto": 8, 4: 4, None: 1}[cv]
    for s in range(len(splits)):
        assert not np.intersect1d(rows[train[s] > 0], rows[held_out[s] > 0]).size
    sizes = held_out.sum(1)
    assert sizes.max() < 2 * sizes.min()
    if cv is not None:
        np.testing.assert_array_equal(held_out.sum(0), 1)


def test_zeros_of_either_sign_are_the_same_and_other_rows_are_not():
    X = np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0], [0.0, np.nextafter(1.0, 2.0)], [1.0, -0.0]])
    first, unit = units_of_equal_rows(X, np.arange(len(X)), most=10)
    np.testing.assert_array_equal(first, [0, 2, 3])
    np.testing.assert_array_equal(unit, [0, 0, 1, 2, 1])


@given(st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=1, max_size=40))
def test_equal_rows_are_found(rows):
    X = np.array(rows, dtype=float)
    first, unit = units_of_equal_rows(X, np.arange(len(X)), most=np.inf)
    expected = [rows.index(row) for row in rows]
    np.testing.assert_array_equal(first[unit], expected)
    np.testing.assert_array_equal(first, np.unique(expected))
    # If at most two copies are allowed, the others are separate units.
    first, unit = units_of_equal_rows(X, np.arange(len(X)), most=2)
    often = np.array([rows.count(row) > 2 for row in rows])
    np.testing.assert_array_equal(first[unit], np.where(often, np.arange(len(X)), expected))


def test_rows_of_few_values_are_no_copies():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, size=(300, 2)).astype(float)  # four different rows
    data = replace(samples(np.ones(300), rng.integers(0, 2, 300)), X=X)
    splits = choose_splits(ODENetClassifier(), data, None, seed=0)
    sizes = counts(splits)[1].sum(1)
    assert len(splits) == folds.FOLDS
    assert sizes.max() - sizes.min() <= 2


def test_copies_do_not_flatter_the_score():
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(300, 10)), rng.normal(size=(2000, 10))
    y, y_new = (part[:, 0] + 1.5 * rng.normal(size=len(part)) > 0 for part in (X, new))
    alone = ODENetClassifier(random_state=0).fit(X, y)
    tiled = ODENetClassifier(random_state=0).fit(np.tile(X, (5, 1)), np.tile(y, 5))
    assert abs(tiled.oof_score_ - tiled.score(new, y_new)) < 0.1
    assert tiled.score(new, y_new) > alone.score(new, y_new) - 0.04


def test_sparse_rows_are_equal_where_dense_ones_are():
    X, _, _ = copied()
    X[np.random.default_rng(0).uniform(size=X.shape) < 0.7] = 0.0
    used = np.flatnonzero(X[:, 0] >= 0)
    expected = units_of_equal_rows(X, used, most=np.inf)
    found = units_of_equal_rows(rows_of(csr_array(X)), used, most=np.inf)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


class Slices:
    """Rows that can only be read in slices with a limited number of entries."""

    def __init__(self, X, most):
        self.X, self.most, self.shape, self.asked = X, most, X.shape, []

    def __getitem__(self, key):
        rows = self.X[key]
        assert rows.size <= self.most
        self.asked.append(len(rows))
        return rows


@pytest.mark.parametrize("shape", [(100, 4), (3, 1000)])
def test_rows_are_looked_at_part_by_part(shape, monkeypatch):
    X = np.random.default_rng(0).normal(size=shape)
    expected = units_of_equal_rows(X, np.arange(len(X)), most=np.inf)
    monkeypatch.setattr("skode._copies.CHUNK", 40)
    sliced = Slices(X, max(40, shape[1]))
    found = units_of_equal_rows(sliced, np.arange(len(X)), most=np.inf)
    assert sum(sliced.asked) == len(X)
    assert len(sliced.asked) > 1
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
