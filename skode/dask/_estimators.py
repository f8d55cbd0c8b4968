"""Estimators that are trained on the workers of a Dask cluster."""

from __future__ import annotations

from ..classifiers import FeedForwardClassifier, ODENetClassifier
from ..regressors import FeedForwardRegressor, ODENetRegressor
from ._on_workers import OnDaskClassifier, OnDaskRegressor


class DaskODENetClassifier(OnDaskClassifier, ODENetClassifier):
    """Neural ODE classifier, trained on the workers of a Dask cluster.

    Parameters and fitted attributes are those of `skode.ODENetClassifier`, and so are the networks:
    for up to 32 workers they have the same bits. Only ``solver="auto"`` is L-BFGS for any number of
    samples, since with Adam every batch is a round of messages; its networks are the same up to
    rounding. ``n_jobs=None`` means the threads of each worker, and ``device="cuda"`` the GPU of
    each worker.

    Every worker holds some of the rows of X, and answers with the objective of given networks, its
    gradient and the held-out loss. The training itself runs in this process. If a worker is lost,
    others load its rows again, and the networks are the same.

    Attributes
    ----------
    client : distributed.Client
        The client of the cluster. By default it is the current one of Dask.

    See Also
    --------
    skode.ODENetClassifier : Describes all parameters and fitted attributes.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from skode.dask import DaskODENetClassifier
    >>> client = Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=":0")
    >>> X = da.random.default_rng(0).normal(size=(600, 2), chunks=(200, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> model = DaskODENetClassifier(random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    >>> model.predict(X)
    dask.array<concatenate, shape=(600,), dtype=int64, chunksize=(200,), chunktype=numpy.ndarray>
    >>> model.to_local()
    ODENetClassifier(random_state=0)
    >>> client.close()
    """

    _local = ODENetClassifier


class DaskFeedForwardClassifier(OnDaskClassifier, FeedForwardClassifier):
    """Feed-forward classifier, trained on the workers of a Dask cluster.

    Parameters and fitted attributes are those of `skode.FeedForwardClassifier`. For everything else
    see `DaskODENetClassifier`.

    Attributes
    ----------
    client : distributed.Client
        The client of the cluster. By default it is the current one of Dask.

    See Also
    --------
    skode.FeedForwardClassifier : Describes all parameters and fitted attributes.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from skode.dask import DaskFeedForwardClassifier
    >>> client = Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=":0")
    >>> X = da.random.default_rng(0).normal(size=(600, 2), chunks=(200, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> model = DaskFeedForwardClassifier(random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.8)
    True
    >>> client.close()
    """

    _local = FeedForwardClassifier


class DaskODENetRegressor(OnDaskRegressor, ODENetRegressor):
    """Neural ODE regressor, trained on the workers of a Dask cluster.

    Parameters and fitted attributes are those of `skode.ODENetRegressor`. For everything else see
    `DaskODENetClassifier`.

    Attributes
    ----------
    client : distributed.Client
        The client of the cluster. By default it is the current one of Dask.

    See Also
    --------
    skode.ODENetRegressor : Describes all parameters and fitted attributes.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from skode.dask import DaskODENetRegressor
    >>> client = Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=":0")
    >>> X = da.random.default_rng(0).normal(size=(600, 2), chunks=(200, 2))
    >>> y = X[:, 0] * X[:, 1]
    >>> model = DaskODENetRegressor(random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    >>> client.close()
    """

    _local = ODENetRegressor


class DaskFeedForwardRegressor(OnDaskRegressor, FeedForwardRegressor):
    """Feed-forward regressor, trained on the workers of a Dask cluster.

    Parameters and fitted attributes are those of `skode.FeedForwardRegressor`. For everything else
    see `DaskODENetClassifier`.

    Attributes
    ----------
    client : distributed.Client
        The client of the cluster. By default it is the current one of Dask.

    See Also
    --------
    skode.FeedForwardRegressor : Describes all parameters and fitted attributes.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from skode.dask import DaskFeedForwardRegressor
    >>> client = Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=":0")
    >>> X = da.random.default_rng(0).normal(size=(600, 2), chunks=(200, 2))
    >>> y = X[:, 0] * X[:, 1]
    >>> model = DaskFeedForwardRegressor(random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.8)
    True
    >>> client.close()
    """

    _local = FeedForwardRegressor
