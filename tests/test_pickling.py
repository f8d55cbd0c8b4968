"""Pickles, and files of skops: their contents, and the version that wrote them."""

import copy
import io
import pickle
import warnings

import cloudpickle
import joblib
import numpy as np
import pytest
import skops.io
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skode
from skode import ButcherTableau, ODENetClassifier, ODENetRegressor
from tests.estimators import BOTH, REGRESSORS, short
from tests.libraries import data_for

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FEATURE_MAP, TABLEAU = "skode._features.FeatureMap", "skode.engine.tableaux.ButcherTableau"
NAMES = {cls: f"{cls.__module__}.{cls.__name__}" for cls in BOTH + REGRESSORS}


def by_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def by_skops(model):
    data = skops.io.dumps(model)
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


COPIES = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "oldest protocol": lambda model: pickle.loads(pickle.dumps(model, protocol=2)),
    "joblib": by_joblib,
    "cloudpickle": lambda model: cloudpickle.loads(cloudpickle.dumps(model)),
    "skops": by_skops,
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@pytest.mark.parametrize("cls", BOTH + REGRESSORS)
@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_predicts_the_same_and_its_training_goes_on(cls, kind):
    X, y = data_for(cls)
    options = {"lift": "linear", "features": "both", "cv": 2, "alpha": (1e-3, 1e-2)}
    model = short(cls, solver="adam", max_iter=3, **options).fit(X, y)
    found = COPIES[kind](model)
    assert vars(found).keys() == vars(model).keys()
    np.testing.assert_array_equal(found.predict(X), model.predict(X))
    before = model.K_.copy()
    found.set_params(alpha=1e-3).partial_fit(X, y)
    np.testing.assert_array_equal(model.K_, before)
    np.testing.assert_array_equal(
        found.K_, clone(model).fit(X, y).set_params(alpha=1e-3).partial_fit(X, y).K_
    )


@pytest.mark.parametrize("cls", BOTH + REGRESSORS)
def test_skops_needs_trust_in_few_types(cls):
    X, y = data_for(cls)
    model = make_pipeline(StandardScaler(), short(cls, max_iter=3, cv=2)).fit(X, y)
    data = skops.io.dumps(model)
    types = sorted([FEATURE_MAP, NAMES[cls]])
    assert sorted(skops.io.get_untrusted_types(data=data)) == types
    assert len(skops.io.loads(data, trusted=types).predict(X)) == len(X)


def test_a_tableau_of_ones_own_is_the_third_type():
    X, y = data_for(ODENetClassifier)
    heun = ButcherTableau([[0, 0], [1, 0]], [0.5, 0.5], [0, 1], name="mine")
    model = short(ODENetClassifier, max_iter=3, scheme=heun).fit(X, y)
    data = skops.io.dumps(model)
    assert sorted(skops.io.get_untrusted_types(data=data)) == [
        FEATURE_MAP, NAMES[ODENetClassifier], TABLEAU
    ]  # fmt: skip
    assert by_skops(model).scheme == heun


def test_what_is_derived_from_a_tableau_is_not_pickled():
    heun = ButcherTableau([[0, 0], [1, 0]], [0.5, 0.5], [0, 1], name="mine")
    before = pickle.dumps(heun)
    assert (heun.order, heun.a_stable, len(heun.blocks)) == (2, False, 2)
    assert pickle.dumps(heun) == before
    found = pickle.loads(before)
    assert found == heun
    assert hash(found) == hash(heun)
    assert repr(found) == repr(heun)
    assert found.blocks == heun.blocks


# --- versions


@pytest.mark.parametrize("kind", ["pickle", "joblib", "cloudpickle", "skops"])
def test_another_version_is_warned_of(kind, monkeypatch):
    X, y = data_for(ODENetRegressor)
    model = short(ODENetRegressor, max_iter=3).fit(X, y)
    monkeypatch.setattr("skode._pickling.__version__", "0.0.1")
    data = skops.io.dumps(model) if kind == "skops" else pickle.dumps(model)
    monkeypatch.undo()
    read = {"pickle": pickle.loads, "joblib": lambda data: joblib.load(io.BytesIO(data))}
    read["cloudpickle"] = cloudpickle.loads
    read["skops"] = lambda data: skops.io.loads(data, trusted=[FEATURE_MAP, NAMES[ODENetRegressor]])
    with pytest.warns(InconsistentVersionWarning) as caught:
        found = read[kind](data)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "ODENetRegressor was pickled by skode 0.0.1" in message
    assert f"you have skode {skode.__version__}" in message
    np.testing.assert_array_equal(found.predict(X), model.predict(X))
    pickle.loads(pickle.dumps(found))  # no warning for this version
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        read[kind](data)


def test_a_pickle_without_a_version_is_warned_of(monkeypatch):
    monkeypatch.delattr("skode._pickling.Pickled.__getstate__")
    data = pickle.dumps(ODENetClassifier(N=3))
    monkeypatch.undo()
    with pytest.warns(InconsistentVersionWarning, match="of unknown version"):
        assert pickle.loads(data).N == 3


def test_the_version_is_not_an_attribute_of_the_model():
    model = pickle.loads(pickle.dumps(ODENetClassifier()))
    assert vars(model) == vars(ODENetClassifier())
