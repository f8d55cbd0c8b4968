"""What a fitted network does inside."""

from __future__ import annotations

import numpy as np

from .engine import prediction

__all__ = ["trajectories"]


def trajectories(estimator, X):
    """The states that the layers carry the samples through.

    Parameters
    ----------
    estimator : ODENetClassifier or FeedForwardClassifier
        A fitted estimator.
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
    ValueError
        If X has other features than in `fit`, or entries that are not finite.

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
    X = estimator._validated(X)
    states = prediction.trajectories(estimator._fitted_network(), estimator._controls(), X)
    return np.ascontiguousarray(np.swapaxes(states, 2, 3))
