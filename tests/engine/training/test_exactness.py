"""The tolerance of stage equations during training, and that it does not affect decisions."""

import numpy as np
import pytest

from skode import ODENetClassifier
from skode.engine.arrays import quiet
from skode.engine.networks import ode_net
from skode.engine.objective import Objective
from skode.engine.schemes import TABLEAUX
from skode.engine.training import Schedule, Stopping, exactness, train
from skode.engine.training.backtracking import Backtracking
from skode.engine.training.exactness import FRACTION, LOOSEST, Exactness
from skode.engine.training.state import inner
from tests.engine.problems import objective_of, problem
from tests.estimators import blobs, short

pytest.importorskip("numba")

EPS = np.finfo(float).eps


def midpoint_objective(n_channels=6, scheme="implicit_midpoint"):
    layout, flat, *data = problem(
        "softmax", "fixed", n_channels=n_channels, samples=80, lifted=True
    )
    return flat, objective_of(ode_net(TABLEAUX[scheme]), layout, "softmax", data)


def test_tolerances_follow_the_predicted_decrease():
    known = Exactness.of(np.array([2.0, 2.0, 2.0, 0.0]), EPS)
    with quiet():
        found = known.of_trials(np.array([-1.0, -1e-5, -1e-30, -1.0]))
    np.testing.assert_allclose(
        found, [LOOSEST, FRACTION * 1e-5 / 2, known.tightest, LOOSEST], rtol=1e-12
    )
    assert Exactness.of(None, EPS) is None


def test_what_is_known_moves_with_the_members():
    here = Exactness.of(np.array([1.0, 2.0]), EPS)
    there = Exactness(np.array([3.0, 4.0]), np.array([1e-7, 1e-8]), here.tightest)
    moved = here.moved(np.array([False, True]), there)
    np.testing.assert_array_equal(moved.sensitivity, [1.0, 4.0])
    np.testing.assert_array_equal(moved.error, [here.tightest, 4e-8])
    np.testing.assert_array_equal(moved.select(np.array([1])).tolerance, [1e-8])


@pytest.mark.parametrize("solver", ["gd", "lbfgs"])
@pytest.mark.parametrize("scheme", ["implicit_midpoint", "gauss4", "trapezoid"])
def test_no_decision_is_another_than_with_exact_stages(scheme, solver, monkeypatch):
    """Repeat every decision of a training with J to rounding at both points."""
    flat, objective = midpoint_objective(scheme=scheme)
    checked = []
    evaluated = Backtracking._exact_enough

    def checking(self, u, exactness):
        state = self.state
        wanted = exactness.of_trials(inner(state.g, self._step(u, self.t)))
        trial = evaluated(self, u, exactness)
        tolerance = trial.exactness.tolerance
        # Where errors could decide, the equations are solved to rounding instead.
        assert ((tolerance == wanted) | (tolerance == exactness.tightest)).all()
        bound = (trial.directional, trial.distance2, self.t)
        found = self.line_search.accepts(
            state.J[state.running], trial.J, trial.directional, trial.distance2, self.t
        )
        here, there = (objective.evaluate(x, state.members).J for x in (state.u, u))
        assert (np.abs(there - trial.J) <= trial.exactness.error + 1e-14).all()
        assert (np.abs(here - state.J[state.running]) <= state.exactness.error + 1e-14).all()
        exact = self.line_search.accepts(here, there, *bound)
        near = np.abs(there - self.line_search.bound(here, *bound)) < 1e-13
        np.testing.assert_array_equal(found[~near], exact[~near])
        checked.extend(tolerance)
        return trial

    monkeypatch.setattr(Backtracking, "_exact_enough", checking)
    train(objective, flat, solver, stopping=Stopping(60))
    assert max(checked) == LOOSEST
    if solver == "lbfgs":  # it comes so close to a minimum that J hardly falls
        assert min(checked) < LOOSEST


@pytest.mark.parametrize("loosest", [LOOSEST, 1e-2])
def test_the_path_is_that_of_exact_stages(loosest, monkeypatch):
    flat, objective = midpoint_objective()
    monkeypatch.setattr(exactness, "LOOSEST", loosest)
    found = train(objective, flat, "gd", stopping=Stopping(40))
    monkeypatch.setattr(exactness, "LOOSEST", 0.0)
    exact = train(objective, flat, "gd", stopping=Stopping(40))
    np.testing.assert_array_equal(found.n_iter, exact.n_iter)
    np.testing.assert_allclose(found.J, exact.J, rtol=loosest)


def test_points_that_errors_could_decide_about_are_computed_again(monkeypatch):
    flat, objective = midpoint_objective()
    # So loose that the errors are as large as the decreases.
    monkeypatch.setattr(exactness, "LOOSEST", 0.1)
    monkeypatch.setattr(exactness, "FRACTION", 1e3)
    found = train(objective, flat, "gd", stopping=Stopping(15))
    assert (found.n_evaluations > found.n_iter + 10).all()
    np.testing.assert_allclose(found.J, objective.evaluate(found.flat).J, rtol=0.1)


def test_explicit_schemes_have_no_sensitivity():
    flat, objective = midpoint_objective(scheme="heun")
    assert objective.evaluate(flat).sensitivity is None


@pytest.fixture
def asked(monkeypatch):
    """Record the tolerances of all evaluations."""
    found, evaluate = [], Objective.evaluate

    def spy(self, flat, members=None, gradient=True, tolerance=None):
        found.append(tolerance)
        return evaluate(self, flat, members, gradient, tolerance)

    monkeypatch.setattr(Objective, "evaluate", spy)
    return found


@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam"])
@pytest.mark.parametrize("exact", [False, True])
def test_every_evaluation_is_exact_where_that_is_asked_for(exact, solver, asked):
    flat, objective = midpoint_objective()
    schedule = Schedule(20, 0.01, 0.0, np.random.default_rng(0))
    train(objective, flat, solver, schedule=schedule, stopping=Stopping(3), exact_stages=exact)
    assert asked
    assert all(tolerance is None for tolerance in asked) == exact


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("guard", ["bound", "reject"])
def test_stages_that_may_lose_their_solution_are_always_solved_exactly(guard, asked):
    X, y = blobs(2)
    parameters = {"scheme": "implicit_midpoint", "stage_guard": guard, "max_iter": 3}
    short(ODENetClassifier, **parameters).fit(X, y)
    short(ODENetClassifier, **parameters, solver="adam").partial_fit(X, y, classes=np.unique(y))
    assert asked
    assert all(tolerance is None for tolerance in asked) == (guard == "reject")
