"""The contents of a saved model: tables of its arrays and of its other values."""

from __future__ import annotations

from typing import NamedTuple

from .._classification import NetworkClassifier
from .._features import GIVEN, PIECEWISE

# Attributes that hold several arrays; their names follow.
MAP, CANDIDATES, ADAM = "feature_map_.", "candidates_.", "_adam."
VIEW_SIZES = MAP + "views"


class Part(NamedTuple):
    """An array: its possible kinds of dtype, as in NumPy, and the names of its axes.

    If the only kind is "f", the array is in single or double precision.
    Axes of the same name have the same length in all parts of a model; "*" stands for any length,
    and no names at all for any shape.
    """

    kinds: str
    axes: str = ""
    needed: bool = True
    finite: bool = False


ARRAYS = {
    "K_": Part("f", "networks layers channels channels", finite=True),
    "b_": Part("f", "networks layers channels", finite=True),
    "h_": Part("f", "networks layers", finite=True),
    "W_": Part("f", "networks outputs channels", finite=True),
    "mu_": Part("f", "networks outputs", finite=True),
    "V_": Part("f", "networks channels inputs", needed=False, finite=True),
    "nu_": Part("f", "networks channels", needed=False, finite=True),
    MAP + "column": Part("i", "inputs"),
    MAP + "low": Part("f", "inputs"),
    MAP + "high": Part("f", "inputs"),
    MAP + "origin": Part("f", "inputs", finite=True),
    MAP + "mean": Part("f", "inputs", finite=True),
    MAP + "width": Part("f", "inputs", finite=True),
    "network_weights_": Part("f", "networks", finite=True),
    "loss_": Part("f", "networks"),
    "loss_curve_": Part("f", "* networks"),
    "network_n_iter_": Part("i", "networks"),
    "best_iter_": Part("i", "networks"),
    "n_evaluations_": Part("i", "networks"),
    CANDIDATES + "features": Part("U", "candidates", needed=False),
    CANDIDATES + "alpha": Part("f", "candidates", needed=False),
    CANDIDATES + "validation_loss": Part("f", "candidates", needed=False),
    CANDIDATES + "weight": Part("f", "candidates", needed=False),
    "validation_loss_": Part("f", "candidates splits restarts", needed=False),
    "validation_curve_": Part("f", "candidates splits restarts *", needed=False),
}
OF_CLASSIFIERS = {
    "classes_": Part("biufMmU", "classes", needed=False),  # or among the values, as text
    "oof_decision_function_": Part("f", needed=False),
}
OF_TARGETS = {
    "_centre": Part("f", finite=True),
    "_scale": Part("f", finite=True),
    "oof_prediction_": Part("f", needed=False),
}
# The state of Adam for the networks of a view, in this order, see `Stream`.
MOMENTS = {
    "end": Part("f", "{view}-networks {view}-controls"),
    "mu": Part("f", "{view}-running {view}-controls"),
    "nu": Part("f", "{view}-running {view}-controls"),
    "u": Part("f", "{view}-running {view}-controls"),
    "k": Part("i", "{view}-running"),
    "rate_factor": Part("f", "{view}-running"),
}

# All values that are not arrays: the type, or the axis along which the value is a list of text; and
# whether the value is needed.
VALUES = {
    VIEW_SIZES: (list, True),
    "network_features_": ("networks", True),
    "stop_reason_": ("networks", True),
    "feature_names_in_": ("features", False),
    "n_features_in_": (int, True),
    "n_outputs_": (int, True),
    "alpha_": (float, True),
    "oof_score_": (float, False),
    "solver_": (str, False),
    "n_splits_": (int, False),
    "n_iter_no_change_": (int, False),
    "batch_size_": (int, False),
    "_fitted_recipe": (dict, True),
    "_fitted_loss": (dict, True),
    "_fitted_constraint": (dict, True),
    "_fitted_features": (str, True),
    "_fitted_scoring": (str, False),
    "_fingerprint": (str, False),
    "_n_kept": (int, True),
    "_seed": (int, True),
}
VALUES_OF_CLASSIFIERS = {"classes_": ("classes", False), "_multilabel": (bool, True)}


def tables(cls):
    """Return the arrays and the values of the fitted estimators of a class."""
    arrays = ARRAYS | {
        f"{ADAM}{view}.{name}": part._replace(axes=part.axes.format(view=view), needed=False)
        for view in (GIVEN, PIECEWISE)
        for name, part in MOMENTS.items()
    }
    if issubclass(cls, NetworkClassifier):
        return arrays | OF_CLASSIFIERS, VALUES | VALUES_OF_CLASSIFIERS
    return arrays | OF_TARGETS, VALUES
