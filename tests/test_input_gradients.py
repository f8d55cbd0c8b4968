"""Derivatives with respect to the features: of the losses, and of the predictions."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)

from skode import FeedForwardClassifier, FeedForwardRegressor, ODENetClassifier, ODENetRegressor
from skode.engine.losses import SMOOTHING, THRESHOLD
from skode.inspection import costates, input_gradients
from tests.estimators import blobs, curve, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Smooth models with several networks, of both views and with unequal weights.
SMOOTH = {"activation": "softplus", "solver": "lbfgs", "max_iter": 15, "h": 0.5}
MIXED = {**SMOOTH, "cv": 2, "alpha": 1e-2, "features": "both", "lift": "nonlinear"}
STEP = 3e-5


@pytest.fixture(autouse=True)
def uneven(monkeypatch):
    """Both views of the features have weight, one a third and the other two thirds."""
    monkeypatch.setattr("skode._candidates.greedy_weights", lambda loss, said: np.array([1, 2]) / 3)


def differences(function, X):
    """Compute central differences of order four of a function of samples; features are last."""
    parts = []
    for i in range(X.shape[1]):
        size = STEP * np.abs(X[:, i]).max()
        moved = {k: X + k * size * np.eye(X.shape[1])[i] for k in (-2, -1, 1, 2)}
        value = {k: function(X) for k, X in moved.items()}
        parts.append((8 * (value[1] - value[-1]) - (value[2] - value[-2])) / (12 * size))
    return np.stack(parts, axis=-1)


def assert_derivative(found, function, X):
    expected = differences(function, X)
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-7 * scale)


def loss_of_classes(model, codes):
    """Return the losses as documented, from `predict_proba`."""

    def loss(X):
        proba = model.predict_proba(X)
        if codes.ndim == 2:
            return -np.log(np.where(codes == 1, proba, 1 - proba)).mean(axis=1)
        if model[-1].loss == "squared_error":
            return 0.5 * ((proba - np.eye(proba.shape[1])[codes]) ** 2).sum(axis=1)
        return -np.log(proba[np.arange(len(codes)), codes])

    return loss


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("parameters", [SMOOTH, MIXED, {**SMOOTH, "lift": "linear", "cv": 2}])
def test_losses_of_classes(n_classes, loss, parameters):
    X, codes = blobs(n_classes, n_samples=50)
    X = 3 + 5 * X
    names = np.array(["a", "b", "c"])
    model = make_pipeline(StandardScaler(), short(ODENetClassifier, loss=loss, **parameters))
    model.fit(X, names[codes])
    found = input_gradients(model, X, names[codes])
    assert found.shape == X.shape
    assert found.dtype == np.float64
    # Smooth except at the ends of the pieces, and quantiles are samples.
    inside = X + 1e-3
    found = input_gradients(model, inside, names[codes])
    assert_derivative(found, loss_of_classes(model, codes), inside)


def test_several_networks_of_unequal_weights_are_in_these_tests():
    X, y = blobs(3, n_samples=50)
    model = short(ODENetClassifier, **MIXED).fit(X, y)
    np.testing.assert_allclose(model.network_weights_, [1 / 6, 1 / 6, 1 / 3, 1 / 3])
    assert model.network_features_ == ["given", "given", "piecewise", "piecewise"]


@pytest.mark.parametrize("scheme", ["rk4", "implicit_midpoint", "gauss4", "lobatto_iiia4"])
@pytest.mark.parametrize("lift", ["pad", "linear", "nonlinear"])
def test_schemes_and_lifts(scheme, lift):
    X, y = blobs(3, n_samples=20)
    model = short(ODENetClassifier, scheme=scheme, lift=lift, **SMOOTH)
    model = make_pipeline("passthrough", model).fit(X, y)
    assert_derivative(input_gradients(model, X, y), loss_of_classes(model, y), X)


def test_feed_forward_networks_and_labels():
    X, y = blobs(3, n_samples=40)
    labels = np.c_[y == 0, y > 0, X[:, 0] > 0].astype(int)
    model = make_pipeline(RobustScaler(), short(FeedForwardClassifier, **{**SMOOTH, "N": 1})).fit(
        X, labels
    )
    assert_derivative(input_gradients(model, X, labels), loss_of_classes(model, labels), X)
    found = input_gradients(model, X)
    assert found.shape == (40, 3, 3)
    assert_derivative(found, model.decision_function, X)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_what_classifiers_say(n_classes):
    X, y = blobs(n_classes, n_samples=40)
    model = short(ODENetClassifier, **SMOOTH, n_restarts=2).fit(X, y)
    found = input_gradients(model, X)
    assert found.shape == ((40, 3) if n_classes == 2 else (40, 3, 3))
    assert_derivative(found, model.decision_function, X)
    # The log-probability of one class.
    of_last = -input_gradients(model, X, np.full(40, n_classes - 1))
    assert_derivative(of_last, lambda X: model.predict_log_proba(X)[:, -1], X)


def test_one_network_and_its_costates():
    X, y = blobs(3)
    model = short(ODENetClassifier, lift="linear").fit(X, y)
    p = costates(model, X, y)[0, 0]
    np.testing.assert_allclose(input_gradients(model, X, y), len(X) * p @ model.V_[0], atol=1e-14)


def regression_loss(model, y):
    """Return the losses as documented, from `predict` and in the units of y."""
    network = model[-1]
    columns = y.reshape(len(y), -1)

    def loss(X):
        predicted = model.predict(X).reshape(columns.shape)
        r, unit = predicted - columns, np.ravel(network._scale)
        w = SMOOTHING * unit
        size = np.where(np.abs(r) <= w, 0.5 * (r**2 / w + w), np.abs(r))
        width = THRESHOLD * unit
        quantile = {"absolute_error": 0.5}.get(network.loss, network.quantile)
        linear = width * (np.abs(r) - 0.5 * width)
        return {
            "squared_error": 0.5 * r**2,
            "absolute_error": 0.5 * size,
            "quantile": 0.5 * size + (0.5 - quantile) * r,
            "huber": np.where(np.abs(r) <= width, 0.5 * r**2, linear),
            "poisson": predicted - columns * (1 + np.log(predicted / columns)),
        }[network.loss].mean(axis=1)

    return loss


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "quantile", "poisson"]
)
@pytest.mark.parametrize("n_targets", [None, 2])
@pytest.mark.parametrize("cls", [ODENetRegressor, FeedForwardRegressor])
def test_losses_and_predictions_of_regressors_in_the_units_of_y(cls, loss, n_targets):
    X, y = curve(50, n_targets=n_targets)
    y = 1000 + 300 * y if loss != "poisson" else 100 * np.exp(y)
    y = y if n_targets is None else y * [1, 0.01]
    options = {"loss": loss, "quantile": 0.8} if loss == "quantile" else {"loss": loss}
    options |= {**SMOOTH, "n_restarts": 2, "N": 1 if cls is FeedForwardRegressor else 3}
    model = make_pipeline(MinMaxScaler(), short(cls, **options)).fit(X, y)
    assert_derivative(input_gradients(model, X, y), regression_loss(model, y), X)
    found = input_gradients(model, X)
    assert found.shape == ((50, 3) if n_targets is None else (50, 2, 3))
    assert_derivative(found, model.predict, X)


def test_a_single_column_of_targets_keeps_its_axis():
    X, y = curve(30)
    model = short(ODENetRegressor, max_iter=3).fit(X, y[:, None])
    assert input_gradients(model, X).shape == (30, 1, 3)
    assert input_gradients(model, X, y[:, None]).shape == (30, 3)


FRONTS = [
    [StandardScaler()],
    [StandardScaler(with_mean=False, with_std=False)],
    [RobustScaler(with_scaling=False), MinMaxScaler((-1, 2))],
    [MaxAbsScaler(), "passthrough", PCA(2)],
    [PCA(3, whiten=True), IncrementalPCA(2, whiten=True)],
    [make_pipeline(RobustScaler(), make_pipeline(None, PCA())), FunctionTransformer()],
    [TruncatedSVD(2, random_state=0)],
    [
        make_column_transformer(
            (StandardScaler(), [2, 0]), (make_pipeline(MinMaxScaler(), PCA(1)), [0, 1]),
            ("drop", [3]), ("passthrough", [1]), (MaxAbsScaler(), []),
        ),
        StandardScaler(),
    ],
    [ColumnTransformer([("scaled", StandardScaler(), [1])], remainder="passthrough")],
    [ColumnTransformer([("scaled", StandardScaler(), [1])], remainder=MinMaxScaler())],
]  # fmt: skip


@pytest.mark.parametrize("front", FRONTS, ids=str)
def test_through_whole_pipelines(front):
    X, y = blobs(3, n_samples=50, n_features=4)
    X = 10.0 ** np.arange(4) * (2 + X)
    model = make_pipeline(*front, short(ODENetClassifier, **SMOOTH)).fit(X, y)
    assert_derivative(input_gradients(model, X, y), loss_of_classes(model, y), X)
    behind = Pipeline([("front", model[:-1]), ("network", model[-1])])
    np.testing.assert_allclose(
        input_gradients(behind, X, y), input_gradients(model, X, y), rtol=1e-12
    )


def test_scalers_that_clip():
    X, y = blobs(2)
    model = make_pipeline(MinMaxScaler(clip=True), short(ODENetClassifier, **SMOOTH)).fit(X, y)
    free = make_pipeline(MinMaxScaler(), short(ODENetClassifier, **SMOOTH)).fit(X, y)
    far = X.copy()
    far[0, 1], far[1, 2] = 100, -100
    found = input_gradients(model, far, y)
    assert found[0, 1] == found[1, 2] == 0
    assert (found[2:10] != 0).all()
    # At the ends of the range, the mean of the one-sided derivatives.
    end = X[:, 0].argmax()
    whole, half = (input_gradients(m, X, y)[end, 0] for m in (free, model))
    assert half == pytest.approx(whole / 2)


def test_frames_whose_columns_are_not_all_numbers():
    X, y = blobs(2)
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(text="x")
    front = make_column_transformer((StandardScaler(), ["c", "a"]), ("drop", ["text"]))
    model = make_pipeline(front, short(ODENetClassifier, **SMOOTH)).fit(frame, y)
    found = input_gradients(model, frame, y)
    assert found.shape == (60, 4)
    assert not found[:, [1, 3]].any()

    def loss(X):
        changed = pd.DataFrame(X, columns=["a", "c"]).assign(b=0.0, text="x")
        return loss_of_classes(model, y)(changed[["a", "b", "c", "text"]])

    assert_derivative(found[:, [0, 2]], loss, X[:, [0, 2]])


@pytest.mark.parametrize("parameters", [{}, {"features": "piecewise", "lift": "linear"}])
def test_sparse_samples_and_many_of_them(parameters, monkeypatch):
    X, y = blobs(2)
    X = X * (np.abs(X) > 0.5)
    front = "passthrough" if parameters else MaxAbsScaler()
    model = make_pipeline(front, short(ODENetClassifier, **SMOOTH, **parameters))
    model.fit(csr_array(X), y)
    expected = input_gradients(model, X, y)
    monkeypatch.setattr("skode.inspection._input_gradients.BATCH", 7)
    np.testing.assert_allclose(input_gradients(model, csr_array(X), y), expected, rtol=1e-10)
    np.testing.assert_allclose(input_gradients(model, X, y), expected, rtol=1e-10)
    assert expected.any()


def test_one_class_has_no_derivatives():
    X, _ = blobs(2)
    model = short(ODENetClassifier, max_iter=2).fit(X, np.zeros(len(X)))
    assert not input_gradients(model, X, np.zeros(len(X))).any()
    assert input_gradients(model, X).shape == (len(X), 1, 3)


def test_single_precision_and_later_parameters():
    X, y = blobs(3)
    model = short(ODENetClassifier, **SMOOTH).fit(X.astype(np.float32), y)
    expected = short(ODENetClassifier, **SMOOTH).fit(X, y)
    np.testing.assert_allclose(
        input_gradients(model, X, y), input_gradients(expected, X, y), rtol=1e-2, atol=1e-3
    )
    before = input_gradients(expected, X, y)
    expected.set_params(loss="squared_error", activation="relu", lift="linear")
    np.testing.assert_array_equal(input_gradients(expected, X, y), before)


def test_a_step_without_a_rule_is_named_with_a_way_round_it():
    X, y = blobs(2)
    inner = make_pipeline(StandardScaler(), Nystroem(n_components=5, random_state=0))
    network = short(ODENetClassifier, **{**SMOOTH, "n_channels": 5})
    model = make_pipeline(inner, StandardScaler(), network).fit(X, y)
    with pytest.raises(TypeError, match=r"no chain rule for Nystroem\(.*pipeline\[1:\]"):
        input_gradients(model, X, y)
    found = input_gradients(model[1:], model[:1].transform(X), y)
    assert found.shape == (60, 5)
    encoder = make_column_transformer((OneHotEncoder(), [0]), remainder=StandardScaler())
    rounded = X.round()
    model = make_pipeline(encoder, short(ODENetClassifier, n_channels=20)).fit(rounded, y)
    with pytest.raises(TypeError, match="no chain rule for OneHotEncoder"):
        input_gradients(model, rounded, y)

    class Own(StandardScaler):
        def transform(self, X, copy=None):
            return super().transform(X) ** 3

    with pytest.raises(TypeError, match="no chain rule for Own"):
        input_gradients(make_pipeline(Own(), short(ODENetClassifier)).fit(X, y), X, y)


def test_what_cannot_be_derived():
    X, y = blobs(2)
    model = short(ODENetClassifier, activation="relu", max_iter=5).fit(X, y)
    with pytest.raises(NotFittedError, match="This ODENetClassifier"):
        input_gradients(ODENetClassifier(), X, y)
    with pytest.raises(ValueError, match="not among the classes"):
        input_gradients(model, X, y + 1)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        input_gradients(model, X, y[:-1])
    with pytest.raises(ValueError, match="X has 2 features"):
        input_gradients(model, X[:, :2], y)
    with pytest.raises(ValueError, match="not finite for 1 of"):
        input_gradients(model, np.full((1, 3), 1.7e308), y[:1])
