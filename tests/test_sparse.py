"""Sparse features: equivalent to dense ones, and never made dense as a whole."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skode import FeedForwardClassifier, FeedForwardRegressor, ODENetClassifier, ODENetRegressor
from skode._features import GIVEN, FeatureMap
from skode._inputs import joined
from skode._sparse import matrix, rows_of
from skode.engine.kernels import Problem, Samples, cpu, reference
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.schemes import TABLEAUX
from skode.engine.sparse_rows import SparseRows
from skode.inspection import costates, step_doubling_gap, trajectories
from tests.engine.problems import folds_of, problem
from tests.estimators import short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FORMATS = [
    sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix, sparse.csc_array, sparse.coo_matrix,
    sparse.coo_array, sparse.lil_matrix, sparse.dok_array,
]  # fmt: skip
ALL = [ODENetClassifier, FeedForwardClassifier, ODENetRegressor, FeedForwardRegressor]


def mostly_zero(m=60, d=8, seed=0, dtype=float):
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(m, d)) * (rng.random((m, d)) < 0.4)).astype(dtype)
    return X, (X[:, 0] + X[:, 1] > 0).astype(int)


def plain(cls, **parameters):
    """Set one channel per feature, since the features are padded unless `lift` is set."""
    return short(cls, **{"n_channels": 8, **parameters})


def assert_same_fit(one, other):
    """Check that the fitted numbers are equal up to rounding."""
    for name in ("K_", "b_", "h_", "W_", "mu_", "V_", "nu_", "loss_curve_"):
        assert hasattr(one, name) == hasattr(other, name)
        if hasattr(one, name):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-7)


# --- rows


@given(st.integers(1, 9), st.data())
def test_rows_are_those_of_the_matrix(m, data):
    X, _ = mostly_zero(m, 4)
    rows = rows_of(sparse.csr_array(X))
    assert rows.shape == X.shape
    assert len(rows) == m
    start, stop = sorted(data.draw(st.tuples(st.integers(0, m), st.integers(0, m))))
    step = data.draw(st.sampled_from([None, 1, 2, -1]))
    for one, other in ((rows, X), (rows[start:], X[start:])):  # including a slice of a slice
        some = slice(None, stop - start, step)
        np.testing.assert_array_equal(one[some, :].dense(), other[some])
        np.testing.assert_array_equal(matrix(one[some]).toarray(), other[some])
    some = np.array(data.draw(st.lists(st.integers(0, m - 1))), dtype=int)
    np.testing.assert_array_equal(rows[some].dense(), X[some])
    np.testing.assert_array_equal(np.take(rows, some, axis=0).dense(), X[some])
    part = rows[start:stop]
    np.testing.assert_array_equal(part.take(np.arange(len(part))).dense(), X[start:stop])
    both = joined(rows, part)
    np.testing.assert_array_equal(both.dense(), np.concatenate([X, X[start:stop]]))


def test_a_slice_shares_what_it_can():
    X, _ = mostly_zero()
    given = sparse.csr_array(X)
    rows = rows_of(given)
    assert np.shares_memory(rows.data, given.data)
    assert np.shares_memory(rows[3:9].data, given.data)
    assert np.shares_memory(rows[3:9].indptr, rows.indptr)


def test_entries_that_are_given_twice_are_added_up_in_a_copy():
    given = sparse.csr_array((np.ones(3), np.array([2, 0, 2]), np.array([0, 3, 3])), shape=(2, 4))
    np.testing.assert_array_equal(rows_of(given).dense(), [[1, 0, 2, 0], [0, 0, 0, 0]])
    assert len(given.data) == 3


# --- kernels


@pytest.mark.parametrize("kernel", [cpu, reference], ids=["cpu", "reference"])
@pytest.mark.parametrize("lift", [None, "identity", "tanh"])
@pytest.mark.parametrize(("scheme", "channels"), [("euler", 40), ("heun", 6), ("gauss4", 6)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_kernel_takes_sparse_rows(kernel, lift, scheme, dtype, channels):
    network = ode_net(TABLEAUX[scheme], lift=lift or "identity")
    sizes = {"n_features": 6, "n_channels": channels, "samples": 600, "lifted": lift is not None}
    layout, flat, X, targets, weights, _ = problem(
        "softmax", "learned", spread=0.2, dtype=dtype, **sizes
    )
    of = Problem(network, layout, LOSSES["softmax"], True)
    if not kernel.is_usable_for(of, flat):
        pytest.skip("this kernel is not for this machine")
    X[np.random.default_rng(1).random(X.shape) < 0.7] = 0
    folds = folds_of(2, 600)
    of_dense, of_rows = (
        [
            *kernel.evaluate(of, Samples(given, targets, weights, folds), flat, True)[:3],
            kernel.predict(of, given, flat),
        ]
        for given in (X, rows_of(sparse.csr_array(X))[:, :])
    )
    for one, other in zip(of_dense, of_rows, strict=True):
        scale = np.abs(one).max()
        np.testing.assert_allclose(one, other, rtol=0, atol=8 * np.finfo(dtype).eps * scale)
    # Also with rows that do not begin at the first entry.
    some, kept = slice(301, 590), Samples(rows_of(sparse.csr_array(X)), targets, weights, folds)
    found = kernel.evaluate(of, kept.of(some), flat, True)
    expected = kernel.evaluate(of, kept._replace(X=X).of(some), flat, True)
    scale = np.abs(expected.gradient).max()
    tolerance = 8 * np.finfo(dtype).eps * scale
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=0, atol=tolerance)


def test_the_compiled_lift_never_makes_rows_dense(monkeypatch):
    X, y = mostly_zero(150)
    if not cpu._numba_works():
        pytest.skip("the reference makes them dense, block by block")

    def refused(self):
        raise AssertionError("dense")

    monkeypatch.setattr(SparseRows, "dense", refused)
    given = sparse.csr_array(X)
    for options in ({}, {"solver": "adam"}, {"scheme": "implicit_midpoint", "lift": "linear"}):
        model = ODENetClassifier(**options, max_iter=5, random_state=0).fit(given, y)
        model.predict_proba(given)


def test_the_reference_makes_blocks_of_rows_dense(monkeypatch):
    monkeypatch.setattr("skode.engine.kernels.KERNELS", (reference,))
    monkeypatch.setattr("skode.engine.kernels.reference.FEWEST_SAMPLES", 16)
    monkeypatch.setattr("skode.engine.kernels.reference.STATE_BYTES", 1024)
    X, y = mostly_zero(150)
    sizes, dense = set(), SparseRows.dense

    def watched(self):
        sizes.add(len(self))
        return dense(self)

    monkeypatch.setattr(SparseRows, "dense", watched)
    options = {"lift": "nonlinear", "max_iter": 8}
    one = plain(ODENetClassifier, **options).fit(sparse.csr_array(X), y)
    assert max(sizes) <= 32
    assert_same_fit(one, plain(ODENetClassifier, **options).fit(X, y))


# --- fits


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_sparse_and_dense_features_give_the_same_fit(cls, solver):
    X, y = mostly_zero()
    options = {"features": "given", "solver": solver, "max_iter": 15, "random_state": 0}
    expected = cls(**options).fit(X, y)
    for form in FORMATS if cls is ODENetClassifier else FORMATS[:1]:
        found = cls(**options).fit(form(X), y)
        assert_same_fit(found, expected)
        np.testing.assert_allclose(found.predict(form(X)), expected.predict(X), atol=1e-9)
        assert found.score(form(X), y) == pytest.approx(expected.score(X, y))
        assert found.oof_score_ == pytest.approx(expected.oof_score_)
        if hasattr(found, "classes_"):
            for name in ("decision_function", "predict_proba", "predict_log_proba"):
                one, other = getattr(found, name)(form(X)), getattr(expected, name)(X)
                np.testing.assert_allclose(one, other, atol=1e-9)
            np.testing.assert_allclose(
                found.oof_decision_function_, expected.oof_decision_function_, atol=1e-9
            )
        else:
            np.testing.assert_allclose(found.oof_prediction_, expected.oof_prediction_, atol=1e-9)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_wide_features_give_the_same_fit(solver, monkeypatch):
    monkeypatch.setattr("skode._span.WIDE", 10)
    X, y = mostly_zero(30, 100)
    options = {"features": "given", "solver": solver, "max_iter": 15, "random_state": 0, "cv": 3}
    one = ODENetClassifier(**options).fit(sparse.csr_matrix(X), y)
    other = ODENetClassifier(**options).fit(X, y)
    assert_same_fit(one, other)
    fresh, _ = mostly_zero(30, 100, seed=1)
    found = one.predict_proba(sparse.csc_array(fresh))
    np.testing.assert_allclose(found, other.predict_proba(fresh), atol=1e-7)


@pytest.mark.parametrize("features", ["piecewise", "both"])
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_sparse_features_in_pieces(features, solver):
    X, y = mostly_zero()
    options = {"features": features, "solver": solver, "max_iter": 10, "random_state": 0, "cv": 3}
    one, other = (
        FeedForwardClassifier(**options).fit(given, y) for given in (sparse.csr_array(X), X)
    )
    assert_same_fit(one, other)
    np.testing.assert_allclose(one.predict_proba(sparse.csr_array(X)), other.predict_proba(X))
    np.testing.assert_array_equal(
        one.feature_map_.transform(sparse.csc_matrix(X)), other.feature_map_.transform(X)
    )


def test_by_default_sparse_features_are_taken_as_given():
    X, y = mostly_zero()
    model = ODENetClassifier(max_iter=3, random_state=0).fit(sparse.csr_array(X), y)
    assert tuple(model.feature_map_.views) == (GIVEN,)
    given = sparse.csr_array(X.astype(int))
    found = model.feature_map_.transform(given)
    assert sparse.issparse(found)
    assert found.dtype == float
    assert len(ODENetClassifier(max_iter=3, random_state=0).fit(X, y).feature_map_.views) == 2


def test_lift_pad_takes_sparse_features():
    X, y = mostly_zero()
    one, other = (plain(ODENetRegressor).fit(given, y) for given in (sparse.coo_array(X), X))
    assert_same_fit(one, other)


@pytest.mark.parametrize("of_X", [sparse.csr_array, np.asarray])
@pytest.mark.parametrize("of_X_val", [sparse.csc_matrix, np.asarray])
@pytest.mark.parametrize("features", ["given", "both"])
def test_samples_to_judge_by(of_X, of_X_val, features):
    X, y = mostly_zero(80)
    options = {"features": features, "lift": "nonlinear", "solver": "lbfgs", "cv": "auto"}
    one, other = (
        plain(ODENetClassifier, **options).fit(f(X[:50]), y[:50], X_val=g(X[50:]), y_val=y[50:])
        for f, g in ((of_X, of_X_val), (np.asarray, np.asarray))
    )
    assert_same_fit(one, other)
    assert one.oof_score_ == other.oof_score_


def test_a_stream_of_sparse_parts():
    X, y = mostly_zero(90)
    one, other = (ODENetClassifier(solver="adam", random_state=0) for _ in range(2))
    for k in range(0, 90, 30):
        some = slice(k, k + 30)
        one.partial_fit(sparse.csr_matrix(X[some]), y[some], classes=[0, 1])
        other.partial_fit(X[some], y[some], classes=[0, 1])
    assert_same_fit(one, other)


def test_weights_of_zero_groups_and_early_stopping():
    X, y = mostly_zero()
    groups, weights = np.arange(60) // 5, (np.arange(60) >= 6).astype(float)
    options = {"lift": "nonlinear", "solver": "lbfgs"}
    for extra, arguments in (
        ({"cv": 3}, {"groups": groups, "sample_weight": weights}),
        ({"early_stopping": True}, {"sample_weight": weights}),
    ):
        one, other = (
            plain(ODENetClassifier, **options, **extra).fit(given, y, **arguments)
            for given in (sparse.csr_array(X), X)
        )
        assert_same_fit(one, other)


def test_a_splitter_is_given_the_sparse_features():
    X, y = mostly_zero()
    seen = []

    class Watching(GroupKFold):
        def split(self, X, y=None, groups=None):
            seen.append(X)
            return super().split(X, y, groups)

    plain(ODENetClassifier, cv=Watching(3)).fit(sparse.coo_matrix(X), y, groups=np.arange(60) // 5)
    assert sparse.issparse(seen[0])
    np.testing.assert_array_equal(seen[0].toarray(), X)


def test_continued_training_recognises_the_samples():
    X, y = mostly_zero()
    model = ODENetClassifier(warm_start=True, max_iter=3, random_state=0).fit(
        sparse.csr_array(X), y
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "warm_start=True goes on with other samples")
        model.fit(sparse.csc_matrix(X), y)
        with pytest.raises(UserWarning, match="other samples"):
            model.fit(sparse.csr_array(X[::-1]), y)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint16, np.float32])
def test_numbers_of_other_types(dtype):
    X, y = mostly_zero()
    X = (X > 0).astype(dtype)
    found = plain(ODENetClassifier).fit(sparse.csr_matrix(X), y)
    assert found.K_.dtype == (np.float32 if dtype == np.float32 else np.float64)
    assert_same_fit(found, plain(ODENetClassifier).fit(X, y))


def test_indices_of_64_bits():
    X, y = mostly_zero()
    given = sparse.csr_array(X)
    given.indices, given.indptr = (a.astype(np.int64) for a in (given.indices, given.indptr))
    model = plain(ODENetClassifier).fit(given, y)
    assert_same_fit(model, plain(ODENetClassifier).fit(X, y))
    np.testing.assert_array_equal(model.predict(given), model.predict(X))


def test_memory_maps_such_as_joblib_makes(tmp_path):
    X, y = mostly_zero()
    given = sparse.csr_array(X)
    for name in ("data", "indices", "indptr"):
        np.save(tmp_path / name, getattr(given, name))
    parts = (np.load(tmp_path / f"{name}.npy", "r") for name in ("data", "indices", "indptr"))
    mapped = sparse.csr_array(tuple(parts), shape=X.shape)
    model = plain(ODENetClassifier, lift="linear").fit(mapped, y)
    np.testing.assert_array_equal(model.predict(mapped), model.predict(X))


def test_arguments_of_the_user_are_unchanged():
    X, y = mostly_zero()
    given = sparse.csr_matrix(X)
    given.data[:] = given.data[::-1].copy()
    given.has_sorted_indices = False
    before = given.copy()
    plain(ODENetClassifier, lift="linear").fit(given, y).predict(given)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(given, name), getattr(before, name))


# --- steps before the estimator


def test_one_hot_columns():
    rng = np.random.default_rng(0)
    letters = rng.choice(list("abcdefghijklmnopqrst"), size=(400, 2))
    y = np.isin(letters[:, 0], list("aeioqs")).astype(int)
    model = make_pipeline(OneHotEncoder(), ODENetClassifier(random_state=0)).fit(letters, y)
    assert model[0].transform(letters).shape == (400, 40)
    assert model[-1].oof_score_ > 0.95
    assert model.score(letters, y) > 0.95


def test_text():
    rng = np.random.default_rng(0)
    words = np.array([f"word{k}" for k in range(4000)])
    y = rng.integers(0, 2, 120)
    texts = []
    for label in y:
        of_class = words[40 * label : 40 * label + 40]
        texts.append(" ".join([*rng.choice(of_class, 8), *rng.choice(words, 40)]))
    model = make_pipeline(TfidfVectorizer(), ODENetClassifier(random_state=0))
    assert cross_val_score(model, texts, y, cv=3).mean() > 0.8


def test_inspection_takes_sparse_features():
    X, y = mostly_zero()
    model = plain(ODENetClassifier, lift="nonlinear").fit(X, y)
    given = sparse.csr_array(X)
    np.testing.assert_allclose(trajectories(model, given), trajectories(model, X), atol=1e-12)
    np.testing.assert_allclose(costates(model, given, y), costates(model, X, y), atol=1e-12)
    one, other = step_doubling_gap(model, given), step_doubling_gap(model, X)
    np.testing.assert_allclose(one.gap, other.gap, atol=1e-12)


# --- errors


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_entries_that_are_not_finite(bad):
    X, y = mostly_zero()
    model = plain(ODENetClassifier).fit(X, y)
    spoilt = X.copy()
    spoilt[3, 2] = bad
    spoilt = sparse.csc_array(spoilt)
    for call in (
        lambda: plain(ODENetClassifier).fit(spoilt, y),
        lambda: model.predict(spoilt),
        lambda: plain(ODENetClassifier).fit(sparse.csr_array(X), y, X_val=spoilt, y_val=y),
    ):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            call()


def test_other_features_than_before():
    X, y = mostly_zero()
    model = plain(ODENetClassifier).fit(sparse.csr_array(X), y)
    with pytest.raises(ValueError, match="8 features"):
        model.predict(sparse.csr_array(X[:, :5]))
    with pytest.raises(ValueError, match="X_val has 5 features, but X has 8"):
        model.fit(sparse.csr_array(X), y, X_val=sparse.csr_array(X[:, :5]), y_val=y)
    with pytest.raises(ValueError, match=r"\(n_samples, 8\)"):
        model.feature_map_.transform(sparse.csr_array(X[:, :5]))


def test_a_device_takes_no_sparse_features():
    X, y = mostly_zero()
    given = sparse.csr_array(X)
    with pytest.raises(TypeError, match=r"Sparse X .* host alone: set device=None"):
        plain(ODENetClassifier, device="cuda").fit(given, y)
    model = plain(ODENetClassifier).fit(given, y).set_params(device="cuda")
    with pytest.raises(TypeError, match=r"Sparse X .* host alone"):
        model.predict(given)
    streaming = plain(ODENetClassifier, solver="adam", device="cuda")
    with pytest.raises(TypeError, match=r"Sparse X .* host alone"):
        streaming.partial_fit(given, y, classes=[0, 1])


def test_with_array_api_dispatch_sparse_features_are_the_hosts():
    X, y = mostly_zero()
    expected = plain(ODENetClassifier).fit(X, y)
    with config_context(array_api_dispatch=True):
        found = plain(ODENetClassifier).fit(sparse.csr_array(X), y)
        assert_same_fit(found, expected)
        np.testing.assert_array_equal(found.predict(sparse.csr_array(X)), expected.predict(X))


# --- inputs row by row


def test_inputs_of_sparse_features_are_computed_row_by_row():
    X, _ = mostly_zero()
    feature_map = FeatureMap(("given", "piecewise"), X, np.ones(60))
    expected = feature_map.transform(X)
    for features in (X, rows_of(sparse.csr_array(X))):
        inputs = feature_map.of(features)
        columns = inputs.of_columns(slice(4, 30)).of_columns(slice(2, 20))
        assert columns.shape == (60, 18)
        np.testing.assert_array_equal(inputs[7:20, :], expected[7:20])
        np.testing.assert_array_equal(columns[7:20, :], expected[7:20, 6:24])
        np.testing.assert_array_equal(
            np.take(columns, [3, 3, 1], axis=0), expected[[3, 3, 1], 6:24]
        )
