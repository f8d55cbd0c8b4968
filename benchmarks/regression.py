"""The regressors beside scikit-learn's: R² and time.

    python benchmarks/regression.py [--sets diabetes friedman1] [--json FILE]

Every model has its default parameters, but for max_iter=500 of MLPRegressor, and one thread.
"""

from functools import partial

import numpy as np
from comparison import DataSet, Metric, argument_parser, compare, parse
from sklearn.datasets import load_diabetes, make_friedman1, make_friedman2, make_friedman3
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

import skode

MODELS = {
    "ODENet": lambda: skode.ODENetRegressor(),
    "FeedForward": lambda: skode.FeedForwardRegressor(),
    "MLP": partial(MLPRegressor, max_iter=500),
    "HistGB": HistGradientBoostingRegressor,
    "Ridge": Ridge,
}
METRICS = [Metric("r2", "R²", digits=4)]


def make_heteroscedastic(n_samples=1000, random_state=0):
    """A smooth function of two of four features, under noise whose level grows with the third.

    The noise's standard deviation goes from 0.05 to 0.65, and the largest R² is about 0.8.
    """
    rng = np.random.default_rng(random_state)
    X = rng.uniform(-1, 1, size=(n_samples, 4))
    level = 0.35 + 0.3 * X[:, 2]
    y = np.sin(np.pi * X[:, 0]) + X[:, 0] * X[:, 1] + level * rng.normal(size=n_samples)
    return X, y


# Without noise, y has the standard deviations 4.88, 378 and 0.316.  For friedman2 and 3 the noise
# is a third of that, which leaves 1 / (1 + 1/9) = 0.9 as the largest R²: without noise good models
# can hardly be told apart, and with much more of it no model can be good.  For friedman1 the usual
# noise, 1, leaves 0.96.
SETS = {
    "diabetes": partial(load_diabetes, return_X_y=True),
    "friedman1": partial(make_friedman1, n_samples=1000, noise=1.0, random_state=0),
    "friedman2": partial(make_friedman2, n_samples=1000, noise=126.0, random_state=0),
    "friedman3": partial(make_friedman3, n_samples=1000, noise=0.105, random_state=0),
    "heteroscedastic": make_heteroscedastic,
}


def data_set(make):
    X, y = make()
    return DataSet(X, y, StandardScaler(), f"{len(X)} samples, {X.shape[1]} numbers")


def score(model, data, test, predicted):
    return {"r2": r2_score(data.y[test], predicted)}


def main():
    args = parse(argument_parser(__doc__, MODELS))
    sets = {name: partial(data_set, make) for name, make in SETS.items()}
    compare(args, sets, MODELS, KFold, score, METRICS)


if __name__ == "__main__":
    main()
