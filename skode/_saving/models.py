"""Saving fitted estimators in files, and loading them."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
from sklearn.exceptions import NotFittedError

from .._features import MAP_PARTS, FeatureMap
from .._version import __version__
from ..classifiers import FeedForwardClassifier, ODENetClassifier
from ..engine.arrays import to_host
from ..regressors import FeedForwardRegressor, ODENetRegressor
from .checks import check
from .files import opened, read, write
from .parts import ADAM, CANDIDATES, MAP, MOMENTS, VIEW_SIZES, tables
from .values import UnstorableError, decoded, encoded

__all__ = ["load", "save"]

ESTIMATORS = {
    cls.__name__: cls
    for cls in (ODENetClassifier, ODENetRegressor, FeedForwardClassifier, FeedForwardRegressor)
}
NAME, FORMAT = "skode", 1  # increase FORMAT when older versions would misread new files
# Attributes that scikit-learn adds to estimators, with the names that users know.
OF_SCIKIT_LEARN = {
    "_skl_callbacks": "the callbacks of set_callbacks",
    "_metadata_request": "the requests of set_fit_request",
}
KEYS = {"format", "format_version", "skode_version", "class", "parameters", "values"}


def save(model, path):
    """Save a fitted estimator in a file that holds nothing but numbers and text.

    The file is a ``.npz`` archive of uncompressed NumPy arrays, with parameters and other small
    values as JSON.  `load` reads it without executing anything in it, and later versions of skode
    will still read it.  A loaded model predicts exactly what the saved one predicts, to the last
    bit on the same machine, and its training can go on with `partial_fit` or
    ``warm_start=True``.

    Parameters
    ----------
    model : estimator
        A fitted `ODENetClassifier`, `ODENetRegressor`, `FeedForwardClassifier` or
        `FeedForwardRegressor`.  It is not changed.  Arrays on a GPU are stored as host arrays.
    path : path-like or binary file object
        Where to save it.  The file gets exactly this name: no suffix is added.  ``".npz"`` is
        recommended.  The file appears under this name only when it is complete; until then a file
        that was there before stays as it was.  An open file is simply written to.

    Raises
    ------
    TypeError
        If `model` is something else, such as a pipeline.
    NotFittedError
        If `model` is not fitted.
    ValueError
        If the fitted attributes do not fit together, or a parameter is not allowed.  Both can only
        happen if they have been changed after `fit`.

    Warns
    -----
    UserWarning
        If a parameter can only be stored by pickle, such as a function given as `scoring`, or a
        splitter of your own.  The file then contains the parameter's default.  Predictions do not
        depend on it, but set it again before you continue training.  Callbacks, metadata requests
        and attributes that you have added are left out, also with a warning.

    See Also
    --------
    load : Load the model again.

    Notes
    -----
    Everything that skode accepts as a scheme, loss, lift or class label can be stored, and so can
    splitters of scikit-learn that are given as `cv`.  The same model always gives the same bytes.

    The arrays can be read without skode: ``numpy.load(path)["K_"]``.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import skode
    >>> from skode.datasets import make_donut1d
    >>> X, y = make_donut1d(100, random_state=0)
    >>> model = skode.ODENetClassifier(random_state=0).fit(X, y)
    >>> with TemporaryDirectory() as folder:
    ...     skode.save(model, Path(folder) / "model.npz")
    ...     loaded = skode.load(Path(folder) / "model.npz")
    >>> np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    True
    """
    _require_estimator(model)
    model._validate_params()
    parameters, replaced = _parameters(model)
    arrays, values, left_out = _parts(model)
    try:
        check(type(model), arrays, values)
    except ValueError as error:
        raise ValueError(
            f"skode.save cannot store this {type(model).__name__}, since its attributes have been "
            f"changed after fit: {error}. Fit it again."
        ) from error
    metadata = {
        "format": NAME,
        "format_version": FORMAT,
        "skode_version": __version__,
        "class": type(model).__name__,
        "parameters": parameters,
        "values": {name: encoded(value) for name, value in values.items()},
    }
    write(path, metadata, arrays)
    _warn(type(model), replaced, left_out)


def load(path):
    """Load an estimator that was saved with `save`.

    Nothing in the file is executed, and everything in it is checked. A damaged or forged file gives
    an error, or a model whose arrays fit together but may hold wrong numbers. Loading takes about
    as much memory as the file is large.

    Parameters
    ----------
    path : path-like or binary file object
        The file that was saved.  A file object has to be seekable.

    Returns
    -------
    estimator
        The fitted estimator, with all its arrays in host memory.

    Raises
    ------
    ValueError
        If the file was not written by `save`, is damaged, or was written by a newer version of
        skode in a format that this version cannot read.
    OSError
        If the file cannot be read, for example `FileNotFoundError`.

    See Also
    --------
    save : Save a fitted estimator.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import skode
    >>> from skode.datasets import make_donut1d
    >>> X, y = make_donut1d(100, random_state=0)
    >>> model = skode.ODENetClassifier(random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     skode.save(model, Path(folder) / "model.npz")
    ...     loaded = skode.load(Path(folder) / "model.npz")
    >>> bool((loaded.predict(X) == model.predict(X)).all())
    True
    """
    with opened(path) as (file, name):
        try:
            metadata, arrays = read(file, _check_format)
            return _estimator(metadata, arrays)
        except (ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"skode.load cannot read {name}: {error}.") from error


def _require_estimator(model):
    if hasattr(model, "to_local"):
        raise TypeError(f"{type(model).__name__} cannot be stored itself. Store its to_local().")
    if type(model) not in ESTIMATORS.values():
        raise TypeError(
            f"skode.save stores {', '.join(ESTIMATORS)}, but this is {type(model).__name__}. Store "
            "pipelines, searches and classes of your own with joblib.dump or skops.io.dump; or "
            "convert a pipeline with skode.to_onnx."
        )
    if not hasattr(model, "K_"):
        raise NotFittedError(
            f"skode.save stores fitted estimators, but this {type(model).__name__} is not fitted "
            "yet. Call fit first."
        )


def _parameters(model):
    """Return the parameters as JSON, and those that cannot be stored."""
    parameters, replaced = {}, {}
    for name, value in model.get_params(deep=False).items():
        try:
            parameters[name] = encoded(value)
        except UnstorableError:
            replaced[name] = value
    return parameters, replaced


def _parts(model):
    """Return the fitted attributes: arrays, other values, and the names of attributes left out."""
    given = dict(vars(model))
    for name in model.get_params(deep=False):
        del given[name]
    feature_map = given.pop("feature_map_")
    given[VIEW_SIZES] = [list(pair) for pair in feature_map.sizes]
    given |= {MAP + name: getattr(feature_map, name) for name in MAP_PARTS}
    given |= {CANDIDATES + key: value for key, value in given.pop("candidates_", {}).items()}
    for view, moments in given.pop("_adam", {}).items():
        names = (f"{ADAM}{view}.{name}" for name in MOMENTS)
        given |= zip(names, moments, strict=True)
    table_of_arrays, table_of_values = tables(type(model))
    in_arrays = [name for name in table_of_arrays if name in given]
    arrays = {name: np.asarray(to_host(given.pop(name))) for name in in_arrays}
    if "classes_" in arrays and arrays["classes_"].dtype == object:  # text
        given["classes_"] = arrays.pop("classes_")
    in_values = [name for name in table_of_values if name in given]
    values = {name: _plain(given.pop(name)) for name in in_values}
    return arrays, values, list(given)


def _plain(value):
    """Convert a NumPy scalar to a Python number."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _warn(cls, replaced, left_out):
    """Warn about parts that the file does not contain."""
    for name, value in replaced.items():
        default = inspect.signature(cls).parameters[name].default
        warnings.warn(
            f"{name}={value!r} can only be stored by pickle. The file has the default, "
            f"{name}={default!r}; predictions do not depend on it. Before you train a loaded model "
            f"further, set it again: model.set_params({name}=...).",
            UserWarning,
            stacklevel=3,
        )
    if left_out:
        names = (OF_SCIKIT_LEARN.get(name, f"the attribute {name}") for name in left_out)
        warnings.warn(
            f"skode.save left out {', '.join(names)}. Predictions do not depend on them.",
            UserWarning,
            stacklevel=3,
        )


def _check_format(metadata):
    """Raise a ValueError unless this version of skode can read files with such metadata."""
    if not isinstance(metadata, dict) or metadata.get("format") != NAME:
        raise ValueError("it was not written by skode.save")
    number, writer = metadata.get("format_version"), metadata.get("skode_version")
    if type(number) is not int or number < 1 or not isinstance(writer, str):
        raise ValueError("it does not record the version of skode that wrote it")
    if number > FORMAT:
        raise ValueError(
            f"skode {writer} wrote it in format {number}, but skode {__version__} only reads "
            f"formats up to {FORMAT}. Install a newer skode"
        )
    if metadata.keys() != KEYS:
        names = ", ".join(sorted(metadata.keys() ^ KEYS))
        raise ValueError(f"its metadata are not those of format {number}: {names}")


def _estimator(metadata, arrays):
    """Create the estimator that a file describes."""
    cls = ESTIMATORS.get(str(metadata["class"]))
    if cls is None:
        raise ValueError(f"skode has no estimator {metadata['class']!r}")
    for part in ("parameters", "values"):
        if not isinstance(metadata[part], dict):
            raise ValueError(f"its {part} are damaged")
    parameters, values = (
        {name: decoded(value) for name, value in metadata[part].items()}
        for part in ("parameters", "values")
    )
    if unknown := parameters.keys() - inspect.signature(cls).parameters.keys():
        raise ValueError(f"{cls.__name__} has no parameters {', '.join(sorted(unknown))}")
    model = cls(**parameters)
    model._validate_params()
    check(cls, arrays, values)
    for name, value in _attributes(arrays, values).items():
        setattr(model, name, value)
    return model


def _attributes(arrays, values):
    """Return the fitted attributes from the checked parts of a file."""
    found = {}
    for name, array in arrays.items():
        if name.startswith(CANDIDATES):
            found.setdefault("candidates_", {})[name.removeprefix(CANDIDATES)] = array
        elif name.startswith(ADAM):
            view = name.removeprefix(ADAM).split(".")[0]
            moments = tuple(arrays[f"{ADAM}{view}.{moment}"] for moment in MOMENTS)
            found.setdefault("_adam", {})[view] = moments
        elif not name.startswith(MAP):
            found[name] = array
    parts = [arrays[MAP + name] for name in MAP_PARTS]
    found["feature_map_"] = FeatureMap.of_parts(
        values["n_features_in_"], values.pop(VIEW_SIZES), parts
    )
    for name, value in values.items():
        is_text = name in ("classes_", "feature_names_in_")
        found[name] = np.array(value, dtype=object) if is_text else value
    return found
