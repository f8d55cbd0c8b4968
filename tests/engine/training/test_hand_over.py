"""The change from Adam to L-BFGS: its starting point, and when members end afterwards."""

import numpy as np
import pytest

from skode.engine.training.stopping import CONVERGED, MAX_ITER, STALLED, Stopping
from tests.engine.everywhere import not_strict
from tests.engine.problems import (
    Judged,
    folds_of,
    network_objective,
    quadratic,
    trained,
)
from tests.engine.training.test_adam import schedule


def test_after_the_hand_over_convergence_is_checked_afresh(xp):
    # Adam passes the minimum, and has its lowest held-out loss at the turning point.  From there
    # the objective is higher than before for a while: it is flat, so the first step is short.
    objective = Judged(np.full((1, 1), 0.01), np.zeros((1, 1)), np.full((1, 1), -3.0))
    options = {"schedule": schedule(rate=0.3), "stopping": Stopping(40)}
    training = trained(xp, objective, np.full((1, 1), 4.0), "adam+lbfgs", **options)
    curve, best = training.curve[0], training.best_iter[0]
    assert 15 < best <= 24
    first = curve[25]
    assert curve[:15].min() < first
    assert training.n_iter[0] > 25
    assert np.nanmin(curve[25:]) < 1e-12


def test_after_the_hand_over_the_patience_starts_afresh(xp):
    # Its lowest held-out loss was long before, but L-BFGS still has time to reach the minimum.
    objective = Judged(np.full((1, 1), 0.01), np.zeros((1, 1)), np.full((1, 1), 1.0))
    options = {"schedule": schedule(rate=0.3), "stopping": Stopping(40, n_iter_no_change=14)}
    training = trained(xp, objective, np.full((1, 1), 4.0), "adam+lbfgs", **options)
    assert training.best_iter[0] + 14 == 25  # the first iteration of L-BFGS
    assert training.n_iter[0] > 25
    assert training.reason[0] == CONVERGED


@pytest.mark.parametrize("batch_size", [3, 100])
def test_hand_over_goes_on_from_the_best_point_after_three_fifths(batch_size, xp):
    _, flat, objective = network_objective(xp)
    options = {"schedule": schedule(batch_size, rate=0.5), "stopping": Stopping(20)}
    both = trained(xp, objective, flat, "adam+lbfgs", **options)
    options = {"schedule": schedule(batch_size, rate=0.5), "stopping": Stopping(12)}
    adam = trained(xp, objective, flat, "adam", **options)
    # With this large rate, the best point of Adam is not its last one.
    assert (adam.best_iter < 12).any()
    np.testing.assert_array_equal(both.curve[:, :13], adam.curve)
    lbfgs = trained(xp, objective, adam.flat, "lbfgs", stopping=Stopping(8))
    # The objective belongs to the same point, with or without its gradient.
    np.testing.assert_array_equal(both.curve[:, 13:], lbfgs.curve[:, 1:])
    np.testing.assert_array_equal(both.flat, lbfgs.flat)
    np.testing.assert_array_equal(both.n_iter, 20)
    np.testing.assert_array_equal(both.n_evaluations, adam.n_evaluations + lbfgs.n_evaluations)
    assert (both.reason == MAX_ITER).all()


def test_hand_over_with_held_out_samples_begins_where_the_held_out_loss_was_lowest(xp):
    _, flat, objective = network_objective(xp, folds=folds_of(members=3))
    options = {"schedule": schedule(3, rate=0.5), "stopping": Stopping(20, n_iter_no_change=99)}
    both = trained(xp, objective, flat, "adam+lbfgs", **options)
    options = {"schedule": schedule(3, rate=0.5), "stopping": Stopping(12, n_iter_no_change=99)}
    adam = trained(xp, objective, flat, "adam", **options)
    assert (adam.best_iter < 12).any()
    np.testing.assert_array_equal(both.held_out_curve[:, :13], adam.held_out_curve)
    lbfgs = trained(xp, objective, adam.flat, "lbfgs", stopping=Stopping(8, n_iter_no_change=99))
    np.testing.assert_array_equal(both.curve[:, 13:], lbfgs.curve[:, 1:])
    np.testing.assert_array_equal(both.held_out, np.minimum(adam.held_out, lbfgs.held_out))


def test_quadratics_are_solved_after_the_hand_over(xp):
    objective, start = quadratic()
    stopping = Stopping(100, tol=1e-14, n_iter_no_change=30)
    training = trained(xp, objective, start, "adam+lbfgs", schedule=schedule(), stopping=stopping)
    np.testing.assert_allclose(training.flat, objective.centre, atol=1e-7)
    assert (training.reason == CONVERGED).all()
    assert (training.n_iter > 60).all()
    assert (training.curve[:, 60] > 1e-6).all()  # Adam alone has not converged by then


def test_a_member_that_rests_with_adam_is_handed_over_all_the_same(xp):
    objective, start = quadratic(members=2)
    start[0] = objective.centre[0]
    options = {"schedule": schedule(), "stopping": Stopping(50, tol=1e-12, n_iter_no_change=5)}
    training = trained(xp, objective, start, "adam+lbfgs", **options)
    assert training.n_iter[0] == 30  # L-BFGS cannot take a step there
    assert training.reason[0] == CONVERGED
    assert training.n_iter[1] > 30
    np.testing.assert_allclose(training.flat[1], objective.centre[1], atol=1e-6)


@not_strict
def test_a_plateau_of_adam_is_where_lbfgs_takes_over(xp):
    # The rate is so large that neither the objective nor the held-out loss falls much with Adam.
    _, flat, objective = network_objective(xp, folds=folds_of(members=3))
    stopping = Stopping(100, tol=1e-3, n_iter_no_change=4)
    options = {"schedule": schedule(3, rate=2.0), "stopping": stopping}
    assert (trained(xp, objective, flat, "adam", **options).n_iter < 60).all()
    assert (trained(xp, objective, flat, "adam+lbfgs", **options).n_iter > 60).all()


def test_when_all_members_have_ended_with_adam_none_is_left_for_lbfgs(xp):
    _, flat, objective = network_objective(xp)
    options = {"schedule": schedule(3, rate=1e300), "stopping": Stopping(100)}
    training = trained(xp, objective, flat, "adam+lbfgs", **options)
    assert (training.reason == STALLED).all()
    np.testing.assert_array_equal(training.flat, flat)
