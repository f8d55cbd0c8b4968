"""Best iterates and early stopping; test_loop.py tests the other ends of training."""

import numpy as np
import pytest

from skode.engine.arrays import namespace, to_host
from skode.engine.constraints import unconstrained
from skode.engine.training import SOLVERS
from skode.engine.training.adam import Schedule
from skode.engine.training.state import State
from skode.engine.training.stopping import CONVERGED, EARLY, MAX_ITER, Stopping, ending
from tests.engine.everywhere import not_strict
from tests.engine.problems import Judged, folds_of, network_objective, quadratic, trained


def judged(members=3, size=2, distance=0.5, seed=0):
    """Members that approach their minima; their held-out losses are lowest on the way."""
    rng = np.random.default_rng(seed)
    centre, start = np.zeros((members, size)), 3 + rng.random((members, size))
    curvature = rng.uniform(0.02, 0.2, (members, size))
    # The objective falls faster than the held-out loss, so the latter ends the training.
    return Judged(curvature, centre, centre + distance, scale=0.02), start


def descend(xp, objective, start, **stopping):
    """Gradient descent with such small steps that the way is long."""
    return trained(xp, objective, start, "gd", line_search="armijo", stopping=Stopping(**stopping))


def ends_early(held_out, tol, patience):
    """Return the iteration at which a history of held-out losses ends, in plain code, or None."""
    lowest, last = held_out[0], 0
    for iteration, loss in enumerate(held_out):
        if lowest - loss > tol:
            lowest, last = loss, iteration
        if iteration - last >= patience:
            return iteration
    return None


def test_the_best_iterate_is_that_of_the_lowest_held_out_loss(xp):
    objective, start = judged()
    training = descend(xp, objective, start, max_iter=40, n_iter_no_change=100)
    assert (training.reason == MAX_ITER).all()
    np.testing.assert_array_equal(training.best_iter, training.held_out_curve.argmin(axis=1))
    assert (training.best_iter > 0).all()
    assert (training.best_iter < 40).all()
    found = objective.evaluate(training.flat)
    np.testing.assert_array_equal(training.held_out, found.held_out)
    np.testing.assert_array_equal(training.held_out, training.held_out_curve.min(axis=1))
    np.testing.assert_array_equal(training.J, found.J)
    # The objective continued to fall, but the held-out loss decides.
    assert (training.curve[:, -1] < training.J).all()


@pytest.mark.parametrize("tol", [0.0, 1e-3, 0.01])
@pytest.mark.parametrize("patience", [1, 4, 9])
def test_training_ends_once_the_held_out_loss_has_not_fallen_for_so_many_iterations(
    patience, tol, xp
):
    objective, start = judged()
    free = descend(xp, objective, start, max_iter=60, n_iter_no_change=100)
    training = descend(xp, objective, start, max_iter=60, tol=tol, n_iter_no_change=patience)
    for k in range(3):
        end = ends_early(free.held_out_curve[k], tol, patience)
        assert (training.reason[k], training.n_iter[k]) == (EARLY, end)
        np.testing.assert_array_equal(training.curve[k, : end + 1], free.curve[k, : end + 1])
        assert training.best_iter[k] == training.held_out_curve[k, : end + 1].argmin()


def test_members_end_on_their_own(xp):
    objective, start = judged()
    start[1] = objective.other[1]  # can only become worse
    training = descend(xp, objective, start, max_iter=60, n_iter_no_change=5)
    assert (training.reason == EARLY).all()
    assert training.n_iter[1] == 5
    assert training.best_iter[1] == 0
    np.testing.assert_array_equal(training.flat[1], start[1])
    assert (training.n_iter[[0, 2]] > 5).all()
    assert np.isnan(training.held_out_curve[1, 6:]).all()


def test_a_gain_of_less_than_tol_is_kept_although_it_does_not_count(xp):
    # The held-out loss falls so slowly that it ends the training; its last point is the best.
    objective, start = judged(distance=0.0)
    training = descend(xp, objective, start, max_iter=500, tol=0.02, n_iter_no_change=3)
    assert (training.reason == EARLY).any()
    np.testing.assert_array_equal(training.best_iter, training.n_iter)


def test_without_held_out_samples_the_lowest_objective_is_the_best(xp):
    objective, start = quadratic()
    training = trained(
        xp,
        objective,
        start,
        "adam",
        schedule=Schedule(1, 0.7, 0.0, None),  # oscillates
        stopping=Stopping(25),
    )
    np.testing.assert_array_equal(training.best_iter, training.curve.argmin(axis=1))
    np.testing.assert_array_equal(training.J, training.curve.min(axis=1))
    np.testing.assert_array_equal(objective.evaluate(training.flat).J, training.J)
    assert np.isnan(training.held_out).all()
    assert training.held_out_curve.shape == training.curve.shape
    assert np.isnan(training.held_out_curve).all()


@not_strict
@pytest.mark.parametrize("solver", SOLVERS)
def test_networks_are_judged_by_their_held_out_samples(solver, xp):
    _, flat, objective = network_objective(xp, folds=folds_of(members=3))
    training = trained(
        xp,
        objective,
        flat,
        solver,
        schedule=Schedule(3, 0.1, 0.0, np.random.default_rng(0)),
        stopping=Stopping(150, n_iter_no_change=10),
    )
    assert (training.reason == EARLY).any()
    found = objective.evaluate(training.flat)
    np.testing.assert_allclose(training.held_out, found.held_out, rtol=1e-12)
    np.testing.assert_allclose(training.J, found.J, rtol=1e-12)
    for k, n in enumerate(training.n_iter):
        curve = training.held_out_curve[k, : n + 1]
        assert np.isfinite(curve).all()
        assert training.held_out[k] == curve.min()
        if solver == "adam+lbfgs":  # the patience starts from the best of the 90 epochs
            curve, n = np.append(curve[:91].min(), curve[91:]), n - 90
        if training.reason[k] == EARLY:
            assert n == ends_early(curve, 0.0, 10)
        else:
            assert ends_early(curve, 0.0, 10) is None


def test_stuck_still_is_convergence_and_not_early_stopping(xp):
    objective, start = judged(members=1)
    start[...] = objective.centre
    training = descend(xp, objective, start, max_iter=9, n_iter_no_change=1)
    assert training.reason[0] == CONVERGED


def test_an_infinite_held_out_loss_is_never_the_best(xp):
    # For example, an implicit scheme whose equations cannot be solved for a held-out sample.
    class Unsolved(Judged):
        def held_out(self, flat, members):
            xp, held_out = namespace(flat), super().held_out(flat, members)
            return xp.where((flat[:, 0] > 2.5) | (flat[:, 0] < 1.0), xp.inf, held_out)

    some, start = judged(members=2)
    start[:, 0] = [3.5, 2.0]
    training = descend(
        xp,
        Unsolved(some.curvature, some.centre, some.other),
        start,
        max_iter=80,
        n_iter_no_change=40,
    )
    curve = training.held_out_curve
    np.testing.assert_array_equal(np.isinf(curve[:, 0]), [True, False])
    assert np.isinf(curve[:, -1]).all()
    assert np.isfinite(training.held_out).all()
    np.testing.assert_array_equal(training.best_iter, np.nanargmin(curve, axis=1))


def test_as_long_as_the_held_out_loss_is_infinite_it_is_no_reason_to_end(xp):
    class Unsolved(Judged):
        def held_out(self, flat, members):
            return namespace(flat).full_like(flat[:, 0], np.inf)

    some, start = judged(members=2)
    objective = Unsolved(some.curvature, some.centre, some.other)
    training = descend(xp, objective, start, max_iter=40, n_iter_no_change=5)
    assert (training.reason != EARLY).all()
    assert (training.n_iter > 10).all()


def test_going_to_the_best_point_forgets_that_the_objective_was_lower_elsewhere(xp):
    objective = Judged(np.ones((1, 1)), np.zeros((1, 1)), np.full((1, 1), 3.0))
    state = State(objective, xp.asarray([[4.0]]), unconstrained)
    everyone, nobody = np.ones(1, dtype=bool), np.zeros(1, dtype=bool)

    def move(x):
        u = xp.asarray([[x]])
        J, g, held_out, _ = objective.evaluate(u)
        state.move(everyone, u, g, g, np.ones(1), to_host(J), to_host(held_out))

    for x in (3.0, 0.1, 0.2):  # past the best point, to the lowest objective
        move(x)
    state.go_to_best()
    assert (state.u[0, 0], state.g[0, 0], state.J[0], state.held_out[0]) == (3, 3, 4.5, 0)
    assert state.n_evaluations[0] == 2
    # It falls by more than `tol`, and has not been constant for two iterations.
    for x in (2.5, 2.0, 1.5, 1.0):
        move(x)
        state.mark_iter = state.n_iter.copy()  # no early stopping either
        assert not ending(state, nobody, Stopping(100, tol=0.1, n_iter_no_change=2)).any()
    for x in (0.99, 0.98):
        move(x)
    state.mark_iter = state.n_iter.copy()
    assert ending(state, nobody, Stopping(100, tol=0.1, n_iter_no_change=2)).all()
