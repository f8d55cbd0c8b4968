"""The fitted network that an estimator is or a pipeline ends in, and the steps before it."""

from __future__ import annotations

from copy import copy

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._devices import host_values
from .._estimator import NetworkEstimator


def network_and_features(estimator, X):
    """Return the fitted network, and X after the steps before the network."""
    network = network_of(estimator)
    return network, host_values(transformed(steps_before(estimator), X))


def network_of(estimator):
    """Return the fitted network, which may be the last step of a pipeline, in host memory."""
    _, network = _steps(estimator)[-1]
    if not isinstance(network, NetworkEstimator):
        raise TypeError(
            "estimator must be one of skode, or a pipeline that ends in one (for a search, give "
            f"its best_estimator_); got {network!r}."
        )
    check_is_fitted(network)
    return copy(network).to_host().set_params(device=None)


def steps_before(estimator):
    """The steps before the network that do something, as (name, transformer)."""
    return active(_steps(estimator)[:-1])


def first_step(estimator):
    """The step that X is given to, which may be the network."""
    return active(_steps(estimator))[0][1]


def active(steps):
    """Those of the steps of a pipeline, as (name, transformer), that do something."""
    return [(name, step) for name, step in steps if step is not None and step != "passthrough"]


def transformed(steps, X):
    """X after some steps.

    A pipeline of them would refuse to transform if its last step does not say that it is fitted.
    """
    for _, step in steps:
        X = step.transform(X)
    return X


def _steps(estimator):
    """All steps of a pipeline, which may end in a pipeline; or the estimator as the only one."""
    if isinstance(estimator, Pipeline) and len(estimator):
        *before, (name, last) = estimator.steps
        return [*before, *([(name, last)] if not isinstance(last, Pipeline) else _steps(last))]
    return [("", estimator)]
