"""Selection among iterates and candidates by a score instead of the loss."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    get_scorer,
    mean_absolute_error,
    roc_auc_score,
)
from sklearn.model_selection import KFold, LeaveOneOut, StratifiedKFold

from skode import FeedForwardClassifier, FeedForwardRegressor, ODENetClassifier, ODENetRegressor
from skode._averaging import greedy_weights
from skode._labels import Classes
from skode._scoring import FixedClassifier, negative_score
from tests.estimators import blobs, curve, recomputed_outputs, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

EULER = ([[0.0]], [1.0], [0.0])
MANY = {"max_iter": 15, "tol": 0.0, "n_iter_no_change": 100, "alpha": 1e-3, "solver": "lbfgs"}


def noisy(seed=0, n_samples=90, n_classes=2):
    rng = np.random.default_rng(seed)
    X, y = blobs(n_classes, n_samples, seed=seed)
    return X, np.where(rng.uniform(size=n_samples) < 0.25, rng.integers(0, n_classes, n_samples), y)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("scoring", "score", "of_proba"),
    [("roc_auc", roc_auc_score, True), ("average_precision", average_precision_score, True),
     ("f1", f1_score, False)],
)  # fmt: skip
def test_the_held_out_loss_is_the_negative_score(scoring, score, of_proba, weighted):
    X, y = noisy()
    weights = np.random.default_rng(1).uniform(0.5, 2, 90) if weighted else None
    model = short(ODENetClassifier, cv=3, scoring=scoring, **MANY).fit(X, y, weights)
    log_odds = recomputed_outputs(model, EULER, 1.0, X)[:, 0]
    for s, (_, held_out) in enumerate(StratifiedKFold(3).split(X, y)):
        estimator = log_odds[s][held_out]
        estimator = estimator if of_proba else estimator > 0
        w = None if weights is None else weights[held_out]
        expected = -score(y[held_out], estimator, sample_weight=w)
        assert model.validation_loss_[0, s, 0] == pytest.approx(expected, abs=1e-12)
        # This is the best of all iterates, and the first of them if several are best.
        curve_ = model.validation_curve_[0, s, 0]
        assert model.best_iter_[s] == np.nanargmin(curve_)
        assert len(np.unique(curve_)) > 2


@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam"])
def test_training_lowers_the_loss_all_the_same(solver):
    X, y = noisy()
    options = {**MANY, "cv": 3, "solver": solver}
    by_loss = short(ODENetClassifier, **options).fit(X, y)
    by_score = short(ODENetClassifier, scoring="accuracy", **options).fit(X, y)
    np.testing.assert_array_equal(by_loss.loss_curve_, by_score.loss_curve_)
    assert (by_loss.validation_curve_ != by_score.validation_curve_).all()


def test_a_score_weighs_the_candidates():
    X, y = noisy(n_samples=150)
    options = {**MANY, "cv": 3, "alpha": (1e-3, 1e-2, 0.1), "n_restarts": 2, "max_iter": 30}
    model = short(ODENetClassifier, scoring="roc_auc", **options).fit(X, y)
    parts, y_parts = [], []
    singles = [
        short(ODENetClassifier, scoring="roc_auc", **{**options, "alpha": alpha}).fit(X, y)
        for alpha in options["alpha"]
    ]
    for s, (_, held_out) in enumerate(StratifiedKFold(3).split(X, y)):
        estimator = []
        for single in singles:
            z = recomputed_outputs(single, EULER, 1.0, X)[2 * s : 2 * s + 2, 0][:, held_out]
            p = (1 / (1 + np.exp(-z))).mean(axis=0)
            estimator.append(np.stack([1 - p, p]))
        parts.append(np.stack(estimator))
        y_parts.append(y[held_out])
    estimator, held = np.concatenate(parts, axis=2), np.concatenate(y_parts)
    expected = greedy_weights(lambda p: -roc_auc_score(held, np.log(p[1] / p[0])), estimator)
    # A race may end candidates that are behind, which changes their score.
    if "behind" not in model.stop_reason_:
        np.testing.assert_allclose(model.candidates_["weight"], expected, atol=1e-12)
    assert model.candidates_["validation_loss"].min() < -0.6


@pytest.mark.parametrize("cls", [ODENetRegressor, FeedForwardRegressor])
def test_scores_of_numbers_are_in_the_units_of_the_targets(cls):
    X, y = curve(90)
    y = 100 + 50 * y
    options = {**MANY, "cv": 3, "scoring": "neg_mean_absolute_error"}
    model = short(cls, **options).fit(X, y)
    z = recomputed_outputs(model, EULER, float(cls is ODENetRegressor), X)[:, 0]
    for s, (_, held_out) in enumerate(KFold(3).split(X)):
        predicted = y.mean() + y.std() * z[s][held_out]
        expected = mean_absolute_error(y[held_out], predicted)
        assert model.validation_loss_[0, s, 0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("cls", [ODENetClassifier, FeedForwardClassifier])
def test_a_callable_is_asked_for_the_score(cls):
    X, y = noisy(n_classes=3)

    def scoring(estimator, X, y):
        proba = estimator.predict_proba(X)
        np.testing.assert_allclose(proba.sum(axis=1), 1)
        np.testing.assert_array_equal(estimator.classes_[proba.argmax(1)], estimator.predict(X))
        return float((estimator.predict(X) == y).mean())

    names = np.array(["a", "b", "c"])[y]
    found, expected = (
        short(cls, cv=3, scoring=how, **MANY).fit(X, names) for how in (scoring, "accuracy")
    )
    np.testing.assert_array_equal(found.validation_curve_, expected.validation_curve_)
    clone(found)


@pytest.mark.parametrize("scoring", ["f1_macro", "roc_auc", "accuracy"])
def test_several_labels_have_scores(scoring):
    X, _ = blobs(2, 90)
    Y = (X[:, :2] + 0.3 * np.random.default_rng(0).normal(size=(90, 2)) > 0).astype(int)
    model = short(ODENetClassifier, cv=3, scoring=scoring, **MANY).fit(X, Y)
    assert model.validation_loss_.max() < -0.5


def test_samples_to_judge_by_and_early_stopping_have_scores():
    X, y = noisy()
    model = short(ODENetClassifier, scoring="roc_auc", **MANY)
    model.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    expected = roc_auc_score(y[60:], model.decision_function(X[60:]))
    assert model.validation_loss_.item() == pytest.approx(-expected, abs=1e-12)
    model.set_params(early_stopping=True, validation_fraction=0.3).fit(X, y)
    judged = np.isfinite(model.oof_decision_function_)
    expected = roc_auc_score(y[judged], model.oof_decision_function_[judged])
    assert model.validation_loss_.item() == pytest.approx(-expected, abs=1e-12)


def test_one_class_has_no_score_and_needs_none():
    X, _ = blobs(2)
    model = short(ODENetClassifier, cv=3, scoring="roc_auc").fit(X, np.zeros(60))
    np.testing.assert_array_equal(model.predict(X), np.zeros(60))


def test_a_score_that_is_none():
    estimator = FixedClassifier(Classes(np.array([0, 1])), np.log([[0.4, 0.3], [0.6, 0.7]]))
    y, weights = np.array([1, 1]), np.ones(2)
    assert negative_score("accuracy", estimator, y, weights) == -1.0
    assert negative_score(lambda *_: np.nan, estimator, y, weights) == np.inf
    assert negative_score("roc_auc_ovr", estimator, y, weights) == np.inf  # it raises a ValueError
    for score in (np.ones(2), None, "a", True):
        with pytest.raises(TypeError, match="scoring must give one number; it gave"):
            negative_score(lambda *_, score=score: score, estimator, y, weights)


def rare(X, number):
    """Return zeros, and ones for the samples with the largest first feature."""
    y = np.zeros(len(X), dtype=int)
    y[np.argsort(X[:, 0])[-number:]] = 1
    return y


@pytest.mark.parametrize("scoring", ["roc_auc", "average_precision", "neg_log_loss"])
def test_where_a_split_has_no_score_the_loss_chooses_its_iterates(scoring):
    X, _ = blobs(2, 160)
    y = rare(X, 4)  # half of the folds have none of these
    options = {"random_state": 0, "n_channels": 8, "alpha": 1e-2, "features": "given"}
    by_loss = ODENetClassifier(**options).fit(X, y)
    model = ODENetClassifier(scoring=scoring, **options).fit(X, y)
    without = model.validation_loss_[0, :, 0] == by_loss.validation_loss_[0, :, 0]
    assert without.sum() == 4
    assert (model.best_iter_ > 0).all() or scoring != "neg_log_loss"
    assert (model.best_iter_[without] == by_loss.best_iter_[without]).all()
    assert np.isfinite(model.validation_loss_).all()
    assert roc_auc_score(y, model.decision_function(X)) > 0.95


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr"])
def test_a_rare_class_is_no_obstacle_to_a_score(scoring):
    X, y = blobs(2, 80)
    y[:3] = 2
    model = ODENetClassifier(scoring=scoring, max_iter=10, random_state=0).fit(X, y)
    assert np.isfinite(model.validation_loss_).all()
    assert model.score(X, y) > 0.8


def test_a_score_that_no_split_has():
    X, y = curve(20)
    with pytest.raises(ValueError, match=r"scoring='r2' gives no score for what the splits hold"):
        short(ODENetRegressor, cv=LeaveOneOut(), scoring="r2").fit(X, y)
    X, _ = blobs(2)
    Y = np.c_[X[:, 0] > 0, np.zeros(60)].astype(int)
    with pytest.raises(ValueError, match=r"gives no score.*"):
        short(ODENetClassifier, cv=3, scoring="roc_auc").fit(X, Y)


def test_scores_that_some_predictions_have_not():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 2))
    y = rng.poisson(np.exp(X[:, 0]))
    options = {**MANY, "cv": 3, "scoring": "neg_mean_poisson_deviance"}
    with pytest.warns(ConvergenceWarning, match="no iterate was better.* have no score"):
        short(ODENetRegressor, **options).fit(X, y)  # which predicts negative numbers
    model = short(ODENetRegressor, loss="poisson", **options).fit(X, y)
    assert np.isfinite(model.validation_loss_).all()


@pytest.mark.parametrize("scoring", ["no_such", 3, ["roc_auc"]])
def test_bad_scoring(scoring):
    X, y = blobs(2)
    with pytest.raises(ValueError, match="'scoring' parameter"):
        short(ODENetClassifier, cv=3, scoring=scoring).fit(X, y)


def test_a_score_has_no_effect_where_nothing_is_held_out():
    X, y = blobs(2)
    with pytest.warns(UserWarning, match="scoring='roc_auc' has no effect here: no samples are"):
        short(ODENetClassifier, scoring="roc_auc").fit(X, y)


@pytest.mark.parametrize("cls", [ODENetClassifier, FeedForwardClassifier])
def test_a_default_fit_by_a_score(cls):
    X, y = noisy(n_samples=200)
    model = cls(scoring="roc_auc", random_state=0).fit(X, y)
    assert get_scorer("roc_auc")(model, X, y) > 0.75
    assert (model.candidates_["validation_loss"] < -0.6).any()
