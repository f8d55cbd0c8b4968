"""One round of backtracking; whole trainings are in test_training.py and test_directions.py."""

import numpy as np

from skode.engine.arrays import namespace, placed, to_host
from skode.engine.constraints import unconstrained
from skode.engine.descent import Backtracking
from skode.engine.directions import LBFGS
from skode.engine.line_search import INTERPOLATION
from skode.engine.record import Record
from tests.engine.problems import Quadratic, quadratic


def under_way(xp, rounds=3):
    objective, start = quadratic(members=3, size=6)
    record = Record(objective, xp.asarray(start), unconstrained)
    descent = Backtracking(record, LBFGS(record), INTERPOLATION)
    for _ in range(rounds):
        descent.round(tol=0.0)
    return record, descent


def turn_round(descent, member):
    """Let the direction of a member be the opposite one."""
    d = to_host(descent.d).copy()
    d[member] = -d[member]
    descent.d = placed(d, descent.d)


def test_a_direction_that_leads_upwards_is_renewed_for_its_member_alone(xp):
    (record, descent), (plain, other) = under_way(xp), under_way(xp)
    before = record.J.copy()
    turn_round(descent, 1)
    standing, _ = descent.round(tol=0.0), other.round(tol=0.0)
    assert not standing.any()
    assert record.J[1] == before[1]
    # It begins anew: no longer than 1, along the gradient, with the natural step.
    d, g = to_host(descent.d), to_host(record.g)
    np.testing.assert_allclose(d[1], -g[1] / max(1.0, np.linalg.norm(g[1])), rtol=1e-14)
    assert descent.t[1] == 1.0
    np.testing.assert_array_equal(record.J[[0, 2]], plain.J[[0, 2]])
    np.testing.assert_array_equal(d[[0, 2]], to_host(other.d)[[0, 2]])
    while descent.round(tol=0.0)[1] == 0 and record.n_iter[1] < 60:
        pass
    assert record.J[1] < 1e-10


def test_a_member_that_has_nothing_to_forget_takes_a_shorter_step(xp):
    record, descent = under_way(xp, rounds=0)
    turn_round(descent, 1)
    descent.round(tol=0.0)
    assert record.n_iter.tolist() == [1, 0, 1]
    assert descent.t[1] < 1.0


def test_a_trial_that_rounding_cannot_tell_from_the_point_stands(xp):
    record, descent = under_way(xp, rounds=0)
    descent.t[2] = 1e-20
    standing = descent.round(tol=0.0)
    np.testing.assert_array_equal(standing, [False, False, True])
    np.testing.assert_array_equal(record.n_evaluations, 2)


def test_a_lower_trial_behind_a_hill_is_not_accepted(xp):
    class Wave(Quadratic):
        def value_and_gradient(self, flat, members=None):
            xp = namespace(flat)
            return xp.cos(flat[:, 0]), -xp.sin(flat)

    start = xp.asarray([[-0.5]])
    record = Record(Wave(np.ones((1, 1)), np.zeros((1, 1))), start, unconstrained)
    descent = Backtracking(record, LBFGS(record), INTERPOLATION)
    descent.d = xp.asarray([[4.0]])  # uphill, and far beyond the top at 0
    descent.round(tol=0.0)
    assert np.cos(3.5) < record.J[0] == np.cos(-0.5)
    assert record.u[0, 0] == -0.5
