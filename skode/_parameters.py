"""Parameters: their conversion to plain numbers during a fit, and those without effect."""

from __future__ import annotations

import inspect
from contextlib import contextmanager

import numpy as np
from sklearn.utils._param_validation import Interval, InvalidParameterError

from ._inputs import unchanged_on_error
from ._verbose import audible


@contextmanager
def fitting(estimator):
    """Return a context for a fit: progress is reported, and an error restores the estimator."""
    with unchanged_on_error(estimator), plain_parameters(estimator), audible(estimator.verbose):
        yield


@contextmanager
def plain_parameters(estimator):
    """Replace NumPy scalars by Python numbers for the duration of the context.

    Python numbers neither overflow nor affect the precision of results.

    Raises
    ------
    InvalidParameterError
        If a number is a boolean.
    """
    given = estimator.get_params(deep=False)
    for name, value in given.items():
        options = estimator._parameter_constraints.get(name, ())
        a_number = name == "cv" or any(isinstance(option, Interval) for option in options)
        if a_number and isinstance(value, bool | np.bool_):
            raise InvalidParameterError(
                f"The {name!r} parameter of {type(estimator).__name__} must be a number or another "
                f"of its options, not a boolean. Got {value!r} instead."
            )
        if isinstance(value, np.generic):
            setattr(estimator, name, float(value) if value.dtype.kind == "f" else value.item())
    try:
        yield
    finally:
        for name, value in given.items():
            setattr(estimator, name, value)


def idle_parameters(estimator, validation_is_given, judged, solver):
    """Yield parameters that differ from their defaults but have no effect, each with the reason.

    Parameters
    ----------
    estimator : estimator
    validation_is_given : bool
        Whether `fit` was given X_val.
    judged : bool
        Whether any samples are held out.
    solver : str
        The solver that trains.
    """
    by_cv = estimator.cv is not None
    judge = "X_val was given" if validation_is_given else "cv holds samples out"
    rules = [
        ("early_stopping", validation_is_given or by_cv, judge),
        ("cv", validation_is_given and by_cv, "X_val was given"),
        ("validation_fraction", validation_is_given or by_cv, judge),
        ("validation_fraction", not estimator.early_stopping, "early_stopping=False"),
        ("scoring", not judged, "no samples are held out"),
        ("line_search", solver != "gd", f"the solver is {solver!r}"),
        ("smoothness", estimator.N == 1, "N=1"),
        ("constraint_norm", estimator.constraint is None, "constraint=None"),
        ("learn_step", estimator.learn_step == "simplex" and estimator.N == 1, "N=1"),
    ]
    of_adam = ("batch_size", "learning_rate_init", "learning_rate_decay")
    rules += [(name, "adam" not in solver, f"the solver is {solver!r}") for name in of_adam]
    defaults = inspect.signature(type(estimator).__init__).parameters
    if "quantile" in defaults:
        rules.append(("quantile", estimator.loss != "quantile", f"loss={estimator.loss!r}"))
    if "stage_guard" in defaults:
        explicit = estimator._network(estimator._recipe()).tableau.explicit
        rules.append(("stage_guard", explicit, "the scheme is explicit"))
        field = estimator.vector_field
        rules.append(("damping", field != "antisymmetric", f"vector_field={field!r}"))
    found = {}
    for name, idle, reason in rules:
        value, default = getattr(estimator, name), defaults[name].default
        if idle and not (isinstance(value, type(default)) and value == default):
            found.setdefault(f"{name}={value!r}", reason)
    return found
