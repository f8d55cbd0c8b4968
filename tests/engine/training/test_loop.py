from dataclasses import replace

import numpy as np
import pytest

from skode.engine.arrays import to_host
from skode.engine.constraints import Constraint, project_onto_simplex, simplex_steps, unconstrained
from skode.engine.controls import Controls
from skode.engine.networks import ode_net
from skode.engine.schemes import TABLEAUX
from skode.engine.training import SOLVERS
from skode.engine.training.adam import Schedule
from skode.engine.training.line_search import LINE_SEARCHES
from skode.engine.training.racing import Race
from skode.engine.training.stopping import (
    CALLBACK,
    CONVERGED,
    INTERRUPTED,
    MAX_ITER,
    MAX_TIME,
    STALLED,
    Stopping,
)
from tests.engine.everywhere import everywhere, not_strict, numpy_only, on
from tests.engine.problems import (
    FREE,
    Cliff,
    Placed,
    Quadratic,
    Wrong,
    folds_of,
    network_objective,
    problem,
    quadratic,
    trained,
)
from tests.namespaces import NAMESPACES


def published_descent(rule, J_and_g, u, iterations):
    """Train one member by the rules of the published programs, in plain code."""
    t, L, curve = 0.5, 0.1, []
    J, g = J_and_g(u)
    for _ in range(iterations):
        if rule == "lipschitz":
            while True:
                trial = u - g / L
                J_trial, g_trial = J_and_g(trial)
                bound = J + g @ (trial - u) + L / 2 * ((trial - u) ** 2).sum()
                if J_trial <= bound:
                    break
                L *= 1.5
            L *= 0.99
        else:
            t = min(10.0, 2 * t)
            while True:
                trial = u - t * g
                J_trial, g_trial = J_and_g(trial)
                if J_trial <= J - 0.4 * t * g @ g:
                    break
                t /= 2
        u, J, g = trial, J_trial, g_trial
        curve.append(J)
    return u, np.array(curve)


@not_strict
@pytest.mark.parametrize("rule", LINE_SEARCHES)
def test_descent_follows_the_published_rules(rule, xp):
    _, flat, objective = network_objective(xp)
    training = trained(xp, objective, flat, "gd", line_search=rule, stopping=Stopping(40))
    for k in range(3):

        def J_and_g(u, k=k):
            J, g = objective.value_and_gradient(u[None], np.array([k]))
            return J[0], g[0]

        u, curve = published_descent(rule, J_and_g, flat[k], 40)
        np.testing.assert_allclose(training.curve[k, 1:], curve, rtol=1e-9)
        np.testing.assert_allclose(training.flat[k], u, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("rule", LINE_SEARCHES)
def test_quadratics_are_solved_and_members_do_not_disturb_each_other(rule, xp):
    objective, start = quadratic()
    stopping = Stopping(2000, tol=1e-30)
    together = trained(xp, objective, start, "gd", line_search=rule, stopping=stopping)
    np.testing.assert_allclose(together.flat, objective.centre, atol=1e-6)
    for k in range(3):
        alone = Quadratic(objective.curvature[[k]], objective.centre[[k]])
        one = trained(xp, alone, start[[k]], "gd", line_search=rule, stopping=stopping)
        np.testing.assert_array_equal(one.flat[0], together.flat[k])
        assert one.n_iter[0] == together.n_iter[k]
        assert one.n_evaluations[0] == together.n_evaluations[k]
        assert one.reason[0] == together.reason[k]


@pytest.mark.parametrize("rule", LINE_SEARCHES)
def test_history_is_complete_and_falls(rule, xp):
    _, flat, objective = network_objective(xp)
    training = trained(xp, objective, flat, "gd", line_search=rule, stopping=Stopping(50))
    assert training.curve.shape == (3, 51)
    assert (np.diff(training.curve, axis=1) <= 0).all()
    np.testing.assert_array_equal(training.curve[:, -1], training.J)
    np.testing.assert_array_equal(training.n_iter, 50)
    assert (training.n_evaluations > 50).all()
    assert (training.reason == MAX_ITER).all()
    J, _ = objective.value_and_gradient(training.flat)
    np.testing.assert_allclose(training.J, J, rtol=1e-13)


def test_members_stop_on_their_own(xp):
    objective, start = quadratic()
    start[1] = objective.centre[1]  # at its minimum from the start
    training = trained(xp, objective, start, "gd", stopping=Stopping(300, tol=1e-8))
    assert (training.reason == CONVERGED).all()
    assert training.n_iter[1] == 0
    assert (training.n_iter[[0, 2]] > 5).all()
    assert np.isnan(training.curve[1, 1:]).all()
    for k in range(3):
        assert training.curve[k, training.n_iter[k]] == training.J[k]


def test_convergence_is_a_fall_of_less_than_tol_over_the_window(xp):
    objective, start = quadratic(members=1)
    training = trained(
        xp, objective, start, "gd", line_search="lipschitz", stopping=Stopping(500, 1e-3, 5)
    )
    assert training.reason[0] == CONVERGED
    fall = training.curve[0, :-5] - training.curve[0, 5:]
    assert fall[-1] < 1e-3
    assert (fall[:-1] >= 1e-3).all()


@numpy_only
def test_the_simplex_is_kept_and_its_minimum_found(xp):
    layout, flat, objective = network_objective(xp, "simplex")
    total = 1.0
    training = trained(
        xp,
        objective,
        flat,
        "gd",
        constraint=simplex_steps(layout, total),
        stopping=Stopping(1500),
    )
    h = layout.views(training.flat).h
    assert (h >= 0).all()
    np.testing.assert_allclose(h.sum(1), total, rtol=1e-12)
    # Stationary on the simplex: a projected gradient step leads nowhere.
    _, g = objective.value_and_gradient(training.flat)
    back = on(xp, project_onto_simplex)(h - layout.views(g).h, total)
    np.testing.assert_allclose(back, h, atol=5e-3)


def test_the_projected_optimum_ends_the_training(xp):
    objective = Quadratic(np.ones((1, 3)), np.array([[5.0, 0.0, 0.0]]))
    training = trained(
        xp,
        objective,
        np.full((1, 3), 1 / 3),
        "gd",
        constraint=Constraint(lambda u: project_onto_simplex(u, 1.0)),
        stopping=Stopping(100),
    )
    np.testing.assert_allclose(training.flat, [[1.0, 0.0, 0.0]], atol=1e-12)
    assert training.reason[0] == CONVERGED
    assert training.n_iter[0] < 10


@pytest.mark.parametrize("beyond", [np.nan, np.inf, "gradient"])
@pytest.mark.parametrize("rule", LINE_SEARCHES)
def test_a_diverging_trial_is_a_rejected_trial(rule, beyond, xp):
    start = np.array([[-3.0]])
    training = trained(
        xp, Cliff(beyond), start, "gd", line_search=rule, stopping=Stopping(200, tol=1e-14)
    )
    np.testing.assert_allclose(training.flat, 0.9, atol=1e-5)
    assert training.n_evaluations[0] > training.n_iter[0] + 1


def test_a_gradient_that_points_the_wrong_way_ends_as_stalled(xp):
    objective = Wrong(np.ones((1, 2)), np.zeros((1, 2)))
    training = trained(xp, objective, np.ones((1, 2)), "gd", stopping=Stopping(100))
    assert training.reason[0] == STALLED
    assert training.n_iter[0] == 0
    np.testing.assert_array_equal(training.flat, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_start_that_is_not_finite_is_refused(bad, xp):
    objective, start = quadratic()
    objective.centre[1, 0] = bad
    with pytest.raises(ValueError, match=r"not finite at the start.*scale X.*smaller h"):
        trained(xp, objective, start, "gd")


def test_interruption_keeps_the_best_iterate(xp):
    objective, start = quadratic()

    def interrupt(state):
        if state.n_iter.max() == 7:
            raise KeyboardInterrupt

    training = trained(
        xp,
        objective,
        start,
        "gd",
        line_search="lipschitz",
        stopping=Stopping(100),
        on_iteration=interrupt,
    )
    assert (training.reason == INTERRUPTED).all()
    assert training.n_iter.max() == 7
    J, _ = objective.value_and_gradient(training.flat)
    np.testing.assert_array_equal(training.J, J)
    assert (np.diff(training.curve[:, :7]) <= 0).all()


def test_ctrl_c_after_the_end_of_all_members_is_passed_on(xp):
    objective, start = quadratic(members=1)

    def interrupt(state):
        if not state.running.size:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(xp, objective, start, "gd", stopping=Stopping(3), on_iteration=interrupt)


def test_on_iteration_sees_each_iteration_of_the_foremost_member(xp):
    objective, start = quadratic()
    seen = []
    training = trained(
        xp,
        objective,
        start,
        "gd",
        stopping=Stopping(20),
        on_iteration=lambda state: seen.append((state.n_iter.max(), state.J.min())),
    )
    numbers, lowest = zip(*seen, strict=True)
    assert list(numbers) == list(range(1, training.n_iter.max() + 1))
    assert (np.diff(lowest) <= 0).all()
    assert training.curve[:, 0].min() > lowest[0] >= lowest[-1] >= training.J.min()


def test_on_iteration_may_end_training(xp):
    objective, start = quadratic()
    training = trained(
        xp,
        objective,
        start,
        "gd",
        stopping=Stopping(100),
        on_iteration=lambda state: state.n_iter.max() == 5,
    )
    assert (training.reason == CALLBACK).all()
    assert training.n_iter.max() == 5
    J, _ = objective.value_and_gradient(training.flat)
    np.testing.assert_array_equal(training.J, J)


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_has_come_out_so_far_is_what_comes_out_at_the_end(solver, xp):
    objective, start = quadratic()
    so_far, schedule = [], None
    if "adam" in solver:
        schedule = Schedule(objective.trained_rows.shape[0], 0.1, 0.0, np.random.RandomState(0))
    options = {"schedule": schedule, "stopping": Stopping(12, 1e-6)}
    alone = trained(xp, objective, start, solver, **options)

    def look(state):
        so_far.append(state.so_far(CALLBACK))
        return False

    training = trained(xp, objective, start, solver, on_iteration=look, **options)
    alone, training = (replace(one, flat=to_host(one.flat)) for one in (alone, training))
    for name, part in vars(alone).items():
        np.testing.assert_array_equal(getattr(training, name), part)  # so_far has no side effects
    for k, found in enumerate(so_far[:-1]):
        ended = found.reason != CALLBACK
        np.testing.assert_array_equal(found.n_iter[ended], training.n_iter[ended])
        assert found.n_iter.max() == k + 1
        shown = training.curve[:, : k + 2]
        passed = ~np.isnan(found.curve)
        np.testing.assert_array_equal(found.curve[passed], shown[passed])
        J, _ = objective.value_and_gradient(to_host(found.flat))
        np.testing.assert_allclose(J, found.J)


def test_a_deadline_ends_members_that_have_moved(xp, monkeypatch):
    objective, start = quadratic()
    times = iter(range(1000))
    monkeypatch.setattr("skode.engine.training.stopping.monotonic", lambda: next(times))
    late = trained(xp, objective, start, "gd", stopping=Stopping(100, deadline=6))
    assert (late.reason == MAX_TIME).all()
    assert 1 <= late.n_iter.max() <= 7
    at_once = trained(xp, objective, start, "gd", stopping=Stopping(100, deadline=0))
    assert (at_once.reason == MAX_TIME).all()
    assert (at_once.n_iter == 1).all()
    assert (at_once.curve[:, 0] > at_once.J).all()


def test_parts_held_fixed_stay_as_they_are(xp):
    layout, flat, *data = problem("softmax", "learned", members=2, lifted=True)
    objective = Placed(
        xp,
        ode_net(TABLEAUX["euler"]),
        layout,
        "softmax",
        data,
        free=("K", "h", "nu"),
    )
    training = trained(xp, objective, flat, "gd", stopping=Stopping(10))
    before, after = layout.views(flat), layout.views(training.flat)
    for name in Controls._fields:
        same = np.array_equal(getattr(before, name), getattr(after, name))
        assert same == (name in ("b", "W", "mu", "V"))


@everywhere(solver=SOLVERS, learned=["free", "simplex"])
def test_every_namespace_trains_the_same(solver, learned, xp):
    layout, flat, *data = problem("softmax", "simplex", members=3, lifted=True)
    constraint = unconstrained if learned == "free" else simplex_steps(layout, 1.0)
    folds = folds_of(members=3)

    def run(xp):
        objective = Placed(
            xp,
            ode_net(TABLEAUX["heun"]),
            layout,
            "softmax",
            data,
            FREE["simplex"],
            folds=folds,
        )
        return trained(
            xp,
            objective,
            flat,
            solver,
            schedule=Schedule(3, 0.05, 0.01, np.random.default_rng(0)),
            constraint=constraint,
            stopping=Stopping(25, tol=1e-3),
            race=Race(3, 1),
        )

    found, expected = run(xp), run(NAMESPACES["numpy"]())
    np.testing.assert_allclose(found.flat, expected.flat, atol=1e-8)
    np.testing.assert_allclose(found.held_out_curve, expected.held_out_curve, atol=1e-8)
    for name in ("n_iter", "n_evaluations", "best_iter", "reason"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
