import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import brentq

from skode.engine.arrays import namespace
from skode.engine.constraints import (
    Constraint,
    both,
    bounded_steps,
    clip_singular_values,
    project_onto_simplex,
    simplex_steps,
    spectral_ball,
    unconstrained,
)
from skode.engine.controls import Layout
from tests.engine.everywhere import on

vectors = arrays(
    float, st.tuples(st.integers(1, 3), st.integers(1, 8)), elements=st.floats(-50, 50)
)
totals = st.floats(0.1, 10)


@given(vectors, totals)
def test_projection_is_the_shifted_positive_part_that_has_the_sum(xp, v, total):
    # The optimality conditions: x = max(v - θ, 0) with the θ that makes the sum right.
    x = on(xp, project_onto_simplex)(v, total)
    assert (x >= 0).all()
    np.testing.assert_allclose(x.sum(1), total, rtol=1e-12)
    for row, found in zip(v, x, strict=True):
        theta = brentq(
            lambda t, row=row: np.maximum(row - t, 0).sum() - total,
            row.min() - total - 1,
            row.max(),
            xtol=1e-13,
        )
        np.testing.assert_allclose(found, np.maximum(row - theta, 0), atol=1e-10)


@given(vectors, totals)
def test_projection_is_idempotent(xp, v, total):
    project = on(xp, project_onto_simplex)
    x = project(v, total)
    np.testing.assert_allclose(project(x, total), x, atol=1e-13 * total)


def test_far_off_points_keep_the_sum(xp):
    projected = on(xp, project_onto_simplex)(np.array([[1e17, 1e17 - 64, 0.0]]), 2.0)
    np.testing.assert_allclose(projected.sum(), 2.0, rtol=1e-15)


def test_only_the_steps_are_projected(xp):
    layout = Layout(3, 2, 1)
    flat = np.random.default_rng(0).normal(size=(2, layout.size))
    projected = on(xp, simplex_steps(layout, 1.5).project)(flat)
    before, after = layout.views(flat), layout.views(projected)
    np.testing.assert_allclose(after.h.sum(1), 1.5)
    for name in ("K", "b", "W", "mu"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    here = xp.asarray(flat)
    assert unconstrained.project(here) is unconstrained.tangent(here, here) is here


def test_steps_stay_within_the_longest_one(xp):
    layout = Layout(3, 2, 1)
    flat = 3 * np.random.default_rng(0).normal(size=(4, layout.size))
    projected = layout.views(on(xp, bounded_steps(layout, -2.0, 2.0).project)(flat))
    U = layout.views(flat)
    np.testing.assert_array_equal(projected.h, np.clip(U.h, -2, 2))
    for name in ("K", "b", "W", "mu"):
        np.testing.assert_array_equal(getattr(projected, name), getattr(U, name))


def test_both_constraints_hold(xp):
    layout = Layout(3, 2, 1)
    flat = 3 * np.random.default_rng(0).normal(size=(4, layout.size))
    cut = Constraint(lambda flat: namespace(flat).concat([0 * flat[:, :5], flat[:, 5:]], axis=1))
    projected = on(xp, both(bounded_steps(layout, -2.0, 2.0), cut).project)(flat)
    assert not projected[:, :5].any()
    assert np.abs(layout.views(projected).h).max() == 2.0


@given(st.floats(0.1, 3), st.integers(1, 5), st.integers(0, 100))
def test_clipping_singular_values_gives_the_nearest_matrix(xp, bound, n, seed):
    rng = np.random.default_rng(seed)
    K = 2 * rng.normal(size=(3, 2, n, n)) * rng.uniform(size=(3, 2, 1, 1))
    clip = on(xp, clip_singular_values)
    found = clip(K, bound)
    assert np.linalg.norm(found, ord=2, axis=(-2, -1)).max() <= bound * (1 + 1e-14)
    np.testing.assert_allclose(clip(found, bound), found, atol=1e-13)
    # The obtuse angle that marks the projection onto a convex set, against points of the set.
    others = clip(2 * rng.normal(size=(50, 3, 2, n, n)), bound)
    angle = ((K - found) * (others - found)).sum(axis=(-2, -1))
    assert angle.max() <= 1e-12


def test_what_keeps_the_spectral_bound_for_certain_has_the_same_bits(xp):
    layout = Layout(3, 4, 1)
    flat = np.random.default_rng(0).normal(size=(5, layout.size))
    U = layout.views(flat)
    U.K[1:4] *= 1e-2
    U.K[4, 0, 0, 0] = np.nan  # as is what is not a number
    projected = layout.views(on(xp, spectral_ball(layout, 1.0).project)(flat))
    np.testing.assert_array_equal(projected.K[1:4], U.K[1:4])
    np.testing.assert_array_equal(projected.K[4, 0], U.K[4, 0])
    norms = np.linalg.norm(np.delete(projected.K, 4, axis=0), ord=2, axis=(-2, -1))
    np.testing.assert_allclose(norms[0], 1.0, rtol=1e-14)
    assert norms.max() <= 1 + 1e-14
    for name in ("b", "h", "W", "mu"):
        np.testing.assert_array_equal(getattr(projected, name), getattr(U, name))
