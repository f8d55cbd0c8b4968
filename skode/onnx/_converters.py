"""The functions that skl2onnx calls for an estimator: types of the outputs, and the graph."""

from __future__ import annotations

from copy import copy

import numpy as np
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)

from ..classifiers import FeedForwardClassifier, ODENetClassifier
from ..regressors import FeedForwardRegressor, ODENetRegressor
from ._graph import Graph
from ._network import network_outputs
from ._stages import log_logistic

OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [False, True],
}


def register():
    """Register the converters of the four estimators with skl2onnx."""
    for cls in (ODENetClassifier, FeedForwardClassifier):
        update_registered_converter(
            cls, f"Skode{cls.__name__}", classifier_types, convert_classifier, options=OPTIONS
        )
    for cls in (ODENetRegressor, FeedForwardRegressor):
        update_registered_converter(cls, f"Skode{cls.__name__}", regressor_types, convert_regressor)


def exported_classes(model):
    """Return the classes of a classifier for ONNX: integers, or an object array of strings.

    Raises
    ------
    ValueError
        If they are not integers, strings, booleans or other whole numbers.
    """
    classes = model._labels
    values = classes.tolist()
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    if classes.dtype.kind in "biufO" and all(_whole(value) for value in values):
        return np.array([int(value) for value in values], dtype=np.int64)
    raise ValueError(
        f"{type(model).__name__} cannot be converted to ONNX with the classes {classes}: ONNX "
        "supports integers and strings. Fit it to such labels."
    )


def _whole(value):
    """Whether a label is a number that int64 can represent exactly; booleans count."""
    return isinstance(value, int | float) and value == value // 1 and -(2**63) <= value < 2**63


def classifier_types(operator):
    """Set the types and shapes of label and probabilities."""
    model, n = operator.raw_operator, operator.inputs[0].get_first_dimension()
    number = len(model._labels)
    if model._multilabel:
        label = Int64TensorType([n, number])
    elif exported_classes(model).dtype == object and not _option(
        operator.scope_inst, model, "nocl"
    ):
        label = StringTensorType([n])
    else:
        label = Int64TensorType([n])
    operator.outputs[0].set_type(label)
    scores = FloatTensorType if _in_dictionaries(operator) else _type_of_results(operator)
    operator.outputs[1].set_type(scores([n, number]))


def regressor_types(operator):
    """Set the type and shape of the predictions."""
    n, number = operator.inputs[0].get_first_dimension(), operator.raw_operator.n_outputs_
    operator.outputs[0].set_type(_type_of_results(operator)([n, number]))


def _type_of_results(operator):
    """Return the type of the features if that is floating-point; else float32, as in skl2onnx."""
    types = [variable.type for variable in operator.inputs]
    double = any(isinstance(type_, DoubleTensorType) for type_ in types)
    return DoubleTensorType if double else FloatTensorType


def _in_dictionaries(operator):
    """Whether the probabilities become dictionaries, which ONNX supports only for float32."""
    return any(
        other.type == "SklearnZipMap" and operator.outputs[1] in list(other.inputs)
        for other in operator.scope_inst.operators.values()
    )


def _option(scope, model, name):
    return scope.get_options(model, {name: False})[name]


def convert_classifier(scope, operator, container):
    """Write the graph of a classifier."""
    g, model, X = _started(scope, operator, container)
    label, scores = operator.output_full_names
    raw = _option(scope, operator.raw_operator, "raw_scores")
    mean, kind = _mean_outputs(g, model, X, raw), model._kind
    if model._multilabel:
        absent, present = _halves(g, mean, kind.number)
        g.cast(g("Greater", present, absent), np.int64, output=label)
        mean = g("Sub", present, absent) if raw else present
    else:
        numbered = _option(scope, operator.raw_operator, "nocl")
        classes = np.arange(kind.n_rows) if numbered else exported_classes(model)
        g("Gather", classes, g("ArgMax", mean, axis=1, keepdims=0), output=label, axis=0)
        if raw and kind.n_rows == 2:  # as in skl2onnx: the negative log-odds, and the log-odds
            first, second = _halves(g, mean, 1)
            odds = g("Sub", second, first)
            mean = g("Concat", g("Neg", odds), odds, axis=1)
    dtype = np.float32 if _in_dictionaries(operator) else g.dtype
    g.cast(mean, dtype, output=scores)


def _mean_outputs(g, model, X, logarithms):
    """Add the mean prediction of the networks, probabilities or logarithms, (samples, rows).

    The rows are those of `Loss.mean`.
    """
    doubt = g.sum(g("Mul", X, 0.0), 1, keepdims=True)
    if model._kind.n_rows == 1:  # with one class, its probability is one
        return g("Add", doubt, 0.0 if logarithms else 1.0)
    z, weights = network_outputs(g, model, X)
    doubt = g("Add", doubt, _doubt(g, z))
    name, more = model._fitted_loss["name"], "Log" if logarithms else ""
    if name == "logistic" or (name == "logistic_squared" and model.n_outputs_ == 1):
        z = g("Concat", g("Neg", z), z, axis=2)
        each = log_logistic(g, z) if logarithms else g("Sigmoid", z)
    else:
        z = log_logistic(g, z) if name == "logistic_squared" else z
        each = g(f"{more}Softmax", z, axis=2)
    return g("Add", _average(g, each, weights, logarithms), doubt)


def _average(g, each, weights, logarithms):
    """Add the weighted mean of probabilities over the networks; of logarithms, its logarithm."""
    if not logarithms:
        return g("Min", g.sum(g("Mul", each, weights), 0), 1.0)
    top = g.max(each, 0)
    mean = g.sum(g("Mul", g("Exp", g("Sub", each, top)), weights), 0)
    return g("Min", g("Add", g("Log", mean), top), 0.0)


def convert_regressor(scope, operator, container):
    """Write the graph of a regressor."""
    g, model, X = _started(scope, operator, container)
    z, weights = network_outputs(g, model, X)
    doubt = g("Add", g.sum(g("Mul", X, 0.0), 1, keepdims=True), _doubt(g, z))
    if model._loss_of_fit.log_link:
        z = g("Exp", z)
        doubt = g("Add", doubt, _doubt(g, z))
    mean = g.sum(g("Mul", z, weights), 0)
    centre, scale = (np.reshape(part, (1, -1)) for part in (model._centre, model._scale))
    found = g("Add", g("Mul", mean, scale), centre)
    g("Add", found, doubt, output=operator.output_full_names[0])


def _started(scope, operator, container):
    """Return the graph, the model with host arrays, and the features in the graph's precision."""
    model = copy(operator.raw_operator).to_host()
    double = _type_of_results(operator) is DoubleTensorType
    g = Graph(scope, container, np.float64 if double else np.float32)
    number = [variable.get_second_dimension() for variable in operator.inputs]
    if all(isinstance(n, int) for n in number) and sum(number) != model.n_features_in_:
        raise ValueError(
            f"{type(model).__name__} has {model.n_features_in_} features, but initial_types, or "
            f"the steps before it, give {sum(number)}."
        )
    parts = [g.cast(variable.full_name, g.dtype) for variable in operator.inputs]
    return g, model, parts[0] if len(parts) == 1 else g("Concat", *parts, axis=1)


def _doubt(g, z):
    """Add 0 for samples whose outputs are all finite, else NaN, of shape (samples, 1)."""
    return g("Unsqueeze", g.sum(g("Mul", z, 0.0), 0, 2), np.array([1]))


def _halves(g, mean, number):
    """Add slices with the first `number` columns and the next `number` columns."""
    edges = [np.array([k * number]) for k in range(3)]
    return [g("Slice", mean, edges[k], edges[k + 1], np.array([1])) for k in range(2)]
