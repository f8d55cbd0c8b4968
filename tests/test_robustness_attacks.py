"""Attacks on classifiers: their gradients, the points they find, and the accuracy they leave."""

import subprocess
import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor
from skode.inspection import input_gradients, trajectories
from skode.robustness import (
    RobustnessDisplay,
    adversarial_examples,
    art_classifier,
    certified_accuracy,
    robust_accuracy,
)
from skode.robustness._grid import unit_grid
from skode.robustness._losses import LOSSES
from skode.robustness._norms import into_ball
from tests.estimators import blobs, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SCALES = np.array([10.0, 0.1, 3.0])
SMOOTH = {"activation": "softplus", "solver": "lbfgs", "h": 0.5}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def fitted(n_classes=3, cls=ODENetClassifier, **parameters):
    """A pipeline for features of different scales, and its samples."""
    X, y = blobs(n_classes)
    X = 5 + SCALES * X
    return make_pipeline(StandardScaler(), short(cls, **{**SMOOTH, **parameters})).fit(X, y), X, y


@pytest.fixture(scope="module")
def plane():
    """A network for two features that is right for most samples."""
    X, y = blobs(2, 80, 2)
    return short(ODENetClassifier, **{**SMOOTH, "max_iter": 60}).fit(X, y), X, y


def differences(function, X):
    """Central differences of a function of samples, the features last."""
    parts = []
    for i in range(X.shape[1]):
        size = 1e-5 * np.abs(X[:, i]).max()
        step = size * np.eye(X.shape[1])[i]
        parts.append((function(X + step) - function(X - step)) / (2 * size))
    return np.stack(parts, axis=-1)


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7 * np.abs(expected).max())


# --- what needs no toolbox


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


def test_without_the_toolbox():
    subprocess.run([sys.executable, "-c", MISSING], check=True)


# --- losses


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_the_slopes_of_the_losses(name, n_classes):
    rng = np.random.default_rng(0)
    z, codes = rng.normal(size=(30, n_classes)), rng.integers(n_classes, size=30)
    _, slope = LOSSES[name](z, codes)
    assert_close(slope, differences(lambda z: LOSSES[name](z, codes)[0], z))


def test_the_ratio_does_not_depend_on_shift_and_scale():
    rng = np.random.default_rng(0)
    z, codes = rng.normal(size=(30, 4)), rng.integers(4, size=30)
    loss = LOSSES["difference_logits_ratio"]
    np.testing.assert_allclose(loss(z, codes)[0], loss(7 * z + 3, codes)[0], rtol=1e-10)
    sorted_ = np.sort(z, axis=1)
    right = z.argmax(axis=1)
    expected = -(sorted_[:, 3] - sorted_[:, 2]) / (sorted_[:, 3] - sorted_[:, 1])
    np.testing.assert_allclose(loss(z, right)[0], expected)


# --- the toolbox


def toolbox():
    pytest.importorskip("multiprocess")
    return pytest.importorskip("art.attacks.evasion")


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_gradients_are_derivatives(loss, n_classes):
    toolbox()
    model, X, y = fitted(n_classes, cv=2)
    wrapped = art_classifier(model, loss=loss)
    found = wrapped.loss_gradient(X, np.eye(n_classes)[y])
    assert found.shape == X.shape
    assert_close(found, differences(lambda X: wrapped.compute_loss(X, y), X))
    np.testing.assert_array_equal(found, wrapped.loss_gradient(X, y))
    if loss == "cross_entropy":
        np.testing.assert_allclose(found, input_gradients(model, X, y), rtol=1e-12)
    values = wrapped.compute_loss(X, y)
    assert wrapped.compute_loss(X, y, reduction="mean") == pytest.approx(values.mean())


@pytest.mark.parametrize("cls", [ODENetClassifier, FeedForwardClassifier])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("output", ["log_proba", "proba"])
def test_class_gradients_are_derivatives(output, n_classes, cls):
    toolbox()
    model, X, _ = fitted(n_classes, cls, loss="squared_error" if n_classes == 3 else "log_loss")
    wrapped = art_classifier(model, output=output)
    of_model = model.predict_log_proba if output == "log_proba" else model.predict_proba
    np.testing.assert_allclose(wrapped.predict(X), of_model(X), rtol=1e-12)
    found = wrapped.class_gradient(X)
    assert found.shape == (len(X), n_classes, 3)
    assert_close(found, differences(wrapped.predict, X))
    np.testing.assert_allclose(wrapped.class_gradient(X, 1), found[:, [1]], rtol=1e-10)
    label = np.arange(len(X)) % n_classes
    expected = found[np.arange(len(X)), label][:, None]
    np.testing.assert_allclose(wrapped.class_gradient(X, label), expected, rtol=1e-10)


def test_what_the_wrapper_says_of_itself():
    toolbox()
    model, X, y = fitted()
    wrapped = art_classifier(model, clip_values=(0, [20, 30, 40]))
    assert wrapped.nb_classes == 3
    assert wrapped.input_shape == (3,)
    np.testing.assert_array_equal(wrapped.clip_values, [[0, 0, 0], [20, 30, 40]])
    assert repr(wrapped).startswith("art_classifier(Pipeline(")
    with pytest.raises(NotImplementedError, match="Fit the estimator of skode"):
        wrapped.fit(X, y)
    for name in ("output", "loss"):
        with pytest.raises(ValueError, match=f"{name} must be one of"):
            art_classifier(model, **{name: "square"})


# Short ones of the attacks.
SHORT = {
    "fgsm": {},
    "pgd": {"max_iter": 8, "num_random_init": 1},
    "autoattack": {"max_iter": 5, "nb_random_init": 1},
    "deepfool": {},
    "carlini": {"max_iter": 3, "binary_search_steps": 4, "initial_const": 1.0},
    "hopskipjump": {"max_iter": 2, "max_eval": 50, "init_eval": 20},
}


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("attack", SHORT)
def test_attacks_by_name(attack, norm):
    toolbox()
    if attack in ("deepfool", "carlini") and norm == "inf":
        norm = 2
    X, y = blobs(3, 24, 2)
    X = 100 + 10 * X
    model = make_pipeline(StandardScaler(), short(ODENetClassifier)).fit(X, y)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    options = {"norm": norm, "attack": attack, "attack_params": SHORT[attack], "random_state": 0}
    found = adversarial_examples(model, X, y, 8.0, **options)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    size = np.linalg.norm(found - X, ord=np.inf if norm == "inf" else 2, axis=1)
    assert size.max() <= 8 * (1 + 1e-12)
    moved = size > 0
    assert moved.any()
    assert (model.predict(found[moved]) != y[moved]).all()
    accuracy = robust_accuracy(model, X, y, [8.0], **options)
    assert accuracy == (model.predict(found) == y).mean()
    assert accuracy < model.score(X, y)
    grid = robust_accuracy(model, X, y, 8.0, norm, "grid", n_points=41)
    assert grid <= accuracy + 1 / len(X)


def test_attacks_in_the_units_of_the_features():
    toolbox()
    model, X, y = fitted()
    scaler, network = model
    scaled = StandardScaler().fit_transform(X)
    options = {"norm": "inf", "random_state": 0, "attack_params": {"max_iter": 5}}
    radius = 0.8 * scaler.scale_.min()
    found = adversarial_examples(model, X, y, radius, **options)
    assert np.abs(found - X).max() <= radius * (1 + 1e-12)
    # A ball in raw units is a box of other sides in the units of the network.
    assert robust_accuracy(network, scaled, y, 0.8, **options) <= robust_accuracy(
        model, X, y, radius, **options
    )


def test_a_random_state_makes_results_reproducible():
    toolbox()
    model, X, y = fitted()
    options = {"eps": 1.0, "attack_params": {"max_iter": 3, "num_random_init": 1}}
    one, two, other = (
        adversarial_examples(model, X, y, random_state=seed, **options) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("norm", [2, np.inf])
def test_projected_gradient_descent_is_that_of_the_toolbox(plane, norm):
    evasion = toolbox()
    model, X, y = plane
    options = {"eps_step": 0.1, "max_iter": 6, "num_random_init": 0}
    right = np.flatnonzero(model.predict(X) == y)
    attack = evasion.ProjectedGradientDescent(
        art_classifier(model), norm=norm, eps=0.4, verbose=False, **options
    )
    expected = into_ball(X[right], attack.generate(X[right], y[right]).astype(float), 0.4, norm)
    found = adversarial_examples(model, X, y, 0.4, norm, attack_params=options)[right]
    moved = (found != X[right]).any(axis=1)
    assert moved.any()
    np.testing.assert_array_equal(moved, model.predict(expected) != y[right])
    np.testing.assert_allclose(found[moved], expected[moved], atol=1e-6)


def test_attack_objects_run_once(plane):
    evasion = toolbox()
    model, X, y = plane
    attack = evasion.ProjectedGradientDescent(
        art_classifier(model), norm=2, eps=0.5, eps_step=0.1, max_iter=10, verbose=False
    )
    accuracy = robust_accuracy(model, X, y, [0.1, 0.5, 0.9], 2, attack)
    moved = attack.generate(X, y).astype(float)
    wrong = model.predict(into_ball(X, moved, 0.5, 2)) != y
    assert accuracy[1] <= 1 - wrong.mean() + 1e-12
    assert accuracy[0] > accuracy[1] == accuracy[2]


def test_pipelines_of_several_steps_and_tables():
    toolbox()
    X, y = blobs(3)
    table = pd.DataFrame(5 + SCALES * X, columns=list("abc"))
    model = make_pipeline(StandardScaler(), PCA(2), short(ODENetClassifier)).fit(table, y)
    params = {"max_iter": 5, "num_random_init": 1}
    accuracy = robust_accuracy(model, table, y, [0, 0.05], attack_params=params, random_state=0)
    assert accuracy[1] < accuracy[0] == model.score(table, y)
    wrapped = art_classifier(model)
    found = wrapped.loss_gradient(table.to_numpy(), y)
    np.testing.assert_allclose(found, input_gradients(model, table, y), rtol=1e-12)


# --- the display


def curves(**parameters):
    eps = np.array([0.0, 0.1, 0.2])
    options = {
        "eps": eps,
        "clean": np.array([0.9, 0.8]),
        "attacked": {"pgd": np.array([[0.9, 0.6, 0.3], [0.8, 0.7, 0.5]])},
        "names": ["one", "two"],
    }
    return RobustnessDisplay(**{**options, **parameters})


def test_the_display_draws_what_it_is_given():
    certified = np.array([[0.9, 0.2, 0.0], [0.8, 0.1, 0.0]])
    display = curves(certified=certified, norm=2).plot(name="title")
    for k in range(2):
        attacked = display.attacked_lines_["pgd"][k]
        np.testing.assert_array_equal(attacked.get_ydata(), display.attacked["pgd"][k])
        np.testing.assert_array_equal(display.certified_lines_[k].get_ydata(), certified[k])
        assert display.clean_lines_[k].get_ydata()[0] == display.clean[k]
        assert attacked.get_color() is not None
    assert len(display.bands_) == 2
    assert display.ax_.get_xlabel() == "radius ε (2-norm)"
    texts = [text.get_text().replace("\n", " ") for text in display.legend_.get_texts()]
    assert texts[:3] == ["one", "two", "without attack"]
    assert "under attack: PGD" in texts
    assert "certified" in texts
    display.figure_.canvas.draw()
    box = display.legend_.get_window_extent()
    assert box.x0 >= display.ax_.get_window_extent().x1  # it covers nothing


def test_keywords_reach_the_artists_and_axes_are_kept():
    _, ax = plt.subplots()
    display = curves(certified=np.zeros((2, 3))).plot(
        ax=ax,
        legend=False,
        cmap="tab10",
        line_kw={"lw": 5},
        certified_kw={"ls": "-"},
        clean_kw={"alpha": 0.5},
        fill_between_kw={"alpha": 0.4},
    )
    assert display.ax_ is ax
    assert display.legend_ is None
    assert display.attacked_lines_["pgd"][0].get_linewidth() == 5
    assert display.certified_lines_[0].get_linestyle() == "-"
    assert display.clean_lines_[0].get_alpha() == 0.5
    assert display.bands_[0].get_alpha() == 0.4


def test_the_display_from_estimators(plane):
    model, X, y = plane
    eps = [0.4, 0.0, 0.2]
    options = {"attacks": "grid", "n_points": 9}
    one = RobustnessDisplay.from_estimator(model, X, y, eps=eps, **options)
    np.testing.assert_array_equal(one.eps, [0.0, 0.2, 0.4])
    expected = robust_accuracy(model, X, y, one.eps, attack="grid", n_points=9)
    np.testing.assert_array_equal(one.attacked["grid"], [expected])
    assert one.clean == [model.score(X, y)]
    assert one.bands_ == one.certified_lines_ == []
    two = RobustnessDisplay.from_estimator([model, model], X, y, eps=eps, **options)
    assert two.names == ["ODENetClassifier 1", "ODENetClassifier 2"]


def test_certified_and_attacked_curves_bound_each_other(plane):
    model, X, y = plane
    display = RobustnessDisplay.from_estimator(
        {"net": model},
        X,
        y,
        eps=[0.0, 0.05, 0.1],
        attacks="grid",
        n_points=9,
        certified=True,
        norm=2,
    )
    assert display.names == ["net"]
    np.testing.assert_array_equal(
        display.certified[0], certified_accuracy(model, X, y, display.eps, norm=2)
    )
    assert display.certified[0, 0] == display.clean[0]
    assert (display.certified <= display.attacked["grid"]).all()
    assert len(display.bands_) == 1
    alone = RobustnessDisplay.from_estimator(
        model, X, y, eps=[0.0, 0.1], attacks=None, certified=True, norm=2
    )
    assert alone.attacked == {}
    assert alone.bands_ == []
    assert len(alone.certified_lines_) == 1


def test_errors_of_the_display(plane):
    model, X, y = plane
    draw = RobustnessDisplay.from_estimator
    with pytest.raises(ValueError, match="eps must be a sequence"):
        draw(model, X, y, eps=0.1, attacks="grid")
    with pytest.raises(ValueError, match="nothing to draw"):
        draw(model, X, y, eps=[0.1], attacks=None)
    with pytest.raises(ValueError, match="no estimator"):
        draw([], X, y, eps=[0.1], attacks="grid")
    for bad in ("grids", ["grids"], 5):
        with pytest.raises(ValueError, match="attack must be one of"):
            draw(model, X, y, eps=[0.1], attacks=bad)


def test_attacks_of_one_name_are_numbered(plane):
    model, X, y = plane
    attacks = [lambda model, X, y, eps: X, lambda model, X, y, eps: X + eps]
    display = RobustnessDisplay.from_estimator(model, X, y, eps=[0.4], attacks=attacks)
    assert [*display.attacked] == ["<lambda> 1", "<lambda> 2"]
    assert display.attacked["<lambda> 1"] > display.attacked["<lambda> 2"]
