"""The weights of the candidates in the model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode._averaging import MOST, ROUNDS, greedy_weights


def squared(targets):
    return lambda mean: float(((mean - targets) ** 2).mean())


@given(seed=st.integers(0, 2**32 - 1), candidates=st.integers(1, 6), spread=st.floats(0.01, 3))
def test_a_convex_combination_that_is_no_worse_than_the_best(seed, candidates, spread):
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=20)
    said = targets + spread * rng.normal(size=(candidates, 20))
    loss = squared(targets)
    weights = greedy_weights(loss, said)
    alone = [loss(one) for one in said]
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 0).all()
    assert 1 <= np.count_nonzero(weights) <= MOST
    assert weights[np.argmin(alone)] > 0
    assert loss(weights @ said) <= min(alone) * (1 + 1e-12)


@given(seed=st.integers(0, 2**32 - 1))
def test_two_candidates_are_weighted_nearly_as_least_squares_has_it(seed):
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=50)
    said = targets + np.array([[0.5], [0.7]]) * rng.normal(size=(2, 50))
    loss, apart = squared(targets), said[0] - said[1]
    exact = np.clip(apart @ (targets - said[1]) / (apart @ apart), 0, 1)
    best = loss(exact * said[0] + (1 - exact) * said[1])
    found = loss(greedy_weights(loss, said) @ said)
    assert found <= best + (apart @ apart) / 50 / ROUNDS**2 + 2e-4 * best


def test_what_others_say_too_does_not_count():
    said = np.array([[1.0, 0.0, 2.0], [1.0, 0.0, 2.0], [5.0, 5.0, 5.0]])
    np.testing.assert_array_equal(greedy_weights(squared(np.zeros(3)), said), [1, 0, 0])


def test_opposite_errors_cancel():
    said = np.array([[2.0, 2.0], [-2.0, -2.0], [1.9, 2.1]])
    weights = greedy_weights(squared(np.zeros(2)), said)
    assert weights[1] == pytest.approx(0.5)
    assert weights.max() == pytest.approx(0.5)
