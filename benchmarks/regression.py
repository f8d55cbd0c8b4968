"""The regressors and those of scikit-learn: R², error and time.

    python benchmarks/regression.py [--data FOLDER] [--sets diabetes friedman1] [--json FILE]

Every *.csv of FOLDER is a data set, as for tabular.py.  Without FOLDER, one set comes from
scikit-learn and the others are generated.  Every model has its default parameters, except for
max_iter=500 of MLPRegressor, and one thread.  SVR and MLPRegressor get standardised targets, since
they do not scale them.  If pytabkit is installed, --models may name its RealMLP_TD and TabM_D.
"""

from functools import partial
from pathlib import Path

import numpy as np
from comparison import DataSet, Metric, argument_parser, compare, parse
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, make_friedman1, make_friedman2, make_friedman3
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from tabular import loaders, pytabkit_models

import skode

MODELS = {
    "ODENet": lambda: skode.ODENetRegressor(),
    "FeedForward": lambda: skode.FeedForwardRegressor(),
    "MLP": lambda: scaled(MLPRegressor(max_iter=500)),
    "SVR": lambda: scaled(SVR()),
    "HistGB": HistGradientBoostingRegressor,
    "ExtraTrees": ExtraTreesRegressor,
    "Ridge": Ridge,
}
# As in tabular.py.
HALVES = {
    "A": ["airfare", "bdims", "boston", "caschools", "credit_balance", "houses_windsor"],
    "B": ["auto", "biomass", "carseats", "cps1988", "gpa2", "visits"],
}
METRICS = [Metric("r2", "R²", digits=4), Metric("error", "RMSE/σ", digits=4)]


def scaled(model):
    """Return the regressor with standardised targets."""
    return TransformedTargetRegressor(model, transformer=StandardScaler())


def make_heteroscedastic(n_samples=1000, random_state=0):
    """A smooth function of two of four features, with noise whose level grows with the third.

    The standard deviation of the noise grows from 0.05 to 0.65, and the largest R² is about 0.8.
    """
    rng = np.random.default_rng(random_state)
    X = rng.uniform(-1, 1, size=(n_samples, 4))
    level = 0.35 + 0.3 * X[:, 2]
    y = np.sin(np.pi * X[:, 0]) + X[:, 0] * X[:, 1] + level * rng.normal(size=n_samples)
    return X, y


# Without noise, y has the standard deviations 4.88, 378 and 0.316.  For friedman2 and 3 the noise
# is a third of that, so the largest R² is 1 / (1 + 1/9) = 0.9: without noise good models can hardly
# be distinguished, and with much more of it no model can be good.  For friedman1 the usual noise is
# 1, and the largest R² is 0.96.
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


def numeric(load):
    """Load a set of numbers and categories with numbers as targets."""
    data = load()
    about = data.about.rpartition(", ")[0]  # without the number of classes
    return data._replace(y=data.y.astype(float), about=about)


def score(model, data, test, predicted):
    """Return R², and the root mean squared error in standard deviations of all targets."""
    error = np.sqrt(np.mean((data.y[test] - predicted) ** 2)) / data.y.std()
    return {"r2": r2_score(data.y[test], predicted), "error": error}


def main():
    others = pytabkit_models("Regressor")
    parser = argument_parser(__doc__, MODELS, others)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="a folder of CSV files")
    args = parse(parser)
    sets = {name: partial(data_set, make) for name, make in SETS.items()}
    if args.data:
        sets = {name: partial(numeric, load) for name, load in loaders(args.data).items()}
    compare(args, sets, MODELS | others, KFold, score, METRICS, HALVES)


if __name__ == "__main__":
    main()
