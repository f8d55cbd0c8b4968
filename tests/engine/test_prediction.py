import pickle

import numpy as np
import pytest

from skode.engine import networks
from skode.engine.blocks import Blocks
from skode.engine.kernels import KERNELS
from skode.engine.losses import LOSSES
from skode.engine.networks import feed_forward, ode_net
from skode.engine.prediction import (
    UnsolvedStagesError,
    final_states,
    input_gradients,
    mean_outputs,
    outputs,
    problem_of,
    trajectories,
)
from skode.engine.schemes import TABLEAUX
from tests import reference
from tests.engine.everywhere import everywhere, not_strict, on, there
from tests.engine.problems import problem

HEUN = ode_net(TABLEAUX["heun"])


@everywhere(scheme=["heun", "gauss4"], lift=[None, "identity", "tanh", "mixed"])
def test_outputs_and_states_of_the_plain_reference(scheme, lift, xp):
    tableau = TABLEAUX[scheme]
    layout, flat, X, *_ = problem("softmax", "learned", members=3, spread=0.2, lifted=bool(lift))
    network, U = ode_net(tableau, "softplus", lift or "identity"), layout.views(flat)
    z, y = (on(xp, function)(network, U, X) for function in (outputs, trajectories))
    for k in range(3):
        controls = reference.member(layout, flat[k])
        net = (reference.triple(tableau), "softplus", 1.0)
        states = reference.forward(*net, controls, X, lift or "identity")
        np.testing.assert_allclose(y[k], states, rtol=1e-12, atol=1e-14)
        expected = controls.W @ states[-1] + controls.mu[:, None]
        np.testing.assert_allclose(z[k], expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(on(xp, final_states)(network, U, X), y[:, -1])


@everywhere(
    loss=LOSSES, scheme=["heun", "gauss4", "lobatto_iiia4"], lift=[None, "identity", "mixed"]
)
def test_input_gradients_against_complex_steps(loss, scheme, lift, xp):
    tableau, weights = TABLEAUX[scheme], np.array([0.2, 0.5, 0.3])
    layout, flat, X, *_ = problem(loss, "learned", members=3, spread=0.2, lifted=bool(lift))
    network, U = ode_net(tableau, "softplus", lift or "identity"), layout.views(flat)
    n_rows = len(on(xp, mean_outputs)(network, LOSSES[loss], U, X, None, weights))
    G = np.random.default_rng(0).normal(size=(2, n_rows, len(X)))  # of two functions
    placed = there(xp, G)

    def gradients(network, U, X, weights):
        def of_mean(mean, rows):
            return placed[..., rows]

        problem, flat = problem_of(network, LOSSES[loss], U)
        return input_gradients(problem, flat, X, of_mean, weights, Blocks(size=3))

    found = on(xp, gradients)(network, U, X, weights)
    assert found.shape == (2, X.shape[1], len(X))
    net = (reference.triple(tableau), "softplus", 1.0)
    members = [reference.member(layout, row + 0j) for row in flat]
    for i in range(X.shape[1]):
        varied = X.astype(complex)
        varied[:, i] += 1e-40j
        ends = [reference.forward(*net, U, varied, lift or "identity")[-1] for U in members]
        z = np.stack([U.W @ y + U.mu[:, None] for U, y in zip(members, ends, strict=True)])
        mean = reference.together(loss, z, weights)
        expected = (G * mean).sum(1).imag / 1e-40
        np.testing.assert_allclose(found[:, i], expected, rtol=1e-10, atol=1e-13)


@everywhere(loss=LOSSES, scheme=["rk4", "implicit_midpoint"])
def test_the_mean_of_all_members_is_that_of_their_outputs(loss, scheme, xp):
    layout, flat, X, *_ = problem(loss, "learned", members=3, spread=0.2, lifted=True)
    network, U = ode_net(TABLEAUX[scheme], lift="tanh"), layout.views(flat)
    z = on(xp, outputs)(network, U, X)
    found = on(xp, mean_outputs)(network, LOSSES[loss], U, X)
    expected = on(xp, LOSSES[loss].mean)(xp, z)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("scheme", ["heun", "gauss4"])
def test_blocks_change_nothing(scheme, size, xp):
    layout, flat, X, *_ = problem("softmax", "learned", spread=0.2)
    network, U = ode_net(TABLEAUX[scheme]), layout.views(flat)

    def every(blocks):
        yield from (on(xp, f)(network, U, X, blocks) for f in (outputs, trajectories))
        yield on(xp, mean_outputs)(network, LOSSES["softmax"], U, X, blocks)

    for one, other in zip(every(Blocks(size=size)), every(None), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_many_members_are_predicted_a_few_at_a_time(monkeypatch, xp):
    layout, flat, X, *_ = problem("softmax", "learned", members=5)
    U = layout.views(flat)
    expected = on(xp, mean_outputs)(HEUN, LOSSES["softmax"], U, X)
    monkeypatch.setattr("skode.engine.kernels.reference.call_size", lambda *arguments: (2, len(X)))
    found = on(xp, mean_outputs)(HEUN, LOSSES["softmax"], U, X)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_what_overflows_is_not_a_number_and_no_warning(xp):
    layout, flat, X, *_ = problem("softmax", "learned")
    network, U = ode_net(TABLEAUX["heun"], "relu"), layout.views(flat)
    X[2] = 1e308
    found = on(xp, mean_outputs)(network, LOSSES["softmax"], U, X)
    np.testing.assert_array_equal(np.isnan(found), [np.arange(7) == 2] * 3)


@not_strict
def test_unsolved_samples_of_several_blocks_are_all_named_with_layer_and_residual(xp):
    layout, flat, X, *_ = problem("softmax", "fixed", members=2)
    network = ode_net(TABLEAUX["implicit_euler"], "softplus")
    U = layout.views(flat)
    U.K[...] *= 0.1
    assert np.isfinite(on(xp, outputs)(network, U, X)).all()
    U.K[1, 2] = np.diag([30.0, 0, 0])
    U.b[1, 2] = [-1000, 0, 0]  # harmless unless the first channel is large
    X[[1, 3, 5], 0] = 1e3

    def mean(network, U, X, blocks):
        return mean_outputs(network, LOSSES["softmax"], U, X, blocks)

    for function, size in ((outputs, 2), (trajectories, None), (mean, 4)):
        with pytest.raises(
            UnsolvedStagesError, match=r"for 3 samples: sample 1 at layer 2 \("
        ) as e:
            on(xp, function)(network, U, X, Blocks(size=size))
        assert e.value.samples == [1, 3, 5]
        assert e.value.layers == [2, 2, 2]
        assert min(e.value.residuals) > 1
    again = pickle.loads(pickle.dumps(e.value))
    assert (str(again), again.residuals) == (str(e.value), e.value.residuals)


@pytest.mark.parametrize("lifted", [True, False])
def test_layers_with_a_step_of_zero_are_skipped_in_prediction(lifted, monkeypatch, xp):
    layout, flat, X, *_ = problem("softmax", "learned", members=3, N=4, lifted=lifted)
    U = layout.views(flat)
    U.h[...] = [[0.5, 0.0, 0.2, 0.0], [0.0, 0.0, 0.3, 0.0], [0.0, 0.1, 0.0, 0.4]]
    steps, plain = [], networks.step

    def counted(*arguments):
        steps.append(arguments)
        return plain(*arguments)

    monkeypatch.setattr(networks, "step", counted)
    monkeypatch.setattr("skode.engine.kernels.KERNELS", KERNELS[-1:])
    squared = LOSSES["squared"]
    z = on(xp, outputs)(HEUN, U, X)
    assert len(steps) == 4
    steps.clear()
    found = on(xp, mean_outputs)(HEUN, squared, U, X)
    np.testing.assert_allclose(found, z.mean(axis=0), rtol=1e-12)
    assert len(steps) == 2
    # A layer of a feed-forward network with h = 0 erases the state.
    steps.clear()
    on(xp, mean_outputs)(feed_forward(), squared, U, X)
    assert len(steps) == 4


def test_a_network_of_idle_layers_only_reads_out_its_input(xp):
    layout, flat, X, *_ = problem("softmax", "learned", members=2)
    U = layout.views(flat)
    U.h[...] = 0.0
    y = np.zeros((len(X), layout.n_channels))
    y[:, : X.shape[1]] = X
    expected = U.W @ y.T + U.mu[:, :, None]
    np.testing.assert_allclose(on(xp, outputs)(HEUN, U, X), expected, rtol=1e-13)
    found = on(xp, mean_outputs)(HEUN, LOSSES["squared"], U, X)
    np.testing.assert_allclose(found, expected.mean(axis=0), rtol=1e-13)
