"""Lift, layers and readout, forward and backward."""

import numpy as np
import pytest

from skode.engine.activations import ACTIVATIONS
from skode.engine.arrays import quiet
from skode.engine.implicit import Status, worse
from skode.engine.networks import Network, feed_forward, ode_net
from skode.engine.schemes import TABLEAUX
from tests import reference
from tests.engine.everywhere import everywhere, not_strict, on, there
from tests.engine.problems import problem


@pytest.mark.parametrize("features", [1, 3])
def test_features_are_padded_with_zeros(features, xp):
    layout, flat, X, *_ = problem("softmax", "fixed", n_features=features)
    y = on(xp, ode_net(TABLEAUX["euler"]).lifted)(layout.views(flat), X.T)
    assert y.shape == (2, 3, 7)
    for k in range(2):
        np.testing.assert_array_equal(y[k, :features], X.T)
        assert not y[k, features:].any()


@everywhere(lift=ACTIVATIONS, features=[1, 3, 5])
def test_features_are_lifted_by_an_affine_map_and_an_activation(lift, features, xp):
    layout, flat, X, *_ = problem("softmax", "fixed", n_features=features, lifted=True)
    U = layout.views(flat)
    y = on(xp, ode_net(TABLEAUX["euler"], "softplus", lift).lifted)(U, X.T)
    for k in range(2):
        z = U.V[k] @ X.T + U.nu[k][:, None]
        expected = reference.ACTIVATIONS[lift][0](z)
        np.testing.assert_allclose(y[k], expected, rtol=1e-13, atol=1e-14)


def test_the_lift_is_affine_unless_it_is_said_otherwise():
    identity = ACTIVATIONS["identity"]
    heun = TABLEAUX["heun"]
    assert ode_net(heun).lift is identity
    assert feed_forward().lift is identity
    assert Network(heun, ACTIVATIONS["tanh"], 1.0).lift is identity
    assert ode_net(heun, "relu", "tanh").lift is ACTIVATIONS["tanh"]
    assert (ode_net(heun).skip, feed_forward().skip) == (1.0, 0.0)


@everywhere(scheme=["heun", "sdirk2"], lifted=[False, True])
def test_a_pass_that_is_recorded_has_the_states_and_stages_of_all_layers(scheme, lifted, xp):
    tableau = TABLEAUX[scheme]
    layout, flat, X, *_ = problem("softmax", "learned", spread=0.2, lifted=lifted)
    U, network = layout.views(flat), ode_net(tableau, "mixed", "tanh")
    done = on(xp, network.forward)(U, X.T, record=True)
    brief = on(xp, network.forward)(U, X.T)
    np.testing.assert_array_equal(brief.z, done.z)
    (end,) = brief.y
    np.testing.assert_array_equal(end, done.y[-1])
    assert brief.stages == []
    assert len(done.stages) == len(done.layers) == layout.n_layers
    assert len(done.statuses) == len(brief.statuses) == (0 if tableau.explicit else layout.n_layers)
    for status in done.statuses:
        assert status.converged.all()
    for k in range(2):
        controls = reference.member(layout, flat[k])
        states = reference.forward(reference.triple(tableau), "mixed", 1.0, controls, X, "tanh")
        assert len(states) == len(done.y)
        for one, other in zip(done.y, states, strict=True):
            np.testing.assert_allclose(one[k], other, rtol=1e-12, atol=1e-14)
        z = controls.W @ states[-1] + controls.mu[:, None]
        np.testing.assert_allclose(done.z[k], z, rtol=1e-12, atol=1e-14)


@not_strict
def test_every_layer_returns_the_status_of_its_stages(xp):
    layout, flat, X, *_ = problem("softmax", "fixed", N=2, members=1)
    U = layout.views(flat)
    U.K[...], U.h[...] = 0.0, 1.0
    U.K[0, 1] = 30 * np.eye(3)  # y⁺ = y + h softplus(30 y⁺) has no solution
    network = ode_net(TABLEAUX["implicit_euler"], "softplus")
    with quiet():
        first, second = on(xp, network.forward)(U, X.T).statuses
    assert first.converged.all()
    assert not second.converged.any()
    assert first.converged.shape == (1, 7)


def test_two_blocks_of_stages_are_as_good_as_the_worse(xp):
    one = Status(np.array([[True, True, False]]), 3, np.array([[0.0, 1.0, 2.0]]))
    other = Status(np.array([[True, False, False]]), 5, np.array([[0.5, 0.5, np.nan]]))
    converged, iterations, residual = on(xp, worse)(one, other)
    np.testing.assert_array_equal(converged, [[True, False, False]])
    assert iterations == 5
    np.testing.assert_array_equal(residual, [[0.5, 1.0, np.nan]])


def passes(network, U, x, dz):
    done = network.forward(U, x, record=True)
    return network.backward(U, x, done, dz), network.costates(U, done, dz)


@everywhere(scheme=["rk4", "radau_iia3"], lift=[None, *ACTIVATIONS], skip=[1.0, 0.0])
def test_costates_and_gradients_of_readout_and_lift(scheme, lift, skip, xp):
    # Of ⟨dz, z⟩: the costates by complex steps in the states, in a random direction each.
    tableau = TABLEAUX[scheme]
    layout, flat, X, *_ = problem("softmax", "learned", spread=0.2, lifted=bool(lift))
    lift = lift or "identity"
    network = Network(tableau, ACTIVATIONS["softplus"], skip, ACTIVATIONS[lift])
    U, rng = layout.views(flat), np.random.default_rng(0)
    dz = rng.normal(size=(2, layout.n_outputs, len(X)))
    gradient, p = on(xp, passes)(network, U, X.T, dz)
    assert len(p) == layout.n_layers + 1
    for k in range(2):
        controls = reference.member(layout, flat[k])
        net = (reference.triple(tableau), "softplus", skip)
        states = reference.forward(*net, controls, X, lift)
        for first, y in enumerate(states):
            direction = rng.normal(size=y.shape)
            later = (part[first:].astype(complex) for part in controls[:3])
            later = controls._replace(**dict(zip("Kbh", later, strict=True)), V=None, nu=None)
            end = reference.forward(*net, later, (y + 1e-40j * direction).T)[-1]
            expected = (dz[k] * (controls.W @ end)).sum().imag / 1e-40
            np.testing.assert_allclose((p[first][k] * direction).sum(), expected, rtol=1e-11)
        close = {"rtol": 1e-12, "atol": 1e-13}
        np.testing.assert_allclose(p[-1][k], controls.W.T @ dz[k], **close)
        np.testing.assert_allclose(gradient.W[k], dz[k] @ states[-1].T, **close)
        np.testing.assert_allclose(gradient.mu[k], dz[k].sum(1), **close)
        if controls.V is None:
            assert gradient.V is gradient.nu is None
            continue
        z = controls.V @ X.T + controls.nu[:, None]
        G = reference.ACTIVATIONS[lift][1](z) * p[0][k]
        np.testing.assert_allclose(gradient.V[k], G @ X, **close)
        np.testing.assert_allclose(gradient.nu[k], G.sum(1), **close)


def test_layers_of_implicit_schemes_know_how_stiff_they_are(xp):
    layout, flat, *_ = problem("softmax", "learned", n_channels=6, n_features=2)
    layout.views(flat).h[...] = [[2.0, -2.0, 3.0], [-1.5, 2.5, 2.0]]
    U = there(xp, layout.views(flat))
    explicit = ode_net(TABLEAUX["rk4"]).layers(U)
    assert [layer.stiffness for layer in explicit] == [None] * 3
    layers = on(xp, ode_net(TABLEAUX["gauss4"]).layers)(layout.views(flat))
    U = layout.views(flat)
    for k, layer in enumerate(layers):
        least = np.abs(U.h[:, k]) * np.linalg.norm(U.K[:, k], ord=2, axis=(1, 2))
        assert (least[:, None] <= layer.stiffness).all()
        assert (layer.stiffness <= 1.0001 * 6 ** (1 / 16) * least[:, None]).all()
