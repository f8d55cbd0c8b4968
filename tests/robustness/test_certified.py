"""Certified accuracy and radii: no attack breaks what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor
from skode.engine.activations import ACTIVATIONS
from skode.engine.tableaux import ButcherTableau
from skode.robustness import certified_accuracy, certified_radius, lipschitz_bound
from tests.estimators import blobs, short
from tests.robustness.classifiers import CASES, broken, one_network, randomised, template

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("norm", [2, "inf"])
@settings(max_examples=2)
@given(seed=st.integers(0, 2**32 - 1), size=st.floats(0.2, 2))
def test_no_attack_breaks_a_certified_sample(case, norm, seed, size):
    rng, implicit = np.random.default_rng(seed), "implicit" in case[-1]
    # Stage equations of larger K may have no solution.
    model = randomised(rng, template(*case), size / 4 if implicit else size)
    X = rng.normal(size=(8, 2))
    y = model.predict(X)
    methods = ["lipschitz"] if implicit else ["lipschitz", "linear", "interval"]
    found = {m: certified_radius(model, X, norm=norm, method=m) for m in methods}
    for radii in found.values():
        some = radii > 0
        assert not broken(model, X[some], radii[some], norm).any()
    # The accuracy is what the radii say, and "auto" is at least as good as any method.
    eps = 1.01 * float(np.median(np.max([*found.values()], axis=0)))
    for method, radii in found.items():
        share = certified_accuracy(model, X, y, eps, norm=norm, method=method)
        spare = (method == "linear") / len(X)  # lines may fail on a ball inside one that they prove
        assert (radii >= eps).mean() - spare <= share <= (radii > 0.9 * eps).mean() + spare
        assert share <= certified_accuracy(model, X, y, eps, norm=norm)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_attack_breaks_a_certified_sample_of_feed_forward_networks(activation):
    rng = np.random.default_rng(0)
    model = template(3, "log_loss", "given", "nonlinear", None, FeedForwardClassifier)
    model.set_params(activation=activation)
    model._fitted_recipe = {**model._fitted_recipe, "activation": activation, "lift": activation}
    model = randomised(rng, model)
    X = rng.normal(size=(50, 2))
    for norm in (2, "inf"):
        radii = certified_radius(model, X, norm=norm, method="auto")
        assert (radii > 0).mean() > 0.9
        assert not broken(model, X, radii, norm).any()


def test_linear_bounds_are_close_to_what_attacks_find():
    model = short(ODENetClassifier, lift="linear", scheme="euler", max_iter=100)
    X, y = blobs(2, n_features=2)
    model.fit(X, y)
    radii = certified_radius(model, X, method="linear")
    assert broken(model, X, 1.3 * radii, 2).mean() > 0.8


def test_the_certified_accuracy_of_no_change_is_the_accuracy():
    rng = np.random.default_rng(0)
    for case in CASES:
        model = randomised(rng, template(*case))
        X = rng.normal(size=(50, 2))
        y = np.where(rng.random(50) < 0.7, model.predict(X), 0)
        for norm in (2, np.inf):
            found = certified_accuracy(model, X, y, 0, norm=norm)
            assert type(found) is float
            assert found == model.score(X, y)


@pytest.mark.parametrize("method", ["auto", "lipschitz", "linear", "interval"])
@pytest.mark.parametrize("norm", [2, "inf"])
def test_larger_changes_leave_less(method, norm):
    rng = np.random.default_rng(0)
    model = randomised(rng, template(*CASES[2]))
    X = rng.normal(size=(100, 2))
    eps = np.array([0.1, 0, 0.3, 0.001, 0.03])
    found = certified_accuracy(model, X, model.predict(X), eps, norm=norm, method=method)
    assert found.shape == (5,)
    assert (np.diff(found[np.argsort(eps)]) <= 0).all()
    assert found[2] < found[0] < found[1] == 1
    alone = [
        certified_accuracy(model, X, model.predict(X), e, norm=norm, method=method) for e in eps
    ]
    np.testing.assert_array_less(alone, found + 1e-12)


def test_the_radius_of_one_network_is_its_margin_over_its_bound():
    model, X, y = one_network()
    L = lipschitz_bound(model, of="states")[0]
    z = model.predict_log_proba(X)
    own = z.argmax(axis=1)
    gaps = z[np.arange(len(X)), own][:, None] - z
    apart = np.linalg.norm(model.W_[0][own][:, None] - model.W_[0], axis=2) * L
    with np.errstate(invalid="ignore"):
        expected = np.nanmin(gaps / apart, axis=1)
    np.testing.assert_allclose(certified_radius(model, X), expected, rtol=1e-6)
    wrong = (y + 1) % 3
    right = model.predict(X) == wrong
    found = certified_radius(model, X, wrong)
    np.testing.assert_allclose(found, np.where(right, expected, 0), rtol=1e-6)
    assert (found == 0).any()


def test_a_model_that_always_says_the_same():
    X, _ = blobs()
    model = short(ODENetClassifier).fit(X, np.zeros(len(X)))
    assert (certified_radius(model, X) == np.inf).all()
    assert certified_accuracy(model, X, np.zeros(len(X)), 1e6) == 1.0
    assert lipschitz_bound(model) == 0.0


def test_a_batch_of_samples_is_no_other_than_all(monkeypatch):
    model, X, _ = one_network()
    whole = certified_radius(model, X, method="linear")
    monkeypatch.setattr("skode.robustness._margins.BATCH", 100)
    np.testing.assert_allclose(certified_radius(model, X, method="linear"), whole, rtol=1e-9)


def test_sparse_features():
    rng = np.random.default_rng(0)
    model = randomised(rng, template(*CASES[0]))
    X = rng.normal(size=(20, 2)) * (rng.random((20, 2)) < 0.7)
    for method in ("lipschitz", "linear"):
        dense, sparse = (certified_radius(model, x, method=method) for x in (X, csr_array(X)))
        np.testing.assert_allclose(sparse, dense, rtol=1e-9)


def test_float32_models_are_certified_in_float64():
    X, y = blobs(3, n_features=2)
    model = short(ODENetClassifier, lift="linear").fit(X.astype(np.float32), y)
    assert model.K_.dtype == np.float32
    radii = certified_radius(model, X.astype(np.float32), method="linear")
    assert radii.dtype == np.float64
    assert (radii > 0).all()
    assert not broken(model, X, 0.999 * radii, 2).any()


def test_bad_arguments():
    model, X, y = one_network()
    for bad in (-0.1, np.nan, np.inf, [0.1, -1]):
        with pytest.raises(ValueError, match="eps must be finite and not negative"):
            certified_accuracy(model, X, y, bad)
    for bad in ("0.1", None, [[0.1], [0.1, 0.2]], True):
        with pytest.raises(TypeError, match="eps must be a number or an array of numbers"):
            certified_accuracy(model, X, y, bad)
    with pytest.raises(ValueError, match="at least one radius"):
        certified_accuracy(model, X, y, [])
    with pytest.raises(ValueError, match="y must hold the classes"):
        certified_accuracy(model, X, None, 0.1)
    for bad in (1, "2", True, None):
        with pytest.raises(ValueError, match='norm must be "inf" or 2'):
            certified_accuracy(model, X, y, 0.1, norm=bad)
    with pytest.raises(ValueError, match="method must be one of 'auto', 'lipschitz'"):
        certified_radius(model, X, method="product")
    with pytest.raises(ValueError, match="method must be one of 'auto', 'product'"):
        lipschitz_bound(model, "linear")
    with pytest.raises(ValueError, match="of must be one of 'prediction'"):
        lipschitz_bound(model, of="logits")
    with pytest.raises(ValueError, match="labels that are not among the classes"):
        certified_accuracy(model, X, y + 1, 0.1)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        certified_accuracy(model, X, y[1:], 0.1)
    with pytest.raises(ValueError, match="X has 1 features"):
        certified_accuracy(model, X[:, :1], y, 0.1)
    with pytest.raises(ValueError, match="non_expansive' is for networks with"):
        lipschitz_bound(model, "non_expansive")


def test_other_estimators():
    X, y = blobs()
    with pytest.raises(TypeError, match="estimator must be one of skode"):
        certified_accuracy(LogisticRegression().fit(X, y), X, y, 0.1)
    with pytest.raises(NotFittedError):
        lipschitz_bound(ODENetClassifier())
    regressor = short(ODENetRegressor).fit(X, X[:, 0])
    with pytest.raises(TypeError, match="certified_accuracy is for classifiers"):
        certified_accuracy(regressor, X, X[:, 0], 0.1)
    poisson = short(ODENetRegressor, loss="poisson").fit(X, np.exp(X[:, 0]))
    with pytest.raises(ValueError, match="grow exponentially"):
        lipschitz_bound(poisson)
    assert lipschitz_bound(poisson, of="outputs") > 0


def test_implicit_schemes_have_no_lines():
    model, X, y = one_network(scheme="gauss4")
    for method in ("linear", "interval"):
        with pytest.raises(ValueError, match="is for explicit schemes, but the scheme is 'gauss4'"):
            certified_accuracy(model, X, y, 0.1, method=method)
    assert certified_accuracy(model, X, y, 1e-3) > 0


def test_a_scheme_of_ones_own():
    X, y = blobs(2, n_features=2)
    scheme = ButcherTableau([[0, 0], [2 / 3, 0]], [1 / 4, 3 / 4])
    model = short(ODENetClassifier, scheme=scheme, max_iter=20).fit(X, y)
    radii = certified_radius(model, X, method="auto")
    assert (radii > 0).all()
    assert not broken(model, X, radii, 2).any()
