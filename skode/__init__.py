"""Neural ODEs for scikit-learn, trained with the exact discrete adjoint."""

from ._saving import load, save
from ._version import __version__ as __version__
from .classifiers import FeedForwardClassifier, ODENetClassifier
from .engine.tableaux import ButcherTableau
from .onnx import to_onnx
from .regressors import FeedForwardRegressor, ODENetRegressor

__all__ = [
    "ButcherTableau",
    "FeedForwardClassifier",
    "FeedForwardRegressor",
    "ODENetClassifier",
    "ODENetRegressor",
    "load",
    "save",
    "to_onnx",
]
