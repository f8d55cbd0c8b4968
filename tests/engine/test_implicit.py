"""Stage equations: their solution, the end of the iteration, and unsolvable equations."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skode.engine import implicit
from skode.engine.activations import ACTIVATIONS
from skode.engine.arrays import quiet
from skode.engine.controls import Controls
from skode.engine.implicit import Layer, Solution, solve_costates, solve_stages
from skode.engine.networks import ode_net
from skode.engine.schemes import TABLEAUX, as_tableau
from tests.engine.everywhere import NOT_STRICT, everywhere, home, not_strict, on, there
from tests.namespaces import NAMESPACES
from tests.reference import implicit_schemes

TANH = ACTIVATIONS["tanh"]
IMPLICIT = [name for name, tableau in TABLEAUX.items() if not tableau.explicit]
FULL = {name: TABLEAUX[name].blocks[-1].A for name in IMPLICIT}


def one_layer(K, b=None, h=0.1):
    K = np.asarray(K, dtype=float)
    members, n, _ = K.shape
    stiffness = abs(h) * np.linalg.norm(K, ord=2, axis=(1, 2))[:, None]
    b = np.zeros((members, n)) if b is None else b
    return Layer(K, b[..., None], np.full((members, 1, 1), h), stiffness)


def random_layer(n, size, h=0.1, members=2, seed=0):
    rng = np.random.default_rng(seed)
    K = size * rng.normal(size=(members, n, n)) / n**0.5
    return one_layer(K, rng.normal(size=(members, n)), h)


def stages_of(stacked):
    """Return the stages, which are on the third axis, as a list."""
    return [stacked[:, :, j] for j in range(stacked.shape[2])]


def solved(xp, A, layer, B, activation=TANH):
    """Convert the solution to NumPy, with the stages on the third axis.

    Newton's matrix stays in the namespace.
    """
    with quiet():
        found = on(xp, solve_stages)(A, activation, stages_of(B), layer)
    return found._replace(Y=np.stack(found.Y, axis=2), F=np.stack(found.F, axis=2))


def costates_of(xp, A, layer, solution, derivative, r):
    """Return Γ in NumPy, with the stages on the third axis."""
    parts = [stages_of(derivative), stages_of(r)]
    solution = Solution(*(None,) * 3, solution.matrix, solution.effort)
    return np.stack(on(xp, solve_costates)(A, solution, *parts, layer), axis=2)


def residual(A, layer, Y, B, sigma=np.tanh):
    F = sigma(np.einsum("bcd,bdjm->bcjm", layer.K, Y) + layer.b[..., None])
    return Y - B - layer.h[..., None] * np.einsum("ij,bcjm->bcim", A, F), F


# Small and large, contracting, mildly stiff and stiff: every branch of the solver.
@everywhere(
    n_and_size=itertools.product([1, 2, 3, 8, 24], [0.01, 1.0, 4.0, 12.0]),
    scheme=["implicit_midpoint", "gauss4", "radau_iia5"],
)
def test_stages_and_costates_solve_their_equations(scheme, n_and_size, xp):
    A, (n, size) = FULL[scheme], n_and_size
    k, m = len(A), 60
    layer = random_layer(n, size)
    rng = np.random.default_rng(1)
    B = np.repeat(3 * rng.normal(size=(1, n, 1, m)), k, axis=2)
    solution = solved(xp, A, layer, B)
    assert solution.status.converged.all()
    R, F = residual(A, layer, solution.Y, B)
    scale = (1 + np.abs(layer.h) * size) * np.abs(B).max()
    np.testing.assert_allclose(R, 0, atol=1e-13 * scale.max())
    np.testing.assert_allclose(solution.F, F, atol=1e-13 * scale.max())

    r = rng.normal(size=solution.Y.shape)
    gamma = costates_of(xp, A, layer, solution, 1 - F**2, r)
    JtG = np.einsum("bdc,bdjm->bcjm", layer.K, (1 - F**2) * gamma)
    expected = r + layer.h[..., None] * np.einsum("ji,bcjm->bcim", A, JtG)
    np.testing.assert_allclose(gamma, expected, atol=1e-12 * np.abs(gamma).max())


@not_strict
@pytest.mark.parametrize("scheme", IMPLICIT)
def test_status_of_an_easy_and_of_an_impossible_problem(scheme, xp):
    A = FULL[scheme]
    layer = one_layer([[[3.0]]], h=0.1)
    B = np.ones((1, 1, len(A), 4))
    status = solved(xp, A, layer, B).status
    assert status.converged.all()
    assert 1 <= status.iterations <= 8
    assert status.residual.shape == status.converged.shape == (1, 4)
    # Y = B + h A softplus(K Y) has no solution for steep softplus and large B.
    layer = one_layer([[[30.0]]], h=1.0)
    status = solved(xp, A, layer, B, ACTIVATIONS["softplus"]).status
    assert not status.converged.any()
    assert status.iterations >= implicit.CAREFUL.limit
    assert (status.residual > 0.1).all()


def test_fixed_point_iteration_only_where_it_contracts_for_certain(monkeypatch, xp):
    computed = []
    compute = implicit.StageMatrix.compute

    def spy(self, derivative, checks):
        computed.append(derivative.shape)
        compute(self, derivative, checks)

    monkeypatch.setattr(implicit.StageMatrix, "compute", spy)
    A, B = FULL["implicit_midpoint"], np.random.default_rng(0).normal(size=(1, 2, 1, 50))
    for n, size, used in [(2, 0.05, False), (2, 5.0, True), (24, 0.5, False), (24, 5.0, True)]:
        computed.clear()
        B = np.random.default_rng(0).normal(size=(1, n, 1, 50))
        solution = solved(xp, A, random_layer(n, size), B)
        assert solution.status.converged.all()
        assert bool(computed) == used
        assert solution.matrix.computed == used


def test_samples_that_newton_misses_are_reached_by_continuation(monkeypatch, xp):
    # Far beyond (h/2) ‖K‖₂ = 1, damped Newton sometimes gets stuck at a minimum of |R|.
    A, layer = FULL["implicit_midpoint"], random_layer(3, 4.0, h=1.0, members=5)
    B = 2 * np.random.default_rng(0).normal(size=(1, 3, 1, 1000))
    with_it = solved(xp, A, layer, B)

    def again(equations, x):
        matrix = implicit.StageMatrix(A, equations.layer.K, equations.layer.h)
        return implicit._iterate(equations, x, matrix, False, implicit.CAREFUL)

    monkeypatch.setattr(implicit, "_by_continuation", again)
    without = solved(xp, A, layer, B)
    missed = ~without.status.converged
    assert 10 < missed.sum() < 100
    assert (with_it.status.converged & missed).sum() >= missed.sum() / 2
    assert with_it.status.converged[~missed].all()
    R, _ = residual(A, layer, with_it.Y, B)
    largest = np.abs(R).max(axis=(1, 2))
    np.testing.assert_array_equal(largest < 1e-13, with_it.status.converged)
    np.testing.assert_allclose(with_it.status.residual, largest, rtol=1e-3, atol=1e-13)


def test_what_is_not_finite_is_not_converged_and_spoils_nothing_else(xp):
    A = FULL["implicit_midpoint"]
    B = np.random.default_rng(0).normal(size=(1, 2, 1, 5))
    alone = solved(xp, A, random_layer(2, 5.0), B)
    B[0, 0, 0, 3] = np.inf
    status = solved(xp, A, random_layer(2, 5.0), B).status
    np.testing.assert_array_equal(status.converged, np.arange(5)[None, :] != [[3], [3]])
    assert alone.status.converged.all()


def test_where_costates_cannot_be_found_they_are_not_a_number(xp):
    # 1 - h a K σ′ = 0 for the second sample, whose Newton's matrix is singular.
    A, layer = FULL["implicit_euler"], one_layer([[[2.0]]], h=0.5)
    solution = solved(xp, A, layer, np.zeros((1, 1, 1, 3)))
    derivative = np.array([0.5, 1.0, 0.25]).reshape(1, 1, 1, 3)
    with quiet():
        gamma = costates_of(xp, A, layer, solution, derivative, np.ones((1, 1, 1, 3)))
    np.testing.assert_allclose(gamma[0, 0, 0], [2.0, np.nan, 4 / 3], rtol=1e-14)


@settings(max_examples=12)
@given(implicit_schemes(), st.integers(0, 100))
def test_samples_do_not_depend_on_each_other(xp, scheme, seed):
    tableau = as_tableau(scheme)
    rng = np.random.default_rng(seed)
    for block in tableau.blocks:
        if block.explicit:
            continue
        layer = random_layer(3, 2.0, h=0.2, seed=seed)
        B = rng.normal(size=(2, 3, len(block.A), 6))
        together = solved(xp, block.A, layer, B)
        alone = solved(xp, block.A, layer, B[..., [4]])
        np.testing.assert_allclose(together.Y[..., [4]], alone.Y, atol=1e-13)


@everywhere(NOT_STRICT, n=[3, 8, 16], scheme=["implicit_euler", "gauss4"])
def test_samples_and_members_go_their_own_way_where_there_may_be_several_solutions(scheme, n, xp):
    # Far beyond the bound for a unique solution, the network detects this.
    rng = np.random.default_rng(0)
    U = Controls(
        4 * rng.normal(size=(3, 2, n, n)) / n**0.5,
        rng.normal(size=(3, 2, n)),
        np.full((3, 2), 0.7),
        np.zeros((3, 1, n)),
        np.zeros((3, 1)),
    )
    network = ode_net(TABLEAUX[scheme])
    y = rng.normal(size=(1, n, 60))

    def in_namespace(U, x):
        with quiet():
            done = network.forward(U, x)
        return done.y[-1], [status.converged for status in done.statuses]

    def propagate(U, y):
        end, converged = on(xp, in_namespace)(U, y[0])
        return end, np.all(converged, axis=0)

    together, solved_together = propagate(U, y)
    assert 0 < solved_together.sum() < solved_together.size or scheme == "gauss4"
    for k in range(3):
        one = Controls(*(part[[k]] for part in U if part is not None))
        alone, solved_alone = propagate(one, y)
        np.testing.assert_array_equal(solved_alone[0], solved_together[k])
        # Near a fold of the solutions, rounding errors are amplified.
        found = solved_together[k]
        np.testing.assert_allclose(alone[0][:, found], together[k][:, found], atol=1e-6)
        for i in range(0, 60, 7):
            sample, solved_sample = propagate(one, y[..., [i]])
            assert solved_sample[0, 0] == solved_together[k, i]
            if found[i]:
                np.testing.assert_allclose(sample[0, :, 0], together[k, :, i], atol=1e-6)


def test_float32_is_solved_to_its_own_rounding(xp):
    A = FULL["gauss4"]
    layer = random_layer(3, 5.0)
    layer = Layer(*(part.astype(np.float32) for part in layer[:4]))
    B = np.random.default_rng(0).normal(size=(1, 3, 2, 40)).astype(np.float32)
    solution = solved(xp, A, layer, B)
    assert solution.Y.dtype == solution.status.residual.dtype == np.float32
    assert solution.status.converged.all()
    assert solution.status.iterations <= 8
    np.testing.assert_allclose(residual(A, layer, solution.Y, B)[0], 0, atol=1e-5)


def test_every_namespace_solves_the_same(xp):
    for scheme, n in [("implicit_midpoint", 2), ("gauss4", 16)]:
        A, layer = FULL[scheme], random_layer(n, 4.0)
        B = np.random.default_rng(0).normal(size=(1, n, len(A), 30))
        expected, found = solved(NAMESPACES["numpy"](), A, layer, B), solved(xp, A, layer, B)
        np.testing.assert_allclose(found.Y, expected.Y, atol=1e-13)
        np.testing.assert_array_equal(found.status.converged, expected.status.converged)


def rotation(n_layers, h, seed):
    """A linear field with skew K: rotations, which conserve ‖y‖ and, for two solutions, ⟨y, z⟩."""
    rng = np.random.default_rng(seed)
    K = rng.normal(size=(1, n_layers, 4, 4))
    K = K - np.swapaxes(K, 2, 3)
    return Controls(
        K,
        np.zeros((1, n_layers, 4)),
        np.full((1, n_layers), h),
        np.zeros((1, 1, 4)),
        np.zeros((1, 1)),
    )


@pytest.mark.parametrize("scheme", IMPLICIT)
def test_only_symplectic_schemes_conserve_quadratic_invariants(scheme, xp):
    U = rotation(n_layers=20, h=0.3, seed=0)
    network = ode_net(TABLEAUX[scheme], "identity")
    y = np.random.default_rng(1).normal(size=(1, 4, 10))
    U = there(xp, U)
    done = network.forward(U, xp.asarray(y[0]), record=True)
    end = home(xp, done.y[-1])
    before, after = (np.einsum("bcm,bcl->ml", z, z) for z in (y, end))
    drift = np.abs(after - before).max() / np.abs(before).max()
    if TABLEAUX[scheme].symplectic:
        assert drift < 1e-13
        # So ⟨p, y⟩ is conserved too: state and costate together are the same rotation.
        p = np.random.default_rng(2).normal(size=y.shape)
        U = U._replace(W=xp.asarray(np.eye(4)[None]))  # so that ∂J/∂z is pᴺ
        p0 = home(xp, network.costates(U, done, xp.asarray(p))[0])
        np.testing.assert_allclose((p0 * y).sum(1), (p * end).sum(1), atol=1e-12)
        np.testing.assert_allclose((p0**2).sum(1), (p**2).sum(1), rtol=1e-12)
    elif scheme not in ("trapezoid", "lobatto_iiia4"):  # conjugate to symplectic ones while K stays
        assert drift > 1e-6
