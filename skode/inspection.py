"""What a fitted network does inside."""

from __future__ import annotations

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ._estimator import NetworkEstimator
from .engine import prediction

__all__ = ["trajectories"]


def trajectories(estimator, X):
    """The states that the layers carry the samples through.

    Parameters
    ----------
    estimator : ODENetClassifier, FeedForwardClassifier or Pipeline
        A fitted estimator, or a fitted pipeline that ends in one.
    X : array-like of shape (n_samples, n_features)
        Samples.

    Returns
    -------
    ndarray of shape (n_members, N + 1, n_samples, n_channels)
        ``[:, 0]`` are the features, padded with zeros, and ``[:, N]`` what the readout sees.

    Raises
    ------
    NotFittedError
        If the estimator has not been fitted.
    TypeError
        If the estimator is none of skode.
    ValueError
        If X has other features than in `fit`, or entries that are not finite, or lies so far
        outside the training data that a state overflows.

    Examples
    --------
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.inspection import trajectories
    >>> X, y = make_spirals(100, random_state=0)
    >>> model = ODENetClassifier(N=4, n_channels=3, tol=1e-2, random_state=0).fit(X, y)
    >>> trajectories(model, X).shape
    (1, 5, 100, 3)
    """
    network = network_of(estimator)
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        X = estimator[:-1].transform(X)
    X = network._validated(X)
    states = prediction.trajectories(network._fitted_network(), network._controls(), X)
    if not np.isfinite(states).all():
        raise ValueError("The states overflow: X is too far from the data of the fit.")
    return np.ascontiguousarray(np.swapaxes(states, 2, 3))


def network_of(estimator):
    """The fitted network that the estimator is, or that the pipeline ends in."""
    network = estimator[-1] if isinstance(estimator, Pipeline) and len(estimator) else estimator
    if not isinstance(network, NetworkEstimator):
        raise TypeError(
            "estimator must be a classifier of skode, or a pipeline whose last step is one (of a "
            f"search, its best_estimator_); got {network!r}."
        )
    check_is_fitted(network)
    return network
