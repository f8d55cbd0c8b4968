"""Certificates of pipelines, in the units of their features."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skode import ODENetClassifier
from skode.robustness import certified_accuracy, certified_radius, lipschitz_bound
from tests.estimators import blobs, short
from tests.robustness.classifiers import CASES, broken, randomised, template
from tests.robustness.written import in_ball, quotients

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_units_are_those_of_the_pipeline():
    X, y = blobs(3, n_features=2)
    units = np.array([0.01, 100.0])
    alone = short(ODENetClassifier, lift="linear", max_iter=20).fit(X, y)
    model = make_pipeline(StandardScaler(), alone)
    model[0].fit(X * units)
    transformed = model[0].transform(X * units)
    for method in ("linear", "interval"):
        same = certified_accuracy(alone, transformed, y, 0.1, norm="inf", method=method)
        # A cube has sides of one length in its own units.
        scaled = make_pipeline(StandardScaler(), alone)
        scaled[0].fit(X)
        found = certified_accuracy(scaled, X, y, 0.1 * X.std(), norm="inf", method=method)
        assert found == pytest.approx(same, abs=0.1)
    radii = certified_radius(model, X * units, method="linear")
    assert (radii > 0).all()
    assert not broken(model, X * units, radii, 2).any()
    L = lipschitz_bound(model)
    assert quotients(np.random.default_rng(0), model.predict_proba, X * units) <= L


@pytest.mark.parametrize("features", ["given", "piecewise", "both"])
def test_pipelines_of_affine_steps(features):
    cv = 2 if features == "both" else None
    X, y = blobs(2, n_features=3)
    X = pd.DataFrame(3 + X * [1, 10, 0.1], columns=["a", "b", "c"])
    columns = ColumnTransformer(
        [("one", make_pipeline(MinMaxScaler(), PCA(1)), ["c", "a"]), ("two", "passthrough", ["a"])]
    )
    model = make_pipeline(
        columns,
        StandardScaler(),
        short(ODENetClassifier, lift="nonlinear", features=features, cv=cv, solver="lbfgs"),
    ).fit(X, y)
    radii = certified_radius(model, X, method="auto")
    assert (radii > 0).all()
    rng = np.random.default_rng(0)
    said = model.predict(X)
    for _ in range(50):
        moved = X + radii[:, None] * in_ball(rng, X.shape, 2)
        np.testing.assert_array_equal(model.predict(moved), said)

    def proba(x):
        return model.predict_proba(pd.DataFrame(x, columns=X.columns))

    assert quotients(rng, proba, X.to_numpy()) <= lipschitz_bound(model)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_bounds_of_features_in_pieces(seed):
    rng = np.random.default_rng(seed)
    model = randomised(rng, template(*CASES[3]))
    X = rng.normal(size=(200, 2))
    L = lipschitz_bound(model)
    assert quotients(rng, model.predict_proba, X) <= L
    assert lipschitz_bound(model, "product") >= L * (1 - 1e-9)


def test_steps_that_are_not_affine_are_refused():
    X, y = blobs()
    for step in (Nystroem(n_components=3, random_state=0), MinMaxScaler(clip=True)):
        model = make_pipeline(step, short(ODENetClassifier)).fit(X, y)
        with pytest.raises(TypeError, match="steps that are affine maps, but the pipeline has"):
            certified_accuracy(model, X, y, 0.1)
        with pytest.raises(TypeError, match="steps that are affine maps, but the pipeline has"):
            lipschitz_bound(model)
    # As the message says.
    part = make_pipeline(Nystroem(n_components=3, random_state=0), short(ODENetClassifier))
    part.fit(X, y)
    assert certified_accuracy(part[1:], part[:1].transform(X), y, 0.0) == part.score(X, y)
