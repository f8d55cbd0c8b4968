"""Checks that the parts of a saved model are consistent.

The same checks run before a file is written and after one is read.  So every saved model can be
loaded, and every loaded model can predict.
"""

from __future__ import annotations

import math

import numpy as np

from .._classification import NetworkClassifier
from .._estimator import CONSTRAINTS
from .._features import GIVEN, PIECEWISE, VIEWS
from .._labels import Classes, Labels
from .._networks import ODENet
from .._regression import LOSSES as OF_REGRESSORS
from ..engine.activations import ACTIVATIONS
from ..engine.controls import Controls, Layout
from ..engine.fields import FIELDS
from ..engine.partitioned import PartitionedTableau
from ..engine.schemes import as_tableau
from .parts import ADAM, ARRAYS, CANDIDATES, MAP, MOMENTS, VIEW_SIZES, tables

__all__ = ["check"]


def check(cls, arrays, values):
    """Raise a ValueError unless the parts form a fitted estimator that can predict."""
    table_of_arrays, table_of_values = tables(cls)
    needed = {name for name, part in table_of_arrays.items() if part.needed}
    needed |= {name for name, (_, required) in table_of_values.items() if required}
    missing = needed - arrays.keys() - values.keys()
    _require(not missing, f"there is no {_list(missing)}")
    unknown = (arrays.keys() - table_of_arrays.keys()) | (values.keys() - table_of_values.keys())
    _require(not unknown, f"{cls.__name__} has no {_list(unknown)}")
    sizes = {}
    for name, array in arrays.items():
        _check_array(name, array, table_of_arrays[name], sizes)
    for name, value in values.items():
        _check_value(name, value, table_of_values[name][0], sizes)
    _check_sizes(arrays, values, sizes)
    _check_feature_map(arrays, values, sizes)
    _check_networks(cls, arrays, values, sizes)
    if issubclass(cls, NetworkClassifier):
        _check_classes(arrays, values, sizes)
    else:
        _check_targets(arrays, values, sizes)
    _check_optional(arrays, values, sizes)


def _require(condition, message):
    if not condition:
        raise ValueError(message)


def _list(names):
    return ", ".join(map(repr, sorted(names)))


def _check_array(name, array, part, sizes):
    of_kind = array.dtype.kind in part.kinds
    if part.kinds == "f":
        of_kind = of_kind and array.dtype.itemsize in (4, 8)
    _require(of_kind, f"{name} has the type {array.dtype}")
    if part.finite:
        _require(np.isfinite(array).all(), f"{name} is not finite")
    if part.axes:
        axes = part.axes.split()
        _require(array.ndim == len(axes), f"{name} has {array.ndim} axes, not {len(axes)}")
        for axis, length in zip(axes, array.shape, strict=True):
            _bind(name, axis, length, sizes)


def _bind(name, axis, length, sizes):
    """Require that axes of the same name have the same length in all parts."""
    if axis != "*" and sizes.setdefault(axis, length) != length:
        raise ValueError(f"{name} has {length} {axis}, but other parts have {sizes[axis]}")


def _check_value(name, value, kind, sizes):
    if not isinstance(kind, str):
        _require(type(value) is kind, f"{name} is {type(value).__name__}, not {kind.__name__}")
        return
    is_text = isinstance(value, list) and all(isinstance(item, str) for item in value)
    _require(is_text, f"{name} is not a list of text")
    _bind(name, kind, len(value), sizes)


def _check_sizes(arrays, values, sizes):
    """Require that the numbers in attributes agree with the arrays."""
    for name, axis in (("n_features_in_", "features"), ("n_outputs_", "outputs")):
        _bind(name, axis, values[name], sizes)
    empty = [axis for axis in ("networks", "layers", "channels", "outputs") if sizes[axis] < 1]
    _require(not empty, f"there are no {_list(empty)}")
    weights = arrays["network_weights_"]
    _require(
        (weights >= 0).all() and math.isclose(weights.sum(), 1, rel_tol=1e-3),
        "network_weights_ are not positive numbers that add up to one",
    )
    _require(0 <= values["_seed"] < 2**32, "_seed is out of range")
    _require(1 <= values["_n_kept"] <= sizes["networks"], "_n_kept is out of range")


def _check_feature_map(arrays, values, sizes):
    views, n_features = values[VIEW_SIZES], sizes["features"]
    try:
        numbers = dict(views)
        known = len(numbers) == len(views) and tuple(numbers) in VIEWS.values()
        known = known and all(type(number) is int and number > 0 for number in numbers.values())
    except (TypeError, ValueError):
        known = False
    _require(known, f"{VIEW_SIZES} are not the views of a feature map")
    _bind(VIEW_SIZES, "inputs", sum(numbers.values()), sizes)
    _bind(VIEW_SIZES, "features", numbers.get(GIVEN, n_features), sizes)
    column, low, high, width = (arrays[MAP + name] for name in ("column", "low", "high", "width"))
    _require(
        ((column >= 0) & (column < n_features)).all(),
        f"{MAP}column is out of range",
    )
    _require((low <= high).all() and (width > 0).all(), "a piece of a feature is empty")
    seen = set(values["network_features_"])
    _require(seen <= numbers.keys(), "network_features_ names unknown views")


def _check_networks(cls, arrays, values, sizes):
    types = {arrays[f"{name}_"].dtype for name in Controls._fields if f"{name}_" in arrays}
    _require(len(types) == 1, "the networks are in single and in double precision")
    _require(("V_" in arrays) == ("nu_" in arrays), "there is only one of V_ and nu_")
    if "V_" not in arrays:
        fits = sizes["inputs"] <= sizes["channels"] and len(values[VIEW_SIZES]) == 1
        _require(fits, "the networks have fewer channels than inputs")
    recipe = dict(values["_fitted_recipe"])
    if issubclass(cls, ODENet):
        tableau, field = as_tableau(recipe.pop("scheme", None)), recipe.pop("vector_field", None)
        damping = recipe.pop("damping", None)
        _require(type(damping) is float and 0 <= damping < math.inf, "the damping is no number")
        _require(isinstance(field, str) and field in FIELDS, "the vector field is unknown")
        halves = isinstance(tableau, PartitionedTableau)
        _require(field == "hamiltonian" or not halves, "the scheme does not fit the vector field")
        even = sizes["channels"] % 2 == 0
        _require(field != "hamiltonian" or even, "the number of channels is odd")
    _require(recipe.keys() == {"activation", "lift", "h"}, "_fitted_recipe has other keys")
    for name in (recipe["activation"], recipe["lift"]):
        _require(isinstance(name, str) and name in ACTIVATIONS, "the activation is unknown")
    h = recipe["h"]
    _require(type(h) is float and 0 < h < math.inf, "the step h is not a positive number")
    _check_constraint(values["_fitted_constraint"])


def _check_constraint(constraint):
    _require(constraint.keys() == {"name", "norm"}, "_fitted_constraint has other keys")
    name, norm = constraint["name"], constraint["norm"]
    known = name is None or (isinstance(name, str) and name in CONSTRAINTS)
    _require(known, "the constraint is unknown")
    positive = type(norm) is float and 0 < norm < math.inf
    _require(positive, "the norm of the constraint is not a positive number")


def _check_classes(arrays, values, sizes):
    there = [part["classes_"] for part in (arrays, values) if "classes_" in part]
    _require(len(there) == 1, "there are no classes_, or two of them")
    classes = np.asarray(there[0])
    unknown = np.isnat(classes) if classes.dtype.kind in "Mm" else classes != classes
    _require(len(classes) and not unknown.any(), "classes_ are empty or NaN")
    _require(len(np.unique(classes)) == len(classes), "some classes_ are equal")
    kind = Labels(len(classes)) if values["_multilabel"] else Classes(classes)
    _require(np.array_equal(classes, kind.classes), "classes_ are not the numbers of the labels")
    losses = [{"name": kind.loss}]
    if not values["_multilabel"] and len(classes) > 1:
        losses.append({"name": "logistic_squared"})
    _require(values["_fitted_loss"] in losses, "the loss does not fit classes_")
    expected = len(classes) if values["_multilabel"] or len(classes) != 2 else 1
    _bind("classes_", "outputs", expected, sizes)


def _check_targets(arrays, values, sizes):
    centre, scale = arrays["_centre"], arrays["_scale"]
    _require(
        centre.shape == scale.shape and centre.ndim < 2, "_centre and _scale do not fit together"
    )
    _bind("_centre", "outputs", centre.size, sizes)
    loss = dict(values["_fitted_loss"])
    quantile = loss.pop("quantile", None)
    _require(type(quantile) is float and 0 < quantile < 1, "the quantile is not between 0 and 1")
    known = [{"name": loss.name} for loss in OF_REGRESSORS.values()]
    _require(loss in known, "the loss is unknown")


def _check_optional(arrays, values, sizes):
    """Check parts that exist only together, and the state of Adam."""
    of_candidates = {name for name in ARRAYS if name.startswith((CANDIDATES, "validation_"))}
    complete = _all_or_none(of_candidates, arrays)
    complete = complete and ("_fitted_scoring" in values or not of_candidates & arrays.keys())
    _require(complete, "a part of candidates_ is missing")
    sizes_of_views = dict(values[VIEW_SIZES])
    for view in (GIVEN, PIECEWISE):
        names = {f"{ADAM}{view}.{name}" for name in MOMENTS}
        _require(_all_or_none(names, arrays), f"a part of {ADAM}{view} is missing")
        if names <= arrays.keys():
            _require(view in sizes_of_views, f"{ADAM}{view} is there, but no such view")
            lifted = sizes_of_views[view] if "V_" in arrays else 0
            layout = Layout(sizes["layers"], sizes["channels"], sizes["outputs"], lifted)
            _bind(f"{ADAM}{view}", f"{view}-controls", layout.size, sizes)
            n_networks = values["network_features_"].count(view)
            _bind(f"{ADAM}{view}", f"{view}-networks", n_networks, sizes)


def _all_or_none(names, arrays):
    return len(names & arrays.keys()) in (0, len(names))
