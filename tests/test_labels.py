"""Several labels at once: zeros and ones in several columns."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import KFold, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from skode import ODENetClassifier
from skode._averaging import greedy_weights
from skode.engine.arrays import to_host
from skode.engine.schemes import TABLEAUX
from skode.inspection import costates, step_doubling_gap, trajectories
from tests import reference
from tests.estimators import BOTH, recomputed_outputs, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

EULER = reference.triple(TABLEAUX["euler"])
OPTIONS = {"max_iter": 15}


def labelled(n_samples=60, n_labels=3, seed=0):
    """Labels that depend on the features, with some noise; all combinations of them occur."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 3))
    z = np.sin(2 * X[:, [0]] + np.arange(n_labels)) + X[:, [1]] * X[:, [2]]
    return X, (z + 0.3 * rng.normal(size=z.shape) > 0).astype(int)


def mean_log_loss(z, y):
    """Return the mean over labels of log(1 + exp z) - y z, of z (n_labels, n_samples)."""
    return (np.logaddexp(0, z) - y.T * z).mean(axis=0)


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_probabilities_and_objective_from_the_fitted_arrays(cls, solver):
    X, y = labelled()
    weights = np.random.default_rng(0).uniform(size=60)
    options = {"lift": "linear", "n_restarts": 2, "alpha": 0.02, "solver": solver, **OPTIONS}
    model = short(cls, **options).fit(X, y, weights)
    z = recomputed_outputs(model, EULER, 1.0 if cls is ODENetClassifier else 0.0, X)
    proba = (1 / (1 + np.exp(-z))).mean(axis=0).T
    assert proba.shape == (60, 3)
    np.testing.assert_allclose(model.predict_proba(X), proba, rtol=1e-9)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(proba), rtol=1e-9, atol=1e-12)
    decision = np.log(proba / (1 - proba))
    np.testing.assert_allclose(model.decision_function(X), decision, rtol=1e-7, atol=1e-9)
    found = model.predict(X)
    assert found.dtype.kind == "i"
    np.testing.assert_array_equal(found, proba > 0.5)
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])
    assert model.n_outputs_ == 3
    assert model.score(X, y) == (found == y).all(axis=1).mean()
    for k in range(2):
        objective = np.average(mean_log_loss(z[k], y), weights=weights)
        objective += 0.01 * sum((part[k] ** 2).sum() for part in (model.K_, model.W_, model.V_))
        assert model.loss_[k] == pytest.approx(objective, rel=1e-9)


@pytest.mark.parametrize("cls", BOTH)
def test_out_of_fold_results(cls):
    X, y = labelled()
    model = short(cls, cv=3, **OPTIONS).fit(X, y)
    z = recomputed_outputs(model, EULER, 1.0 if cls is ODENetClassifier else 0.0, X)
    assert model.oof_decision_function_.shape == (60, 3)
    for k, (_, out) in enumerate(KFold(3).split(X)):  # an int means folds in sample order
        np.testing.assert_allclose(model.oof_decision_function_[out], z[k, :, out], rtol=1e-7)
        held_out = mean_log_loss(z[k][:, out], y[out]).mean()
        assert model.validation_loss_[0, k, 0] == pytest.approx(held_out, rel=1e-9)
    subset = ((model.oof_decision_function_ > 0) == y).all(axis=1).mean()
    assert model.oof_score_ == pytest.approx(subset)


def test_candidates_are_weighed_by_the_mean_log_loss():
    X, y = labelled()
    alphas, options = (1e-3, 0.1, 1.0), {"cv": 2, "max_iter": 8}
    both = short(ODENetClassifier, alpha=alphas, **options).fit(X, y)
    each = [short(ODENetClassifier, alpha=alpha, **options).fit(X, y) for alpha in alphas]
    proba = np.array([1 / (1 + np.exp(-model.oof_decision_function_)) for model in each])

    def loss_of(mean):
        return np.mean([log_loss(y[:, k], mean[:, k]) for k in range(3)])

    np.testing.assert_allclose(both.candidates_["weight"], greedy_weights(loss_of, proba))


def test_one_network_for_all_labels_is_as_good_as_others():
    X, y = make_multilabel_classification(600, n_labels=2, random_state=0)
    X = StandardScaler().fit_transform(X)
    X, X_new, y, y_new = X[:400], X[400:], y[:400], y[400:]

    def loss_of(proba):
        return np.mean([log_loss(y_new[:, k], proba[:, k]) for k in range(y.shape[1])])

    ours = ODENetClassifier(random_state=0).fit(X, y)
    mlp = MLPClassifier(early_stopping=True, max_iter=500, random_state=0).fit(X, y)
    one_by_one = MultiOutputClassifier(ODENetClassifier(random_state=0)).fit(X, y)
    alone = np.stack([proba[:, 1] for proba in one_by_one.predict_proba(X_new)], axis=1)
    assert ours.predict_proba(X_new).shape == mlp.predict_proba(X_new).shape
    assert ours.predict(X_new).dtype == mlp.predict(X_new).dtype
    np.testing.assert_array_equal(ours.classes_, mlp.classes_)
    loss = loss_of(ours.predict_proba(X_new))
    assert loss < loss_of(mlp.predict_proba(X_new))
    assert loss < 1.1 * loss_of(alone)
    assert accuracy_score(y_new, ours.predict(X_new)) == ours.score(X_new, y_new)


def test_labels_of_any_type():
    X, y = labelled()
    expected = short(ODENetClassifier, cv=3, **OPTIONS).fit(X, y).predict_proba(X)
    for other in (y.astype(bool), y.astype(float), pd.DataFrame(y), y.tolist(), csr_array(y)):
        found = short(ODENetClassifier, cv=3, **OPTIONS).fit(X, other)
        np.testing.assert_array_equal(found.predict_proba(X), expected)
        assert found.predict(X).dtype.kind == "i"


def test_a_label_that_all_or_no_samples_have():
    X, y = labelled()
    y[:, 0], y[:, 1] = 0, 1
    found = short(ODENetClassifier, cv=3, solver="lbfgs", max_iter=50).fit(X, y).predict_proba(X)
    assert (found[:, 0] < 0.1).all()
    assert (found[:, 1] > 0.9).all()


@pytest.mark.parametrize("cls", BOTH)
def test_the_order_of_the_labels_does_not_matter(cls):
    X, y = labelled()
    order = [2, 0, 1]
    one, other = (short(cls).fit(X, labels) for labels in (y, y[:, order]))
    np.testing.assert_allclose(one.predict_proba(X)[:, order], other.predict_proba(X), atol=1e-6)


def test_streams_go_on_with_as_many_labels():
    X, y = labelled(400)
    model = short(ODENetClassifier, solver="adam", learning_rate_init=0.03)
    for epoch in range(40):
        model.partial_fit(X, y, classes=[0, 1, 2] if epoch == 3 else None)
    assert model.score(X, y) > 0.6
    assert model.loss_curve_.T[0, -1] < 0.7 * model.loss_curve_.T[0, 0]
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])
    # After a fit too.
    fitted = short(ODENetClassifier, solver="adam", max_iter=3).fit(X, y)
    assert fitted.partial_fit(X, y).network_n_iter_ == [4]


def test_single_precision_stays():
    X, y = labelled()
    single = short(ODENetClassifier, cv=3, **OPTIONS).fit(X.astype(np.float32), y)
    double = short(ODENetClassifier, cv=3, **OPTIONS).fit(X, y)
    assert single.predict_proba(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(single.predict_proba(X), double.predict_proba(X), atol=2e-3)


def test_weights_are_like_duplicates():
    X, y = labelled()
    weights = np.random.default_rng(1).integers(0, 3, 60)
    repeated = short(ODENetClassifier).fit(np.repeat(X, weights, 0), np.repeat(y, weights, 0))
    weighted = short(ODENetClassifier).fit(X, y, sample_weight=3.5 * weights)
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("scheme", ["heun", "gauss4"])
def test_costates_are_derivatives_of_the_loss(scheme):
    X, y = labelled(20)
    options = {"scheme": scheme, "h": 0.5, "cv": 2, "max_iter": 5}
    model = short(ODENetClassifier, **options).fit(X, y)
    p, states = costates(model, X, y), trajectories(model, X)
    for k in range(2):
        direction = np.random.default_rng(k).normal(size=states[k, -1].shape)
        z = model.W_[k] @ (states[k, -1] + 1e-40j * direction).T + model.mu_[k][:, None]
        expected = reference.LOSSES["logistic"](z, y.T).mean().imag / 1e-40
        np.testing.assert_allclose((p[k, -1] * direction).sum(), expected, rtol=1e-10)


def test_step_doubling_counts_samples_of_which_some_label_changes():
    X, y = labelled()
    model = short(ODENetClassifier, N=2, h=0.5, cv=2, max_iter=20).fit(X, y)
    gap = step_doubling_gap(model, X, refinement=8)
    fine = pickle.loads(pickle.dumps(model))
    for name in ("K_", "b_", "h_"):
        setattr(fine, name, np.repeat(getattr(model, name), 8, axis=1))
    fine.h_ = fine.h_ / 8
    assert gap.changed == (fine.predict(X) != model.predict(X)).any(axis=1).mean()
    assert gap.changed > 0
    difference = np.abs(fine.predict_proba(X) - model.predict_proba(X)).max(axis=1)
    np.testing.assert_allclose(gap.gap, difference, atol=1e-13)


def test_samples_to_judge_by():
    X, y = labelled(100)
    model = short(ODENetClassifier, alpha=(1e-3, 1e-1), **OPTIONS)
    model.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    assert np.isnan(model.oof_decision_function_).all()
    assert model.oof_score_ == model.score(X[60:], y[60:])


def test_groups_and_cross_validation():
    X, y = labelled(120)
    model = short(ODENetClassifier, cv="auto", solver="lbfgs", n_channels=16, max_iter=50)
    assert cross_val_score(model, X, y, cv=3).mean() > 0.4
    groups = np.repeat(np.arange(12), 10)
    assert np.isfinite(model.fit(X, y, groups=groups).oof_decision_function_).all()


def test_every_library_fits_the_same(xp, dispatch):
    X, y = labelled()
    expected = short(ODENetClassifier, cv=3, max_iter=8).fit(X, y)
    model = short(ODENetClassifier, cv=3, max_iter=8).fit(xp.asarray(X), xp.asarray(y))
    for name in ("predict_proba", "predict_log_proba", "decision_function", "predict"):
        found = getattr(model, name)(xp.asarray(X))
        assert xp.holds(found), name
        wanted = getattr(expected, name)(X)
        assert to_host(found).dtype == wanted.dtype
        np.testing.assert_allclose(to_host(found), wanted, rtol=1e-8, atol=1e-10)
    assert model.oof_score_ == expected.oof_score_
    assert model.score(xp.asarray(X), xp.asarray(y)) == pytest.approx(expected.score(X, y))


def test_the_tags_say_for_which_parameters_there_may_be_several_labels():
    for parameters, able in (
        ({}, True),
        ({"loss": "squared_error"}, False),
        ({"class_weight": "balanced"}, False),
    ):
        tags = get_tags(ODENetClassifier(**parameters))
        assert tags.classifier_tags.multi_label == able


# --- errors


@pytest.mark.parametrize("cls", BOTH)
def test_bad_labels(cls):
    X, y = labelled()
    for parameters, labels, message in (
        ({}, np.c_[y, 1 + y[:, 0]], r"1d array"),  # several columns of classes
        ({}, 1 + y, "hold zeros and ones"),
        ({}, -y, "hold zeros and ones"),
        ({"loss": "squared_error"}, y, "loss='squared_error' is for classes that exclude"),
        ({"class_weight": "balanced"}, y, "class_weight='balanced' .* Set class_weight=None"),
        ({"class_weight": {0: 1, 1: 2}}, y, "class_weight={.*} .* Set class_weight=None"),
        ({}, np.where(y == 1, np.nan, 0.0), "1d array|NaN"),
        ({}, y[:-1], "inconsistent numbers of samples"),
    ):
        model = short(cls, **parameters)
        with pytest.raises(ValueError, match=message):
            model.fit(X, labels)
        assert not hasattr(model, "classes_")
    for y_val, message in (
        (y[:, :2], r"y_val has the shape \(60, 2\), but \(60, 3\) is expected"),
        (y[:, 0], r"y_val has the shape \(60,\), but \(60, 3\) is expected"),
        (2 * y, "columns of y_val are labels, and must hold zeros and ones"),
    ):
        with pytest.raises(ValueError, match=message):
            short(cls).fit(X, y, X_val=X, y_val=y_val)
    with pytest.raises(ValueError, match=r"y_val must be one column .* \(60, 3\)"):
        short(cls).fit(X, y[:, 0], X_val=X, y_val=y)


@pytest.mark.parametrize("cls", BOTH)
def test_what_cannot_go_on(cls):
    X, y = labelled()
    three = np.argmax(y, axis=1)
    for first, then, message in (
        (y, y[:, :2], "goes on with 3 labels, but y holds 2 labels. Set warm_start=False"),
        (y, three, r"goes on with 3 labels, but y holds the classes \[0 1 2\]"),
        (three, y, r"goes on with the classes \[0 1 2\], but y holds 3 labels"),
    ):
        model = short(cls, warm_start=True, max_iter=3).fit(X, first)
        before = vars(model).copy()
        with pytest.raises(ValueError, match=message):
            model.fit(X, then)
        assert vars(model) == before
    for first, then, message in (
        (y, y[:, :2], r"y has the shape \(60, 2\), but \(60, 3\) is expected"),
        (y, three, r"Before, y held 3 labels; its shape is now \(60,\)"),
        (three, y, r"Before, y held the classes \[0 1 2\]; its shape is now \(60, 3\)"),
    ):
        model = short(cls, solver="adam", max_iter=3).fit(X, first)
        before = vars(model).copy()
        with pytest.raises(ValueError, match=message):
            model.partial_fit(X, then)
        assert vars(model) == before
    for classes in ([0, 1], [1, 2, 3]):
        with pytest.raises(ValueError, match="not those of"):
            short(cls, solver="adam").partial_fit(X, y).partial_fit(X, y, classes=classes)
        with pytest.raises(ValueError, match=r"classes=.* numbers of the columns of y"):
            short(cls, solver="adam").partial_fit(X, y, classes=classes)
    model = short(cls, max_iter=3).fit(X, y)
    with pytest.raises(ValueError, match=r"y has the shape \(60,\), but \(60, 3\) is expected"):
        costates(model, X, y[:, 0])
