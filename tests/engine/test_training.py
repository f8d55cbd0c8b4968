import numpy as np
import pytest

from skode.engine.arrays import to_host
from skode.engine.constraints import project_onto_simplex, simplex_steps, unconstrained
from skode.engine.controls import Controls
from skode.engine.line_search import LINE_SEARCHES
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.objective import Objective
from skode.engine.schemes import TABLEAUX
from skode.engine.training import CONVERGED, INTERRUPTED, MAX_ITER, STALLED, train
from tests.engine.test_gradient import FREE, problem


class Quadratic:
    """J = ½ Σ curvature (u - centre)² per member, evaluated like an `Objective`."""

    def __init__(self, curvature, centre):
        self.curvature, self.centre = curvature, centre

    def value_and_gradient(self, flat, members=None):
        rows = slice(None) if members is None else members
        miss = flat - self.centre[rows]
        g = self.curvature[rows] * miss
        return 0.5 * (miss * g).sum(axis=1), g


def quadratic(members=3, size=4, seed=0):
    rng = np.random.default_rng(seed)
    curvature = rng.uniform(0.5, 5.0, (members, size))
    return Quadratic(curvature, rng.normal(size=(members, size))), rng.normal(size=(members, size))


def network_objective(steps="learned", **options):
    layout, flat, *data, alpha = problem("softmax", steps, members=3)
    objective = Objective(
        ode_net(TABLEAUX["heun"]), layout, LOSSES["softmax"], *data, alpha, FREE[steps], **options
    )
    return layout, flat, objective


def published_descent(rule, J_and_g, u, iterations):
    """One member, the rules as the published programs state them, in plain words."""
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


@pytest.mark.parametrize("rule", LINE_SEARCHES)
def test_descent_follows_the_published_rules(rule):
    _, flat, objective = network_objective()
    training = train(objective, flat, LINE_SEARCHES[rule], max_iter=40)
    for k in range(3):

        def J_and_g(u, k=k):
            J, g = objective.value_and_gradient(u[None], np.array([k]))
            return J[0], g[0]

        u, curve = published_descent(rule, J_and_g, flat[k], 40)
        np.testing.assert_allclose(training.curve[k, 1:], curve, rtol=1e-9)
        np.testing.assert_allclose(training.flat[k], u, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("rule", LINE_SEARCHES)
def test_quadratics_are_solved_and_members_do_not_disturb_each_other(rule):
    objective, start = quadratic()
    together = train(objective, start, LINE_SEARCHES[rule], max_iter=2000, tol=1e-30)
    np.testing.assert_allclose(together.flat, objective.centre, atol=1e-6)
    for k in range(3):
        alone = Quadratic(objective.curvature[[k]], objective.centre[[k]])
        one = train(alone, start[[k]], LINE_SEARCHES[rule], max_iter=2000, tol=1e-30)
        np.testing.assert_array_equal(one.flat[0], together.flat[k])
        assert one.n_iter[0] == together.n_iter[k]
        assert one.n_evaluations[0] == together.n_evaluations[k]
        assert one.reason[0] == together.reason[k]


@pytest.mark.parametrize("rule", LINE_SEARCHES)
def test_history_is_complete_and_falls(rule):
    _, flat, objective = network_objective()
    training = train(objective, flat, LINE_SEARCHES[rule], max_iter=50)
    assert training.curve.shape == (3, 51)
    assert (np.diff(training.curve, axis=1) <= 0).all()
    np.testing.assert_array_equal(training.curve[:, -1], training.J)
    np.testing.assert_array_equal(training.n_iter, 50)
    assert (training.n_evaluations > 50).all()
    assert (training.reason == MAX_ITER).all()
    J, _ = objective.value_and_gradient(training.flat)
    np.testing.assert_allclose(training.J, J, rtol=1e-13)


def test_members_stop_on_their_own():
    objective, start = quadratic()
    start[1] = objective.centre[1]  # at its minimum from the beginning
    training = train(objective, start, LINE_SEARCHES["armijo"], max_iter=300, tol=1e-8)
    assert (training.reason == CONVERGED).all()
    assert training.n_iter[1] == 0
    assert (training.n_iter[[0, 2]] > 5).all()
    assert np.isnan(training.curve[1, 1:]).all()
    for k in range(3):
        assert training.curve[k, training.n_iter[k]] == training.J[k]


def test_convergence_is_a_fall_of_less_than_tol_over_the_window():
    objective, start = quadratic(members=1)
    training = train(
        objective, start, LINE_SEARCHES["lipschitz"], max_iter=500, tol=1e-3, n_iter_no_change=5
    )
    assert training.reason[0] == CONVERGED
    fall = training.curve[0, :-5] - training.curve[0, 5:]
    assert fall[-1] < 1e-3
    assert (fall[:-1] >= 1e-3).all()


def test_the_simplex_is_kept_and_its_minimum_found():
    layout, flat, objective = network_objective("simplex")
    total = 1.0
    training = train(
        objective,
        flat,
        LINE_SEARCHES["armijo"],
        project=simplex_steps(layout, total),
        max_iter=1500,
    )
    h = layout.views(training.flat).h
    assert (h >= 0).all()
    np.testing.assert_allclose(h.sum(1), total, rtol=1e-12)
    # Stationary on the simplex: a projected gradient step leads nowhere.
    _, g = objective.value_and_gradient(training.flat)
    back = project_onto_simplex(h - layout.views(g).h, total)
    np.testing.assert_allclose(back, h, atol=5e-3)


def test_the_projected_optimum_ends_the_training():
    objective = Quadratic(np.ones((1, 3)), np.array([[5.0, 0.0, 0.0]]))
    training = train(
        objective,
        np.full((1, 3), 1 / 3),
        LINE_SEARCHES["armijo"],
        project=lambda u: project_onto_simplex(u, 1.0),
        max_iter=100,
    )
    np.testing.assert_allclose(training.flat, [[1.0, 0.0, 0.0]], atol=1e-12)
    assert training.reason[0] == CONVERGED
    assert training.n_iter[0] < 10


class Cliff(Quadratic):
    """Not a number, or infinite, or of infinite gradient, beyond a wall at u = 1."""

    def __init__(self, beyond):
        super().__init__(np.ones((1, 1)), np.array([[0.9]]))
        self.beyond = beyond

    def value_and_gradient(self, flat, members=None):
        J, g = super().value_and_gradient(flat, members)
        over = flat[:, 0] > 1
        if self.beyond == "gradient":
            return np.where(over, -1.0, J), np.where(over[:, None], np.inf, g)
        return np.where(over, self.beyond, J), g


@pytest.mark.parametrize("beyond", [np.nan, np.inf, "gradient"])
@pytest.mark.parametrize("rule", LINE_SEARCHES)
def test_a_diverging_trial_is_a_rejected_trial(rule, beyond):
    start = np.array([[-3.0]])
    training = train(Cliff(beyond), start, LINE_SEARCHES[rule], max_iter=200, tol=1e-14)
    np.testing.assert_allclose(training.flat, 0.9, atol=1e-5)
    assert training.n_evaluations[0] > training.n_iter[0] + 1


def test_a_gradient_that_points_the_wrong_way_ends_as_stalled():
    class Wrong(Quadratic):
        def value_and_gradient(self, flat, members=None):
            J, g = super().value_and_gradient(flat, members)
            return J, -g

    objective = Wrong(np.ones((1, 2)), np.zeros((1, 2)))
    training = train(objective, np.ones((1, 2)), LINE_SEARCHES["armijo"], max_iter=100)
    assert training.reason[0] == STALLED
    assert training.n_iter[0] == 0
    np.testing.assert_array_equal(training.flat, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_start_that_is_not_finite_is_refused(bad):
    objective, start = quadratic()
    objective.centre[1, 0] = bad
    with pytest.raises(ValueError, match=r"not finite at the start.*scale X.*smaller h"):
        train(objective, start, LINE_SEARCHES["armijo"])


def test_interruption_keeps_the_best_iterate():
    objective, start = quadratic()

    def interrupt(n_iter, J):
        if n_iter == 7:
            raise KeyboardInterrupt

    training = train(
        objective, start, LINE_SEARCHES["lipschitz"], max_iter=100, on_iteration=interrupt
    )
    assert (training.reason == INTERRUPTED).all()
    assert training.n_iter.max() == 7
    J, _ = objective.value_and_gradient(training.flat)
    np.testing.assert_array_equal(training.J, J)
    assert (np.diff(training.curve[:, :7]) <= 0).all()


def test_on_iteration_reports_each_iteration_of_the_foremost_member():
    objective, start = quadratic()
    seen = []
    training = train(
        objective,
        start,
        LINE_SEARCHES["armijo"],
        max_iter=20,
        on_iteration=lambda n_iter, J: seen.append((n_iter, J)),
    )
    assert [n for n, _ in seen] == list(range(1, training.n_iter.max() + 1))
    lowest = [J for _, J in seen]
    assert (np.diff(lowest) <= 0).all()
    assert training.curve[:, 0].min() > lowest[0] >= lowest[-1] >= training.J.min()


def test_the_lipschitz_rule_survives_a_long_run():
    # 0.99^n underflows after some 70 000 accepted steps; the step has to stay finite.
    search = LINE_SEARCHES["lipschitz"]
    t = np.array([search.first_step])
    for _ in range(100_000):
        t = search.next_step(t, np.array([True]))
    assert np.isfinite(t)
    assert t > 0


def test_parts_held_fixed_stay_as_they_are():
    layout, flat, *data, alpha = problem("softmax", "learned", members=2)
    objective = Objective(
        ode_net(TABLEAUX["euler"]), layout, LOSSES["softmax"], *data, alpha, free=("K", "h")
    )
    training = train(objective, flat, LINE_SEARCHES["armijo"], max_iter=10)
    before, after = layout.views(flat), layout.views(training.flat)
    for name in Controls._fields:
        same = np.array_equal(getattr(before, name), getattr(after, name))
        assert same == (name in ("b", "W", "mu"))


def test_every_namespace_trains_alike(xp):
    layout, flat, *data, alpha = problem("softmax", "simplex", members=2)

    def run(make, project):
        objective = Objective(
            ode_net(TABLEAUX["heun"]),
            layout,
            LOSSES["softmax"],
            *map(make, (*data, alpha)),
            FREE["simplex"],
        )
        return train(
            objective, make(flat), LINE_SEARCHES["armijo"], project=project, max_iter=30, tol=1e-4
        )

    for project in (unconstrained, simplex_steps(layout, 1.0)):
        found, expected = run(xp.asarray, project), run(np.asarray, project)
        np.testing.assert_allclose(to_host(found.flat), expected.flat, atol=1e-9)
        np.testing.assert_array_equal(found.n_iter, expected.n_iter)
