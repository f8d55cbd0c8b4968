import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from skode import datasets

MAKERS = {name: getattr(datasets, name) for name in datasets.__all__}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@given(n_samples=st.integers(2, 200))
def test_shapes_labels_and_determinism(make, n_samples):
    X, y = make(n_samples, random_state=3)
    assert X.shape == (n_samples, 2)
    assert y.shape == (n_samples,)
    assert set(y) <= {0, 1}
    again = make(n_samples, random_state=3)
    np.testing.assert_array_equal(X, again[0])
    np.testing.assert_array_equal(y, again[1])


def test_class_sizes():
    assert datasets.make_donut1d(500, random_state=0)[1].sum() == 167
    assert datasets.make_donut2d(501, random_state=0)[1].sum() == 251
    assert datasets.make_spirals(501, random_state=0)[1].sum() == 251


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_order_is_random(make):
    y = make(1000, random_state=0)[1]
    halves = y[:500].mean(), y[500:].mean()
    assert abs(halves[0] - halves[1]) < 0.15


def test_positions_without_noise():
    X, y = datasets.make_donut1d(3000, noise=0, random_state=0)
    assert not X[:, 1].any()
    assert np.isin(X[:, 0], np.linspace(-1, 1, 100)).all()
    np.testing.assert_allclose(X[y == 1, 0].std(), 0.1, atol=0.01)
    np.testing.assert_allclose(np.abs(X[y == 0, 0]).mean(), 0.5, atol=0.01)

    X, y = datasets.make_donut2d(20_000, noise=0, random_state=0)
    r = np.hypot(*X.T)
    # In the plane the density exp(-r²/2s²) has mean radius s·√(π/2).
    np.testing.assert_allclose(r[y == 1].mean(), 0.1 * np.sqrt(np.pi / 2), rtol=0.03)
    # ∫ r² exp(-(r - ½)²/2s²) dr / ∫ r exp(…) dr = ½ + s²/½ for s = 0.1
    np.testing.assert_allclose(r[y == 0].mean(), 0.5 + 0.1**2 / 0.5, rtol=0.01)

    X, y = datasets.make_squares(2000, noise=0, random_state=0)
    assert np.abs(X).max() <= 0.7
    np.testing.assert_array_equal(y, X[:, 0] * X[:, 1] > 0)

    X, y = datasets.make_spirals(400, noise=0, random_state=0)
    for label, turn in ((0, 0.0), (1, np.pi)):
        arm = X[y == label]
        arm = arm[np.argsort(np.hypot(*arm.T))]
        radius, angle = np.linspace(0.1, 1, 200), np.linspace(0.1, 2 * np.pi, 200) + turn
        np.testing.assert_allclose(arm, np.c_[radius * np.cos(angle), radius * np.sin(angle)])


def best_accuracy(name, X):
    """Return the probability that the best decision is right at each point, from the densities."""
    if name == "make_squares":
        positive = [norm.cdf((0.7 - x) / 0.1) - norm.cdf(-x / 0.1) for x in X.T]
        negative = [norm.cdf(-x / 0.1) - norm.cdf((-0.7 - x) / 0.1) for x in X.T]
        one = positive[0] * positive[1] + negative[0] * negative[1]
        zero = positive[0] * negative[1] + negative[0] * positive[1]
    elif name == "make_spirals":
        radius, angle = np.linspace(0.1, 1, 500), np.linspace(0.1, 2 * np.pi, 500)
        arm = np.c_[radius * np.cos(angle), radius * np.sin(angle)]
        zero, one = (
            np.exp(-((X[:, None] - centre) ** 2).sum(2) / (2 * 0.05**2)).sum(1)
            for centre in (arm, -arm)
        )
    else:
        line = np.linspace(-1, 1, 100)
        if name == "make_donut1d":
            grid, share = np.c_[line, 0 * line], 1 / 3
        else:
            grid, share = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2), 1 / 2
        r = np.hypot(*grid.T)
        ring, centre = (np.exp(-((r - radius) ** 2) / (2 * 0.1**2)) for radius in (0.5, 0.0))
        kernel = np.exp(-((X[:, None] - grid) ** 2).sum(2) / (2 * 0.1**2))
        zero = (1 - share) * kernel @ (ring / ring.sum())
        one = share * kernel @ (centre / centre.sum())
    return np.maximum(zero, one) / (zero + one)


@pytest.mark.parametrize(
    ("name", "accuracy", "rounding"),
    [
        ("make_donut1d", 0.949, 1e-3),
        ("make_donut2d", 0.931, 1e-3),
        ("make_squares", 0.892, 1e-3),
        ("make_spirals", 0.9995, 1e-4),
    ],
)
def test_the_best_possible_accuracy_is_the_documented_one(name, accuracy, rounding):
    X, _ = MAKERS[name](8000, random_state=0)
    right = np.concatenate([best_accuracy(name, part) for part in np.split(X, 8)])
    error = right.std() / np.sqrt(len(right))
    np.testing.assert_allclose(right.mean(), accuracy, atol=3 * error + rounding / 2)
    assert f"accuracy is {accuracy}" in MAKERS[name].__doc__


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_samples": 1}, ValueError, "n_samples == 1, must be >= 2"),
        ({"n_samples": 10.5}, TypeError, "n_samples must be an instance of int"),
        ({"noise": -0.1}, ValueError, "noise == -0.1, must be >= 0"),
        ({"noise": np.nan}, ValueError, "noise == nan, must be finite"),
        ({"noise": np.inf}, ValueError, "noise == inf, must be finite"),
        ({"noise": "a"}, TypeError, "noise must be an instance of float"),
    ],
)
def test_bad_parameters(make, parameters, error, message):
    with pytest.raises(error, match=message):
        make(**parameters)
