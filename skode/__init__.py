"""Neural ODEs for scikit-learn, trained with the exact discrete adjoint."""

from importlib.metadata import version

from .classifiers import FeedForwardClassifier, ODENetClassifier
from .engine.tableaux import ButcherTableau

__all__ = ["ButcherTableau", "FeedForwardClassifier", "ODENetClassifier"]

__version__ = version("skode")
