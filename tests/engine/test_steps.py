"""A single step and its adjoint, compared with plain loops and complex steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skode.engine.activations import ACTIVATIONS
from skode.engine.fields import FIELDS
from skode.engine.implicit import Layer
from skode.engine.schemes import TABLEAUX, as_tableau
from skode.engine.steps import Dynamics, step, step_adjoint, weighted_sum
from tests import reference
from tests.engine.everywhere import everywhere, home, on

MEMBERS, CHANNELS, SAMPLES = 2, 3, 4


def layer_of(seed, spread):
    """Return controls of one layer of two members; one of them has a negative step."""
    rng = np.random.default_rng(seed)
    K = rng.normal(size=(MEMBERS, CHANNELS, CHANNELS))
    b = rng.normal(size=(MEMBERS, CHANNELS, 1))
    h = spread * np.array([0.7, -0.9]).reshape(MEMBERS, 1, 1)
    stiffness = np.abs(h[:, 0]) * np.linalg.norm(K, ord=2, axis=(1, 2))[:, None]
    y, p = rng.normal(size=(2, MEMBERS, CHANNELS, SAMPLES))
    return Layer(K, b, h, stiffness), y, p


def forth_and_back(scheme, skip, activation, layer, y, p):
    dynamics = Dynamics(scheme, skip, activation, FIELDS["standard"])
    after, stages = step(dynamics, layer, y)
    return after, stages.Y, stages.S, step_adjoint(dynamics, layer, stages, p)


def plain_step(scheme, activation, skip, y, K, b, h):
    """Compute y⁺, Yi and Fi in plain loops; all arguments may have an additional first axis."""
    h = h[..., None, None]
    Y, F = reference.stage_values(scheme, activation, y, K, b, h)
    return skip * y + h * sum(w * Fi for w, Fi in zip(scheme[1], F, strict=True)), Y, F


def plain_adjoint(scheme, activation, skip, y, K, b, h, p):
    """Return the derivatives of ⟨p, y⁺⟩ with respect to y, K, b and h by complex steps."""
    parts = [y, K, b, h]
    ends = np.cumsum([part.size for part in parts])
    flat = np.concatenate([part.ravel() for part in parts])
    flat = flat + 1e-40j * np.eye(len(flat))
    varied = [
        rows.reshape(len(flat), *part.shape)
        for rows, part in zip(np.split(flat, ends[:-1], axis=1), parts, strict=True)
    ]
    after, _, _ = plain_step(scheme, activation, skip, *varied)
    derivative = (p * after).sum((1, 2)).imag / 1e-40
    found = np.split(derivative, ends[:-1])
    return [rows.reshape(part.shape) for rows, part in zip(found, parts, strict=True)]


def assert_step(xp, scheme, activation, skip, tolerance, seed=0, spread=1.0):
    """Compute the step; `scheme` is a plain triple (A, b, c)."""
    layer, y, p = layer_of(seed, spread)
    arguments = as_tableau(scheme), skip, ACTIVATIONS[activation], layer, y, p
    after, Y, F, (p0, gradient) = on(xp, forth_and_back)(*arguments)
    assert len(Y) == len(F) == len(scheme[1])
    for k in range(MEMBERS):
        controls = y[k], layer.K[k], layer.b[k, :, 0], layer.h[k, 0, 0]
        expected = plain_step(scheme, activation, skip, *controls)
        found = after[k], [Yi[k] for Yi in Y], [Fi[k] for Fi in F]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)
        expected = plain_adjoint(scheme, activation, skip, *controls, p[k])
        found = p0[k], gradient.K[k], gradient.b[k, :, 0], gradient.h[k, 0, 0]
        for one, other in zip(found, expected, strict=True):
            scale = max(1.0, np.abs(other).max())
            np.testing.assert_allclose(one, other, atol=tolerance * scale)


@everywhere(scheme=TABLEAUX, activation=ACTIVATIONS, skip=[1.0, 0.0])
def test_step_and_adjoint_of_every_scheme(scheme, activation, skip, xp):
    tableau = TABLEAUX[scheme]
    tolerance, spread = (1e-12, 1.0) if tableau.explicit else (1e-11, 0.3)
    triple = reference.triple(tableau)
    assert_step(xp, triple, activation, skip, tolerance, spread=spread)


@settings(max_examples=12)
@given(reference.explicit_schemes(), st.sampled_from([0.0, 1.0]), st.integers(0, 1000))
def test_random_explicit_tableaux_with_zero_weights(xp, scheme, skip, seed):
    assert_step(xp, scheme, "softplus", skip, 1e-12, seed)


@settings(max_examples=12)
@given(reference.implicit_schemes(), st.sampled_from([0.0, 1.0]), st.integers(0, 1000))
def test_random_implicit_tableaux_with_zero_weights(xp, scheme, skip, seed):
    assert_step(xp, scheme, "tanh", skip, 1e-11, seed, spread=0.4)


@pytest.mark.parametrize("scheme", ["heun", "gauss4"])
def test_single_precision_stays(scheme, xp):
    layer, y, p = layer_of(0, 0.3)
    layer = Layer(*(part.astype(np.float32) for part in layer[:4]))
    arguments = TABLEAUX[scheme], 1.0, ACTIVATIONS["mixed"], layer
    y, p = y.astype(np.float32), p.astype(np.float32)
    after, Y, F, (p0, gradient) = on(xp, forth_and_back)(*arguments, y, p)
    for part in (after, *Y, *F, p0, *gradient):
        assert part.dtype == np.float32


@pytest.mark.parametrize("scheme", ["rk4", "gauss4"])
def test_arguments_are_left_as_they_were(scheme, xp):
    # "numpy-read-only" detects writing; the other libraries are checked here.
    layer, y, p = layer_of(0, 0.3)
    arguments = [*layer[:4], y, p]
    placed = [xp.asarray(part) for part in arguments]
    layer = Layer(*placed[:4])
    forth_and_back(TABLEAUX[scheme], 1.0, ACTIVATIONS["mixed"], layer, *placed[4:])
    for one, other in zip(placed, arguments, strict=True):
        np.testing.assert_array_equal(home(xp, one), other)


def test_a_sum_leaves_out_what_has_no_weight():
    # A stage with weight 0 may have overflowed.
    found = weighted_sum([0.5, 0.0, 1.0], [np.ones(2), np.full(2, np.inf), np.ones(2)])
    np.testing.assert_array_equal(found, [1.5, 1.5])
    assert weighted_sum([0.0], [np.full(2, np.inf)]) == 0.0
    assert weighted_sum([], []) == 0.0
