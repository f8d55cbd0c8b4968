"""Lipschitz bounds of predictions, outputs and states."""

import numpy as np
import pytest

from skode import ODENetClassifier, ODENetRegressor
from skode.robustness import certified_accuracy, lipschitz_bound
from tests.estimators import blobs, curve, short
from tests.robustness.classifiers import CASES, randomised, template
from tests.robustness.written import quotients

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("n_targets", [None, 2])
def test_bounds_of_regressors_are_in_units_of_y(n_targets):
    X, y = curve(n_targets=n_targets)
    model = short(ODENetRegressor, cv=2, max_iter=20).fit(X, 1000 * y)
    L = lipschitz_bound(model)
    found = quotients(np.random.default_rng(0), lambda X: model.predict(X).reshape(len(X), -1), X)
    assert 0.01 * L < found <= L
    assert lipschitz_bound(model, of="outputs").shape == (model.n_networks_,)


def test_bounds_of_labels():
    X, y = blobs(3)
    labels = np.c_[y == 0, y > 0, X[:, 0] > 0].astype(int)
    model = short(ODENetClassifier, max_iter=20).fit(X, labels)
    found = quotients(np.random.default_rng(0), model.predict_proba, X)
    assert 0.01 * lipschitz_bound(model) < found <= lipschitz_bound(model)
    with pytest.raises(ValueError, match="fitted to several labels"):
        certified_accuracy(model, X, labels, 0.1)


@pytest.mark.parametrize("case", CASES[:-1], ids=str)
def test_bounds_of_probabilities(case):
    rng = np.random.default_rng(1)
    model = randomised(rng, template(*case))
    found = quotients(rng, model.predict_proba, rng.normal(size=(500, 2)))
    assert 0.005 * lipschitz_bound(model) < found <= lipschitz_bound(model)
    outputs = lipschitz_bound(model, of="outputs")
    norms = np.linalg.norm(model.W_, 2, axis=(1, 2))
    np.testing.assert_allclose(outputs, norms * lipschitz_bound(model, of="states"), rtol=1e-6)


def test_the_bound_of_a_softmax_is_attained():
    # Outputs (x, -x) have a derivative of √2, and softmax has 1/2 there.
    rng = np.random.default_rng(0)
    model = randomised(rng, template(*CASES[2]), 0.0)
    model.h_, model.W_ = 0 * model.h_, 0 * model.W_
    model.W_[:, :2, 0] = [1, -1]
    model.mu_ = 0 * model.mu_ + [0, 0, -30]
    x = np.array([[0.0, 0.0], [1e-6, 0.0]])
    change = np.linalg.norm(np.diff(model.predict_proba(x), axis=0)) / 1e-6
    assert change == pytest.approx(lipschitz_bound(model), rel=1e-6)
