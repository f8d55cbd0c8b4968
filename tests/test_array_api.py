"""The estimators with every array library: computed on the device of X, with NumPy's results."""

import pickle
import subprocess
import sys
import threading
from itertools import product

import numpy as np
import pytest
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from skode import ODENetClassifier, ODENetRegressor
from skode.engine.arrays import to_host
from skode.engine.schemes import as_tableau
from tests.estimators import BOTH, REGRESSORS, blobs, short
from tests.libraries import (
    RESULTS,
    SCHEMES,
    VARIANTS,
    WITHOUT_OTHER_LIBRARIES,
    assert_same,
    data_for,
    few,
    fitted_arrays,
    results,
)
from tests.namespaces import NAMESPACES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize(
    ("cls", "variant"),
    [
        *product([*BOTH, *REGRESSORS], VARIANTS),
        *product([ODENetClassifier, ODENetRegressor], SCHEMES),
    ],
)
def test_every_library_fits_the_same_and_keeps_it_there(cls, variant, xp, dispatch):
    X, y = data_for(cls)
    parameters = {**VARIANTS, **SCHEMES}[variant]
    expected = few(cls, **parameters).fit(X, y)
    model = few(cls, **parameters).fit(xp.asarray(X), xp.asarray(y))
    # For implicit schemes, NumPy's kernel solves stages only as exactly as decisions require.
    tolerance = 1e-10 if as_tableau(parameters.get("scheme", "euler")).explicit else 1e-5
    assert_same(model, expected, tolerance)
    for name, value in fitted_arrays(model).items():
        assert xp.holds(value), name
    for name, value in results(model, xp.asarray(X)).items():
        assert xp.holds(value), name
        wanted = getattr(expected, name)(X)
        np.testing.assert_allclose(to_host(value), wanted, atol=10 * tolerance)
        assert to_host(value).dtype == wanted.dtype
    score = model.score(xp.asarray(X), xp.asarray(y))
    assert isinstance(score, float)
    # scikit-learn computes the accuracy of PyTorch's arrays in single precision.
    assert score == pytest.approx(expected.score(X, y), abs=1e-7)


@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_single_precision_stays(cls, xp, dispatch):
    X, y = data_for(cls)
    X = X.astype(np.float32)
    model = few(cls, cv=3, scheme="heun").fit(xp.asarray(X), xp.asarray(y))
    expected = few(cls, cv=3, scheme="heun").fit(X, y)
    assert to_host(model.K_).dtype == np.float32
    assert_same(model, expected, tolerance=2e-3)


@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
@pytest.mark.parametrize("other", ["numpy", "strict-device1"])
def test_what_comes_beside_x_may_be_of_another_library(cls, other, xp, dispatch):
    other = NAMESPACES[other]()
    X, y = data_for(cls)
    rng = np.random.default_rng(0)
    weight, groups = rng.uniform(size=60), np.resize(np.arange(12), 60)

    def fit(to_x, to_other):
        return few(cls, cv=3).fit(
            to_x(X), to_other(y), sample_weight=to_other(weight), groups=to_other(groups)
        )

    assert_same(fit(xp.asarray, other.asarray), fit(np.asarray, np.asarray))

    def validated(to_x, to_other):
        return few(cls).fit(
            to_x(X[:40]),
            to_other(y[:40]),
            X_val=to_other(X[40:]),
            y_val=to_other(y[40:]),
            sample_weight_val=to_other(weight[40:]),
        )

    model = validated(xp.asarray, other.asarray)
    assert_same(model, validated(np.asarray, np.asarray))
    assert all(map(xp.holds, fitted_arrays(model).values()))


@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_training_goes_on_where_it_was(cls, xp, dispatch):
    X, y = data_for(cls)

    def in_steps(to):
        model = few(cls, warm_start=True, solver="lbfgs", cv=3).fit(to(X), to(y))
        return model.set_params(max_iter=3).fit(to(X), to(y))

    def in_parts(to):
        model = few(cls, solver="adam", batch_size=16)
        known = {"classes": to(np.unique(y))} if cls in BOTH else {}
        for rows in (slice(30), slice(30, None), slice(30)):
            model.partial_fit(to(X[rows]), to(y[rows]), **known)
        return model

    def in_blocks(to):
        blocks = [(to(X[rows]), to(y[rows])) for rows in (slice(30), slice(30, None))]
        return few(cls, solver="adam", batch_size=16).fit_blocks(blocks, n_epochs=2)

    for train in (in_steps, in_parts, in_blocks):
        model = train(xp.asarray)
        assert_same(model, train(np.asarray))
        assert all(map(xp.holds, fitted_arrays(model).values()))


OF_OLD = parse_version(sklearn.__version__) < parse_version("1.9")


@pytest.mark.parametrize(
    "labels",
    [
        ["no", "yes"],
        [False, True],
        [-1, 1],
        pytest.param(
            [2.0, 1.0],
            marks=pytest.mark.skipif(OF_OLD, reason="accuracy_score fails with floats of strict"),
        ),
    ],
)
def test_labels_of_every_kind(labels, xp, dispatch):
    X, codes = blobs(2)
    y = np.array(labels)[codes]
    expected = few(ODENetClassifier).fit(X, y)
    given = y if y.dtype.kind == "U" else xp.asarray(y)
    model = few(ODENetClassifier).fit(xp.asarray(X), given)
    found = model.predict(xp.asarray(X))
    for labels in (found, model.classes_):
        assert isinstance(labels, np.ndarray) if y.dtype.kind == "U" else xp.holds(labels)
    np.testing.assert_array_equal(to_host(found), expected.predict(X))
    assert model.score(xp.asarray(X), given) == pytest.approx(expected.score(X, y), abs=1e-7)


@pytest.mark.parametrize("method", RESULTS)
def test_prediction_elsewhere_is_refused_in_the_words_of_scikit_learn(method, xp, dispatch):
    X, y = blobs(2)
    model = few(ODENetClassifier).fit(xp.asarray(X), xp.asarray(y))
    away = NAMESPACES["strict" if "numpy" in xp.name else "numpy"]()
    message = rf"ODENetClassifier\.{method}\(\) must use the same namespace and the same device"
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(away.asarray(X))
    np.testing.assert_allclose(
        getattr(model.to_host(), method)(X),
        getattr(few(ODENetClassifier).fit(X, y), method)(X),
        atol=1e-9,
    )


@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_a_model_brought_home_needs_its_library_no_more(cls, xp, dispatch):
    X, y = data_for(cls)
    model = few(cls, cv=3, n_restarts=2).fit(xp.asarray(X), xp.asarray(y))
    expected = to_host(model.predict(xp.asarray(X)))
    assert model.to_host() is model
    assert all(isinstance(value, np.ndarray) for value in fitted_arrays(model).values())
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_OTHER_LIBRARIES],
        input=pickle.dumps((model, X)),
        capture_output=True,
        check=True,
    )
    np.testing.assert_allclose(pickle.loads(done.stdout), expected, rtol=1e-12)


@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_without_dispatch_arrays_in_host_memory_become_numpy(cls):
    X, y = data_for(cls)
    torch = NAMESPACES["torch"]()
    model = few(cls, cv=3).fit(torch.asarray(X), torch.asarray(y))
    assert_same(model, few(cls, cv=3).fit(X, y), tolerance=0)
    assert all(isinstance(value, np.ndarray) for value in results(model, torch.asarray(X)).values())


@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_arrays_on_a_device_are_followed_without_dispatch_too(cls):
    X, y = data_for(cls)
    away = NAMESPACES["strict-device1"]()
    model = few(cls, cv=3).fit(away.asarray(X), away.asarray(y))
    assert_same(model, few(cls, cv=3).fit(X, y))
    assert all(map(away.holds, fitted_arrays(model).values()))
    assert all(map(away.holds, results(model, away.asarray(X)).values()))
    score = model.score(away.asarray(X), away.asarray(y))
    assert score == pytest.approx(few(cls, cv=3).fit(X, y).score(X, y), abs=1e-9)


@pytest.mark.skipif(OF_OLD, reason="cross_val_predict takes arrays of NumPy alone")
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_predictions_of_folds_are_put_together(method, xp, dispatch):
    # scikit-learn sorts them like classes_, which has to be of the same library.
    X, y = blobs(3)
    found = cross_val_predict(
        few(ODENetClassifier), xp.asarray(X), xp.asarray(y), cv=3, method=method
    )
    expected = cross_val_predict(few(ODENetClassifier), X, y, cv=3, method=method)
    np.testing.assert_allclose(to_host(found), expected, atol=1e-9)


def test_splits_and_penalties_may_come_from_a_device(dispatch):
    X, y = blobs(2)
    away = NAMESPACES["strict-device1"]()
    rows = np.arange(0, 60, 2), np.arange(1, 60, 2)

    def fit(to):
        return few(ODENetClassifier, cv=[tuple(map(to, rows))], alpha=to(np.array([0.1, 1.0])))

    found = fit(away.asarray).fit(away.asarray(X), y)
    assert_same(found, fit(np.asarray).fit(X, y))


@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_targets_and_weights_on_a_device_beside_features_of_numpy(cls):
    X, y = data_for(cls)
    away, weight = NAMESPACES["strict-device1"](), np.resize([1.0, 2.0], 60)
    model = few(cls).fit(X, away.asarray(y), away.asarray(weight))
    assert_same(model, few(cls).fit(X, y, weight), tolerance=0)
    score = model.score(X, away.asarray(y), sample_weight=away.asarray(weight))
    assert score == model.score(X, y, sample_weight=weight)


def test_numbers_that_numpy_has_not(dispatch):
    torch = NAMESPACES["torch"]()
    module = pytest.importorskip("torch")
    X, y = blobs(2)
    X_, y_ = torch.asarray(X), torch.asarray(y)
    expected = few(ODENetClassifier).fit(X, y)
    weight = module.ones(60, dtype=module.bfloat16)
    assert_same(few(ODENetClassifier).fit(X_, y_.bfloat16(), weight), expected)
    negated = module.complex(-X_, -X_).conj().imag  # a view that NumPy cannot represent
    assert_same(few(ODENetClassifier, cv=3).fit(negated, y_), few(ODENetClassifier, cv=3).fit(X, y))
    for kind in (module.uint16, module.uint8):
        found = few(ODENetClassifier).fit(X_, y_.to(kind)).predict(X_)
        np.testing.assert_array_equal(to_host(found), expected.predict(X))


class Foreign:
    """An array of a library that follows the standard, but was never tested."""

    def __init__(self, values):
        self.values = values

    def __array_namespace__(self, api_version=None):
        return np

    def __array__(self, dtype=None, copy=None):
        return self.values


@pytest.mark.parametrize("dispatching", [False, True])
def test_other_libraries_are_read_by_numpy(dispatching):
    X, y = blobs(2)
    with sklearn.config_context(array_api_dispatch=dispatching):
        model = few(ODENetClassifier, cv=3).fit(Foreign(X), Foreign(y), Foreign(np.ones(60)))
        assert_same(model, few(ODENetClassifier, cv=3).fit(X, y, np.ones(60)), tolerance=0)
        assert isinstance(model.predict(Foreign(X)), np.ndarray)


@pytest.mark.parametrize("kind", ["list", "object", "strings"])
def test_validation_data_are_read_as_beside_numpy(kind, dispatch):
    torch = NAMESPACES["torch"]()
    X, y = blobs(2)
    X_val = {"list": X.tolist(), "object": X.astype(object), "strings": X.astype(str)}[kind]

    def fit(to):
        return few(ODENetClassifier).fit(to(X), to(y), X_val=X_val, y_val=y.tolist())

    assert_same(fit(torch.asarray), fit(np.asarray))


def test_pipeline_and_grid_search_on_torch_tensors(dispatch):
    torch = NAMESPACES["torch"]()
    X, y = blobs(3, n_samples=90)
    X = 5 + 3 * X

    def search(to):
        model = make_pipeline(StandardScaler(), few(ODENetClassifier, solver="lbfgs"))
        grid = {
            "odenetclassifier__alpha": [1e-3, 1.0],
            "odenetclassifier__scheme": ["euler", "heun"],
        }
        return GridSearchCV(model, grid, cv=3).fit(to(X), to(y))

    found, expected = search(torch.asarray), search(np.asarray)
    assert found.best_params_ == expected.best_params_
    for name in ("mean_test_score", "mean_train_score"):
        if name in expected.cv_results_:
            np.testing.assert_allclose(found.cv_results_[name], expected.cv_results_[name])
    p = found.predict_proba(torch.asarray(X))
    assert torch.holds(p)
    np.testing.assert_allclose(to_host(p), expected.predict_proba(X), atol=1e-9)
    assert found.score(torch.asarray(X), torch.asarray(y)) == expected.score(X, y)


def test_threads_fit_on_different_devices_and_in_different_precisions():
    X, y = blobs(3)
    places = [
        (NAMESPACES[name](), dtype)
        for name in ("numpy", "strict-device1")
        for dtype in (np.float64, np.float32)
    ]
    begin, found = threading.Barrier(len(places)), {}

    def fit(xp, dtype):
        model = few(ODENetClassifier, cv=3, max_iter=30)
        begin.wait(60)
        return model.fit(xp.asarray(X.astype(dtype)), xp.asarray(y))

    def run(k):
        found[k] = fit(*places[k])

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(places))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begin = threading.Barrier(1)
    for k, (xp, dtype) in enumerate(places):
        assert xp.holds(found[k].K_)
        expected = fit(xp, dtype)
        for name, value in fitted_arrays(expected).items():
            np.testing.assert_array_equal(to_host(getattr(found[k], name)), to_host(value))


def test_tensors_with_gradients_are_taken_without(dispatch):
    torch = NAMESPACES["torch"]()
    X, y = blobs(2)
    tracked = torch.asarray(X).requires_grad_()
    model = few(ODENetClassifier).fit(tracked, torch.asarray(y))
    assert not model.K_.requires_grad
    assert not model.predict_proba(tracked).requires_grad
    assert_same(model, few(ODENetClassifier).fit(X, y))


def test_a_slow_fit_warns_where_it_was_called(xp, dispatch):
    # The count includes the decorators in between.
    X, y = blobs(2)
    with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
        short(ODENetClassifier, max_iter=1).fit(xp.asarray(X), xp.asarray(y))
    assert [warning.filename for warning in caught] == [__file__]
