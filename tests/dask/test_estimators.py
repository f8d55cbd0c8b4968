"""Estimators on a cluster give the networks of the estimators without Dask, to the last bit."""

import pickle
import time
from itertools import pairwise

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from dask import dataframe as dd
from sklearn.base import clone, is_classifier
from sklearn.model_selection import KFold

from skode import ODENetClassifier, save
from skode._documentation import ADDRESS
from skode.dask import (
    DaskFeedForwardClassifier,
    DaskFeedForwardRegressor,
    DaskODENetClassifier,
    DaskODENetRegressor,
)
from tests.estimators import blobs, curve, short
from tests.libraries import fitted_arrays

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("client"),
]
ALL = [
    DaskODENetClassifier,
    DaskFeedForwardClassifier,
    DaskODENetRegressor,
    DaskFeedForwardRegressor,
]


def data_for(cls, m=400):
    regression = cls in (DaskODENetRegressor, DaskFeedForwardRegressor)
    return curve(m) if regression else blobs(3, m)


def parts(array, number=3):
    """Return an array of Dask in this many parts."""
    array = np.asarray(array)
    rows = -(-len(array) // number)
    return da.from_array(array, chunks=(rows, *array.shape[1:]))


def assert_same_model(one, other):
    mine, its = fitted_arrays(one), fitted_arrays(other)
    assert mine.keys() == its.keys()
    for name in mine:
        if name.startswith("oof_"):  # by rounding, predictions depend on the other rows in a block
            error = 50 * np.finfo(mine[name].dtype).eps
            np.testing.assert_allclose(mine[name], its[name], rtol=error, atol=error)
        else:
            np.testing.assert_array_equal(mine[name], its[name], err_msg=name)


def compared(cls, X, y, number=3, fit=None, **parameters):
    """Fit with and without Dask, compare, and return the first."""
    fit = fit or {}
    model = short(cls, **parameters)
    local = short(cls._local, **parameters).fit(X, y, **fit)
    model.fit(parts(X, number), parts(y, number), **fit)
    assert_same_model(model, local)
    return model


@pytest.mark.parametrize("number", [1, 2, 3, 7])
@pytest.mark.parametrize("cls", ALL)
def test_any_number_of_parts_gives_the_same_bits(cls, number, small_units):
    X, y = data_for(cls)
    compared(cls, X, y, number, cv=3, solver="lbfgs", max_iter=60)


@pytest.mark.parametrize(
    "parameters",
    [
        {"solver": "gd", "line_search": "lipschitz"},
        {"solver": "gd", "constraint": "sphere"},
        {"solver": "lbfgs", "features": "both", "lift": "nonlinear", "alpha": "auto"},
        {"solver": "lbfgs", "features": "piecewise", "lift": "linear", "learn_step": True},
        {"solver": "lbfgs", "scheme": "rk4", "smoothness": 0.1, "n_restarts": 2},
        {"solver": "lbfgs", "scheme": "implicit_midpoint", "learn_step": "simplex"},
        {"solver": "lbfgs", "scoring": "balanced_accuracy"},
        {"solver": "lbfgs", "cv": None},
        {"solver": "lbfgs", "cv": KFold(4)},
        {"solver": "lbfgs", "cv": [(np.arange(300), np.arange(300, 400))]},  # refitted
        {"solver": "lbfgs", "early_stopping": True, "cv": None},
        {"solver": "lbfgs", "class_weight": "balanced"},
        {"solver": "lbfgs", "n_jobs": 2},
        {"solver": "lbfgs", "vector_field": "gradient_flow"},
    ],
    ids=lambda parameters: "-".join(map(str, parameters.values())),
)
def test_all_parameters_mean_the_same(parameters, small_units):
    X, y = blobs(2, 400)
    compared(DaskODENetClassifier, X, y, **{"cv": 3, "max_iter": 20, **parameters})


def test_solver_auto_is_lbfgs_for_any_number_of_samples(small_units):
    X, y = blobs(2, 800)
    model = short(DaskODENetClassifier, solver="auto").fit(parts(X), parts(y))
    assert model.solver_ == "lbfgs"
    assert_same_model(model, short(ODENetClassifier, solver="lbfgs").fit(X, y))


@pytest.mark.parametrize("solver", ["adam", "adam+lbfgs"])
def test_adam_gives_the_same_networks_up_to_rounding(solver):
    X, y = blobs(2, 300)
    options = {"solver": solver, "max_iter": 6, "batch_size": 50, "cv": 3}
    model = short(DaskODENetClassifier, **options).fit(parts(X), parts(y))
    local = short(ODENetClassifier, **options).fit(X, y)
    np.testing.assert_allclose(model.K_, local.K_, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(model.network_n_iter_, local.network_n_iter_)


def test_single_precision_stays(small_units):
    X, y = blobs(2, 400)
    model = compared(DaskODENetClassifier, X.astype("f"), y, solver="lbfgs", cv=3)
    assert model.K_.dtype == np.float32
    assert model.predict_proba(parts(X.astype("f"))).dtype == np.float32


def test_weights_groups_and_labels_of_any_kind(small_units):
    X, y = blobs(3, 400)
    rng = np.random.default_rng(0)
    weights, groups = rng.integers(0, 3, 400), rng.integers(0, 40, 400)
    names = np.array(["one", "two", "three"])[y]
    model = compared(
        DaskODENetClassifier,
        X,
        names,
        fit={"sample_weight": weights, "groups": groups},
        cv=3,
        solver="lbfgs",
    )
    asked = {"sample_weight": parts(weights, 4), "groups": parts(groups)}
    again = clone(model).fit(parts(X), parts(names, 2), **asked)
    assert_same_model(again, model)
    several = np.stack([y == 0, y > 0, X[:, 0] > 0], axis=1).astype(int)
    model = compared(DaskODENetClassifier, X, several, cv=3, solver="lbfgs")
    assert model.predict(parts(X)).shape == (400, 3)


def test_several_targets(small_units):
    X, y = curve(400, n_targets=2)
    model = compared(DaskODENetRegressor, X, y, cv=3, solver="lbfgs", loss="huber")
    lazily = model.predict(parts(X))
    assert lazily.shape == (400, 2)
    np.testing.assert_array_equal(lazily, model.to_local().predict(X))


def test_held_out_samples_may_be_given(small_units):
    X, y = blobs(2, 400)
    model = short(DaskODENetClassifier, solver="lbfgs")
    validation = {"X_val": parts(X[300:]), "y_val": parts(y[300:], 2)}
    model.fit(parts(X[:300]), parts(y[:300]), **validation)
    validation = {"X_val": X[300:], "y_val": y[300:]}
    local = short(ODENetClassifier, solver="lbfgs").fit(X[:300], y[:300], **validation)
    assert_same_model(model, local)


def test_warm_start_goes_on(small_units):
    X, y = blobs(2, 400)
    options = {"solver": "lbfgs", "cv": 3, "warm_start": True, "max_iter": 5}
    model, local = short(DaskODENetClassifier, **options), short(ODENetClassifier, **options)
    for _ in range(2):  # the same samples and splits: no warning
        model.fit(parts(X), parts(y))
        local.fit(X, y)
        assert_same_model(model, local)
    with pytest.warns(UserWarning, match="other samples"):
        model.fit(parts(X[::-1]), parts(y[::-1]))


def test_uneven_and_empty_parts(small_units):
    X, y = blobs(2, 400)
    pieces = pairwise([0, 3, 3, 250, 397, 400])
    X_parts = da.concatenate([da.from_array(X[a:b]) for a, b in pieces])
    model = short(DaskODENetClassifier, solver="lbfgs", cv=3).fit(X_parts, y)
    assert_same_model(model, short(ODENetClassifier, solver="lbfgs", cv=3).fit(X, y))


def test_parts_of_unknown_length(small_units):
    X, y = blobs(2, 400)
    some = X[:, 0] > -1
    X_some, y_some = parts(X)[parts(some)], parts(y)[parts(some)]
    assert np.isnan(X_some.shape[0])
    model = short(DaskODENetClassifier, solver="lbfgs", cv=3).fit(X_some, y_some)
    local = short(ODENetClassifier, solver="lbfgs", cv=3).fit(X[some], y[some])
    assert_same_model(model, local)
    proba = model.predict_proba(X_some)
    np.testing.assert_array_equal(proba.compute(), local.predict_proba(X[some]))


def test_columns_in_several_chunks(small_units):
    X, y = blobs(2, 400)
    model = short(DaskODENetClassifier, solver="lbfgs").fit(
        da.from_array(X, chunks=(150, 1)), parts(y)
    )
    assert_same_model(model, short(ODENetClassifier, solver="lbfgs").fit(X, y))
    lazily = model.predict(da.from_array(X, chunks=(150, 1)))
    np.testing.assert_array_equal(lazily, model.to_local().predict(X))


def test_data_frames_have_names(small_units):
    X, y = blobs(2, 400)
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=y)
    table = dd.from_pandas(frame, npartitions=3)
    model = short(DaskODENetClassifier, solver="lbfgs", cv=3)
    model.fit(table[["a", "b", "c"]], table["y"])
    local = short(ODENetClassifier, solver="lbfgs", cv=3).fit(frame[["a", "b", "c"]], frame["y"])
    assert_same_model(model, local)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    proba = model.predict_proba(table[["a", "b", "c"]]).compute()
    np.testing.assert_array_equal(proba, local.predict_proba(frame[["a", "b", "c"]]))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table[["b", "a", "c"]]).compute()
    again = clone(model).fit(table[["a", "b", "c"]], frame["y"])  # lengths have to be counted
    assert_same_model(again, model)


@pytest.mark.parametrize("cls", ALL)
def test_predictions_are_lazy_and_those_of_the_local_model(cls):
    X, y = data_for(cls, 90)
    model = short(cls, cv=3).fit(parts(X), parts(y))
    local = model.to_local()
    assert type(local) is cls._local
    assert local.get_params() == model.get_params()
    methods = ["predict", "transform"]
    if is_classifier(local):
        methods += ["predict_proba", "predict_log_proba", "decision_function"]
    for method in methods:
        lazily, here = getattr(model, method)(parts(X, 4)), getattr(local, method)(X)
        assert isinstance(lazily, da.Array)
        assert (lazily.shape, lazily.dtype) == (here.shape, here.dtype)
        assert lazily.name.startswith("concatenate")
        np.testing.assert_array_equal(lazily.compute(), here)
        np.testing.assert_array_equal(getattr(model, method)(X), here)  # at once for ndarrays
    assert model.score(parts(X), parts(y, 2)) == local.score(X, y)
    weights = np.arange(len(y))
    score = model.score(parts(X), parts(y), sample_weight=parts(weights))
    assert score == local.score(X, y, sample_weight=weights)


@pytest.mark.parametrize("cls", ALL)
def test_the_diagram_links_to_the_page_of_the_class(cls):
    assert (
        cls()._get_doc_link() == f"{ADDRESS}/en/stable/api/generated/skode.dask.{cls.__name__}.html"
    )


def test_models_are_copied_without_the_client(client):
    X, y = blobs(2, 60)
    model = short(DaskODENetClassifier)
    model.client = client
    model.fit(parts(X), parts(y))
    assert model.client is client
    copy = pickle.loads(pickle.dumps(model))
    assert "_client" not in vars(copy)
    assert_same_model(copy, model)
    assert "_client" not in vars(model.to_local())
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    with pytest.raises(TypeError, match=r"Store its to_local\(\)"):
        save(model, "model.zip")


def test_predictions_of_one_dimension():
    X, y = blobs(2, 60)
    model = short(DaskODENetClassifier).fit(parts(X), parts(y))
    with pytest.raises(ValueError, match="Expected 2D array"):
        model.predict(parts(X)[:, 0])


def test_the_workers_forget_the_rows_after_a_fit(client):
    X, y = blobs(2, 60)
    short(DaskODENetClassifier).fit(parts(X), parts(y))
    with pytest.raises(ValueError, match="NaN"):
        short(DaskODENetClassifier).fit(parts(np.where(X > 1, np.nan, X)), parts(y))

    for _ in range(100):
        if not sum(client.run(_number_of_holders).values()):
            return
        time.sleep(0.05)
    raise AssertionError("Holders are left.")


def _number_of_holders(dask_worker):
    return len(dask_worker.state.actors)
