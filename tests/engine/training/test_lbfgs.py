"""L-BFGS compared with the two-loop recursion and SciPy, and in difficult situations."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

from skode.engine.arrays import namespace, placed, put, to_host
from skode.engine.constraints import Constraint, project_onto_simplex, simplex_steps
from skode.engine.networks import ode_net
from skode.engine.schemes import TABLEAUX
from skode.engine.training.lbfgs import LBFGS, rounded
from skode.engine.training.state import inner
from skode.engine.training.stopping import CONVERGED, MAX_ITER, STALLED, Stopping
from tests.engine.everywhere import NOT_STRICT, everywhere, not_strict, numpy_only, on
from tests.engine.problems import (
    FREE,
    Cliff,
    Placed,
    Quadratic,
    Wrong,
    network_objective,
    problem,
    quadratic,
    rows_of,
    trained,
)


def two_loops(pairs, g):
    """Return -H g for one member; Nocedal, Wright, "Numerical Optimization", algorithm 7.4."""
    if not pairs:
        return -g / max(1.0, np.linalg.norm(g))
    q, alpha = g.copy(), []
    for s, y in reversed(pairs):
        alpha.append((s @ q) / (s @ y))
        q -= alpha[-1] * y
    s, y = pairs[-1]
    gamma = (s @ y) / (y @ y)
    unit = 2.0 ** np.floor(np.log2(gamma)) / 4
    r = np.round(gamma / unit) * unit * q  # three bits
    for (s, y), a in zip(pairs, reversed(alpha), strict=True):
        r += (a - (y @ r) / (s @ y)) * s
    return -r


class Walk:
    """Members with given steps, and plain lists of their pairs."""

    far = 1e9  # from the origin, so that directions may be long

    def __init__(self, xp, members, size, memory, rng):
        self.xp, self.memory, self.rng = xp, memory, rng
        root = rng.normal(size=(members, size, size)) / size**0.5
        self.hessian = root @ root.swapaxes(1, 2) + 0.3 * np.eye(size)
        self.g = rng.normal(size=(members, size))
        self.pairs = [[] for _ in range(members)]
        self.direction = LBFGS(xp.asarray(np.zeros((members, size))), memory)

    def go(self, moving, wrong=()):
        """Steps of the members in the mask `moving`, those in `wrong` of negative curvature."""
        s = self.rng.normal(size=self.g.shape)  # steps of other members are ignored
        y = np.einsum("kij,kj->ki", self.hessian, s)
        y[list(wrong)] *= -1
        for k in np.flatnonzero(moving):
            self.g[k] += y[k]
            if k not in wrong:
                self.pairs[k] = [*self.pairs[k], (s[k], y[k])][-self.memory :]
        self.check(self.learned(moving, s, y))

    def learned(self, moving, s, y):
        """Return the directions after such steps and changes of the gradient."""
        arrays = (self.xp.asarray(part) for part in (s, self.g - y, self.g))
        products = to_host(self.direction.measure(moving, *arrays))
        return self.direction.solve(self.state(), moving, products)

    def state(self):
        r, steepness = self.xp.asarray(self.g.copy()), (self.g**2).sum(axis=1)
        u = self.xp.asarray(np.full(self.g.shape, self.far))
        size2 = inner(u, u)
        return SimpleNamespace(u=u, r=r, size2=size2, steepness=steepness, xp=namespace(r))

    def check(self, found):
        assert self.xp.holds(found)
        for d, pairs, g in zip(to_host(found), self.pairs, self.g, strict=True):
            expected = two_loops(pairs, g)
            np.testing.assert_allclose(d, expected, atol=1e-9 * np.abs(expected).max())

    def forget(self, which):
        had = np.array([bool(pairs) for pairs in self.pairs])
        np.testing.assert_array_equal(self.direction.forget(which), which & had)
        for k in np.flatnonzero(which):
            self.pairs[k] = []

    def select(self, rows):
        self.direction.select(rows)
        self.g, self.hessian = self.g[rows], self.hessian[rows]
        self.pairs = [self.pairs[k] for k in rows]


@pytest.mark.parametrize("memory", [1, 3, 10])
def test_compact_form_is_the_two_loop_recursion(memory, xp):
    walk = Walk(xp, 1, 12, memory, np.random.default_rng(0))
    walk.check(walk.direction.solve(walk.state(), np.zeros(1, dtype=bool), None))
    for _ in range(2 * memory + 3):  # the memory is filled, and its oldest pairs replaced
        walk.go(np.ones(1, dtype=bool))
    assert len(walk.pairs[0]) == memory


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_members_have_memories_of_their_own(xp, seed, memory):
    # They move, are reset, have negative curvature and leave in any order.
    rng = np.random.default_rng(seed)
    walk = Walk(xp, 5, 12, memory, rng)
    for _ in range(12):
        members = len(walk.g)
        action = rng.integers(5)
        if action == 0:
            walk.forget(rng.random(members) < 0.4)
        elif action == 1 and members > 1:
            walk.select(np.flatnonzero(np.arange(members) != rng.integers(members)))
            members -= 1
        moving = rng.random(members) < 0.7
        walk.go(moving, wrong=np.flatnonzero(rng.random(members) < 0.2))


def test_memories_after_forget_and_select_in_every_namespace(xp):
    walk = Walk(xp, 4, 8, 3, np.random.default_rng(1))
    everyone = np.ones(4, dtype=bool)
    for moving in ([1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 0, 0], [1, 1, 0, 0]):
        walk.go(np.array(moving, dtype=bool))
    assert [len(pairs) for pairs in walk.pairs] == [3, 3, 0, 2]
    walk.forget(np.array([True, False, True, False]))
    walk.go(~everyone)
    walk.go(everyone, wrong=[1])
    walk.select(np.array([0, 1, 3]))
    walk.go(everyone[:3])
    walk.forget(np.array([False, True, False]))
    walk.go(np.array([True, False, True]))
    assert [len(pairs) for pairs in walk.pairs] == [3, 0, 3]


def test_directions_are_no_longer_than_half_of_the_controls(xp):
    walk, everyone = Walk(xp, 4, 8, 3, np.random.default_rng(0)), np.ones(4, dtype=bool)
    walk.go(everyone)
    full = np.array([two_loops(pairs, g) for pairs, g in zip(walk.pairs, walk.g, strict=True)])
    length = np.linalg.norm(full, axis=1)
    walk.far = np.sqrt((2 * length.mean()) ** 2 - 1) / 8**0.5  # some are too long
    products = to_host(walk.direction.measure(~everyone, *3 * [xp.asarray(walk.g)]))
    found = to_host(walk.direction.solve(walk.state(), ~everyone, products))
    bounded = np.minimum(length, length.mean())
    np.testing.assert_allclose(found, full * (bounded / length)[:, None], rtol=1e-12)


def test_a_step_without_curvature_is_not_learned(xp):
    # y = 0, as on a plane, would divide by zero; a pair that is skipped replaces no other.
    walk = Walk(xp, 1, 4, 3, np.random.default_rng(0))
    moving = np.ones(1, dtype=bool)
    for _ in range(3):
        walk.go(moving)
    walk.check(walk.learned(moving, np.ones((1, 4)), np.zeros((1, 4))))
    assert walk.direction.n_pairs == 3


def test_the_scale_has_three_bits():
    values = np.geomspace(1e-9, 1e9, 1000)
    found = rounded(values)
    assert np.abs(found / values - 1).max() <= 1 / 8
    mantissa = np.frexp(found)[0]
    np.testing.assert_array_equal(mantissa * 8, np.round(mantissa * 8))
    # So neighbours in the last digit have the same scale.
    np.testing.assert_array_equal(rounded(values * (1 + 1e-15)), found)


def test_pairs_are_written_where_they_belong(xp):
    array, new = xp.zeros((3, 4, 2), dtype=xp.float64), np.arange(1.0, 13).reshape(3, 2, 2)
    put(array, np.array([0, 2]), np.array([[1, 3], [0, 2]]), xp.asarray(new))
    expected = np.zeros((3, 4, 2))
    expected[0, [1, 3]], expected[2, [0, 2]] = new[0], new[2]
    np.testing.assert_array_equal(to_host(array), expected)


def test_quadratics_are_solved_fast(xp):
    rng = np.random.default_rng(0)
    curvature = np.stack([np.geomspace(1, 1000, 8), np.full(8, 3.0)])
    objective = Quadratic(curvature, rng.normal(size=(2, 8)))
    start = rng.normal(size=(2, 8))
    training = trained(xp, objective, start, stopping=Stopping(500, tol=1e-14))
    np.testing.assert_allclose(training.flat, objective.centre, atol=1e-7)
    assert (training.reason == CONVERGED).all()
    assert (training.J < 1e-12).all()
    # Gradient descent takes thousands of iterations for a condition of 1000.  On a ball the first
    # pair contains all information.
    first = (training.curve < 1e-12).argmax(axis=1)
    assert first[0] < 60
    assert first[1] <= 4
    descent = trained(xp, objective, start, "gd", stopping=Stopping(500))
    assert descent.J[0] > 1e-6
    assert (training.n_evaluations < 1.5 * training.n_iter + 5).all()


# PyTorch rounds differently for other numbers of matrices, which a whole training amplifies.
@numpy_only
@pytest.mark.parametrize("constraint", ["none", "simplex"])
def test_members_of_a_network_do_not_disturb_each_other(constraint, xp):
    steps = "learned" if constraint == "none" else "simplex"
    layout, flat, objective = network_objective(xp, steps, members=4)
    options = {} if constraint == "none" else {"constraint": simplex_steps(layout, 1.0)}
    # They end one after the other, so that the batch becomes smaller.
    options["stopping"] = Stopping(400, tol=1e-3)
    together = trained(xp, objective, flat, **options)
    assert len(set(together.n_iter)) > 2
    for k in range(4):
        assert_alone_as_together(xp, objective, flat, k, together, options)


def test_members_of_quadratics_do_not_disturb_each_other(xp):
    objective, start = quadratic(members=4, size=6)
    options = {"stopping": Stopping(300, tol=1e-20)}
    together = trained(xp, objective, start, **options)
    for k in range(4):
        assert_alone_as_together(xp, objective, start, k, together, options)


class Only:
    """Return one member of an objective."""

    elsewhere = False

    def __init__(self, objective, member):
        self.objective, self.member = objective, member

    def evaluate(self, flat, members=None, gradient=True):
        return self.objective.evaluate(flat, placed(np.array([self.member]), flat), gradient)


def assert_alone_as_together(xp, objective, start, k, together, options):
    alone = trained(xp, Only(objective, k), start[[k]], **options)
    n = together.n_iter[k]
    np.testing.assert_array_equal(alone.flat[0], together.flat[k])
    np.testing.assert_array_equal(alone.curve[0], together.curve[k, : n + 1])
    for name in ("n_iter", "n_evaluations", "best_iter", "reason", "J"):
        assert getattr(alone, name)[0] == getattr(together, name)[k]


class Counting(Only):
    """Record the objective at every evaluation."""

    def __init__(self, objective, member):
        super().__init__(objective, member)
        self.values = []

    def evaluate(self, flat, members=None, gradient=True):
        found = super().evaluate(flat, members, gradient)
        self.values.append(float(found.J[0]))
        return found

    def value_and_gradient(self, u):
        found = self.evaluate(u[None])
        return found.J[0], found.gradient[0]

    def best(self, n_evaluations):
        return min(self.values[:n_evaluations])


def regression(xp, free, seed):
    layout, flat, X, targets, weights, _ = problem(
        "squared", "learned", n_channels=4, N=4, samples=60, seed=seed, spread=0.3, lifted=True
    )
    return flat, Placed(
        xp,
        ode_net(TABLEAUX["heun"]),
        layout,
        "squared",
        (X, targets, weights, np.full(2, 1e-3)),
        free,
    )


@everywhere(
    NOT_STRICT,
    # The readout alone is a linear regression with one minimum.  A network has many, and the two
    # trainings diverge in the end, the sooner the more is learned.
    case=[
        (("W", "mu"), (40, 80), 1e-5),
        (FREE["fixed"], (20, 40, 80), 0.05),
        (FREE["learned"], (20, 40), 0.05),
    ],
    seed=[2, 4],
)
def test_as_good_as_scipy_after_as_many_evaluations(case, seed, xp):
    free, n_evaluations, within = case
    flat, objective = regression(xp, free, seed)
    for k in range(2):
        ours, scipys = Counting(objective, k), Counting(objective, k)
        trained(xp, ours, flat[[k]], "lbfgs", stopping=Stopping(n_evaluations[-1]))
        scipy.optimize.minimize(
            scipys.value_and_gradient,
            flat[k],
            jac=True,
            method="L-BFGS-B",
            options={
                "maxcor": 10,
                "maxiter": 1000,
                "maxfun": n_evaluations[-1],
                "ftol": 0,
                "gtol": 0,
            },
        )
        for n in n_evaluations:
            assert abs(ours.best(n) - scipys.best(n)) <= within * scipys.best(n)


def test_history_is_complete_and_falls(xp):
    _, flat, objective = network_objective(xp)
    training = trained(xp, objective, flat, stopping=Stopping(50))
    assert training.curve.shape == (3, 51)
    assert (np.diff(training.curve, axis=1) <= 0).all()
    np.testing.assert_array_equal(training.curve[:, -1], training.J)
    assert (training.reason == MAX_ITER).all()
    assert (training.n_evaluations > 50).all()
    J, _ = objective.value_and_gradient(training.flat)
    np.testing.assert_allclose(training.J, J, rtol=1e-13)
    # Much better than the same number of iterations of gradient descent.
    descent = trained(xp, objective, flat, "gd", stopping=Stopping(50))
    assert (training.J < descent.J).all()


@not_strict
def test_a_network_is_stationary_at_the_end(xp):
    # With fixed steps: learned ones may grow without limit while the weights vanish.
    _, flat, objective = network_objective(xp, "fixed")
    training = trained(xp, objective, flat, stopping=Stopping(3000, tol=1e-13))
    assert (training.reason == CONVERGED).all()
    _, g = objective.value_and_gradient(training.flat)
    _, g_start = objective.value_and_gradient(flat)
    assert (np.linalg.norm(g, axis=1) < 1e-5 * np.linalg.norm(g_start, axis=1)).all()


def test_the_simplex_is_kept_and_its_minimum_found(xp):
    layout, flat, objective = network_objective(xp, "simplex")
    total = 1.0
    training = trained(
        xp,
        objective,
        flat,
        constraint=simplex_steps(layout, total),
        stopping=Stopping(1000, tol=1e-12),
    )
    h = layout.views(training.flat).h
    assert (h >= 0).all()
    np.testing.assert_allclose(h.sum(1), total, rtol=1e-12)
    # Stationary: a projected gradient step leads nowhere.
    _, g = objective.value_and_gradient(training.flat)
    back = on(xp, project_onto_simplex)(h - layout.views(g).h, total)
    np.testing.assert_allclose(back, h, atol=1e-5)
    for name in ("K", "b", "W", "mu"):
        np.testing.assert_allclose(getattr(layout.views(g), name), 0, atol=1e-5)


def test_a_corner_of_the_simplex_is_reached(xp):
    # The projected gradient ends the training, not the gradient, which is not zero there.
    objective = Quadratic(np.ones((1, 3)), np.array([[5.0, 0.0, 0.0]]))
    training = trained(
        xp,
        objective,
        np.full((1, 3), 1 / 3),
        constraint=Constraint(lambda u: project_onto_simplex(u, 1.0)),
        stopping=Stopping(100),
    )
    np.testing.assert_allclose(training.flat, [[1.0, 0.0, 0.0]], atol=1e-12)
    assert training.reason[0] == CONVERGED
    assert training.n_iter[0] < 10


def test_single_precision_comes_as_far_as_it_can(xp):
    layout, flat, *data = problem("softmax", "fixed")
    ends = []
    for dtype in (np.float32, np.float64):
        objective = Placed(
            xp,
            ode_net(TABLEAUX["heun"]),
            layout,
            "softmax",
            [part.astype(dtype) for part in data],
            FREE["fixed"],
        )
        training = trained(xp, objective, flat.astype(dtype), stopping=Stopping(300, tol=1e-6))
        assert training.flat.dtype == dtype
        assert training.J.dtype == np.float64
        assert (training.reason == CONVERGED).all()
        ends.append(training.J)
    np.testing.assert_allclose(*ends, rtol=1e-3)


@pytest.mark.parametrize("beyond", [np.nan, np.inf, "gradient"])
def test_a_diverging_trial_is_a_rejected_trial(beyond, xp):
    class Funnel(Cliff):
        """A function so flat far out that the first pair leads far beyond the wall."""

        def inside(self, flat, members):
            miss = 10 * (flat - rows_of(self.centre, flat, members))
            root = namespace(flat).sqrt(1 + miss * miss)
            return root[:, 0] / 10, miss / root

    training = trained(xp, Funnel(beyond), np.array([[-3.0]]), stopping=Stopping(200, tol=1e-14))
    np.testing.assert_allclose(training.flat, 0.9, atol=1e-5)
    assert training.reason[0] == CONVERGED
    assert training.n_evaluations[0] > training.n_iter[0] + 3


def test_a_gradient_that_points_the_wrong_way_ends_as_stalled(xp):
    objective = Wrong(np.ones((1, 2)), np.zeros((1, 2)))
    training = trained(xp, objective, np.ones((1, 2)), stopping=Stopping(100))
    assert training.reason[0] == STALLED
    assert training.n_iter[0] == 0
    np.testing.assert_array_equal(training.flat, 1.0)
