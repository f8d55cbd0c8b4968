"""Neural ODEs for scikit-learn, trained with the exact discrete adjoint."""

from importlib import import_module
from typing import TYPE_CHECKING

from ._saving import load, save
from ._schemes import get_scheme, list_schemes
from ._version import __version__ as __version__
from .classifiers import FeedForwardClassifier, ODENetClassifier
from .engine.tableaux import ButcherTableau
from .onnx import to_onnx
from .regressors import FeedForwardRegressor, ODENetRegressor

if TYPE_CHECKING:
    from . import dask as dask
    from . import datasets as datasets
    from . import inspection as inspection
    from . import model_selection as model_selection
    from . import plotting as plotting
    from . import robustness as robustness

__all__ = [
    "ButcherTableau",
    "FeedForwardClassifier",
    "FeedForwardRegressor",
    "ODENetClassifier",
    "ODENetRegressor",
    "get_scheme",
    "list_schemes",
    "load",
    "save",
    "to_onnx",
]

# Submodules that are imported on first access, such as `skode.plotting`.
_SUBMODULES = ("dask", "datasets", "inspection", "model_selection", "plotting", "robustness")


def __getattr__(name):
    if name in _SUBMODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_SUBMODULES})
