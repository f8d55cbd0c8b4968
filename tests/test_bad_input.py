"""Bad input: a clear error or warning, and the estimator as it was."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skode import ODENetClassifier
from tests.estimators import BOTH, blobs, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X_GOOD, Y_GOOD = blobs(2)
NAN, INF = X_GOOD.copy(), X_GOOD.copy()
NAN[0, 0], INF[0, 0] = np.nan, np.inf

BAD_PARAMETERS = [
    ({"N": 0}, r"'N' parameter .* \[1, inf\).* Got 0"),
    ({"N": 2.5}, r"'N' parameter .* int .* Got 2.5"),
    ({"h": 0}, r"'h' parameter .* \(0.0, inf\).* Got 0"),
    ({"h": -0.1}, r"'h' parameter .* Got -0.1"),
    ({"h": np.nan}, r"'h' parameter .* Got nan"),
    ({"learn_step": "simplx"}, r"'learn_step' parameter .*'simplex'.* Got 'simplx'"),
    ({"activation": "tan"}, r"'activation' parameter .*'tanh'.* Got 'tan'"),
    ({"loss": "hinge"}, r"'loss' parameter .*'log_loss'.* Got 'hinge'"),
    ({"solver": "sgd"}, r"'solver' parameter .*'gd'.* Got 'sgd'"),
    ({"line_search": "wolfe"}, r"'line_search' parameter .*'armijo'.* Got 'wolfe'"),
    ({"alpha": -1}, r"'alpha' parameter .* Got -1"),
    ({"tol": -1e-3}, r"'tol' parameter .* Got -0.001"),
    ({"max_iter": 0}, r"'max_iter' parameter .* Got 0"),
    ({"n_iter_no_change": 0}, r"'n_iter_no_change' parameter .* Got 0"),
    ({"n_members": 0}, r"'n_members' parameter .* Got 0"),
    ({"n_channels": 2}, r"n_channels=2 is less than the number of features, 3"),
    ({"n_channels": 0}, r"'n_channels' parameter .* Got 0"),
]
BAD_SCHEMES = [
    ("eulr", r"'scheme' parameter .*'euler'.* Got 'eulr'"),
    (3, r"'scheme' parameter .* Got 3"),
    (([[0]], [1]), r"triple \(A, b, c\)"),
    (([[0, 0], [1, 0]], [0.5, 0.5], [0, 0.5]), r"row 1 sums to 1.0, but c\[1\] is 0.5"),
    (([[0]], [2.0], [0]), r"b must sum to 1"),
    (([[0.5, 0.5]], [1.0], [1.0]), r"A must be square.*rows of \[2\] in A"),
    (([[0.5], [0.5]], [1.0], [0.5]), r"A must be square.*rows of \[1, 1\] in A"),
    (([[0.5]], [0.5, 0.5], [0.5]), r"A must be square.* 2 entries in b and 1 in c"),
    (([[0.5]], [1.0], [0.5, 0.5]), r"A must be square.* 2 in c"),
    (([[0.25, 0.25], [0.5, 0.5]], [0.5, 0.5], [0.5, 0.5]), r"row 1 sums to 1.0, but c\[1\] is 0.5"),
    (([[np.inf]], [1.0], [np.inf]), "finite"),
    ((None, [1.0], [0.5]), "A must be a square matrix"),
]
BAD_DATA = [
    ((NAN, Y_GOOD), "NaN"),
    ((INF, Y_GOOD), "infinity"),
    ((X_GOOD, np.zeros(len(X_GOOD))), "at least two classes.*got one class"),
    ((X_GOOD, Y_GOOD, -np.ones(len(Y_GOOD))), "[Nn]egative|must not be negative"),
    ((X_GOOD, Y_GOOD, np.zeros(len(Y_GOOD))), "sample_weight.*zero|zero.*sample_weight"),
    ((X_GOOD, Y_GOOD, (Y_GOOD == 1).astype(float)), "positive sample_weight.*got one class"),
    ((X_GOOD, Y_GOOD, np.ones(3)), r"sample_weight.shape == \(3,\)"),
    ((X_GOOD, Y_GOOD, np.full(len(Y_GOOD), np.nan)), "NaN"),
    ((X_GOOD, Y_GOOD[:-1]), "inconsistent numbers of samples"),
    ((X_GOOD, np.linspace(0, 1, len(Y_GOOD))), "Unknown label type|continuous"),
    ((X_GOOD[:0], Y_GOOD[:0]), "0 sample"),
]


def assert_refused(bad, data, message):
    """`bad` refuses the data, and a model fitted before is as it was."""
    fitted = short(type(bad)).fit(X_GOOD, Y_GOOD)
    decision = fitted.decision_function(X_GOOD)
    fitted.set_params(**bad.get_params())
    before = {name: value for name, value in vars(fitted).items() if name.endswith("_")}
    with pytest.raises(ValueError, match=message):
        fitted.fit(*data)
    after = {name: value for name, value in vars(fitted).items() if name.endswith("_")}
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)
    np.testing.assert_array_equal(fitted.decision_function(X_GOOD), decision)
    with pytest.raises(ValueError, match=message):
        bad.fit(*data)
    with pytest.raises(NotFittedError):
        bad.predict(X_GOOD)


@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS)
@pytest.mark.parametrize("cls", BOTH)
def test_bad_parameters(cls, parameters, message):
    assert_refused(short(cls, **parameters), (X_GOOD, Y_GOOD), message)


@pytest.mark.parametrize(("scheme", "message"), BAD_SCHEMES)
def test_bad_schemes(scheme, message):
    assert_refused(short(ODENetClassifier, scheme=scheme), (X_GOOD, Y_GOOD), message)


def test_bad_guard():
    bad = short(ODENetClassifier, scheme="gauss4", stage_guard="bounds")
    message = r"'stage_guard' parameter .*'bound'.* Got 'bounds'"
    assert_refused(bad, (X_GOOD, Y_GOOD), message)


@pytest.mark.parametrize("A", [[[0.5, 0.5], [0.5, 0.5]], [[0, 0], [0.5, 0.5]], [[1, -1], [1, -1]]])
def test_a_singular_matrix_of_coefficients_is_no_obstacle(A):
    scheme = (A, [0.5, 0.5], np.sum(A, axis=1))
    model = short(ODENetClassifier, scheme=scheme, h=0.5).fit(X_GOOD, Y_GOOD)
    assert model.score(X_GOOD, Y_GOOD) > 0.8


def test_a_scheme_without_a_solution_at_this_step_is_refused_at_the_start():
    # y⁺ = y + h softplus(K y⁺ + b) has no solution for large h K.
    hopeless = {"scheme": "implicit_euler", "activation": "softplus", "h": 1e3}
    bad = short(ODENetClassifier, stage_guard="reject", **hopeless)
    assert_refused(bad, (X_GOOD, Y_GOOD), "stage equations .* could not be solved.* smaller h")
    # The guard that bounds K makes even this one solvable.
    model = short(ODENetClassifier, stage_guard="bound", **hopeless).fit(X_GOOD, Y_GOOD)
    assert np.isfinite(model.loss_).all()


@pytest.mark.parametrize(("data", "message"), BAD_DATA)
@pytest.mark.parametrize("cls", BOTH)
def test_bad_data(cls, data, message):
    assert_refused(short(cls), data, message)


@pytest.mark.parametrize("cls", BOTH)
def test_sparse_input_is_refused(cls):
    with pytest.raises(TypeError, match=r"[Ss]parse data was passed"):
        short(cls).fit(csr_array(X_GOOD), Y_GOOD)


@pytest.mark.parametrize("cls", BOTH)
def test_bad_samples_at_predict(cls):
    model = short(cls).fit(X_GOOD, Y_GOOD)
    with pytest.raises(ValueError, match=r"X has 2 features, but .* expecting 3"):
        model.predict(X_GOOD[:, :2])
    with pytest.raises(ValueError, match="NaN"):
        model.predict_proba(NAN)
    with pytest.raises(NotFittedError):
        cls().decision_function(X_GOOD)


def test_an_output_that_overflows_is_reported():
    model = short(ODENetClassifier, activation="relu", max_iter=10).fit(X_GOOD, Y_GOOD)
    with pytest.raises(ValueError, match="not finite for 2 of 3 samples"):
        model.predict(np.array([[1e308, 1e308, -1e308], [0, 0, 0], [-1e308, 1e308, 1e308]]))


def test_data_out_of_all_scale_is_refused_with_the_cure():
    assert_refused(
        short(ODENetClassifier), (X_GOOD * 1e200, Y_GOOD), "not finite.*scale X.*smaller h"
    )


def test_unscaled_data_trains_and_hopeless_data_warns():
    model = short(ODENetClassifier, max_iter=100).fit(X_GOOD * 1e4, Y_GOOD)
    assert model.score(X_GOOD * 1e4, Y_GOOD) > 0.8
    with pytest.warns(ConvergenceWarning, match=r"after 0 .*no acceptable step.*Scale X"):
        model = short(ODENetClassifier).fit(X_GOOD * 1e100, Y_GOOD)
    assert list(model.stop_reason_) == ["no acceptable step"]


@pytest.mark.parametrize("learn_step", [False, "simplex"])
def test_slow_progress_on_badly_scaled_data_is_no_convergence(learn_step):
    X, y = blobs(3)
    with pytest.warns(ConvergenceWarning, match=r"slow progress.*Scale X") as caught:
        model = ODENetClassifier(learn_step=learn_step, random_state=0).fit(X + 1e3, y)
    assert list(model.stop_reason_) == ["slow progress"]
    assert caught[0].filename == __file__  # the warning points at the user's line
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ODENetClassifier(learn_step=learn_step, max_iter=5000, random_state=0).fit(X, y)
    assert list(model.stop_reason_) == ["converged"]


def spoiled(layer, **parameters):
    """A fitted model with one layer that cannot be solved where the first feature is large."""
    model = short(
        ODENetClassifier, scheme="implicit_euler", activation="softplus", alpha=0.1, **parameters
    ).fit(X_GOOD, Y_GOOD)
    model.K_[-1, layer] = np.diag([30.0, 0.0, 0.0])
    model.b_[-1, layer] = [-1000.0, 0.0, 0.0]
    return model


@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "predict_log_proba", "decision_function"]
)
def test_a_sample_whose_stages_fail_is_reported(method, n_members):
    model = spoiled(layer=1, n_members=n_members)
    assert len(getattr(model, method)(X_GOOD)) == len(X_GOOD)
    X = X_GOOD.copy()
    X[7, 0] = 1e3
    with pytest.raises(
        ValueError, match=r"for 1 samples: sample 7 at layer 1 \(residual .*stage_guard='bound'"
    ):
        getattr(model, method)(X)
