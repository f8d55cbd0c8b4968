"""The map from the features to the inputs of the networks."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode._features import (
    FEW_VALUES,
    LEAST_DEVIATION,
    OUTER,
    PIECES,
    SPREAD,
    FeatureMap,
    some_in_pieces,
)
from skode.engine.arrays import to_host


def table(seed=0, n_samples=200):
    """A normal column, one with heavy tails, one of zeros and ones, and one that is mostly zero."""
    rng = np.random.default_rng(seed)
    mostly_zero = np.where(rng.random(n_samples) < 0.8, 0.0, rng.exponential(size=n_samples))
    columns = (
        rng.normal(size=n_samples),
        np.exp(3 * rng.normal(size=n_samples)),
        rng.integers(2, size=n_samples),
        mostly_zero,
    )
    return np.column_stack(columns)


def pieces(X, weights=None):
    return FeatureMap(("piecewise",), X, np.ones(len(X)) if weights is None else weights)


def test_the_features_as_given_are_not_copied():
    X = table()
    given_map = FeatureMap(("given",), X, np.ones(len(X)))
    assert given_map.transform(X) is X
    assert given_map.of(X) is X


def test_pieces_lie_between_quantiles_and_are_scaled():
    X = table()
    found = pieces(X)
    np.testing.assert_array_equal(np.bincount(found.column)[:3], [PIECES, PIECES, 1])
    normal = np.flatnonzero(found.column == 0)
    ends = np.append(found.low[normal], found.high[normal[-1]])
    levels = np.linspace(OUTER / PIECES, 1 - OUTER / PIECES, PIECES + 1)
    # Up to one sample, the share of samples below each end equals its level.
    np.testing.assert_allclose((X[:, :1] <= ends).mean(axis=0), levels, atol=1.1 / len(X))
    inputs = found.transform(X)
    cut = found.column != 2
    np.testing.assert_allclose(inputs[:, cut].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(inputs[:, cut].std(axis=0), SPREAD, rtol=1e-9)
    np.testing.assert_array_equal(inputs[:, ~cut][:, 0], X[:, 2])


@given(st.integers(0, 1000), st.integers(12, 60))
def test_the_pieces_of_a_feature_add_up_to_the_feature_between_the_outer_quantiles(seed, n_samples):
    X = table(seed, n_samples)
    found = pieces(X)
    rng = np.random.default_rng(seed)
    new = X + rng.normal(size=X.shape) * X.std(axis=0)
    inputs = found.transform(new)
    for j in (0, 1):
        mine = found.column == j
        low, high = found.low[mine], found.high[mine]
        cut = inputs[:, mine] * found.width[mine] + found.mean[mine]
        expected = np.clip(new[:, j], low[0], high[-1]) - low[0]
        np.testing.assert_allclose(cut.sum(axis=1), expected, atol=1e-9 * np.ptp(X[:, j]))
        assert np.mean((low[0] <= X[:, j]) & (X[:, j] <= high[-1])) >= 1 - 2 * OUTER / PIECES
        assert (np.diff(inputs[np.argsort(new[:, j])][:, mine], axis=0) >= 0).all()


@given(st.integers(0, 1000))
def test_whole_weights_are_repetitions(seed):
    X = table(seed, 50)
    times = np.random.default_rng(seed).integers(0, 4, size=len(X))
    times[0] = 3
    one, other = pieces(X, times / times.max()), pieces(np.repeat(X, times, axis=0))
    for name in ("column", "low", "high"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("mean", "width"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9)


def test_a_feature_of_few_values_stays_as_it_is():
    few = np.arange(200) % FEW_VALUES
    assert not some_in_pieces(few[:, None], np.ones(200))
    assert pieces(few[:, None]).n_inputs == 1
    many = np.arange(200) % (FEW_VALUES + 1)
    assert some_in_pieces(many[:, None], np.ones(200))
    assert pieces(many[:, None].astype(float)).n_inputs == PIECES
    weights = (many < FEW_VALUES).astype(float)  # values of samples without weight are ignored
    assert not some_in_pieces(many[:, None], weights)


def test_no_input_is_far_out():
    X = table()
    X[0, 1] = 1e30
    inputs = pieces(X).transform(np.vstack([X, 1e6 * X]))
    assert np.abs(inputs[:, pieces(X).column != 2]).max() <= SPREAD * len(X) ** 0.5


def test_many_features_are_cut_into_fewer_pieces():
    X = np.random.default_rng(0).standard_cauchy(size=(200, 300))
    assert pieces(X).n_inputs == 600
    many = pieces(np.tile(X, 5))
    assert many.n_inputs == 1500  # each is clipped at both ends
    assert np.abs(many.transform(np.tile(X, 5))).max() <= SPREAD * OUTER**-0.5


def test_rare_values_other_than_zero_are_seen_and_none_is_far_out():
    X = np.zeros((20_000, 1))
    X[:100, 0] = np.exp(8 * np.random.default_rng(0).normal(size=100))
    found = pieces(X)
    assert found.n_inputs == PIECES
    inputs = found.transform(X)
    assert np.abs(inputs).max() <= SPREAD / LEAST_DEVIATION
    assert len(np.unique(inputs[:100].round(3), axis=0)) > 50
    # Nor if one weight is larger than all others together.
    weights = np.r_[1.0, np.full(199, 1e-9)]
    assert np.abs(pieces(table(), weights).transform(table())[:, :8]).max() < 20


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("far", [1e308, 1e-321, 1e300])
def test_no_value_is_too_large_or_too_small_for_pieces(far):
    X = table()
    X[:2, 0] = far, -far
    assert np.isfinite(pieces(X).transform(X)).all()


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_inputs_have_mean_zero_wherever_the_feature_lies(shift):
    X = (table()[:, :1] + shift).astype("float32")
    inputs = pieces(X).transform(X)
    assert inputs.dtype == "float32"
    np.testing.assert_allclose(inputs.mean(axis=0), 0, atol=1e-5)


def test_a_fitted_map_takes_what_scikit_learn_takes():
    X = np.random.default_rng(0).integers(0, 100, size=(50, 2))
    found = pieces(X.astype(float))
    expected = found.transform(X.astype(float))
    for same in (X, X.tolist(), pd.DataFrame(X)):
        np.testing.assert_array_equal(found.transform(same), expected)
    with pytest.raises(
        ValueError, match=r"X must have the shape \(n_samples, 2\); it is \(50, 1\)"
    ):
        found.transform(X[:, :1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_library_gives_the_same(xp, dtype):
    X = table().astype(dtype)
    expected = FeatureMap(("given", "piecewise"), X, np.ones(len(X))).transform(X)
    there = xp.asarray(X)
    found = FeatureMap(("given", "piecewise"), there, np.ones(len(X))).transform(there)
    assert xp.holds(found)
    assert expected.dtype == dtype
    np.testing.assert_array_equal(to_host(found), expected)


def test_rows_are_computed_as_they_are_asked_for():
    X = table()
    found = FeatureMap(("given", "piecewise"), X, np.ones(len(X)))
    inputs = found.of(X)
    assert inputs.shape == (200, found.n_inputs)
    np.testing.assert_array_equal(inputs[20:30, :], found.transform(X)[20:30])


def test_derivatives_are_pulled_back_to_the_features():
    X = table()
    found = FeatureMap(("given", "piecewise"), X, np.ones(len(X)))
    rng = np.random.default_rng(1)
    new = X + 0.1 * rng.normal(size=X.shape)
    G = rng.normal(size=(3, len(X), found.n_inputs))
    step = 1e-7 * X.std(axis=0)
    expected = np.empty((3, *X.shape))
    for j in range(X.shape[1]):
        shift = np.zeros(X.shape[1])
        shift[j] = step[j]
        change = found.transform(new + shift) - found.transform(new - shift)
        expected[..., j] = (G * change).sum(axis=2) / (2 * step[j])
    np.testing.assert_allclose(found.pull_back(new, G), expected, rtol=1e-4, atol=1e-6)
