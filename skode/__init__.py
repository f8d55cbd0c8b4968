"""Neural ODEs for scikit-learn, trained with the exact discrete adjoint."""

from importlib.metadata import version

from .classifiers import FeedForwardClassifier, ODENetClassifier
from .engine.tableaux import ButcherTableau
from .regressors import FeedForwardRegressor, ODENetRegressor

__all__ = [
    "ButcherTableau",
    "FeedForwardClassifier",
    "FeedForwardRegressor",
    "ODENetClassifier",
    "ODENetRegressor",
]

__version__ = version("skode")
