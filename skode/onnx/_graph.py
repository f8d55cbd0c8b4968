"""A graph of ONNX, written node by node into the container of skl2onnx."""

from __future__ import annotations

import numpy as np
from onnx import helper, numpy_helper

OLDEST_OPSET = 13  # since this version the axes of ReduceSum and Unsqueeze are inputs


class Graph:
    """Writes nodes and constants in one precision.

    Calling it adds a node and returns the name of its output: ``g("Add", x, 1.0)``.  Inputs are
    names, and numbers or arrays that become constants.

    Parameters
    ----------
    scope, container : Scope, ModelComponentContainer
        The arguments of a converter of skl2onnx.
    dtype : {np.float32, np.float64}
        The precision.

    Raises
    ------
    ValueError
        If the opset is older than 13.
    """

    def __init__(self, scope, container, dtype):
        self._opset = container.target_opset_any_domain("")
        if self._opset < OLDEST_OPSET:
            raise ValueError(
                f"skode needs opset {OLDEST_OPSET} of ONNX or a later one, but target_opset is "
                f"{self._opset}."
            )
        self.dtype = np.dtype(dtype)
        self._scope, self._container = scope, container
        self._constants = {}
        self._body = None  # the nodes of the body of a loop, while it is written

    def __call__(self, op_type, *inputs, output=None, **attributes):
        output = output or self._name(op_type)
        self._add(op_type, inputs, [output], attributes)
        return output

    def constant(self, values):
        """Add a constant and return its name.

        `values` are floats, which get the precision of the graph, integers or booleans, or an
        object array of strings.
        """
        values = np.asarray(values)
        if values.dtype.kind == "f":
            values = values.astype(self.dtype)
        strings = values.dtype == object
        key = (values.dtype, values.shape, tuple(values) if strings else values.tobytes())
        if key not in self._constants:
            name, tensor = self._name("constant"), numpy_helper.from_array(values)
            self._constants[key] = name
            if strings:  # skl2onnx copies only numbers out of a tensor
                content = list(tensor.string_data)
                self._container.add_initializer(name, tensor.data_type, values.shape, content)
            else:
                self._container.add_initializer(name, None, None, tensor)
        return self._constants[key]

    def sum(self, x, *axes, keepdims=False):
        """Add a sum over some axes."""
        return self("ReduceSum", x, np.array(axes), keepdims=int(keepdims))

    def max(self, x, axis):
        """Add a maximum over an axis."""
        if self._opset < 18:
            return self("ReduceMax", x, axes=[axis], keepdims=0)
        return self("ReduceMax", x, np.array([axis]), keepdims=0)

    def cast(self, x, dtype, output=None):
        """Add a conversion to another type."""
        return self("Cast", x, output=output, to=_code(dtype))

    def repeat(self, most, x, fixed, shapes, step):
        """Add a loop of steps x ← step(x, fixed), which continues while a step requests it.

        skl2onnx sorts nodes by their inputs and does not look into loops.  So everything else that
        the step uses has to be constant, or an input of the computation of x.

        Parameters
        ----------
        most : int
        x, fixed : str
            The start, and a value that is the same in every step.
        shapes : pair of lists
            The shapes of these; None is an unknown length.
        step : callable (str, str) -> (str, str)
            Adds a step, and returns the names of the new x and of a boolean: whether to continue.

        Returns
        -------
        str
            The last x.
        """
        names = [self._name(part) for part in ("count", "go_on", "state", "fixed")]
        codes = [_code(dtype) for dtype in (np.int64, bool, self.dtype, self.dtype)]
        infos = [[], [], *shapes]
        given = list(map(helper.make_tensor_value_info, names, codes, infos))
        self._body = []
        try:
            new, go_on = step(*names[2:])
            results = [go_on, new, self("Identity", names[3])]
            nodes = self._body
        finally:
            self._body = None
        made = list(map(helper.make_tensor_value_info, results, codes[1:], infos[1:]))
        body = helper.make_graph(nodes, self._name("body"), given, made)
        outputs = [self._name("last"), self._name("fixed")]
        self._add("Loop", [np.array(most), np.array(True), x, fixed], outputs, {"body": body})
        return outputs[0]

    def _add(self, op_type, inputs, outputs, attributes):
        inputs = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        name = self._scope.get_unique_operator_name(op_type)
        if self._body is None:
            self._container.add_node(op_type, inputs, outputs, name=name, **attributes)
        else:
            self._body.append(helper.make_node(op_type, inputs, outputs, name, **attributes))

    def _name(self, what):
        return self._scope.get_unique_variable_name(f"skode_{what.lower()}")


def _code(dtype):
    """Return the ONNX code of a NumPy type."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
