"""The states of samples after every layer."""

from __future__ import annotations

import numpy as np

from ..engine import prediction
from ._pipelines import network_and_features


def trajectories(estimator, X):
    """Return the states of the samples after every layer.

    Parameters
    ----------
    estimator : estimator of skode or Pipeline
        A fitted classifier or regressor, or a fitted pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.

    Returns
    -------
    ndarray of shape (n_networks, N + 1, n_samples, n_channels)
        ``[:, 0]`` are the lifted inputs x: σ(V x + ν), V x + ν, or x padded with zeros. ``[:, N]``
        are the inputs of the readout. The inputs x are ``feature_map_.transform(X)``.

    Raises
    ------
    NotFittedError
        If the estimator has not been fitted.
    TypeError
        If the estimator is not one of skode.
    ValueError
        If X has other features than in `fit` or entries that are not finite; if X is so far from
        the training data that a state overflows; or if the stage equations of an implicit scheme
        could not be solved for a sample.

    Examples
    --------
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.inspection import trajectories
    >>> X, y = make_spirals(100, random_state=0)
    >>> model = ODENetClassifier(N=4, n_channels=3, cv=None, random_state=0).fit(X, y)
    >>> trajectories(model, X).shape
    (1, 5, 100, 3)
    """
    network, X = network_and_features(estimator, X)
    X = network.feature_map_.transform(network._validated(X, "trajectories"))
    states = prediction.trajectories(network._fitted_network(), network._controls(), X)
    if not np.isfinite(states).all():
        raise ValueError("The states overflow: X is too far from the data of the fit.")
    return np.ascontiguousarray(np.swapaxes(states, 2, 3))
