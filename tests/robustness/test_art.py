"""Classifiers and attacks of the Adversarial Robustness Toolbox (ART)."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardClassifier, ODENetClassifier
from skode.inspection import input_gradients
from skode.robustness import adversarial_examples, art_classifier, robust_accuracy
from skode.robustness._losses import LOSSES
from skode.robustness._norms import into_ball
from tests.estimators import blobs, short
from tests.robustness.attacked import SCALES, assert_close, differences, fitted, toolbox

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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
