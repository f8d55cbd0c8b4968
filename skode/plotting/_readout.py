"""Data for drawing trajectories: readout, labels and names."""

from __future__ import annotations

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from .._labels import Labels
from ._plane import decision


def outputs_of(model, network, target):
    """Return the readout of a network, in units of the target, and its classes."""
    W, mu = model.W_[network], model.mu_[network]
    if is_classifier(model):
        classes = model.classes_
        if isinstance(model._kind, Labels):
            _check_target(target, "label", len(W))
            classes, W, mu = np.arange(2), W[[target]], mu[[target]]
        return {"W": W, "mu": mu, "classes": classes, "log_link": False}
    _check_target(target, "target", model.n_outputs_)
    mean, scale = np.ravel(model._centre)[target], np.ravel(model._scale)[target]
    W, mu, log_link = W[[target]], mu[[target]], model._loss_of_fit.log_link
    W, mu = (W, mu + np.log(scale)) if log_link else (scale * W, mean + scale * mu)
    return {"W": W, "mu": mu, "classes": None, "log_link": log_link}


def labels_of(model, y, target):
    """Return the class of each sample as an index, or its target."""
    if is_classifier(model):
        labels = model._kind.codes(y)
        return labels[:, target] if labels.ndim == 2 else labels
    mean, scale = np.ravel(model._centre)[target], np.ravel(model._scale)[target]
    return mean + scale * model._checked_targets(y)[:, target]


def predicted(z, outputs):
    """Return the predictions of the readout, in place of labels."""
    if outputs["classes"] is not None:
        return decision(z, len(outputs["classes"]))
    return np.exp(z[:, 0]) if outputs["log_link"] else z[:, 0]


def _check_target(target, name, number):
    """Raise unless the target or label exists."""
    if target not in range(number) or isinstance(target, bool):
        raise ValueError(
            f"target={target!r} does not exist: the estimator has the {name}s 0 to {number - 1}."
        )


def target_name_of(y, target):
    """Return the name of the targets in a data frame or a series, or None."""
    columns = getattr(y, "columns", None)
    name = getattr(y, "name", None) if columns is None else columns[target]
    return name if isinstance(name, str) else None


def channel_names_of(estimator, model):
    """Return the names of the channels; those that start as a feature include its name."""
    names = [f"channel {k + 1}" for k in range(2)]
    if hasattr(model, "V_") or not model.feature_map_.is_identity:
        return names
    features = getattr(model, "feature_names_in_", None)
    if features is None and isinstance(estimator, Pipeline):
        features = _names_behind(estimator)
    for k, feature in enumerate([] if features is None else features[:2]):
        names[k] += f" (starts as {feature})"
    return names


def _names_behind(pipeline):
    """Return the names of the features after the steps before the network, or None."""
    if len(pipeline) < 2 or not hasattr(pipeline, "feature_names_in_"):
        return None
    try:
        return pipeline[:-1].get_feature_names_out()
    except AttributeError:  # some step does not define names
        return None
