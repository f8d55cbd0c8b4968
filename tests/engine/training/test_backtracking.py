"""One round of backtracking; test_loop.py and test_lbfgs.py test whole trainings."""

import numpy as np
import pytest

from skode.engine.arrays import namespace, placed, to_host
from skode.engine.constraints import Constraint, project_onto_simplex, unconstrained
from skode.engine.training import train
from skode.engine.training.backtracking import Backtracking
from skode.engine.training.lbfgs import LBFGS
from skode.engine.training.line_search import INTERPOLATION
from skode.engine.training.state import State
from skode.engine.training.stopping import CONVERGED, Stopping
from tests.engine.problems import Judged, Quadratic, quadratic, trained


def under_way(xp, rounds=3):
    objective, start = quadratic(members=3, size=6)
    state = State(objective, xp.asarray(start), unconstrained)
    descent = Backtracking(state, LBFGS(state.u), INTERPOLATION)
    for _ in range(rounds):
        descent.round()
    return state, descent


def turn_round(descent, member):
    """Reverse the direction of a member."""
    d = to_host(descent.d).copy()
    d[member] = -d[member]
    descent.d = placed(d, descent.d)


def test_a_direction_that_leads_upwards_is_renewed_for_its_member_alone(xp):
    (state, descent), (plain, other) = under_way(xp), under_way(xp)
    before = state.J.copy()
    turn_round(descent, 1)
    stuck, _ = descent.round(), other.round()
    assert not stuck.any()
    assert state.J[1] == before[1]
    # It is reset: no longer than 1, along the gradient, with the natural step.
    d, g = to_host(descent.d), to_host(state.g)
    np.testing.assert_allclose(d[1], -g[1] / max(1.0, np.linalg.norm(g[1])), rtol=1e-14)
    assert descent.t[1] == 1.0
    np.testing.assert_array_equal(state.J[[0, 2]], plain.J[[0, 2]])
    np.testing.assert_array_equal(d[[0, 2]], to_host(other.d)[[0, 2]])
    while descent.round()[1] == 0 and state.n_iter[1] < 60:
        pass
    assert state.J[1] < 1e-10


def test_a_member_that_has_nothing_to_forget_takes_a_shorter_step(xp):
    state, descent = under_way(xp, rounds=0)
    turn_round(descent, 1)
    descent.round()
    assert state.n_iter.tolist() == [1, 0, 1]
    assert descent.t[1] < 1.0


def test_a_trial_that_rounding_cannot_tell_from_the_point_stands(xp):
    state, descent = under_way(xp, rounds=0)
    descent.t[2] = 1e-20
    stuck = descent.round()
    np.testing.assert_array_equal(stuck, [False, False, True])
    np.testing.assert_array_equal(state.n_evaluations, 2)


def test_a_lower_trial_behind_a_hill_is_not_accepted(xp):
    class Wave(Quadratic):
        def value_and_gradient(self, flat, members=None):
            xp = namespace(flat)
            return xp.cos(flat[:, 0]), -xp.sin(flat)

    start = xp.asarray([[-0.5]])
    state = State(Wave(np.ones((1, 1)), np.zeros((1, 1))), start, unconstrained)
    descent = Backtracking(state, LBFGS(state.u), INTERPOLATION)
    descent.d = xp.asarray([[4.0]])  # uphill, and far beyond the top at 0
    descent.round()
    assert np.cos(3.5) < state.J[0] == np.cos(-0.5)
    assert state.u[0, 0] == -0.5


def test_a_step_that_only_the_projection_can_tell_from_nothing_is_stuck(xp):
    # The projection of a point of the simplex may differ by rounding, for any step.
    rng = np.random.default_rng(0)
    curvature, centre = rng.uniform(0.5, 5.0, (200, 9)), rng.normal(size=(200, 9))
    training = trained(
        xp,
        Quadratic(curvature, centre),
        rng.normal(size=(200, 9)),
        "gd",
        constraint=Constraint(lambda u: project_onto_simplex(u, 1.0)),
        stopping=Stopping(200, n_iter_no_change=300),
    )
    assert (training.reason == CONVERGED).mean() > 0.5  # others fluctuate by rounding errors


class Rounds(Judged):
    """An objective whose evaluations are counted; its samples may be in other processes."""

    def __init__(self, *arguments, elsewhere):
        super().__init__(*arguments)
        self.elsewhere, self.number = elsewhere, 0

    def evaluate(self, *arguments, **options):
        self.number += 1
        return super().evaluate(*arguments, **options)


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize(
    ("solver", "line_search", "fewer"),
    [("gd", "armijo", 0.7), ("gd", "lipschitz", 1.0), ("lbfgs", "armijo", 1.0)],
)
def test_fewer_rounds_for_samples_elsewhere_and_the_same_bits(
    solver, line_search, fewer, constrained
):
    rng = np.random.default_rng(0)
    curvature = rng.uniform(0.5, 500.0, (5, 6))
    centre, other, start = rng.normal(size=(3, 5, 6))
    simplex = Constraint(lambda u: project_onto_simplex(u, 1.0))
    options = {
        "line_search": line_search,
        "stopping": Stopping(60, tol=0.0),
        "constraint": simplex if constrained else unconstrained,
    }
    found = []
    for elsewhere in (False, True):
        objective = Rounds(curvature, centre, other, elsewhere=elsewhere)
        found.append((train(objective, start, solver, **options), objective.number))
    (here, n_here), (there, n_there) = found
    for name in ("flat", "J", "curve", "held_out_curve", "n_iter", "best_iter", "n_evaluations"):
        np.testing.assert_array_equal(getattr(here, name), getattr(there, name), err_msg=name)
    np.testing.assert_array_equal(here.reason, there.reason)
    assert n_there <= fewer * n_here
