"""Adam compared with its published form; epochs, failures and constraints."""

import math

import numpy as np
import pytest

from skode.engine.arrays import namespace, to_host
from skode.engine.constraints import simplex_steps, unconstrained
from skode.engine.networks import ode_net
from skode.engine.schemes import TABLEAUX
from skode.engine.training.adam import Adam, Schedule
from skode.engine.training.state import State
from skode.engine.training.stopping import CONVERGED, MAX_ITER, STALLED, Stopping
from tests.engine.everywhere import not_strict
from tests.engine.problems import (
    FREE,
    Placed,
    Quadratic,
    folds_of,
    network_objective,
    problem,
    trained,
)


def schedule(batch_size=100, rate=0.05, decay=0.0, seed=0):
    return Schedule(batch_size, rate, decay, np.random.default_rng(seed))


def plain_adam(gradients, u, epochs, batches, rate, decay):
    """Algorithm 1 of Kingma and Ba for one member; gradients(u, i) is that of the i-th batch.

    Return the means of the u after every epoch, with the weight (k + 1) (k + 2) … (k + 9) for the
    u of batch k; or the u themselves if there is only one batch.
    """
    m, v, t = np.zeros_like(u), np.zeros_like(u), 0
    path, every, shares = [u], [], []
    for epoch in range(epochs):
        for batch in range(batches):
            t += 1
            g = gradients(u, epoch * batches + batch)
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g**2
            m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
            u = u - rate / (1 + decay * epoch) * m_hat / (np.sqrt(v_hat) + 1e-8)
            every.append(u)
            shares.append(float(math.perm(t + 8, 9)))
        path.append(u if batches == 1 else np.average(every, axis=0, weights=shares))
    return path


@not_strict
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_whole_batches_follow_the_published_algorithm(decay, xp):
    _, flat, objective = network_objective(xp)
    training = trained(
        xp, objective, flat, "adam", schedule=schedule(decay=decay), stopping=Stopping(30)
    )
    for k in range(3):

        def J_and_g(u, k=k):
            J, g = objective.value_and_gradient(u[None], np.array([k]))
            return J[0], g[0]

        path = plain_adam(lambda u, _: J_and_g(u)[1], flat[k], 30, 1, 0.05, decay)
        curve = [J_and_g(u)[0] for u in path]
        np.testing.assert_allclose(training.curve[k], curve, rtol=1e-11)
        np.testing.assert_allclose(training.flat[k], path[np.argmin(curve)], atol=1e-10)
    np.testing.assert_array_equal(training.n_evaluations, 31)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_mini_batches_follow_the_published_algorithm_in_the_order_of_the_generator(decay, xp):
    _, flat, objective = network_objective(xp)
    training = trained(
        xp, objective, flat, "adam", schedule=schedule(3, decay=decay), stopping=Stopping(8)
    )
    # Seven samples, at most three at a time: batches of two, two and three in each epoch.
    rng = np.random.default_rng(0)
    rows = [part for _ in range(8) for part in np.split(rng.permutation(7), [2, 4])]
    for k in range(3):

        def gradient(u, i, k=k):
            return objective.sample(rows[i]).evaluate(u[None], np.array([k])).gradient[0]

        path = plain_adam(gradient, flat[k], 8, 3, 0.05, decay)
        curve = [objective.evaluate(u[None], np.array([k])).J[0] for u in path]
        np.testing.assert_allclose(training.curve[k], curve, rtol=1e-11)
        np.testing.assert_allclose(training.flat[k], path[np.argmin(curve)], atol=1e-10)
    # An epoch is two evaluations: that of its batches, and the values on all samples.
    np.testing.assert_array_equal(training.n_evaluations, 1 + 2 * 8)


class Watched:
    """Return an objective that records which samples are drawn."""

    def __init__(self, objective):
        self.objective, self.drawn = objective, []
        self.trained_rows = objective.trained_rows

    def evaluate(self, *args, **options):
        return self.objective.evaluate(*args, **options)

    def sample(self, rows):
        self.drawn.append(to_host(rows))
        return self.objective.sample(rows)


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [(1, [1] * 7), (2, [1, 2, 2, 2]), (3, [2, 2, 3]), (4, [3, 4]), (6, [3, 4])],
)
def test_an_epoch_visits_every_sample_once_in_batches_of_nearly_equal_size(batch_size, sizes, xp):
    _, flat, objective = network_objective(xp)
    watched = Watched(objective)
    trained(xp, watched, flat, "adam", schedule=schedule(batch_size), stopping=Stopping(5))
    assert [len(rows) for rows in watched.drawn] == sizes * 5
    epochs = np.concatenate(watched.drawn).reshape(5, 7)
    np.testing.assert_array_equal(np.sort(epochs), [np.arange(7)] * 5)
    assert len({tuple(epoch) for epoch in epochs}) > 1  # the order differs between epochs


def test_batches_as_large_as_the_whole_are_not_drawn(xp):
    _, flat, objective = network_objective(xp)
    watched = Watched(objective)
    trained(xp, watched, flat, "adam", schedule=schedule(7), stopping=Stopping(3))
    assert not watched.drawn


@not_strict
def test_with_no_tolerance_an_objective_that_rises_is_no_reason_to_end(xp):
    # Adam oscillates; with a large rate the objective often rises.
    _, flat, objective = network_objective(xp)
    for batch_size in (2, 100):
        training = trained(
            xp, objective, flat, "adam", schedule=schedule(batch_size, 0.5), stopping=Stopping(100)
        )
        assert (training.curve[:, 10:] > training.curve[:, :-10]).any()
        np.testing.assert_array_equal(training.n_iter, 100)
        assert (training.reason == MAX_ITER).all()


def test_convergence_is_a_lowest_objective_that_has_hardly_fallen(xp):
    _, flat, objective = network_objective(xp)
    stopping = Stopping(400, tol=1e-2, n_iter_no_change=7)
    training = trained(xp, objective, flat, "adam", schedule=schedule(2, 0.05), stopping=stopping)
    assert (training.reason == CONVERGED).all()
    for curve, n in zip(training.curve, training.n_iter, strict=True):
        lowest = np.minimum.accumulate(curve[: n + 1])
        fall = lowest[:-7] - lowest[7:]
        assert fall[-1] < 1e-2
        assert (fall[:-1] >= 1e-2).all()


def test_the_generator_decides_and_nothing_else(xp):
    _, flat, objective = network_objective(xp)

    def run(seed):
        return trained(
            xp, objective, flat, "adam", schedule=schedule(2, seed=seed), stopping=Stopping(6)
        )

    one, again, other = run(0), run(0), run(1)
    np.testing.assert_array_equal(one.flat, again.flat)
    np.testing.assert_array_equal(one.curve, again.curve)
    assert (one.flat != other.flat).any()


@not_strict
def test_members_see_the_same_samples_and_do_not_disturb_each_other(xp):
    _, flat, objective = network_objective(xp, folds=folds_of(members=3))
    # Their held-out losses stop them one after the other.
    options = {"stopping": Stopping(120, n_iter_no_change=6)}
    together = trained(xp, objective, flat, "adam", schedule=schedule(3), **options)
    assert len(set(together.n_iter)) == 3

    class Only:
        def __init__(self, objective, k):
            self.objective, self.k = objective, k
            self.trained_rows = objective.trained_rows

        def evaluate(self, flat, members=None, gradient=True):
            return self.objective.evaluate(flat, np.array([self.k]), gradient)

        def sample(self, rows):
            return Only(self.objective.sample(rows), self.k)

    for k in range(3):
        alone = trained(xp, Only(objective, k), flat[[k]], "adam", schedule=schedule(3), **options)
        np.testing.assert_array_equal(alone.flat[0], together.flat[k])
        for name in ("n_iter", "n_evaluations", "best_iter", "reason", "J", "held_out"):
            assert getattr(alone, name)[0] == getattr(together, name)[k]


def test_decay_makes_the_steps_shorter(xp):
    # With a constant slope, the length of Adam's steps is the learning rate.
    class Plane(Quadratic):
        def value_and_gradient(self, flat, members=None):
            xp = namespace(flat)
            return xp.sum(flat, axis=1), xp.ones_like(flat)

    plane = Plane(np.ones((1, 1)), np.zeros((1, 1)))
    options = {"schedule": schedule(rate=0.1, decay=0.5), "stopping": Stopping(6)}
    training = trained(xp, plane, np.ones((1, 1)), "adam", **options)
    np.testing.assert_allclose(
        -np.diff(training.curve[0]), 0.1 / (1 + 0.5 * np.arange(6)), rtol=1e-6
    )


class Pit(Quadratic):
    """A function that is not finite from -0.4 to 0.4, or below 0.4, on the way to the minimum."""

    def __init__(self, kind, members=1, wall=False):
        super().__init__(np.ones((members, 1)), np.full((members, 1), -3.0))
        self.kind, self.first_only = kind, members > 1
        self.bottom = -np.inf if wall else -0.4

    def value_and_gradient(self, flat, members=None):
        xp = namespace(flat)
        J, g = super().value_and_gradient(flat, members)
        inside = (flat[:, 0] < 0.4) & (flat[:, 0] > self.bottom)
        if self.first_only and members is not None:
            inside = inside & (members == 0)
        if self.kind == "gradient":
            return J, xp.where(inside[:, None], xp.nan, g)
        return xp.where(inside, self.kind, J), g


@pytest.mark.parametrize("kind", [np.nan, np.inf, "gradient"])
def test_where_the_objective_is_not_finite_adam_goes_back_and_halves_its_rate(kind, xp):
    state = State(Pit(kind), xp.asarray([[1.25]]), unconstrained)
    adam = Adam(state, schedule(rate=0.3))
    path = [float(state.u[0, 0])]
    while len(path) < 12:
        stuck = adam.round()
        path.append(float(state.u[0, 0]))
    # Two steps of 0.3; the third would reach 0.35, so go back and on with 0.15 and new averages.
    np.testing.assert_allclose(path[:4], [1.25, 0.95, 0.65, 0.65], atol=1e-2)
    assert path[3] == path[2]
    assert np.isfinite(state.curve[0, : state.n_iter[0] + 1]).all()
    assert not stuck.any()
    moves = np.abs(np.diff(path))
    assert (moves[3:] <= 0.15).all()
    # The averages are reset, so the length of the first step is the learning rate.
    np.testing.assert_allclose(path[3] - path[4], 0.15, rtol=1e-5)


def test_however_late_adam_goes_back_its_steps_are_no_longer_than_its_rate(xp):
    # With averages of one batch and a correction for a thousand, they would be three times as long.
    class Late(Quadratic):
        calls = 0

        def value_and_gradient(self, flat, members=None):
            self.calls += 1
            J, g = super().value_and_gradient(flat, members)
            return J * (np.nan if self.calls == 500 else 1.0), g

    late = Late(np.ones((1, 1)), np.full((1, 1), -300.0))
    state = State(late, xp.asarray([[0.0]]), unconstrained)
    adam = Adam(state, schedule(rate=0.1))
    path = [float(state.u[0, 0])]
    while len(path) < 520:
        adam.round()
        path.append(float(state.u[0, 0]))
    moves = np.abs(np.diff(path))
    assert (moves == 0).sum() == 1
    assert moves[:495].min() > 0.09
    assert moves[500:].max() < 0.0501


def test_a_member_goes_back_to_its_best_point_and_not_to_its_last_one(xp):
    class JudgedPit(Pit):
        def held_out(self, flat, members):
            return namespace(flat).abs(flat[:, 0] - 0.9)

    state = State(JudgedPit(np.inf), xp.asarray([[1.0]]), unconstrained)
    adam = Adam(state, schedule(rate=0.3))
    for _ in range(3):
        adam.round()
    assert state.u[0, 0] == 1.0
    assert state.curve[0, 1] < state.curve[0, 0] == state.curve[0, 3]


def test_what_a_batch_without_a_finite_gradient_has_left_is_forgotten(xp):
    state = State(Drawn("gradient", wall=True), xp.asarray([[1.0]]), unconstrained)
    adam = Adam(state, schedule(2, rate=0.3))
    for _ in range(12):
        adam.round()
        for part in (state.u, *adam.moments):
            assert np.isfinite(to_host(part)).all()
    assert state.best_iter[0] > 3


def test_a_member_that_goes_back_leaves_the_others_alone(xp):
    both, start = Pit(np.nan, members=2), np.array([[1.0], [1.0]])
    training = trained(xp, both, start, "adam", schedule=schedule(rate=0.1), stopping=Stopping(200))
    free = Quadratic(np.ones((1, 1)), np.full((1, 1), -3.0))
    alone = trained(
        xp, free, start[:1], "adam", schedule=schedule(rate=0.1), stopping=Stopping(200)
    )
    np.testing.assert_array_equal(training.curve[1], alone.curve[0])
    assert training.flat[0, 0] >= 0.4
    assert training.flat[1, 0] < -2.9


class Drawn(Pit):
    """The pit with samples to draw, so that Adam never gets a gradient on all of them."""

    def __init__(self, kind, wall):
        super().__init__(kind, wall=wall)
        self.trained_rows = np.arange(4)

    def sample(self, rows):
        return self


@pytest.mark.parametrize("cls", [Pit, Drawn])
def test_a_member_whose_rate_has_become_nothing_is_stalled(cls, xp):
    training = trained(
        xp,
        cls(np.inf, wall=True),
        np.array([[0.4001]]),
        "adam",
        schedule=schedule(2, rate=1e3),
        stopping=Stopping(900),
    )
    # At the wall, where it has not converged.
    assert training.reason[0] == STALLED
    assert training.n_iter[0] < 900
    assert 0.4 <= training.flat[0, 0] <= 0.4001
    assert np.isfinite(training.J).all()


@pytest.mark.parametrize("batch_size", [3, 100])
def test_the_simplex_is_kept(batch_size, xp):
    layout, flat, objective = network_objective(xp, "simplex")
    seen = []

    class Seen(Watched):
        def evaluate(self, flat, *args, **options):
            seen.append(layout.views(to_host(flat)).h)
            return super().evaluate(flat, *args, **options)

    training = trained(
        xp,
        Seen(objective),
        flat,
        "adam",
        schedule=schedule(batch_size),
        constraint=simplex_steps(layout, 1.0),
        stopping=Stopping(40),
    )
    seen.append(layout.views(training.flat).h)
    for h in seen:
        assert (h >= 0).all()
        np.testing.assert_allclose(h.sum(1), 1.0, rtol=1e-12)
    assert (training.curve[:, 0] > training.J).all()


def test_single_precision_stays_single(xp):
    layout, flat, *data = problem("softmax", "learned", dtype=np.float32)
    objective = Placed(xp, ode_net(TABLEAUX["heun"]), layout, "softmax", data, FREE["learned"])
    for batch_size in (3, 100):
        options = {"schedule": schedule(batch_size), "stopping": Stopping(20)}
        training = trained(xp, objective, flat, "adam+lbfgs", **options)
        assert training.flat.dtype == np.float32
        assert (training.curve[:, 0] > training.J).all()
