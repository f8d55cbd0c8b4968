"""What a fitted network does inside."""

from __future__ import annotations

from copy import copy
from numbers import Integral

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ._devices import host_values
from ._estimator import NetworkEstimator
from .engine import prediction
from .engine.arrays import quiet
from .engine.controls import Layout
from .engine.kernels import Samples
from .engine.objective import Objective
from .engine.penalties import Penalties

__all__ = ["costates", "step_doubling_gap", "trajectories"]


def trajectories(estimator, X):
    """The states that the layers carry the samples through.

    Parameters
    ----------
    estimator : estimator of skode or Pipeline
        A fitted classifier or regressor, or a fitted pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.

    Returns
    -------
    ndarray of shape (n_networks, N + 1, n_samples, n_channels)
        ``[:, 0]`` are the lifted inputs x, σ(V x + ν), V x + ν or x padded with zeros, and
        ``[:, N]`` what the readout sees.  The inputs are what ``feature_map_`` makes of X.

    Raises
    ------
    NotFittedError
        If the estimator has not been fitted.
    TypeError
        If the estimator is none of skode.
    ValueError
        If X has other features than in `fit`, or entries that are not finite, or lies so far
        outside the training data that a state overflows, or that the stage equations of an implicit
        scheme could not be solved.

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


def costates(estimator, X, y):
    """The costates: how the loss depends on the samples' states between the layers.

    They are the derivatives pℓ = ∂J/∂yℓ of the mean loss J of the samples, without penalty, with
    respect to the states that `trajectories` gives.

    Parameters
    ----------
    estimator : estimator of skode or Pipeline
        A fitted classifier or regressor, or a fitted pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Their classes or labels; or their targets, of which J is the loss in the units that `loss`
        says.

    Returns
    -------
    ndarray of shape (n_networks, N + 1, n_samples, n_channels)
        ``[:, 0]`` is the derivative p⁰ with respect to the lifted inputs.  That with respect to the
        inputs is ``p0[..., :n_inputs]`` where they are padded, ``p0 @ V_`` where the lift is
        linear, and ``(p0 * ds) @ V_`` where it is nonlinear, with ds = σ′(V x + ν) for the inputs
        x; and ``feature_map_.pull_back`` makes of it that with respect to the features, which a
        pipeline has transformed.  The samples that are ambiguous to the network have large entries.

    Raises
    ------
    NotFittedError, TypeError
        As `trajectories`.
    ValueError
        As `trajectories`, or if `y` has labels that are not classes of the estimator, or another
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
    network, X = network_and_features(estimator, X)
    targets = network._checked_targets(y)
    check_consistent_length(X, targets)
    network._outputs(X, "costates")  # raises where the network cannot be evaluated
    X = network.feature_map_.transform(network._validated(X, "costates"))
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
    p = objective.costates(layout.flatten(U))
    if not np.isfinite(p).all():
        raise ValueError("The costates are not finite: X is too far from the data of the fit.")
    return np.ascontiguousarray(np.swapaxes(p, 2, 3))


def step_doubling_gap(estimator, X, *, refinement=2):
    """How much the predictions depend on the discretisation of the ODE.

    Every step h of the scheme is taken as `refinement` steps h/`refinement` with the same controls.
    Where the gap is small, the network is a flow that its scheme resolves; where it is large, it is
    a composition of layers that happen to look like steps.

    Parameters
    ----------
    estimator : ODENetClassifier, ODENetRegressor or Pipeline
        A fitted estimator, or a fitted pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.
    refinement : int, default=2
        Number of steps in place of one.

    Returns
    -------
    Bunch
        ``gap`` : ndarray of shape (n_samples,), the largest change of a class probability, or of a
        predicted target in the units that the regressor's `loss` says;
        ``mean_gap``, ``max_gap`` : float, its mean and maximum;
        ``changed`` : float, for classifiers, the share of samples whose predicted class, or one of
        whose labels, changes.

    Raises
    ------
    NotFittedError
        If the estimator has not been fitted.
    TypeError
        If the estimator is no ODE network of skode.
    ValueError
        If `refinement` is not an integer of at least 2, or X cannot be predicted.

    Examples
    --------
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.inspection import step_doubling_gap
    >>> X, y = make_spirals(100, random_state=0)
    >>> coarse, fine = (
    ...     step_doubling_gap(ODENetClassifier(scheme, random_state=0).fit(X, y), X)
    ...     for scheme in ("euler", "gauss4")
    ... )
    >>> bool(fine.max_gap < coarse.max_gap)
    True
    """
    network, X = network_and_features(estimator, X)
    if network._fitted_network().skip == 0.0:
        raise TypeError(f"A feed-forward network is no discretisation of an ODE; got {network!r}.")
    if not isinstance(refinement, Integral) or isinstance(refinement, bool) or refinement < 2:
        raise ValueError(f"refinement must be an integer of at least 2; got {refinement!r}.")
    with quiet():
        coarse, fine = (network._outputs(X, "step_doubling_gap", k) for k in (1, refinement))
        if is_classifier(network):
            before, after = (network._kind.most_likely(said) for said in (coarse, fine))
            coarse, fine = np.exp(coarse), np.exp(fine)
    gap = np.abs(fine - coarse).max(axis=0)
    found = Bunch(gap=gap, mean_gap=float(gap.mean()), max_gap=float(gap.max()))
    if is_classifier(network):
        changed = (before != after).reshape(len(before), -1).any(axis=1)
        found.changed = float(changed.mean())
    return found


def network_and_features(estimator, X):
    """The fitted network, and what the steps before it make of X."""
    network = network_of(estimator)
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        X = estimator[:-1].transform(X)
    return network, host_values(X)


def network_of(estimator):
    """The fitted network that the estimator is, or that the pipeline ends in; in host memory."""
    network = estimator[-1] if isinstance(estimator, Pipeline) and len(estimator) else estimator
    if not isinstance(network, NetworkEstimator):
        raise TypeError(
            "estimator must be one of skode, or a pipeline whose last step is one (of a "
            f"search, its best_estimator_); got {network!r}."
        )
    check_is_fitted(network)
    return copy(network).to_host().set_params(device=None)
