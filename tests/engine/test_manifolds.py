"""Projections, tangent spaces and retractions of the manifolds, in every namespace."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode.engine.controls import Layout
from skode.engine.manifolds import (
    orthogonal_layers,
    project_orthogonal,
    project_rows,
    rows_of_norm,
)
from tests.engine.everywhere import on

LAYOUT = Layout(2, 3, 1)
MANIFOLDS = {"sphere": rows_of_norm, "orthogonal": orthogonal_layers}
each_manifold = pytest.mark.parametrize("name", MANIFOLDS)


def rows(U):
    return np.concatenate([U.K, U.b[..., None]], axis=-1)


def distance(name, flat, norm):
    """How far from the manifold."""
    U = LAYOUT.views(flat)
    if name == "sphere":
        return np.abs(np.linalg.norm(rows(U), axis=-1) - norm).max()
    return np.abs(U.K.swapaxes(-1, -2) @ U.K - norm**2 * np.eye(3)).max()


def normal_part(name, flat, v, norm):
    """The part of v in the normal space, whose description is known: c x, or K times symmetric."""
    U, V = LAYOUT.views(flat), LAYOUT.views(v)
    if name == "sphere":
        return (rows(U) * rows(V)).sum(axis=-1) / norm
    M = U.K.swapaxes(-1, -2) @ V.K / norm
    return (M + M.swapaxes(-1, -2)) / 2


@each_manifold
@given(norm=st.floats(0.2, 4), seed=st.integers(0, 100), size=st.sampled_from([1e-3, 1.0, 1e3]))
def test_projection_is_the_nearest_point(name, xp, norm, seed, size):
    rng = np.random.default_rng(seed)
    constraint = MANIFOLDS[name](LAYOUT, norm)
    x = size * rng.normal(size=(2, LAYOUT.size))
    project = on(xp, constraint.project)
    found = project(x)
    assert distance(name, found, norm) < 1e-13 * max(1, norm**2)
    np.testing.assert_allclose(project(found), found, atol=1e-14 * max(1, norm))
    # No other point is nearer, and what is left is normal to the manifold.
    others = project(rng.normal(size=(20, *x.shape)).reshape(40, -1)).reshape(20, *x.shape)
    near = np.linalg.norm(x - found, axis=1)
    assert (np.linalg.norm(x - others, axis=2) >= near * (1 - 1e-12)).all()
    tangent = on(xp, constraint.tangent)(found, x - found)
    np.testing.assert_allclose(tangent, 0 * tangent, atol=1e-13 * max(size, norm))


@each_manifold
@given(norm=st.floats(0.2, 4), seed=st.integers(0, 100))
def test_tangent_is_the_orthogonal_projection_onto_the_tangent_space(name, xp, norm, seed):
    rng = np.random.default_rng(seed)
    constraint = MANIFOLDS[name](LAYOUT, norm)
    u = on(xp, constraint.project)(rng.normal(size=(2, LAYOUT.size)))
    tangent = on(xp, constraint.tangent)
    v, w = rng.normal(size=(2, 2, LAYOUT.size))
    P_v, P_w = tangent(u, v), tangent(u, w)
    assert np.abs(normal_part(name, u, P_v, norm)).max() < 1e-13
    np.testing.assert_allclose(tangent(u, P_v), P_v, atol=1e-13)
    np.testing.assert_allclose((P_v * w).sum(axis=1), (v * P_w).sum(axis=1), atol=1e-12)
    # Several vectors at a point at a time, as the pairs of L-BFGS are.
    several = tangent(u, np.stack([v, w, P_w], axis=1))
    np.testing.assert_allclose(several, np.stack([P_v, P_w, P_w], axis=1), atol=1e-13)


@each_manifold
def test_the_retraction_is_of_second_order(name, xp):
    # Half the sum of the points in directions d and -d differs from u by a normal vector, which is
    # the acceleration of a geodesic, and the difference is 2 t d up to the third order.
    rng = np.random.default_rng(0)
    constraint = MANIFOLDS[name](LAYOUT, 1.5)
    project, tangent = on(xp, constraint.project), on(xp, constraint.tangent)
    u = project(rng.normal(size=(2, LAYOUT.size)))
    d = tangent(u, rng.normal(size=u.shape))
    errors = []
    for t in (1e-2, 5e-3):
        ahead, back = project(u + t * d), project(u - t * d)
        assert distance(name, ahead, 1.5) < 1e-13
        errors.append(np.abs((ahead - back) / 2 - t * d).max())
        mean = tangent(u, (ahead + back) / 2 - u)
        assert np.abs(mean).max() < 1e-3 * t**2
    assert 7 < errors[0] / errors[1] < 9


@pytest.mark.parametrize("size", [1e-9, 1e-3, 0.1, 0.24, 0.26, 0.5, 3.0])
def test_near_and_far_matrices_are_projected_alike(size, xp):
    # From nearby by products, from afar by a decomposition.
    rng = np.random.default_rng(0)
    U, _, Vt = np.linalg.svd(rng.normal(size=(3, 2, 6, 6)))
    values = np.sqrt(1 + size * rng.uniform(-1 if size < 1 else 0, 1, size=(3, 2, 6)))
    values[..., 0] = np.sqrt(1 + size)
    found = on(xp, project_orthogonal)(2.0 * (U * values[..., None, :]) @ Vt, 2.0)
    np.testing.assert_allclose(found, 2.0 * U @ Vt, atol=1e-14)
    single = on(xp, project_orthogonal)((U * values[..., None, :] @ Vt).astype(np.float32), 1.0)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, U @ Vt, atol=3e-6)


@each_manifold
def test_what_does_not_lie_on_the_manifold_stays_as_it_is(name, xp):
    constraint = MANIFOLDS[name](LAYOUT, 1.0)
    flat = np.random.default_rng(0).normal(size=(2, LAYOUT.size))
    others = ("h", "W", "mu") + (("b",) if name == "orthogonal" else ())
    projected = on(xp, constraint.project)(flat)
    for found in (projected, on(xp, constraint.tangent)(projected, flat)):
        for part in others:
            kept = getattr(LAYOUT.views(found), part)
            np.testing.assert_array_equal(kept, getattr(LAYOUT.views(flat), part))


def test_rows_of_zeros_become_a_bias_and_sizes_do_not_matter(xp):
    x = np.array([[0.0, 0.0, 0.0], [3e200, 4e200, 0.0], [0.0, -3e-200, 4e-200]])
    found = on(xp, project_rows)(x, 2.0)
    expected = [[0, 0, 2], [1.2, 1.6, 0], [0, -1.2, 1.6]]
    np.testing.assert_allclose(found, expected, atol=1e-15)


@each_manifold
def test_what_is_not_finite_stays_so_for_its_member_alone(name, xp):
    constraint = MANIFOLDS[name](LAYOUT, 1.0)
    flat = np.random.default_rng(0).normal(size=(2, LAYOUT.size))
    expected = on(xp, constraint.project)(flat)
    flat[0, 1] = np.nan
    found = on(xp, constraint.project)(flat)
    assert np.isnan(found[0]).any()
    np.testing.assert_allclose(found[1], expected[1], atol=1e-15)
