"""The part of an estimator that trains, and predicts, on the workers of a cluster."""

from __future__ import annotations

import distributed
import numpy as np
from dask.base import is_dask_collection
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.validation import (
    _check_y,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from .._documentation import PAGE_ON_DASK
from .._inputs import naming_the_remedy
from ._lazily import by_blocks
from ._rows import DistributedRows
from ._store import Store
from ._tables import features, followed_by, naming_missing_columns, on_host, opened


def _in_a_task():
    """Whether this is a thread of a worker."""
    try:
        distributed.get_worker()
    except ValueError:
        return False
    return True


class OnDask:
    """The part of an estimator that trains on the workers of a cluster."""

    _doc_link_template = PAGE_ON_DASK
    _remedy = "X.fillna, and dask.dataframe.get_dummies(X.categorize())"

    @property
    def client(self):
        """The client of the cluster, a `distributed.Client`.

        By default it is the current one of Dask.  Set it to use another.

        Raises
        ------
        ValueError
            If there is none.
        """
        client = vars(self).get("_client")
        if client is not None:
            return client
        try:
            return distributed.get_client()
        except ValueError:
            raise ValueError(
                "There is no cluster to train on. Start one on this machine with "
                "client = dask.distributed.Client(), or set the attribute client."
            ) from None

    @client.setter
    def client(self, client):
        self._client = client

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_client"}

    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        groups=None,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Fit the networks to training data that the workers hold.

        Everything but X is collected in the memory of this process.

        Parameters
        ----------
        X : dask array or data frame of shape (n_samples, n_features), or files
            Training data; scale it to unit variance first. float32 stays float32, everything else
            becomes float64. Parquet, CSV and ``.npy`` files are given as a path, or a list of
            paths, that all workers can read. Of Parquet and CSV files, the columns that the other
            arguments do not name are the features.
        y : dask array, series or data frame, array-like, or str or list of str
            Labels or targets, as in `fit` without Dask. If X are Parquet or CSV files, the name of
            a column, or several; if X are ``.npy`` files, files too.
        sample_weight : like a y with one column, default=None
            Non-negative weights of the samples. None means equal weights.
        groups : like a y with one column, default=None
            Samples of the same group stay on the same side of every split.
        X_val, y_val : like X and y, default=None
            Held-out samples, in place of those of `cv`.
        sample_weight_val : like `sample_weight`, default=None
            Weights of the held-out samples.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If X is neither of Dask nor files.
        ValueError
            If a parameter or the data is not as described, or if there is no client. The estimator
            is then left as it was.
        KeyboardInterrupt
            After Ctrl-C. If training had begun, the estimator is fitted nevertheless: it keeps the
            best iterate of every network.
        """
        self._validate_params()
        client = self.client
        if client.status != "running" or client.asynchronous:
            raise ValueError(f"fit needs a client that is running and not asynchronous: {client}.")
        if _in_a_task():
            raise ValueError(
                "fit cannot be called in a task of the cluster, whose threads it needs. Call it in "
                "the process that has the client."
            )
        X, *labels = opened(X, y, sample_weight, groups)
        X_val, *labels_val = opened(X_val, y_val, sample_weight_val, None)
        with naming_missing_columns():
            y, sample_weight, groups = (on_host(client, values) for values in labels)
            y_val, sample_weight_val, _ = (on_host(client, values) for values in labels_val)
        table = features(X, len(client.nthreads()))
        n_parts = len(table.parts)
        if X_val is not None:
            table = followed_by(table, features(X_val, name="X_val"))
        with naming_missing_columns(), naming_the_remedy(self):
            store = Store(client, table, self.n_jobs, self.device)
        with store:
            rows, n_samples = DistributedRows(store), sum(store.lengths[:n_parts])
            if not n_samples:
                raise ValueError(f"Found array with 0 sample(s) (shape={rows.shape}).")
            if X_val is not None:
                X_val = rows[n_samples:]
            return super().fit(
                rows[:n_samples],
                y,
                sample_weight,
                groups=groups,
                X_val=X_val,
                y_val=y_val,
                sample_weight_val=sample_weight_val,
            )

    def to_local(self):
        """Return the same model as an estimator that does not need Dask.

        Returns
        -------
        estimator
            It shares the fitted arrays.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        local = self._local(**self.get_params(deep=False))
        vars(local).update((name, value) for name, value in vars(self).items() if name != "_client")
        return local

    def transform(self, X):
        """Compute the last states of the networks.

        Parameters
        ----------
        X : dask array or data frame, or array-like, of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples, n_networks * n_channels)
            As without Dask. For a table of Dask, an array of Dask.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        return self._by_blocks("transform", X)

    def _solver(self, n_samples):
        return "lbfgs" if self.solver == "auto" else super()._solver(n_samples)

    def _checked_pair(self, X, y, first, **checks):
        """Return X, whose rows have been checked by the workers, and y, validated."""
        if not isinstance(X, DistributedRows):
            return super()._checked_pair(X, y, first, **checks)
        validate_data(self, X.example(), reset=first and not self._goes_on)
        if y is None:
            raise ValueError(f"{type(self).__name__} needs y, but it is None.")
        y = _check_y(y, estimator=self, **checks)
        check_consistent_length(X, y)
        return X, y

    def _by_blocks(self, method, X):
        """Return the predictions of a method, for a table of Dask as an array of Dask."""
        if not is_dask_collection(X):
            return getattr(super(), method)(X)
        check_is_fitted(self)
        kind = self._kind_of(method)
        if method == "transform":
            kind = (len(self.get_feature_names_out()),), self.K_.dtype
        return by_blocks(self.to_local(), method, X, *kind)

    def _scored(self, metric, X, y, sample_weight):
        client = self.client if any(map(is_dask_collection, (X, y, sample_weight))) else None
        y, predicted, weights = (
            on_host(client, values) for values in (y, self.predict(X), sample_weight)
        )
        return metric(y, predicted, sample_weight=weights)


class OnDaskClassifier(OnDask):
    """The predictions of a classifier."""

    def predict(self, X):
        """Predict the most probable class, or all labels more probable than not.

        Parameters
        ----------
        X : dask array or data frame, or array-like, of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_labels)
            Class labels from `classes_`; with several labels, zeros and ones. For a table of Dask,
            an array of Dask: the workers compute it, block by block, when it is needed.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            As `predict` of the estimator without Dask; for a table of Dask when it is computed.
        """
        return self._by_blocks("predict", X)

    def predict_proba(self, X):
        """Predict probabilities of classes or labels.

        Parameters
        ----------
        X : dask array or data frame, or array-like, of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples, n_classes) or (n_samples, n_labels)
            Weighted average of the networks' probabilities, in the order of `classes_`. For a table
            of Dask, an array of Dask.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        return self._by_blocks("predict_proba", X)

    def predict_log_proba(self, X):
        """Predict logarithms of probabilities, accurate even where a probability underflows.

        Parameters
        ----------
        X : dask array or data frame, or array-like, of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples, n_classes) or (n_samples, n_labels)
            Log-probabilities, in the order of `classes_`. For a table of Dask, an array of Dask.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        return self._by_blocks("predict_log_proba", X)

    def decision_function(self, X):
        """Return log-odds, or logarithms of class probabilities.

        Parameters
        ----------
        X : dask array or data frame, or array-like, of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples,), (n_samples, n_classes) or (n_samples, n_labels)
            As without Dask. For a table of Dask, an array of Dask.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        return self._by_blocks("decision_function", X)

    def score(self, X, y, sample_weight=None):
        """Return the accuracy of `predict`.

        Parameters
        ----------
        X : dask array or data frame, or array-like, of shape (n_samples, n_features)
            Samples.
        y : dask array or series, or array-like, of shape (n_samples,) or (n_samples, n_labels)
            Their labels.
        sample_weight : dask array or series, or array-like, of shape (n_samples,), default=None
            Their weights.

        Returns
        -------
        float
        """
        return self._scored(accuracy_score, X, y, sample_weight)

    def _kind_of(self, method):
        number = self.classes_.shape[0]
        if method == "predict":
            return ((number,), np.int64) if self._multilabel else ((), self._labels.dtype)
        one = method == "decision_function" and not self._multilabel and number == 2
        return () if one else (number,), self.K_.dtype


class OnDaskRegressor(OnDask):
    """The predictions of a regressor."""

    def predict(self, X):
        """Predict targets; with ``loss="quantile"`` a quantile of them.

        Parameters
        ----------
        X : dask array or data frame, or array-like, of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_targets)
            Predictions in the units of y. For a table of Dask, an array of Dask: the workers
            compute it, block by block, when it is needed.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            As `predict` of the estimator without Dask; for a table of Dask when it is computed.
        """
        return self._by_blocks("predict", X)

    def score(self, X, y, sample_weight=None):
        """Return R² of `predict`.

        Parameters
        ----------
        X : dask array or data frame, or array-like, of shape (n_samples, n_features)
            Samples.
        y : dask array or series, or array-like, of shape (n_samples,) or (n_samples, n_targets)
            Their targets.
        sample_weight : dask array or series, or array-like, of shape (n_samples,), default=None
            Their weights.

        Returns
        -------
        float
        """
        return self._scored(r2_score, X, y, sample_weight)

    def _kind_of(self, method):
        return self._centre.shape, np.float64
