"""Names of the networks and candidates of a fitted model, for figures."""

from __future__ import annotations

from numbers import Integral

import numpy as np


def chosen_network(model, network):
    """Return the index of the network to draw; None means the first with the largest weight.

    Raises
    ------
    ValueError
        If there is no such network.
    """
    number = len(model.K_)
    if network is None:
        return int(np.argmax(model.network_weights_))
    if (
        not isinstance(network, Integral)
        or isinstance(network, bool)
        or network not in range(number)
    ):
        raise ValueError(
            f"network={network!r} does not exist: the estimator has the networks 0 to {number - 1}."
        )
    return int(network)


def title_of(model, network):
    """Return a description of the drawn network; empty if there is only one."""
    number = len(model.K_)
    if number == 1:
        return ""
    sees = "pieces of the features" if model.network_features_[network] == "piecewise" else ""
    weight = f"weight {model.network_weights_[network]:.2g}"
    return ", ".join(filter(None, [f"network={network} of {number}", sees, weight]))


def candidate_names(model):
    """Return a text for each candidate that distinguishes it from the others."""
    features, alphas = (model.candidates_[key] for key in ("features", "alpha"))
    several = len(set(features)) > 1
    return [
        f"{view}, alpha={alpha:.2g}" if several else f"alpha={alpha:.2g}"
        for view, alpha in zip(features, alphas, strict=True)
    ]


def candidates_of_networks(model):
    """Return the index into `candidates_` of each network that was kept.

    After `partial_fit`, or if nothing was held out, candidates are counted from 0.
    """
    each = len(model.K_) // model._n_kept
    kept = np.arange(model._n_kept)
    if hasattr(model, "candidates_"):
        kept = np.flatnonzero(model.candidates_["weight"] > 0)
    return np.repeat(kept, each)


def held_out_scale(model):
    """Return the sign and the name of the criterion on the held-out samples.

    Scores are stored with a negative sign, so that lower is better.
    """
    scoring = model._fitted_scoring
    return (1.0, "loss") if scoring == "auto" else (-1.0, scoring)
