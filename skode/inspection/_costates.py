"""The derivatives of the loss with respect to the states."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_consistent_length

from ..engine.controls import Layout
from ..engine.kernels import Samples
from ..engine.objective import Objective
from ..engine.penalties import Penalties
from ._pipelines import network_and_features


def costates(estimator, X, y):
    """Return the costates, the derivatives of the loss with respect to the states.

    They are the derivatives pℓ = ∂J/∂yℓ of the mean loss J of the samples, without penalty. The
    states yℓ are those of `trajectories`.

    Parameters
    ----------
    estimator : estimator of skode or Pipeline
        A fitted classifier or regressor, or a fitted pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Their classes or labels; or their targets. For targets, J is the loss in the units that the
        parameter `loss` explains.

    Returns
    -------
    ndarray of shape (n_networks, N + 1, n_samples, n_channels)
        ``[:, 0]`` is the derivative p⁰ with respect to the lifted inputs. The derivative with
        respect to the inputs is ``p0[..., :n_inputs]`` if they are padded, ``p0 @ V_`` if the lift
        is linear, and ``(p0 * ds) @ V_`` if it is nonlinear, with ds = σ′(V x + ν) for the inputs
        x. ``feature_map_.pull_back`` converts it to the derivative with respect to the features
        after the steps of a pipeline. Samples that the network finds ambiguous have large entries.

    Raises
    ------
    NotFittedError, TypeError
        See `trajectories`.
    ValueError
        See `trajectories`; also if `y` has labels that are not classes of the estimator, another
        number of targets than in `fit`, or another length than X.

    References
    ----------
    Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as optimal control problems"
    (2021), Proposition 1.

    Examples
    --------
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.inspection import costates
    >>> X, y = make_spirals(100, random_state=0)
    >>> model = ODENetClassifier("gauss4", N=2, n_channels=2, cv=None, random_state=0).fit(X, y)
    >>> costates(model, X, y).shape
    (1, 3, 100, 2)
    """
    _, objective, flat = objective_of(estimator, X, y, "costates")
    p = objective.costates(flat)
    if not np.isfinite(p).all():
        raise ValueError("The costates are not finite: X is too far from the data of the fit.")
    return np.ascontiguousarray(np.swapaxes(p, 2, 3))


def objective_of(estimator, X, y, asking):
    """The fitted network, the mean loss of samples without penalty, and the flat controls."""
    network, X = network_and_features(estimator, X)
    targets = network._checked_targets(y)
    check_consistent_length(X, targets)
    network._outputs(X, asking)  # raises if the network cannot be evaluated
    X = network.feature_map_.transform(network._validated(X, asking))
    U = network._controls()
    n_networks, N, n_channels, _ = U.K.shape
    lifted = 0 if U.V is None else X.shape[1]
    layout = Layout(N, n_channels, network.n_outputs_, lifted)
    objective = Objective(
        network._fitted_network(),
        layout,
        network._loss_of_fit,
        Samples(X, targets, np.full(len(X), 1 / len(X))),
        Penalties(np.zeros(n_networks, dtype=X.dtype)),
    )
    return network, objective, layout.flatten(U)
