"""Export to ONNX, which runs without Python, skode and scikit-learn.

It needs the packages that ``pip install 'skode[onnx]'`` installs.  They are imported when a
function of this module is called.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

__all__ = ["register_converters"]  # to_onnx is exported by the package skode

# The opset that every onnxruntime since 1.14 supports.
TARGET_OPSET = {"": 18, "ai.onnx.ml": 3}


def register_converters():
    """Make the four estimators known to skl2onnx.

    `to_onnx` does this itself.  Call it once before you use ``skl2onnx.to_onnx`` or
    ``skl2onnx.convert_sklearn`` on something that contains an estimator of skode.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import skl2onnx
    >>> import skode.onnx
    >>> from skode import ODENetRegressor
    >>> X = np.linspace(-2, 2, 50, dtype=np.float32)[:, None]
    >>> model = ODENetRegressor(random_state=0).fit(X, X[:, 0] ** 2)
    >>> skode.onnx.register_converters()
    >>> skl2onnx.to_onnx(model, X).graph.name
    'ONNX(ODENetRegressor)'
    """
    _imported("skl2onnx", "skode.onnx.register_converters")
    import_module(f"{__name__}._converters").register()


def to_onnx(
    model,
    X=None,
    *,
    initial_types=None,
    dtype=None,
    zipmap=False,
    target_opset=None,
    options=None,
    name=None,
):
    """Convert a fitted estimator, or a pipeline that contains one, to an ONNX model.

    The outputs of the graph are those of `predict` and `predict_proba`.  A classifier has two
    outputs, the labels and the probabilities; a regressor has one, of shape (n_samples,
    n_targets).

    Explicit schemes become the same operations as in skode.  The stage equations of implicit
    schemes are solved in the graph by an iteration that is known to converge for every sample
    [1]_; see Notes.

    Parameters
    ----------
    model : estimator
        A fitted classifier or regressor of skode; or a fitted pipeline, search or ensemble of
        scikit-learn that skl2onnx can convert and that contains one.
    X : array-like of shape (n_samples, n_features), default=None
        Samples, for example those that the model was fitted to.  The types of the inputs are taken
        from them, and the first 1000 of them are run through the graph and through the model; there
        is a warning if the results differ.  A pipeline that begins with a ColumnTransformer needs X
        or `initial_types`.
    initial_types : list of tuple (str, type), default=None
        Names and types of the inputs, as for ``skl2onnx.to_onnx``.  None means one input "X" of
        shape (n_samples, n_features).  If X is a data frame and `model` is not an estimator of
        skode, it means one input of shape (n_samples, 1) for every column.
    dtype : {np.float32, np.float64}, default=None
        Type of the inputs that are floating-point numbers, and so the precision of the graph.  None
        means the type of the numbers in X if X is given, and else the precision in which the model
        was fitted, which is float64 unless X was float32.  With float32 the graph is half as large
        and about twice as fast, and probabilities change by about 1e-7.
    zipmap : bool or "columns", default=False
        How probabilities are returned: False is an array of shape (n_samples, n_classes), True a
        list of dictionaries {class: probability}, and "columns" one output for every class.
    target_opset : int or dict, default=None
        Version of the operators, at least 13.  None means 18, which onnxruntime can run since its
        version 1.14.
    options : dict, default=None
        Further options of converters, ``{id(estimator) or type: {option: value}}``, as for
        ``skl2onnx.to_onnx``.
    name : str, default=None
        Name of the graph.

    Returns
    -------
    onnx.ModelProto
        The model.  ``.SerializeToString()`` gives the bytes that belong in a file.

    Raises
    ------
    ImportError
        If skl2onnx is not installed, or onnxruntime where X is given.
    NotFittedError
        If the model is not fitted.
    TypeError
        If `model` is not an estimator of scikit-learn.
    ValueError
        If a parameter is not as described; if the classes are neither integers nor strings
        (booleans and floats that are whole numbers become integers); if onnxruntime does not run
        the graph; or if the iteration for the stage equations of an implicit scheme may not
        converge, which is impossible with ``stage_guard="bound"``, or would take more than 3000
        steps.

    Warns
    -----
    UserWarning
        If the graph gives other results for X than the model, by more than 1e-5 in float32 or 1e-10
        in float64, relative to the largest result or 1.

    Notes
    -----
    An ONNX model cannot raise errors.  Where `predict` raises an error because a sample has
    entries that are not finite, or because the network overflows, the graph gives NaN for the
    probabilities or the prediction; the label is then meaningless.

    ONNX cannot solve linear equations, so there is no Newton's method.  With Z = K Y + b, the stage
    equations are Z = c + W σ(Z).  Every activation σ has slopes between 0 and 1.  So they can also
    be written Z = q + P R(Z), where R(Z) = 2σ(Z) - Z never increases a distance, and P = (I -
    W/2)⁻¹ W/2 and q = (I - W/2)⁻¹ c.  These inverses are computed at conversion.  Each step Z ← q +
    P R(Z) of the graph shrinks the error at least by the factor ρ = ‖P‖, which has to be below 1.
    The number of steps that bring the error below the rounding error follows from ρ.  The graph
    stops earlier if no stage changes by more than four roundings; two more steps follow even then.

    References
    ----------
    .. [1] E. Winston, J. Z. Kolter, "Monotone operator equilibrium networks" (NeurIPS 2020).

    Examples
    --------
    >>> import numpy as np
    >>> import onnxruntime
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skode import ODENetClassifier, to_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), ODENetClassifier(random_state=0)).fit(X, y)
    >>> graph = to_onnx(model, X)
    >>> session = onnxruntime.InferenceSession(graph.SerializeToString())
    >>> label, probabilities = session.run(None, {"X": X})
    >>> bool((label == model.predict(X)).all())
    True
    >>> bool(np.abs(probabilities - model.predict_proba(X)).max() < 1e-12)
    True
    """
    skl2onnx = _imported("skl2onnx", "skode.to_onnx")
    if not isinstance(model, BaseEstimator):
        raise TypeError(f"model must be a fitted estimator; got {model!r}.")
    check_is_fitted(model)
    if dtype is not None and np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype must be np.float32, np.float64 or None; got {dtype!r}.")
    if zipmap not in (True, False, "columns"):
        raise ValueError(f"zipmap must be True, False or 'columns'; got {zipmap!r}.")
    register_converters()
    while hasattr(model, "best_estimator_"):
        model = model.best_estimator_
    request = import_module(f"{__name__}._request")
    if initial_types is None:
        initial_types = request.input_types(model, X, dtype)
    graph = skl2onnx.to_onnx(
        model,
        initial_types=initial_types,
        target_opset=TARGET_OPSET if target_opset is None else target_opset,
        options=request.options_of(model, zipmap, options),
        name=name,
    )
    if X is not None:
        _imported("onnxruntime", "skode.to_onnx with X")
        import_module(f"{__name__}._check").compare(model, graph, X)
    return graph


def _imported(package, function):
    """Import a package of the extra, which `function` needs."""
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{function} needs {package}, which cannot be imported ({error}). "
            "Install it with: pip install 'skode[onnx]'"
        ) from error
