"""Descent on manifolds: the pairs of L-BFGS, and whole trainings in closed form."""

import numpy as np
import pytest

from skode.engine.arrays import namespace, to_host
from skode.engine.constraints import both, project_onto_simplex, simplex_steps
from skode.engine.controls import Layout
from skode.engine.manifolds import orthogonal_layers, rows_of_norm
from skode.engine.training.stopping import CONVERGED, Stopping
from skode.engine.training.transported import TransportedLBFGS
from tests.engine.everywhere import everywhere, on
from tests.engine.problems import Quadratic, network_objective, trained
from tests.engine.training.test_lbfgs import Walk, assert_alone_as_together
from tests.namespaces import NAMESPACES

LAYOUT = Layout(2, 3, 1)
MANIFOLDS = {"sphere": rows_of_norm, "orthogonal": orthogonal_layers}
each_manifold = pytest.mark.parametrize("name", MANIFOLDS)


def curved(s, y):
    return s @ y > np.finfo(float).eps * (y @ y)


class OnManifold(Walk):
    """Members that walk about a manifold, and lists of pairs that are transported one by one."""

    def __init__(self, xp, constraint, memory, members=3):
        rng = np.random.default_rng(0)
        super().__init__(xp, members, LAYOUT.size, memory, rng)
        self.project, self.tangent = on(xp, constraint.project), on(xp, constraint.tangent)
        self.u = self.project(rng.normal(size=self.g.shape))
        self.g = np.array(self.tangent(self.u, self.g))
        self.direction = TransportedLBFGS(xp.asarray(self.u), constraint.tangent, memory)

    def walk(self, moving, length, wrong=()):
        """Go to other points; y is P (H s), or the opposite of members in `wrong`."""
        d = self.tangent(self.u, length * self.rng.normal(size=self.u.shape))
        u = np.where(moving[:, None], self.project(self.u + d), self.u)
        s, r = self.tangent(u, d), self.tangent(u, self.g)
        y = np.array(self.tangent(u, np.einsum("kij,kj->ki", self.hessian, s)))
        y[list(wrong)] *= -1
        for k in np.flatnonzero(moving):
            at = np.repeat(u[k : k + 1], max(1, 2 * len(self.pairs[k])), axis=0)
            if self.pairs[k]:
                carried = self.tangent(at, np.concatenate(self.pairs[k])).reshape(-1, 2, u.shape[1])
                self.pairs[k] = [tuple(pair) for pair in carried]
            if curved(s[k], y[k]):
                self.pairs[k] = [*self.pairs[k], (s[k], y[k])][-self.memory :]
            bad = [i for i, (a, b) in enumerate(self.pairs[k]) if not curved(a, b)]
            self.pairs[k] = self.pairs[k][bad[-1] + 1 :] if bad else self.pairs[k]
            self.g[k] = r[k] + y[k]
        self.u = u
        self.direction.transport(moving, self.xp.asarray(u))
        self.check(self.learned(moving, s, y))


@each_manifold
@pytest.mark.parametrize("memory", [2, 5])
def test_directions_are_those_of_transported_pairs(name, memory, xp):
    walk = OnManifold(xp, MANIFOLDS[name](LAYOUT, 1.0), memory)
    everyone = np.ones(3, dtype=bool)
    for k in range(9):
        moving = everyone if k < 3 else walk.rng.random(3) < 0.6
        walk.walk(moving, 0.3, wrong=[1] if k == 4 else [])
        d = walk.direction.solve(walk.state(), ~everyone, None)
        off = to_host(d) - walk.tangent(walk.u, to_host(d))
        np.testing.assert_allclose(off, 0 * off, atol=1e-13)
    assert max(map(len, walk.pairs)) == memory


@each_manifold
def test_pairs_that_lose_their_curvature_are_forgotten(name, xp):
    walk = OnManifold(xp, MANIFOLDS[name](LAYOUT, 1.0), 5)
    walk.hessian -= 1.4 * np.eye(LAYOUT.size)
    lost = 0
    for _ in range(12):
        before = sum(map(len, walk.pairs))
        walk.walk(np.ones(3, dtype=bool), 3.0)
        lost += sum(map(len, walk.pairs)) < before
        assert walk.direction.n_pairs.tolist() == [len(pairs) for pairs in walk.pairs]
    assert lost


@everywhere(name=["sphere", "orthogonal"], solver=["lbfgs", "gd"])
def test_a_linear_function_is_minimised_in_closed_form(name, solver, xp):
    # ½‖u - A‖² differs from -⟨u, A⟩ by a constant there, and is least at the projection of A.
    constraint = MANIFOLDS[name](LAYOUT, 1.5)
    rng = np.random.default_rng(0)
    centre, start = rng.normal(size=(2, 3, LAYOUT.size))
    if name == "orthogonal":  # where the determinants are those of the optimum
        start = centre + 0.5 * start
    objective = Quadratic(np.ones_like(centre), centre)
    training = trained(
        xp,
        objective,
        start,
        solver,
        constraint=constraint,
        stopping=Stopping(200, tol=1e-25),
    )
    expected = on(xp, constraint.project)(centre)
    np.testing.assert_allclose(training.flat, expected, atol=1e-7)
    assert (np.diff(training.curve[:, : min(training.n_iter) + 1]) <= 1e-15).all()
    # The gradient has a normal part that does not vanish; it is the tangent part that ends this.
    assert (training.reason == CONVERGED).all()
    assert (training.J > 0.1).all()


@pytest.mark.parametrize("name", MANIFOLDS)
def test_a_manifold_and_the_simplex_hold_together(name, xp):
    layout, flat, objective = network_objective(xp, "simplex")
    constraint = both(simplex_steps(layout, 1.0), MANIFOLDS[name](layout, 1.0))
    training = trained(
        xp,
        objective,
        flat,
        constraint=constraint,
        stopping=Stopping(300, tol=1e-12),
    )
    U = layout.views(training.flat)
    assert (U.h >= 0).all()
    np.testing.assert_allclose(U.h.sum(1), 1.0, rtol=1e-12)
    again = on(xp, constraint.project)(training.flat)
    np.testing.assert_allclose(again, training.flat, atol=1e-13)
    assert (np.diff(training.curve[:, : min(training.n_iter) + 1]) <= 0).all()
    # Stationary along the manifold, and on the simplex.
    _, g = objective.value_and_gradient(training.flat)
    along = layout.views(on(xp, constraint.tangent)(training.flat, g))
    back = on(xp, project_onto_simplex)(U.h - along.h, 1.0)
    np.testing.assert_allclose(back, U.h, atol=2e-4)
    for part in ("K", "b", "W", "mu"):
        np.testing.assert_allclose(getattr(along, part), 0, atol=2e-4)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_members_on_a_manifold_do_not_disturb_each_other(name):
    xp = NAMESPACES["numpy"]()
    layout, flat, objective = network_objective(xp, members=4)
    options = {"constraint": MANIFOLDS[name](layout, 1.0), "stopping": Stopping(400, tol=1e-3)}
    together = trained(xp, objective, flat, **options)
    assert len(set(together.n_iter)) > 2
    for k in range(4):
        assert_alone_as_together(xp, objective, flat, k, together, options)


class Steep(Quadratic):
    """A quadratic whose gradient is not finite where the first column is above 0.3."""

    def value_and_gradient(self, flat, members=None):
        xp = namespace(flat)
        J, g = super().value_and_gradient(flat, members)
        return J, xp.where(flat[:, :1] > 0.3, xp.inf, g)


def test_trials_without_a_finite_gradient_leave_the_memory_where_it_is(xp):
    # With the Armijo rule's share of rejected trials, the gradient comes after the decision.
    constraint = rows_of_norm(LAYOUT, 1.0)
    rng = np.random.default_rng(1)
    centre, start = rng.normal(size=(2, 3, LAYOUT.size))
    start[:, 0] = -2.0
    training = trained(
        xp, Steep(np.ones_like(centre), centre), start, constraint=constraint,
        stopping=Stopping(60),
    )  # fmt: skip
    assert (training.flat[:, 0] <= 0.3).all()
    assert np.isfinite(training.J).all()
    assert (np.diff(training.curve[:, : min(training.n_iter) + 1]) <= 0).all()
