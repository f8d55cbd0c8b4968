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
    (([[0.5]], [1.0], [0.5]), r"implicit.* strictly lower triangular"),
    (([[0]], [2.0], [0]), r"b must sum to 1"),
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
