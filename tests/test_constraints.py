"""Controls that are kept to a norm, through whole fits of the estimators."""

import re

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.model_selection import ShuffleSplit

import skode
from skode import ODENetClassifier, ODENetRegressor
from skode.engine.solvability import MARGIN
from tests.estimators import BOTH, REGRESSORS, blobs, curve, short
from tests.libraries import data_for

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CONSTRAINTS = ["spectral", "sphere", "orthogonal"]
SOLVERS = ["lbfgs", "gd", "adam", "adam+lbfgs"]
each_constraint = pytest.mark.parametrize("constraint", CONSTRAINTS)
X, Y = blobs(3)


def few(cls=ODENetClassifier, constraint="sphere", **parameters):
    return short(cls, constraint=constraint, **{"max_iter": 8, "tol": 0.0, **parameters})


def excess(model, norm=None):
    """By how much the fitted controls disobey."""
    K, b = (np.asarray(part, dtype=float) for part in (model.K_, model.b_))
    c = model.constraint_norm if norm is None else norm
    if model.constraint == "spectral":
        return max(0.0, np.linalg.norm(K, ord=2, axis=(-2, -1)).max() - c)
    if model.constraint == "sphere":
        return np.abs(np.sqrt((K**2).sum(axis=-1) + b**2) - c).max()
    return np.abs(K.swapaxes(-1, -2) @ K - c**2 * np.eye(K.shape[-1])).max()


@each_constraint
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("learn_step", [False, True, "simplex"])
@pytest.mark.parametrize("scheme", ["euler", "heun", "implicit_midpoint", None])
def test_controls_obey_at_the_end_of_training(scheme, learn_step, solver, constraint):
    # The norm is so small that a longer step could not make an implicit scheme unsolvable.
    options = {"solver": solver, "learn_step": learn_step, "constraint_norm": 0.25, "N": 2}
    if "adam" in solver:
        options |= {"batch_size": 16, "max_iter": 4}
    if scheme is None:
        model = few(BOTH[1], constraint, **options)
    else:
        model = few(ODENetClassifier, constraint, scheme=scheme, h=0.5, **options)
    model.fit(X, Y)
    assert model.n_iter_ > 1
    assert excess(model) < 1e-12
    if constraint == "spectral":  # it does something
        assert np.linalg.norm(model.K_, ord=2, axis=(-2, -1)).max() > 0.24
    if learn_step == "simplex":
        np.testing.assert_allclose(model.h_.sum(axis=1), model.N * model.h, rtol=1e-12)
    if solver in ("lbfgs", "gd"):
        assert (np.diff(model.loss_curve_, axis=0) <= 0).all()
        assert (model.loss_curve_[-1] < model.loss_curve_[0]).all()


@each_constraint
@pytest.mark.parametrize("line_search", ["armijo", "lipschitz"])
def test_every_line_search_lowers_the_objective(line_search, constraint):
    model = few(constraint=constraint, line_search=line_search, max_iter=30).fit(X, Y)
    assert (np.diff(model.loss_curve_, axis=0) <= 0).all()
    assert model.loss_[0] < 0.7 * model.loss_curve_[0, 0]
    assert excess(model) < 1e-12


@each_constraint
@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_all_estimators_learn_under_constraints(cls, constraint):
    data = data_for(cls)
    options = {"solver": "lbfgs", "max_iter": 60, "N": 1, "lift": "nonlinear", "n_channels": 8}
    model = short(cls, constraint=constraint, **options).fit(*data)
    assert excess(model) < 1e-12
    assert model.score(*data) > 0.7


@each_constraint
def test_members_of_one_batch_obey_and_so_does_a_refit(constraint):
    options = {"solver": "lbfgs", "cv": 3, "alpha": (1e-3, 1e-2), "n_restarts": 2}
    model = few(constraint=constraint, constraint_norm=0.7, **options).fit(X, Y)
    assert model.n_networks_ >= 6
    assert excess(model) < 1e-12
    options["cv"] = ShuffleSplit(2, random_state=0)
    model = few(constraint=constraint, constraint_norm=0.7, **options).fit(X, Y)
    assert set(model.stop_reason_) == {"refit"}
    assert excess(model) < 1e-12


@each_constraint
def test_single_precision(constraint):
    model = few(constraint=constraint, solver="lbfgs").fit(X.astype(np.float32), Y)
    assert model.K_.dtype == np.float32
    assert excess(model) < 2e-6
    assert (np.diff(model.loss_curve_, axis=0) <= 0).all()


@each_constraint
def test_sparse_features(constraint):
    options = {"constraint": constraint, "lift": "linear", "solver": "lbfgs"}
    sparse, dense = few(**options).fit(csr_array(X), Y), few(**options).fit(X, Y)
    assert excess(sparse) < 1e-12
    np.testing.assert_allclose(sparse.K_, dense.K_, atol=1e-8)


@each_constraint
@pytest.mark.parametrize("cls", [ODENetClassifier, ODENetRegressor])
def test_streams_and_warm_starts_go_on_from_controls_that_obey(cls, constraint):
    data = data_for(cls)
    classes = {"classes": [0, 1, 2]} if cls in BOTH else {}
    free = few(cls, None, solver="adam").fit(*data)
    assert excess(free.set_params(constraint=constraint)) > 0.01
    for going_on in (clone(free), free):
        for _ in range(3):
            going_on.partial_fit(*data, **classes)
            assert excess(going_on) < 1e-12
    warm = few(cls, constraint, solver="lbfgs", warm_start=True).fit(*data)
    before = warm.loss_[0]
    warm.fit(*data)
    assert excess(warm) < 1e-12
    assert warm.loss_curve_[0, 0] == pytest.approx(before, rel=1e-12)
    assert warm.loss_[0] < before


@each_constraint
def test_the_norm_scales_the_controls(constraint):
    for norm in (0.3, 2.0):
        model = few(constraint=constraint, constraint_norm=norm, solver="lbfgs").fit(X, Y)
        assert excess(model) < 1e-12


def test_a_bound_that_is_never_reached_changes_nothing():
    options = {"solver": "lbfgs", "max_iter": 15}
    free = few(constraint=None, **options).fit(X, Y)
    loose = few(constraint="spectral", constraint_norm=1e3, **options).fit(X, Y)
    np.testing.assert_allclose(loose.K_, free.K_, atol=1e-6)
    np.testing.assert_allclose(loose.loss_, free.loss_, rtol=1e-8)


# --- with the guard of stage equations, which bounds K too


def test_the_smaller_of_two_bounds_holds():
    options = {"scheme": "implicit_midpoint", "h": 4.0, "solver": "lbfgs", "n_channels": 6}
    options |= {"max_iter": 40, "alpha": 0.0}
    model = few(constraint="spectral", constraint_norm=10.0, **options).fit(X, Y)
    guard = MARGIN / (0.5 * 4.0)
    assert excess(model, norm=guard) < 1e-12
    assert np.linalg.norm(model.K_, ord=2, axis=(-2, -1)).max() > guard - 1e-3
    model = few(constraint="spectral", constraint_norm=0.1, **options).fit(X, Y)
    assert excess(model) < 1e-12


@pytest.mark.parametrize(("constraint", "size"), [("sphere", 6**0.5), ("orthogonal", 1.0)])
def test_manifolds_that_may_leave_what_the_guard_allows_are_refused(constraint, size):
    options = {"scheme": "implicit_midpoint", "h": 0.5, "solver": "lbfgs", "n_channels": 6}
    most = MARGIN / (0.5 * 0.5) / size
    model = few(constraint=constraint, constraint_norm=0.999 * most, **options).fit(X, Y)
    assert excess(model) < 1e-12
    assert np.linalg.norm(model.K_, ord=2, axis=(-2, -1)).max() < most * size
    bad = few(constraint=constraint, constraint_norm=1.001 * most, **options)
    message = f"constraint='{constraint}' .* stage_guard='bound' .* at most (.*), or a smaller h"
    with pytest.raises(ValueError, match=message) as caught:
        bad.fit(X, Y)
    advised = float(re.search(message, str(caught.value))[1])  # not rounded up beyond the bound
    assert 0.9 * most < advised <= most
    bad.set_params(stage_guard="reject").fit(X, Y)
    assert excess(bad) < 1e-12


# --- parameters


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"constraint": "cube"}, r"'constraint' parameter .* Got 'cube'"),
        ({"constraint": True}, r"'constraint' parameter .* Got True"),
        ({"constraint_norm": 0.0}, r"'constraint_norm' parameter .* Got 0.0"),
        ({"constraint_norm": -1.0}, r"'constraint_norm' parameter .* Got -1"),
        ({"constraint_norm": np.inf}, r"'constraint_norm' parameter .* Got inf"),
        ({"constraint_norm": True}, r"'constraint_norm' parameter .* must be a number"),
        ({"constraint_norm": None}, r"'constraint_norm' parameter .* Got None"),
    ],
)
@pytest.mark.parametrize("cls", [*BOTH, *REGRESSORS])
def test_bad_parameters_are_refused(cls, parameters, message):
    with pytest.raises(ValueError, match=message):
        few(cls, **{"constraint": "sphere", **parameters}).fit(X, Y)


def test_a_norm_beyond_single_precision():
    for constraint in ("sphere", "orthogonal"):
        bad = few(constraint=constraint, constraint_norm=1e39)
        with pytest.raises(ValueError, match="not finite at the start"):
            bad.fit(X.astype(np.float32), Y)


@each_constraint
def test_saved_models_know_their_constraint(constraint, tmp_path):
    model = few(constraint=constraint, constraint_norm=0.5, solver="adam").fit(X, Y)
    path = tmp_path / "model.skode"
    skode.save(model, path)
    loaded = skode.load(path)
    assert loaded.constraint == constraint
    assert loaded.constraint_norm == 0.5
    for one in (loaded, model):
        one.partial_fit(X, Y)
        assert excess(one) < 1e-12
    np.testing.assert_array_equal(loaded.K_, model.K_)


def test_the_regressor_on_curves():
    data = curve()
    model = short(ODENetRegressor, constraint="orthogonal", solver="lbfgs", max_iter=60).fit(*data)
    assert model.score(*data) > 0.8
