"""Prediction intervals with MAPIE, which has no special code for skode."""

import numpy as np
import pytest
from mapie.regression import ConformalizedQuantileRegressor, CrossConformalRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import ODENetRegressor
from tests.estimators import REGRESSORS, curve

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SEEDS, LEVEL = range(4), 0.9
SMALL = {"n_channels": 16, "cv": 4, "alpha": 1e-3}


def noisy(n_samples, seed):
    """Smooth functions with noise that a network cannot learn."""
    X, y = curve(n_samples, seed=seed)
    return X, y + 0.5 * np.random.default_rng(seed + 1000).normal(size=n_samples)


def coverage(model, seed):
    """Return the share of 600 new samples in the intervals of a model, and their mean width."""
    X, y = noisy(600, 100 + seed)
    _, ends = model.predict_interval(X)
    low, high = ends[:, 0, 0], ends[:, 1, 0]
    assert (low <= high).all()
    return ((low <= y) & (y <= high)).mean(), (high - low).mean()


@pytest.mark.parametrize("cls", REGRESSORS)
def test_cross_conformal_intervals_have_the_coverage_that_they_promise(cls):
    found = []
    for seed in SEEDS:
        network = make_pipeline(StandardScaler(), cls(max_iter=30, random_state=seed, **SMALL))
        model = CrossConformalRegressor(network, confidence_level=LEVEL, cv=5, random_state=0)
        found.append(coverage(model.fit_conformalize(*noisy(600, seed)), seed))
    shares, widths = np.transpose(found)
    assert 0.88 <= shares.mean() <= 0.92
    # Not only by large width: noise of deviation 0.5 has an interval of 1.64.
    assert widths.mean() < 2.0


def test_quantile_networks_are_conformalised():
    found = []
    for seed in SEEDS:
        X, y = noisy(600, seed)
        networks = [
            ODENetRegressor(loss="quantile", quantile=q, random_state=seed, **SMALL)
            for q in (0.05, 0.95, 0.5)
        ]
        for network in networks:
            network.fit(X[:300], y[:300])
        model = ConformalizedQuantileRegressor(networks, confidence_level=LEVEL, prefit=True)
        found.append(coverage(model.conformalize(X[300:], y[300:]), seed))
    shares, widths = np.transpose(found)
    assert 0.88 <= shares.mean() <= 0.92
    assert widths.mean() < 2.3
