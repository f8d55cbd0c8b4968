"""More features than samples, and more controls than fit into memory."""

import tracemalloc

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import make_classification

from skode import FeedForwardClassifier, FeedForwardRegressor, ODENetClassifier, ODENetRegressor
from skode._span import Basis
from skode._sparse import rows_of
from skode.engine.arrays import to_host
from skode.engine.constraints import unconstrained
from skode.engine.objective import Objective
from skode.engine.training import Race, Stopping, finished, in_turns, train
from skode.engine.training.turns import _parts
from skode.inspection import trajectories
from tests.engine.problems import network_objective
from tests.estimators import BOTH, curve, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

M, D = 20, 90


@pytest.fixture
def narrow_is_wide(monkeypatch):
    """Let views with more than ten inputs be wide."""
    monkeypatch.setattr("skode._span.WIDE", 10)


def wide(m=M, d=D, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(m, d))
    return X, (X[:, 0] + X[:, 1] > 0).astype(int)


def in_span(V, X):
    """Return the part of V in the span of the rows of X."""
    return V @ np.linalg.pinv(X) @ X


# --- the basis


@pytest.mark.parametrize("given", [np.asarray, np.asfortranarray, lambda X: rows_of(csr_array(X))])
@pytest.mark.parametrize("block", [100, 2**22])
def test_the_basis_is_orthonormal_and_spans_the_samples(given, block, monkeypatch):
    monkeypatch.setattr("skode._span.BLOCK", block)
    X, _ = wide()
    basis = Basis.of(given(X), slice(0, D), np.ones(M, bool))
    Q = np.zeros((1, M, D))
    basis.restore(np.eye(M)[None], out=Q)
    np.testing.assert_allclose(Q[0] @ Q[0].T, np.eye(M), atol=1e-12)
    np.testing.assert_allclose(basis.root @ Q[0], X, atol=1e-12)
    np.testing.assert_allclose(basis.project(X[None])[0], basis.root, atol=1e-12)


def test_dependent_samples_have_a_smaller_span():
    X, _ = wide()
    X[5], X[6], X[7] = X[0], X[1] - 2 * X[2], 0.0
    basis = Basis.of(X, slice(0, D), np.ones(M, bool))
    V = np.random.default_rng(1).normal(size=(1, 3, D))
    found = np.zeros_like(V)
    basis.restore(basis.project(V), out=found)
    np.testing.assert_allclose(found, in_span(V, X), atol=1e-10)
    np.testing.assert_allclose(basis.root @ basis.root, X @ X.T, atol=1e-10)


def test_samples_that_are_not_used_have_no_part_in_the_basis():
    X, _ = wide()
    used = np.arange(M) != 3
    X[3] = 1e308
    found = Basis.of(X, slice(0, D), used)
    expected = Basis.of(X[used], slice(0, D), np.ones(M - 1, bool))
    np.testing.assert_allclose(found.root[np.ix_(used, used)], expected.root, atol=1e-12)
    assert not found.root[3].any()
    V = np.random.default_rng(1).normal(size=(1, 3, D))
    projected = found.project(V)
    np.testing.assert_allclose(projected[..., used], expected.project(V), atol=1e-10)
    assert not projected[..., 3].any()


def test_a_view_is_some_of_the_columns():
    X, _ = wide()
    found = Basis.of(X, slice(10, 70), np.ones(M, bool))
    V = np.random.default_rng(1).normal(size=(1, 3, 60))
    out = np.zeros_like(V)
    found.restore(found.project(V), out=out)
    np.testing.assert_allclose(out, in_span(V, X[:, 10:70]), atol=1e-10)


# --- fits


@pytest.mark.parametrize("lift", ["nonlinear", "linear"])
@pytest.mark.parametrize("solver", ["lbfgs", "gd"])
def test_training_in_the_span_is_training_on_the_inputs(solver, lift, monkeypatch):
    # From a start in the span; otherwise the penalty reduces the part outside of it.
    X, y = wide()
    found = []
    for limit in (10, 1000):
        monkeypatch.setattr("skode._span.WIDE", 10)
        options = {"solver": solver, "lift": lift, "warm_start": True, "cv": 3, "alpha": 0.05}
        model = short(ODENetClassifier, max_iter=1, **options).fit(X, y)
        np.testing.assert_allclose(model.V_, in_span(model.V_, X), atol=1e-12)
        monkeypatch.setattr("skode._span.WIDE", limit)
        found.append(model.set_params(max_iter=15).fit(X, y))
    one, other = found
    assert one.network_n_iter_.min() > 5
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-7)
    np.testing.assert_allclose(one.V_, other.V_, atol=1e-6)
    fresh, _ = wide(seed=1)
    np.testing.assert_allclose(one.predict_proba(fresh), other.predict_proba(fresh), atol=1e-6)


def test_random_starts_are_those_of_networks_that_see_the_inputs(narrow_is_wide, monkeypatch):
    X, y = wide()
    options = {"lift": "linear", "max_iter": 1, "n_channels": 500}
    start = {}
    for limit in (10, 1000):
        monkeypatch.setattr("skode._span.WIDE", limit)

        def kept(self, u, *arguments, limit=limit):
            start[limit] = u
            raise KeyboardInterrupt

        monkeypatch.setattr(Objective, "evaluate", kept)
        with pytest.raises(KeyboardInterrupt):
            short(ODENetClassifier, **options).fit(X, y)
    size = 500 * M + 500  # V and ν come last
    V = start[10][0, -size:-500].reshape(500, M)
    whole = start[1000][0, -(500 * D + 500) : -500].reshape(500, D)
    np.testing.assert_allclose(V @ V.T, in_span(whole, X) @ whole.T, atol=1e-10)
    assert V.std() == pytest.approx(D**-0.5, rel=0.05)
    np.testing.assert_array_equal(start[10][0, :-size], start[1000][0, : -(500 * D + 500)])


@pytest.mark.parametrize("solver", ["lbfgs", "adam", "adam+lbfgs", "gd"])
@pytest.mark.parametrize("cls", [ODENetClassifier, FeedForwardRegressor])
def test_what_is_fitted_applies_to_the_inputs(cls, solver, narrow_is_wide):
    X, y = wide()
    model = cls(solver=solver, max_iter=8, random_state=0, cv=3).fit(X, y)
    # The first view has D inputs and the second, in pieces, some more.
    n_inputs = model.feature_map_.n_inputs
    assert n_inputs > 2 * D
    assert model.V_.shape[2] == n_inputs
    inputs = model.feature_map_.transform(X)
    for V, view in zip(model.V_, model.network_features_, strict=True):
        columns = model.feature_map_.views[view]
        others = np.delete(V, columns, axis=1)
        assert not others.any()
        mine = V[:, columns]
        np.testing.assert_allclose(mine, in_span(mine, inputs[:, columns]), atol=1e-8)
    states = trajectories(model, X)[:, 0]
    expected = np.maximum(inputs @ np.swapaxes(model.V_, 1, 2) + model.nu_[:, None], 0)
    np.testing.assert_allclose(states, expected, atol=1e-8)


def test_one_view_may_be_wide_and_the_other_not(monkeypatch):
    monkeypatch.setattr("skode._span.WIDE", 60)
    X, y = curve(25, 40)
    model = ODENetRegressor(max_iter=12, random_state=0).fit(X, y)
    columns = model.feature_map_.views
    assert columns["given"].stop <= 60 < columns["piecewise"].stop - columns["piecewise"].start
    inputs = model.feature_map_.transform(X)
    for V, view in zip(model.V_, model.network_features_, strict=True):
        mine = V[:, columns[view]]
        outside = mine - in_span(mine, inputs[:, columns[view]])
        assert (np.abs(outside).max() < 1e-8) == (view == "piecewise")
    assert model.score(X, y) > 0.5


def test_samples_to_judge_by_are_in_the_span(narrow_is_wide):
    X, y = wide(40)
    model = short(ODENetClassifier, lift="linear", max_iter=5).fit(
        X[:20], y[:20], X_val=X[20:], y_val=y[20:]
    )
    # Validation uses the predictions of the fitted networks for these samples.
    said = model.predict_proba(X[20:])[np.arange(20), y[20:]]
    np.testing.assert_allclose(-np.log(said).mean(), model.validation_loss_.min(), rtol=1e-9)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_the_held_out_results_are_those_of_the_fitted_networks(solver, narrow_is_wide):
    X, y = wide(24)
    fold = np.arange(24) % 2
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(2)]
    options = {"lift": "nonlinear", "max_iter": 8, "cv": splits, "solver": solver}
    model = short(ODENetClassifier, **options).fit(X, y)
    for k in range(2):
        alone = short(ODENetClassifier, **options)
        vars(alone).update(vars(model))
        for name in ("K_", "b_", "h_", "W_", "mu_", "V_", "nu_"):
            setattr(alone, name, getattr(model, name)[[k]])
        alone.network_weights_ = np.ones(1)
        found = alone.decision_function(X[fold == k])
        np.testing.assert_allclose(found, model.oof_decision_function_[fold == k], atol=1e-9)


def test_samples_of_weight_zero_may_hold_anything(narrow_is_wide):
    X, y = wide(24)
    weights = (np.arange(24) >= 4).astype(float)
    X[:4] = 1e308
    options = {"lift": "nonlinear", "max_iter": 15, "solver": "lbfgs"}
    one = short(ODENetClassifier, **options).fit(X, y, sample_weight=weights)
    other = short(ODENetClassifier, **options).fit(X[4:], y[4:])
    np.testing.assert_allclose(one.decision_function(X[4:]), other.decision_function(X[4:]))


def test_numbers_whose_squares_overflow(narrow_is_wide):
    X, y = wide()
    with pytest.raises(ValueError, match="not finite at the start"):
        short(ODENetClassifier, lift="linear").fit(1e200 * X, y)


def test_a_stream_keeps_what_it_has_learned(narrow_is_wide):
    # Each part has a different span, and the next must not lose it.
    X, y = wide(40)
    options = {"solver": "adam", "features": "given", "random_state": 0}
    model = FeedForwardClassifier(cv=3, max_iter=5, **options).fit(X, y)
    V = model.V_
    model.partial_fit(X[:10], y[:10])
    outside = model.V_ - in_span(model.V_, X[:10])
    assert np.abs(outside).max() > 0.1 * np.abs(V).max()


def test_single_precision_is_kept(narrow_is_wide):
    X, y = wide(60)
    one = ODENetClassifier(max_iter=40, random_state=0, features="given", alpha=0.05).fit(X, y)
    other = ODENetClassifier(max_iter=40, random_state=0, features="given", alpha=0.05).fit(
        X.astype(np.float32), y
    )
    assert other.V_.dtype == other.predict_proba(X.astype(np.float32)).dtype == np.float32
    assert (one.predict(X) == other.predict(X)).mean() > 0.9


def test_other_libraries_and_devices(xp, dispatch, narrow_is_wide):
    X, y = wide()
    options = {"lift": "nonlinear", "max_iter": 8, "solver": "lbfgs", "n_channels": 5, "cv": 3}
    expected = short(ODENetClassifier, **options).fit(X, y)
    found = short(ODENetClassifier, **options).fit(xp.asarray(X), y)
    assert xp.holds(found.V_)
    np.testing.assert_allclose(to_host(found.V_), expected.V_, atol=1e-7)


def test_narrow_features_are_trained_on_as_they_are():
    X, y = wide(20, 900)
    model = short(ODENetClassifier, lift="linear", max_iter=1).fit(X, y)
    assert np.abs(model.V_ - in_span(model.V_, X)).max() > 1e-3


@pytest.mark.parametrize("cls", BOTH)
def test_wide_features_are_learned(cls):
    X, y = make_classification(
        260, 2000, n_informative=20, n_redundant=0, n_clusters_per_class=1, class_sep=3.0,
        shuffle=False, random_state=0,
    )  # fmt: skip
    rows = np.random.default_rng(0).permutation(260)
    X, y = X[rows], y[rows]
    model = cls(random_state=0).fit(X[:60], y[:60])
    assert model.score(X[60:], y[60:]) > 0.9
    assert model.oof_score_ > 0.8


def test_memory_of_a_wide_fit_is_bounded():
    X = np.random.default_rng(0).normal(size=(60, 20_000))
    tracemalloc.start()
    try:
        ODENetClassifier(random_state=0, max_iter=12).fit(X, X[:, :20].sum(axis=1) > 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**29  # 16 networks by L-BFGS on all inputs would take 4 GB


# --- turns


def in_turns_of(number, n_controls, solver, monkeypatch):
    """Limit the number of members that train side by side."""
    arrays = {"gd": 16, "adam": 16, "lbfgs": 38}[solver]
    monkeypatch.setattr("skode.engine.training.turns.MOST_BYTES", 8 * arrays * n_controls * number)


@pytest.mark.parametrize("number", [1, 2, 4, 5, 100])
@pytest.mark.parametrize("n_candidates", [1, 3])
def test_every_member_has_a_turn_with_its_rivals(n_candidates, number, monkeypatch):
    in_turns_of(number, 7, "lbfgs", monkeypatch)
    parts = _parts(np.zeros((12, 7)), "lbfgs", n_candidates)
    assert sorted(np.concatenate(parts)) == list(range(12))
    for rows in parts:
        assert len(rows) <= max(number, n_candidates)
        of_candidate = rows.reshape(n_candidates, -1)
        columns = of_candidate - np.arange(n_candidates)[:, None] * (12 // n_candidates)
        assert (columns == columns[0]).all()


@pytest.mark.parametrize("solver", ["gd", "lbfgs"])
def test_turns_change_no_bit(solver, monkeypatch):
    _, flat, objective = network_objective(np, members=5)
    expected = train(objective.inner, flat, solver, stopping=Stopping(12))
    for number in (1, 2, 3):
        in_turns_of(number, flat.shape[1], solver, monkeypatch)
        every = in_turns(objective.inner, flat, solver, None, None)
        assert len(every) == -(-5 // number)
        done = [train(turn.objective, turn.start, solver, stopping=Stopping(12)) for turn in every]
        found = finished(every, done, unconstrained)
        for name, part in vars(expected).items():
            np.testing.assert_array_equal(getattr(found, name), part)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_fit_in_turns_is_the_same_where_there_is_no_race(solver, monkeypatch):
    X, y = wide(60, 6)
    options = {"lift": "linear", "solver": solver, "cv": 4, "max_iter": 8}
    options |= {"batch_size": 20} if solver == "adam" else {}
    expected = short(ODENetClassifier, **options).fit(X, y)
    monkeypatch.setattr("skode.engine.training.turns.MOST_BYTES", 1)
    sizes, evaluate = set(), Objective.evaluate

    def watched(self, flat, *arguments, **options):
        sizes.add(len(flat))
        return evaluate(self, flat, *arguments, **options)

    monkeypatch.setattr(Objective, "evaluate", watched)
    found = short(ODENetClassifier, **options).fit(X, y)
    assert sizes == {1}
    for name in ("K_", "V_", "loss_curve_", "validation_loss_", "network_n_iter_", "stop_reason_"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_candidates_race_within_a_turn(monkeypatch):
    shapes, plain = [], Race.__init__

    def watched(self, *shape):
        shapes.append(shape)
        plain(self, *shape)

    monkeypatch.setattr(Race, "__init__", watched)
    monkeypatch.setattr("skode.engine.training.turns.MOST_BYTES", 1)
    X, y = wide(60, 6)
    options = {"lift": "linear", "alpha": (1e-3, 1e3), "cv": 3, "solver": "lbfgs"}
    model = short(ODENetClassifier, **options, max_iter=40).fit(X, y)
    assert shapes[1:] == [(2, 1)] * 3
    assert model.alpha_ == 1e-3


@pytest.mark.parametrize(("n_done", "n_begun"), [(5, 1), (40, 2), (70, 3)])
def test_networks_that_an_interruption_keeps_from_their_turn_are_left_out(
    n_done, n_begun, monkeypatch
):
    X, y = wide(60, 6)
    monkeypatch.setattr("skode.engine.training.turns.MOST_BYTES", 1)
    calls, evaluate = [], Objective.evaluate

    def interrupted(self, *arguments, **options):
        calls.append(1)
        if len(calls) == n_done:
            raise KeyboardInterrupt
        return evaluate(self, *arguments, **options)

    monkeypatch.setattr(Objective, "evaluate", interrupted)
    options = {"lift": "linear", "cv": 3, "solver": "lbfgs", "n_restarts": 2}
    model = short(ODENetClassifier, **options)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model.stop_reason_[-1] == "interrupted"
    assert len(model.K_) == n_begun
    np.testing.assert_allclose(model.network_weights_, 1 / n_begun)
    assert (model.network_n_iter_ > 0).all()
    known = np.isfinite(model.validation_loss_)
    np.testing.assert_array_equal(known.ravel(), np.arange(6) < n_begun)
    mean = model.validation_loss_[known].mean()
    assert model.candidates_["validation_loss"] == pytest.approx(mean)
    n_folds = 1 + (n_begun > 2)
    assert np.isfinite(model.oof_decision_function_).sum() == 20 * n_folds
    assert np.isfinite(model.predict_proba(X)).all()
