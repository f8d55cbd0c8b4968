"""Detection of fits that have learned nothing, and of the cause."""

from __future__ import annotations

import numpy as np

from ._sparse import gathered
from .engine.arrays import quiet, to_host
from .engine.losses import SOFTMAX
from .engine.prediction import outputs, trajectories
from .engine.sparse_rows import SparseRows

LITTLE = 0.9  # of the loss of the best constant: a larger loss means that little was learned
SAME = 0.1  # standard deviation of outputs over the samples, below which they count as equal
SMALL = 1e-2  # standard deviation of all features, below which their scale is the cause
# The number of layers is the cause if less than this fraction of the states' standard deviation is
# left after all layers, and more than this fraction after each.
FADED, LAYER = 1e-3, 0.1
HEAVY = 80.0  # divided by the number of samples: ten times the largest penalty of alpha="auto"
SOME = 200  # samples that are examined


def cause_of_collapse(model, data, loss):
    """Return why the networks are no better than a constant, in words; None if unknown.

    Parameters
    ----------
    model : estimator
        The estimator just after training.
    data : Data
        The training data, with the inputs of the networks as X.
    loss : float
        The loss on held-out samples, or on the training samples if none are held out.
    """
    used = np.flatnonzero(data.weights > 0)
    weights, targets = data.weights[used], data.targets[used].astype(np.float64)
    if (targets == targets[0]).all() or loss < LITTLE * best_constant(
        model._loss_of_fit, targets, weights
    ):
        return None
    rows = used[np.linspace(0, len(used) - 1, min(SOME, len(used))).astype(int)]
    X, network, spreads = gathered(data.features(rows)), model._fitted_network(), []
    with quiet():
        for k in range(model.K_.shape[0]):  # one by one, since those of wide features are large
            U = model._controls(slice(k, k + 1))
            if not to_host(outputs(network, U, X)).std(axis=-1).max() < SAME:
                return None
            states = to_host(trajectories(network, U, X))[0, [0, -1], ...]
            spreads.append(states.std(axis=-1).mean(axis=1))
        spread = np.mean(spreads, axis=0)  # of the first and the last state
        dense = X.dense() if isinstance(X, SparseRows) else to_host(X)
        deviation = dense.astype(np.float64).std(axis=0).max()
    if not deviation:
        return "all features are constant"
    if deviation < SMALL:
        return (
            f"the features have standard deviations of at most {deviation:.1e}: scale X, for "
            "example with StandardScaler"
        )
    left = spread[1] / spread[0]
    if left < FADED and left > LAYER**model.N:
        return (
            f"the difference between samples fades in {model.N} layers, to {left:.1e} of its "
            "initial size: take a smaller N, or an ODE network"
        )
    if model.alpha_ > HEAVY / len(used):
        return f"the penalty outweighs the data: take a smaller alpha than {model.alpha_:.3g}"
    return None


def best_constant(loss, targets, weights):
    """Return (nearly) the lowest loss of outputs that are the same for all samples.

    Parameters
    ----------
    loss : Loss
    targets : ndarray of shape (n_samples, n_outputs)
    weights : ndarray of shape (n_samples,)
    """
    mean = np.average(targets, axis=0, weights=weights)
    order = np.argsort(targets, axis=0, kind="stable")
    share = np.cumsum(weights[order], axis=0) / weights.sum()
    place = np.argmax(share >= loss.quantile - 1e-12, axis=0)
    columns = np.arange(targets.shape[1])
    quantile = targets[order[place, columns], columns]
    with quiet():
        if loss.code == SOFTMAX or loss.log_link:
            outputs_ = [np.log(mean)]
        elif loss.log_proba is not None:
            outputs_ = [np.log(mean / (1 - mean))]
        else:
            outputs_ = [mean, quantile]
        values = [
            loss.value_and_derivative(np, np.clip(z, -700, 700)[None, :, None], targets.T[None])[0]
            for z in outputs_
        ]
    return min(np.average(value[0], weights=weights) for value in values)
