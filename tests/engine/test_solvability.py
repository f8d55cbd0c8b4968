import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode.engine.controls import Layout
from skode.engine.schemes import TABLEAUX, as_tableau
from skode.engine.solvability import (
    MARGIN,
    Bounds,
    project_parts,
    solvable_bounds,
    solvable_stages,
)
from tests.engine.everywhere import on
from tests.reference import implicit_schemes


def parts(K):
    S, W = (K + np.swapaxes(K, -1, -2)) / 2, (K - np.swapaxes(K, -1, -2)) / 2
    return np.linalg.eigvalsh(S), np.linalg.norm(W, ord=2, axis=(-2, -1))


def coupled(A, K, h, D):
    """Return λmax of the symmetric part of h (Ã ⊗ K), Ã = D^½ A D^-½, computed directly."""
    root = np.sqrt(D)
    M = h * np.kron(root[:, None] * np.array(A) / root, K)
    return np.linalg.eigvalsh((M + M.T) / 2).max()


@given(implicit_schemes(), st.integers(1, 4), st.floats(0.05, 2), st.integers(0, 100))
def test_bounded_controls_make_every_newton_matrix_regular(xp, scheme, n, h, seed):
    tableau = as_tableau(scheme)
    bounds = solvable_bounds(tableau, h)
    rng = np.random.default_rng(seed)
    K = on(xp, project_parts)(20 / h * rng.normal(size=(n, n)), bounds)
    for block in tableau.blocks:
        if block.explicit:
            continue
        k = len(block.A)
        candidates = [np.ones(k)]
        b = np.array([tableau.b[i] for i in block.stages])
        candidates += [b] if b.min() > 0 else []
        assert min(coupled(block.A, K, h, D) for D in candidates) <= MARGIN * (1 + 1e-9)
        for _ in range(5):
            slopes = rng.uniform(size=k * n).round(rng.integers(0, 3))  # with some zeros and ones
            M = np.eye(k * n) - h * np.kron(block.A, K) * slopes
            assert np.linalg.det(M) > 0


def test_bounds_of_named_schemes():
    # One stage: λmax(S) alone, with the diagonal coefficient.
    for name, a in [("implicit_euler", 1.0), ("implicit_midpoint", 0.5), ("trapezoid", 0.5)]:
        expected = Bounds(MARGIN / (a * 0.1), np.inf, np.inf)
        np.testing.assert_allclose(solvable_bounds(TABLEAUX[name], 0.1), expected)
    # Algebraically stable schemes do not limit contraction, for any number of stages.
    for name in ("gauss4", "gauss6", "radau_iia3", "radau_iia5", "lobatto_iiic4"):
        bounds = solvable_bounds(TABLEAUX[name], 0.1)
        assert bounds.below == np.inf
        assert bounds.above == bounds.skew > 10
    assert solvable_bounds(TABLEAUX["rk4"], 0.1) == (np.inf, np.inf, np.inf)
    # A negative diagonal coefficient bounds contraction instead.
    backward = as_tableau(([[-1.0]], [1.0], [-1.0]))
    np.testing.assert_allclose(solvable_bounds(backward, 0.1), [np.inf, MARGIN / 0.1, np.inf])


finite = st.floats(0.1, 3)


@given(st.builds(Bounds, finite, finite, finite), st.integers(1, 4), st.integers(0, 100))
def test_projection_of_the_parts_is_the_nearest_point(xp, bounds, n, seed):
    rng = np.random.default_rng(seed)
    K = 3 * rng.normal(size=(2, n, n))
    found = on(xp, project_parts)(K, bounds)
    values, skew = parts(found)
    assert values.max() <= bounds.above + 1e-12
    assert values.min() >= -bounds.below - 1e-12
    assert skew.max() <= bounds.skew + 1e-12
    np.testing.assert_allclose(on(xp, project_parts)(found, bounds), found, atol=1e-12)
    # The obtuse angle that characterises the projection onto a convex set.
    for _ in range(10):
        other = on(xp, project_parts)(3 * rng.normal(size=(2, n, n)), bounds)
        assert ((K - found) * (other - found)).sum(axis=(1, 2)).max() <= 1e-10


@pytest.mark.parametrize("name", ["implicit_midpoint", "gauss4"])
def test_only_k_is_projected_and_only_where_it_is_out_of_bounds(name, xp):
    layout = Layout(3, 2, 1)
    flat = np.random.default_rng(0).normal(size=(2, layout.size))
    U = layout.views(flat)
    U.K[0] *= 1e-2
    U.K[1, 1] *= 100
    project = solvable_stages(layout, TABLEAUX[name], 0.5).project
    projected = layout.views(on(xp, project)(flat))
    np.testing.assert_array_equal(projected.K[0], U.K[0])
    assert np.abs(projected.K[1, 1] - U.K[1, 1]).max() > 1
    for part in ("b", "h", "W", "mu"):
        np.testing.assert_array_equal(getattr(projected, part), getattr(U, part))


def test_what_is_not_finite_stays_so(xp):
    K = np.full((1, 2, 2), np.nan)
    assert np.isnan(on(xp, project_parts)(K, Bounds(1.0, 1.0, 1.0))).all()


def test_steps_of_either_sign(xp):
    layout = Layout(3, 2, 1)
    flat = 3 * np.random.default_rng(0).normal(size=(4, layout.size))
    project = solvable_stages(layout, TABLEAUX["implicit_midpoint"], 2.0, True).project
    values, _ = parts(layout.views(on(xp, project)(flat)).K)
    np.testing.assert_allclose([values.min(), values.max()], [-MARGIN, MARGIN], rtol=1e-12)
