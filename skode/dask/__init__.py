"""Training on the workers of a Dask cluster, for tables that one machine cannot hold.

It needs the packages that ``pip install 'skode[dask]'`` installs.
"""

try:
    import dask.array  # noqa: F401
    import distributed  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"skode.dask needs Dask, which cannot be imported ({error}). Install it with: "
        "pip install 'skode[dask]'"
    ) from error

from ._estimators import (
    DaskFeedForwardClassifier,
    DaskFeedForwardRegressor,
    DaskODENetClassifier,
    DaskODENetRegressor,
)

__all__ = [
    "DaskFeedForwardClassifier",
    "DaskFeedForwardRegressor",
    "DaskODENetClassifier",
    "DaskODENetRegressor",
]
