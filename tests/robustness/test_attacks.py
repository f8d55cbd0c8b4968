"""Attacks that need no toolbox: the points they find, and the accuracy they leave."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier, ODENetRegressor
from skode.inspection import input_gradients, trajectories
from skode.robustness import (
    adversarial_examples,
    art_classifier,
    certified_accuracy,
    robust_accuracy,
)
from skode.robustness._grid import unit_grid
from skode.robustness._norms import into_ball
from tests.estimators import blobs, short
from tests.robustness.attacked import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
MISSING = """
import sys
sys.modules["art"] = None
import numpy as np
from skode import ODENetClassifier
from skode.robustness import art_classifier, robust_accuracy
X = np.array([[0.0, 1.0], [1.0, 0.0]] * 10)
y = np.array([0, 1] * 10)
model = ODENetClassifier(cv=None, solver="gd", max_iter=2, tol=1e3, random_state=0).fit(X, y)
assert robust_accuracy(model, X, y, 0.0, attack="grid") == model.score(X, y)
for attack in (lambda: art_classifier(model), lambda: robust_accuracy(model, X, y, 0.1)):
    try:
        attack()
    except ImportError as error:
        assert "pip install 'skode[robustness]'" in str(error), error
    else:
        raise AssertionError("no error")
"""


@pytest.mark.parametrize("norm", [2, np.inf])
def test_the_grid_fills_the_ball_and_its_border(norm):
    points = unit_grid(21, norm)
    size = np.linalg.norm(points, ord=norm, axis=1)
    assert size[0] == 0  # the centre
    assert (np.diff(size) >= -1e-15).all()
    assert size.max() == pytest.approx(1)
    rng = np.random.default_rng(0)
    inside = rng.uniform(-1, 1, (500, 2))
    inside = inside[np.linalg.norm(inside, ord=norm, axis=1) <= 1]
    distance = np.linalg.norm(inside[:, None] - points, axis=2).min(axis=1)
    assert distance.max() < 0.1  # the spacing
    assert (np.isclose(size, 1)).sum() >= 60


@pytest.mark.parametrize("norm", [2, np.inf])
def test_points_are_pulled_into_the_ball_and_the_box(norm):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3))
    moved = X + 0.4 * rng.normal(size=(50, 3))
    found = into_ball(X, moved, 0.5, norm)
    assert np.linalg.norm(found - X, ord=norm, axis=1).max() <= 0.5 * (1 + 1e-12)
    near = np.linalg.norm(moved - X, ord=norm, axis=1) <= 0.5
    assert near.any()
    np.testing.assert_allclose(found[near], moved[near], rtol=1e-14, atol=1e-14)
    box = np.full(3, -0.3), np.full(3, 0.4)
    kept = into_ball(X, moved, 0.5, norm, box)
    assert np.linalg.norm(kept - X, ord=norm, axis=1).max() <= 0.5 * (1 + 1e-12)
    inside = (box[0] <= X) & (box[1] >= X)
    assert ((kept >= -0.3) & (kept <= 0.4))[inside].all()
    assert (np.abs(kept - X) <= np.abs(found - X)).all()


@pytest.mark.parametrize("norm", ["inf", 2])
def test_the_grid_finds_the_distance_to_a_straight_boundary(norm):
    X = np.array([[1.0, 0.3], [2.0, -1.0], [-1.8, 0.5], [-3.0, 0.1]])
    y = np.array([1, 1, 0, 0])
    model = short(ODENetClassifier, N=1, activation="identity", n_channels=2, max_iter=200)
    model.fit(np.repeat(X, 5, axis=0), np.repeat(y, 5))
    slope = input_gradients(model, X)
    decision = model.decision_function(X)
    assert ((decision > 0) == y).all()
    dual = np.linalg.norm(slope, ord=1 if norm == "inf" else 2, axis=1)
    distance = np.abs(decision) / dual
    assert np.diff(np.sort(distance)).min() > 0.05
    accuracy = robust_accuracy(model, X, y, [0.99 * distance, 1.01 * distance], norm, "grid")
    ranks = np.argsort(np.argsort(distance))
    np.testing.assert_allclose(accuracy, [(4 - ranks) / 4, (3 - ranks) / 4])


def test_misclassified_samples_count_as_wrong_and_eps_zero_is_the_accuracy(plane):
    model, X, y = plane
    wrong = np.where(np.arange(len(y)) % 4 == 0, 1 - y, y)
    accuracy = robust_accuracy(model, X, wrong, [0.0, 0.3], attack="grid", n_points=11)
    assert accuracy[0] == model.score(X, wrong)
    assert accuracy[1] < accuracy[0]
    found = adversarial_examples(model, X, wrong, 0.3, attack="grid", n_points=11)
    already = model.predict(X) != wrong
    np.testing.assert_array_equal(found[already], X[already])


def test_the_result_has_the_shape_of_eps_and_does_not_increase_with_it(plane):
    model, X, y = plane
    eps = np.array([[0.5, 0.1], [0.0, 0.9]])
    accuracy = robust_accuracy(model, X, y, eps, attack="grid", n_points=11)
    assert accuracy.shape == (2, 2)
    assert (np.diff(accuracy.ravel()[eps.ravel().argsort()]) <= 0).all()
    one = robust_accuracy(model, X, y, 0.5, attack="grid", n_points=11)
    assert isinstance(one, float)
    # The array also tries the finer grids in the smaller balls.
    assert accuracy[0, 0] <= one


def test_labels_tables_and_pipelines(plane):
    _, X, y = plane
    names = np.array(["no", "yes"])[y]
    table = pd.DataFrame(X, columns=["a", "b"])
    model = make_pipeline(StandardScaler(), short(ODENetClassifier)).fit(table, names)
    plain = make_pipeline(StandardScaler(), short(ODENetClassifier)).fit(X, y)
    eps = [0.1, 0.4]
    np.testing.assert_array_equal(
        robust_accuracy(model, table, names, eps, attack="grid", n_points=11),
        robust_accuracy(plain, X, y, eps, attack="grid", n_points=11),
    )


def test_an_attack_of_the_users(plane):
    model, X, y = plane
    seen = []

    def to_the_mean(estimator, X, y, eps):
        seen.append((estimator, len(X), eps))
        return X + 10 * (X.mean(axis=0) - X)

    accuracy = robust_accuracy(model, X, y, [0.0, 0.2, 0.4], 2, to_the_mean)
    right = int((model.predict(X) == y).sum())
    assert seen[0] == (model, right, 0.2)
    assert seen[1][2] == 0.4
    assert seen[1][1] == round(accuracy[1] * len(X))
    found = adversarial_examples(model, X, y, 0.4, 2, to_the_mean)
    assert np.linalg.norm(found - X, axis=1).max() <= 0.4 * (1 + 1e-12)
    with pytest.raises(ValueError, match=r"must return finite points of the shape \(\d+, 2\)"):
        robust_accuracy(model, X, y, 0.2, 2, lambda estimator, X, y, eps: X[:-1])


def test_clip_values_keep_points_in_the_box(plane):
    model, X, y = plane
    box = X.min(axis=0), X.max(axis=0)
    found = adversarial_examples(model, X, y, 0.8, attack="grid", n_points=11, clip_values=box)
    assert (found >= box[0]).all()
    assert (found <= box[1]).all()
    free = robust_accuracy(model, X, y, 0.8, attack="grid", n_points=11)
    assert free <= (model.predict(found) == y).mean()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"eps": -0.1}, ValueError, "eps must be finite and not negative"),
        ({"eps": [0.1, np.nan]}, ValueError, "eps must be finite and not negative"),
        ({"eps": np.inf}, ValueError, "eps must be finite"),
        ({"eps": []}, ValueError, "eps must hold at least one radius"),
        ({"eps": "much"}, TypeError, "eps must be a number"),
        ({"norm": 1}, ValueError, 'norm must be "inf" or 2; got 1'),
        ({"eps": True}, TypeError, "eps must be a number or an array of numbers"),
        ({"eps": None}, TypeError, "eps must be a number or an array of numbers"),
        ({"eps": [[0.1], [0.1, 0.2]]}, TypeError, "eps must be a number or an array of numbers"),
        ({"attack_params": [1]}, TypeError, "attack_params must be a dict"),
        ({"norm": "two"}, ValueError, 'norm must be "inf" or 2'),
        ({"norm": True}, ValueError, 'norm must be "inf" or 2'),
        ({"attack": "pdg"}, ValueError, "attack must be one of .*; got 'pdg'"),
        ({"attack": 3}, ValueError, "attack must be one of"),
        ({"attack": "deepfool"}, ValueError, "is for the 2-norm"),
        ({"n_points": 1}, ValueError, "n_points must be an integer of at least 2"),
        ({"clip_values": (1, 0)}, ValueError, "clip_values must be increasing"),
        ({"clip_values": 3}, ValueError, "clip_values must be two numbers"),
        ({"y": [0, 1]}, ValueError, "inconsistent numbers of samples"),
        ({"y": ["a"] * 80}, ValueError, "labels that are not among the classes"),
        ({"X": np.full((80, 2), np.nan)}, ValueError, "contains NaN"),
        ({"X": np.zeros((80, 3))}, ValueError, "X has 3 features, but 2 were seen in fit"),
    ],
)
def test_errors(plane, change, error, message):
    model, X, y = plane
    given = {"X": X, "y": y, "eps": 0.1, "attack": "grid", **change}
    with pytest.raises(error, match=message):
        robust_accuracy(model, **given)


def test_estimators_that_cannot_be_attacked(plane):
    _, X, y = plane
    with pytest.raises(TypeError, match="estimator must be one of skode"):
        robust_accuracy(StandardScaler().fit(X), X, y, 0.1, attack="grid")
    with pytest.raises(NotFittedError):
        robust_accuracy(ODENetClassifier(), X, y, 0.1, attack="grid")
    regressor = short(ODENetRegressor, max_iter=2).fit(X, X[:, 0])
    with pytest.raises(TypeError, match="Attacks are for classifiers; got ODENetRegressor"):
        robust_accuracy(regressor, X, y, 0.1, attack="grid")
    labels = short(ODENetClassifier, max_iter=2).fit(X, np.stack([y, 1 - y], axis=1))
    with pytest.raises(TypeError, match="several labels per sample"):
        art_classifier(labels)
    single = short(ODENetClassifier, max_iter=2).fit(X, np.ones(len(X)))
    ones = np.ones(len(X))
    for attack in (lambda: art_classifier(single), lambda: robust_accuracy(single, X, ones, 1)):
        with pytest.raises(ValueError, match="knows a single class"):
            attack()
    assert robust_accuracy(single, X, ones, 1.0, attack="grid", n_points=3) == 1.0


class Halved(TransformerMixin, BaseEstimator):
    """A transformer that says neither that it is fitted nor what it was fitted to."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.asarray(X) / 2


@pytest.mark.parametrize("first", ["passthrough", None, Halved(), make_pipeline(StandardScaler())])
def test_pipelines_with_a_first_step_that_does_not_know_the_features(first):
    X, y = blobs(2, 80, 2)
    model = Pipeline([("first", first), ("last", make_pipeline(short(ODENetClassifier)))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of Halved: it does not say it is fitted
        model.fit(X, y)
    options = {"attack": "grid", "n_points": 5}
    accuracy = robust_accuracy(model, X, y, 0.2, **options)
    examples = adversarial_examples(model, X, y, 0.2, **options)
    assert accuracy == ((model.predict(examples) == y) & (model.predict(X) == y)).mean()
    box = (X.min(axis=0), X.max(axis=0))
    assert robust_accuracy(model, X, y, 0.2, clip_values=box, **options) >= accuracy
    art_classifier(model, clip_values=(-9, 9))
    assert trajectories(model, X).shape == (1, 4, 80, 4)
    if isinstance(first, Halved):
        assert robust_accuracy(model, X, y, 0.2, **options) < 1
    else:
        assert robust_accuracy(model, X, y, 0.2, attack="fgsm") >= accuracy
        assert certified_accuracy(model, X, y, 0.2, norm="inf") <= accuracy


def test_columns_in_another_order_are_refused():
    X, y = blobs(2, 80, 2)
    table = pd.DataFrame(X, columns=["a", "b"])
    model = make_pipeline(StandardScaler(), short(ODENetClassifier)).fit(table, y)
    with pytest.raises(ValueError, match="feature names should match"):
        robust_accuracy(model, table[["b", "a"]], y, 0.1, attack="grid", n_points=3)


def test_the_grid_is_for_two_features():
    model, X, y = fitted()
    with pytest.raises(ValueError, match="'grid' is for two features; X has 3"):
        robust_accuracy(model, X, y, 0.1, attack="grid")
    with pytest.raises(ValueError, match="eps must be one number"):
        adversarial_examples(model, X, y, [0.1, 0.2])


def test_without_the_toolbox():
    subprocess.run([sys.executable, "-c", MISSING], check=True)
