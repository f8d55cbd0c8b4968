"""ONNX graphs, run by onnxruntime, have the same outputs as the estimators."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import StackingRegressor, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import skode.onnx
from skode import (
    FeedForwardClassifier,
    FeedForwardRegressor,
    ODENetClassifier,
    ODENetRegressor,
    to_onnx,
)
from skode.engine.schemes import TABLEAUX
from tests.estimators import blobs, curve, short

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
skl2onnx = pytest.importorskip("skl2onnx")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

BOUNDS = {np.float64: 1e-12, np.float32: 1e-6}
# Two views of the features with two folds each and different weights; every layer of every network
# has a different step.
SEVERAL = {
    "lift": "nonlinear",
    "features": "both",
    "cv": 2,
    "learn_step": True,
    "h": 0.5,
    "solver": "lbfgs",
    "max_iter": 8,
}


@pytest.fixture(autouse=True)
def _every_candidate_counts(monkeypatch):
    def increasing(loss, predictions):
        weights = np.arange(1.0, 1 + len(predictions))
        return weights / weights.sum()

    monkeypatch.setattr("skode._candidates.greedy_weights", increasing)


def several(cls, **parameters):
    return short(cls, **{**SEVERAL, **parameters})


def run(graph, X):
    """Return the outputs of a graph after checking it with ONNX."""
    onnx.checker.check_model(graph, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # other tests run in parallel
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    if hasattr(X, "columns"):
        return session.run(None, {name: X[[name]].to_numpy() for name in X.columns})
    return session.run(None, {"X": X})


def assert_same(model, X, **parameters):
    """Check that labels and probabilities, or predictions, are equal up to rounding."""
    dtype = X.dtype.type
    results = run(to_onnx(model, X, **parameters), X)
    if hasattr(model, "predict_proba"):
        label, proba = results
        np.testing.assert_array_equal(label, model.predict(X))
        expected = model.predict_proba(X)
    else:
        (proba,) = results
        expected = np.reshape(model.predict(X), (len(X), -1))
    assert proba.dtype == dtype
    assert proba.shape == expected.shape
    # Probabilities are at most 1; predictions are in the units of the targets.
    size = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(proba, expected, rtol=0, atol=BOUNDS[dtype] * size)


def operators(graph):
    return [node.op_type for node in graph.graph.node]


# --- equal to the estimators


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("scheme", TABLEAUX)
def test_every_scheme(scheme, dtype):
    X, y = blobs(3)
    X = X.astype(dtype)
    model = several(ODENetClassifier, scheme=scheme, activation="tanh").fit(X, y)
    assert_same(model, X)
    loops = operators(to_onnx(model)).count("Loop")
    implicit = sum(not block.explicit for block in TABLEAUX[scheme].blocks)
    assert loops == implicit * model.K_.shape[1]


@pytest.mark.parametrize("scheme", ["heun", "trapezoid", "gauss4"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus", "identity", "mixed"])
@pytest.mark.parametrize(
    ("lift", "features"),
    [("nonlinear", "both"), ("linear", "both"), ("pad", "given"), ("pad", "piecewise")],
)
def test_every_lift_and_activation(lift, features, activation, scheme):
    X, y = blobs(n_features=2)
    parameters = {"lift": lift, "features": features, "activation": activation, "scheme": scheme}
    model = several(ODENetClassifier, **parameters, n_channels=17).fit(X, y)
    assert_same(model, X)
    assert_same(model, X.astype(np.float32))
    if activation == "identity":  # the equations are linear
        assert "Loop" not in operators(to_onnx(model))


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("cls", [ODENetClassifier, FeedForwardClassifier])
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("n_classes", [1, 2, 4])
def test_every_loss_of_classifiers(n_classes, loss, cls, dtype):
    X, y = blobs(n_classes)
    X = X.astype(dtype)
    model = several(cls, loss=loss).fit(X, y)
    assert_same(model, X)
    assert_same(model, X[:1])


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("cls", [ODENetClassifier, FeedForwardClassifier])
def test_several_labels(cls, dtype):
    X, _ = blobs(n_samples=80)
    X = X.astype(dtype)
    Y = (X > [0, 0.5, -0.5]).astype(int)
    assert_same(several(cls).fit(X, Y), X)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("cls", [ODENetRegressor, FeedForwardRegressor])
@pytest.mark.parametrize("n_targets", [None, 1, 3])
@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "quantile", "poisson"]
)
def test_every_loss_of_regressors(loss, n_targets, cls, dtype):
    X, y = curve(n_targets=n_targets)
    X = X.astype(dtype)
    y = np.exp(y) if loss == "poisson" else 3 - y / 2
    more = {"quantile": 0.8} if loss == "quantile" else {}
    assert_same(several(cls, loss=loss, **more).fit(X, y), X)


def test_networks_of_both_views_in_any_order():
    X, y = curve()
    model = several(ODENetRegressor).fit(X, y)
    assert model.network_features_ == ["given", "given", "piecewise", "piecewise"]
    assert len(set(model.network_weights_)) == 2
    assert_same(model, X)
    order = [2, 0, 3, 1]
    for name in ("K_", "b_", "h_", "W_", "mu_", "V_", "nu_", "network_weights_"):
        setattr(model, name, getattr(model, name)[order])
    model.network_features_ = ["piecewise", "given", "piecewise", "given"]
    assert_same(model, X)


@pytest.mark.parametrize("scheme", ["euler", "implicit_euler"])
def test_idle_layers_are_left_out(scheme):
    X, y = blobs()
    model = several(ODENetClassifier, scheme=scheme, N=4, features="given").fit(X, y)
    before = len(to_onnx(model).SerializeToString())
    model.h_[:, 1] = model.h_[0, 2] = 0.0
    assert_same(model, X)
    assert len(to_onnx(model).SerializeToString()) < before


def test_a_scheme_of_the_users_own():
    X, y = blobs()
    A = [[0, 0, 0], [1 / 4, 1 / 4, 0], [0, 1, 0]]
    model = several(ODENetClassifier, scheme=(A, [1 / 6, 2 / 3, 1 / 6], [0, 1 / 2, 1])).fit(X, y)
    assert_same(model, X)


def test_sparse_features_are_dense_in_the_graph():
    X, y = blobs()
    X[X < 0.3] = 0.0
    model = several(ODENetClassifier, features="given").fit(csr_array(X), y)
    label, proba = run(to_onnx(model, csr_array(X)), X)
    np.testing.assert_allclose(proba, model.predict_proba(X), rtol=0, atol=1e-12)
    pipeline = make_pipeline(StandardScaler(with_mean=False), model).fit(csr_array(X), y)
    label, proba = run(to_onnx(pipeline, csr_array(X)), X)
    np.testing.assert_allclose(proba, pipeline.predict_proba(X), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(label, pipeline.predict(X))


# --- implicit stages


def turning(strength, scheme, activation="tanh"):
    """Return a fitted network whose K is replaced by fast rotation with weak contraction."""
    X, y = blobs(n_features=4, n_samples=200)
    model = short(ODENetClassifier, scheme=scheme, activation=activation, max_iter=3).fit(X, y)
    turn = np.random.default_rng(0).normal(size=model.K_.shape)
    turn -= np.swapaxes(turn, -1, -2)
    turn /= np.linalg.norm(turn, 2, axis=(-2, -1), keepdims=True)
    model.K_ = strength * turn - 0.3 * np.eye(4)
    return model, X


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("scheme", ["implicit_euler", "implicit_midpoint", "gauss4", "radau_iia5"])
@pytest.mark.parametrize("activation", ["relu", "softplus", "mixed"])
def test_stages_that_plain_iteration_would_not_find(activation, scheme, dtype):
    model, X = turning(2.5, scheme, activation)
    for block in TABLEAUX[scheme].blocks:  # h = 1
        assert np.linalg.norm(np.kron(block.A, model.K_[0, 0]), 2) > 1.25
    graph = to_onnx(model, dtype=dtype)
    assert "Loop" in operators(graph)
    _, proba = run(graph, X.astype(dtype))
    np.testing.assert_allclose(proba, model.predict_proba(X), rtol=0, atol=BOUNDS[dtype])


def test_a_sample_that_is_not_finite_does_not_end_the_iteration_of_the_others():
    model, X = turning(4.0, "implicit_midpoint")
    expected = model.predict_proba(X)
    X[5, 0], expected[5] = np.nan, np.nan
    _, proba = run(to_onnx(model), X)
    np.testing.assert_allclose(proba, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("guard", ["bound", "reject"])
def test_what_bounded_stages_allow_is_always_exported(guard):
    X, y = blobs(n_samples=40)
    model = several(ODENetRegressor, scheme="gauss6", stage_guard=guard, h=2.0, max_iter=80)
    model.fit(X, 10 * (y - 0.5) * X[:, 0])
    if guard == "bound":
        assert_same(model, X)
    model.K_ = 20 * np.abs(model.K_)
    with pytest.raises(
        ValueError, match=r"ODENetRegressor cannot be converted to ONNX: .*by up to \d"
    ):
        to_onnx(model)


def test_an_iteration_that_takes_too_long_is_refused():
    model, _ = turning(1000.0, "implicit_midpoint")
    with pytest.raises(ValueError, match=r"may need \d+ steps per layer.*explicit scheme"):
        to_onnx(model)


def test_a_singular_matrix_is_refused():
    X, y = blobs()
    model = short(ODENetClassifier, scheme="implicit_euler", activation="identity", max_iter=2)
    model.fit(X, y)
    model.K_ = np.zeros_like(model.K_) + np.eye(4)
    with pytest.raises(ValueError, match="singular"):
        to_onnx(model)


# --- NaN in place of errors


@pytest.mark.parametrize("scheme", ["euler", "implicit_midpoint"])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_where_predict_raises_the_graph_gives_nan(dtype, scheme):
    X, y = blobs()
    X = X.astype(dtype)
    classes = short(ODENetClassifier, scheme=scheme, activation="relu", max_iter=5).fit(X, y)
    numbers = short(ODENetRegressor, scheme=scheme, loss="poisson", max_iter=5).fit(X, y)
    bad = X[:6].copy()
    bad[1, 0], bad[2, 1], bad[3, 2] = np.nan, np.inf, -np.inf
    classes.mu_[:] += 0.0
    _, proba = run(to_onnx(classes), bad)
    (mean,) = run(to_onnx(numbers), bad)
    for found, expected in ((proba, classes.predict_proba), (mean, numbers.predict)):
        assert np.isnan(found[1:4]).all()
        good = np.r_[0, 4, 5]
        np.testing.assert_allclose(
            found[good].squeeze(), expected(X[good]).squeeze(), rtol=0, atol=BOUNDS[dtype]
        )
    for model in (classes, numbers):  # finite features, but overflowing outputs
        model.W_[:] = np.finfo(dtype).max
        with pytest.raises(ValueError, match="not finite"):
            model.predict(X)
        assert np.isnan(run(to_onnx(model), X)[-1]).any()


# --- classes


@pytest.mark.parametrize("zipmap", [False, True, "columns"])
@pytest.mark.parametrize(
    "names",
    [
        np.array([3, -2, 7]),
        np.array([0, 200, 100], dtype=np.uint8),
        np.array(["ä", "b c", ""]),
        np.array(["x", "yy", "z"], dtype=object),
        np.array([0.0, 1.0, 2.0]),
        np.array([False, True]),
    ],
    ids=lambda names: str(names.dtype),
)
def test_names_of_classes(names, zipmap):
    X, y = blobs(len(names))
    model = short(ODENetClassifier, max_iter=3).fit(X, names[y])
    label, *proba = run(to_onnx(model, X, zipmap=zipmap), X)
    whole = names.dtype.kind not in "UO"
    assert label.dtype == (np.int64 if whole else object)
    expected, classes = model.predict(X), model.classes_.astype(int if whole else object)
    np.testing.assert_array_equal(label, expected.astype(classes.dtype))
    if zipmap is True:
        assert list(proba[0][0]) == classes.tolist()
        proba = [[row[name] for row in proba[0]] for name in classes]
    proba = proba[0] if zipmap is False else np.transpose(proba)
    bound = 1e-6 if zipmap is True else 1e-12  # dictionaries of ONNX contain float32
    np.testing.assert_allclose(proba, model.predict_proba(X), rtol=0, atol=bound)


@pytest.mark.parametrize("zipmap", [False, True])
@pytest.mark.parametrize(
    "names",
    [
        np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]"),
        np.array([1, "a"], dtype=object),
        np.array([0, 2**63], dtype=np.uint64),
    ],
    ids=lambda names: str(names.dtype),
)
def test_classes_that_onnx_does_not_have(names, zipmap):
    X, y = blobs()
    model = short(ODENetClassifier, max_iter=3)
    model.fit(X, y)
    model.classes_ = names
    with pytest.raises(
        ValueError, match="ODENetClassifier cannot be converted to ONNX with the classes"
    ):
        to_onnx(model, zipmap=zipmap)


def test_numbers_in_place_of_classes():
    X, y = blobs(3)
    model = short(ODENetClassifier, max_iter=3).fit(X, np.array(["a", "b", "c"])[y])
    graph = to_onnx(model, options={id(model): {"nocl": True}})
    label, _ = run(graph, X)
    np.testing.assert_array_equal(model.classes_[label], model.predict(X))


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_raw_scores_are_those_of_decision_function(n_classes, dtype, loss):
    X, y = blobs(n_classes)
    X = X.astype(dtype)
    model = several(ODENetClassifier, loss=loss).fit(X, y)
    model.W_ *= 20  # for probabilities near zero and one
    label, scores = run(to_onnx(model, options={id(model): {"raw_scores": True}}), X)
    expected = model.decision_function(X)
    assert np.abs(expected).max() > 15
    if n_classes == 2:
        np.testing.assert_array_equal(scores[:, 0], -scores[:, 1])
        scores = scores[:, 1]
    np.testing.assert_allclose(scores, expected, rtol=20 * BOUNDS[dtype], atol=20 * BOUNDS[dtype])
    np.testing.assert_array_equal(label, model.predict(X))


# --- pipelines, searches, ensembles


def table(n=80):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "size": rng.normal(5, 2, n),
            "count": rng.integers(0, 9, n),
            "colour": rng.choice(np.array(["red", "green", "blue"], dtype=object), n),
        }
    )
    return X, np.where(X["size"] + 2 * (X["colour"] == "red") > 5.5, "yes", "no")


@pytest.mark.parametrize("dtype", [None, np.float32])
def test_a_table_of_mixed_types(dtype):
    X, y = table()
    columns = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["colour"]), (StandardScaler(), ["size", "count"])
    )
    model = make_pipeline(columns, several(ODENetClassifier)).fit(X, y)
    with pytest.raises(ValueError, match="to_onnx needs X"):
        to_onnx(model)
    graph = to_onnx(model, X, dtype=dtype)
    feed = X.astype({"size": dtype or np.float64})
    label, proba = run(graph, feed)
    np.testing.assert_allclose(proba, model.predict_proba(X), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(label, model.predict(X))


def test_columns_that_skl2onnx_gives_other_names():
    X, y = table()
    X = X.rename(columns={"size": "mean size", "count": "mean/size"})
    columns = make_column_transformer((StandardScaler(), ["mean size", "mean/size"]))
    model = make_pipeline(columns, several(ODENetClassifier)).fit(X, y)
    graph = to_onnx(model, X)  # runs the graph, and would warn of other results
    names = [part.name for part in graph.graph.input]
    assert names == ["mean_size", "mean_size1", "colour"]
    label, _ = run(graph, X.set_axis(names, axis=1))
    np.testing.assert_array_equal(label, model.predict(X))


@pytest.mark.parametrize("dtype", BOUNDS)
def test_pipelines_and_searches(dtype):
    X, y = blobs(3)
    X = 100 + 10 * X
    X = X.astype(dtype)
    pipeline = make_pipeline(StandardScaler(), several(ODENetClassifier))
    assert_same(pipeline.fit(X, y), X)
    assert_same(GridSearchCV(pipeline, {"odenetclassifier__N": [2]}, cv=2).fit(X, y), X)
    assert_same(make_pipeline(StandardScaler(), several(ODENetRegressor)).fit(X, y), X)


def test_ensembles():
    X, y = blobs(3)
    network = short(ODENetClassifier, max_iter=5)
    scaled = make_pipeline(StandardScaler(), network)
    assert_same(CalibratedClassifierCV(network, cv=2).fit(X, y), X)
    voting = VotingClassifier(
        [("a", network), ("b", scaled)], voting="soft", flatten_transform=False
    )
    assert_same(voting.fit(X, y), X)
    stacked = StackingRegressor([("a", short(ODENetRegressor, max_iter=5))], cv=2)
    assert_same(stacked.fit(X, y), X)


def test_skl2onnx_converts_after_the_registration():
    X, y = blobs()
    model = make_pipeline(StandardScaler(), several(ODENetClassifier)).fit(X, y)
    skode.onnx.register_converters()
    graph = skl2onnx.to_onnx(model, X, options={"zipmap": False})
    label, proba = run(graph, X)
    np.testing.assert_array_equal(label, model.predict(X))
    np.testing.assert_allclose(proba, model.predict_proba(X), rtol=0, atol=1e-12)
    dictionaries = run(skl2onnx.to_onnx(model, X), X)[1]  # the default of skl2onnx
    assert list(dictionaries[0]) == [0, 1]
    several_inputs = pd.DataFrame(X, columns=["a", "b", "c"])
    network = several(ODENetClassifier).fit(several_inputs, y)
    label, proba = run(
        skl2onnx.to_onnx(network, several_inputs, options={"zipmap": False}), several_inputs
    )
    np.testing.assert_allclose(proba, network.predict_proba(several_inputs), rtol=0, atol=1e-12)


# --- types and versions


def test_the_precision_is_that_of_the_fit_unless_it_is_chosen():
    X, y = blobs()
    double = short(ODENetClassifier, max_iter=3).fit(X, y)
    single = short(ODENetClassifier, max_iter=3).fit(X.astype(np.float32), y)

    def type_of(*args, **parameters):
        (given,) = to_onnx(*args, **parameters).graph.input
        tensor = given.type.tensor_type
        assert [dim.dim_value for dim in tensor.shape.dim] == [0, 3]
        return onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)

    assert type_of(double) == type_of(double, X) == type_of(double, X.tolist()) == np.float64
    assert type_of(make_pipeline(double)) == np.float64
    assert type_of(single) == type_of(make_pipeline(single)) == np.float32
    assert type_of(double, X.astype(np.float32)) == np.float32
    assert type_of(double, dtype=np.float32) == type_of(double, X, dtype=np.float32) == np.float32
    assert type_of(make_pipeline(double), X, dtype="float32") == np.float32
    assert type_of(double, pd.DataFrame(X).to_numpy().round().astype(int)) == np.float64
    types = [("X", skl2onnx.common.data_types.FloatTensorType([None, 3]))]
    assert type_of(double, initial_types=types) == np.float32
    types = [("X", skl2onnx.common.data_types.FloatTensorType([None, 4]))]
    with pytest.raises(ValueError, match=r"ODENetClassifier has 3 features, but .* give 4"):
        to_onnx(double, initial_types=types)


def test_integers_are_taken_too():
    X, y = blobs()
    X = np.round(4 * X).astype(np.int64)
    model = make_pipeline(several(ODENetClassifier)).fit(X, y)
    label, proba = run(to_onnx(model, X), X)
    np.testing.assert_array_equal(label, model.predict(X))
    np.testing.assert_allclose(proba, model.predict_proba(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
@pytest.mark.parametrize("raw", [False, True])
def test_versions_of_the_operators(opset, raw):
    X, y = blobs()
    model = several(ODENetClassifier, scheme="trapezoid").fit(X, y)
    graph = to_onnx(model, target_opset=opset, options={id(model): {"raw_scores": raw}})
    assert versions(graph)[""] == opset
    expected = model.decision_function(X) if raw else model.predict_proba(X)[:, 1]
    np.testing.assert_allclose(run(graph, X)[1][:, 1], expected, rtol=0, atol=1e-11)


def versions(graph):
    return {part.domain: part.version for part in graph.opset_import}


def test_the_version_by_default_is_one_that_runs_everywhere():
    X, y = blobs()
    model = make_pipeline(StandardScaler(), short(ODENetClassifier, max_iter=2)).fit(X, y)
    found = versions(to_onnx(model, zipmap=True))
    assert found[""] == 18
    assert found["ai.onnx.ml"] <= 3


def test_an_old_version_is_refused():
    X, y = blobs()
    model = short(ODENetClassifier, max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match=r"opset 13 of ONNX or a later one, but .* is 12"):
        to_onnx(model, target_opset=12)


# --- errors and warnings


def test_what_is_no_fitted_estimator():
    with pytest.raises(NotFittedError):
        to_onnx(ODENetClassifier())
    with pytest.raises(TypeError, match="must be a fitted estimator; got 'x'"):
        to_onnx("x")


@pytest.mark.parametrize("parameter", [{"dtype": int}, {"zipmap": "rows"}])
def test_parameters(parameter):
    X, y = blobs()
    model = short(ODENetClassifier, max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match=f"{next(iter(parameter))} must be"):
        to_onnx(model, **parameter)


@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_a_difference_on_the_samples_is_a_warning(cls, monkeypatch):
    X, y = blobs()
    model = short(cls, max_iter=2).fit(X, y)
    wrong = to_onnx(short(cls, max_iter=2, random_state=1).fit(X, y))
    monkeypatch.setattr(skl2onnx, "to_onnx", lambda *args, **parameters: wrong)
    to_onnx(model)  # without a comparison
    with pytest.warns(UserWarning, match=rf"{cls.__name__}\.predict.* differ by up to"):
        to_onnx(model, X)


def test_a_graph_that_onnxruntime_does_not_run(monkeypatch):
    X, y = blobs()
    model = short(ODENetClassifier, max_iter=2).fit(X, y)
    graph = to_onnx(model)
    graph.graph.node[0].op_type = "Erf"  # which is only available for float32
    del graph.graph.node[0].attribute[:]
    monkeypatch.setattr(skl2onnx, "to_onnx", lambda *args, **parameters: graph)
    with pytest.raises(ValueError, match="onnxruntime does not run the graph"):
        to_onnx(model, X)


@pytest.mark.parametrize("package", ["skl2onnx", "onnxruntime"])
def test_without_the_extra(package, monkeypatch):
    X, y = blobs()
    model = short(ODENetClassifier, max_iter=2).fit(X, y)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"to_onnx .*{package}.*pip install 'skode\[onnx\]'"):
        to_onnx(model, X)


def test_nothing_is_imported_before_it_is_needed():
    code = (
        "import sys, skode, skode.onnx; "
        "print(sorted({'onnx', 'skl2onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
