"""The engine on a real device: correct, without waiting, and in blocks that fit into memory."""

import numpy as np
import pytest

from skode.engine.activations import ACTIVATIONS
from skode.engine.arrays import to_host
from skode.engine.blocks import Blocks
from skode.engine.controls import Controls, Layout
from skode.engine.kernels import reference
from skode.engine.losses import LOSSES
from skode.engine.networks import feed_forward, ode_net
from skode.engine.prediction import mean_outputs, outputs
from skode.engine.schemes import TABLEAUX
from tests.engine.problems import FREE, folds_of, objective_of, problem

EXPLICIT = [name for name, tableau in TABLEAUX.items() if tableau.explicit]
IMPLICIT = [name for name in TABLEAUX if name not in EXPLICIT]


def objective_on(xp, network, loss, dtype, members=3, samples=500, folds=False, n_channels=6, N=5):
    """An objective on the device and its controls."""
    sizes = {"n_features": 4, "n_channels": n_channels, "N": N, "spread": 0.2}
    layout, flat, *data = problem(
        loss, "learned", members=members, samples=samples, dtype=dtype, **sizes
    )
    *data, flat = (xp.asarray(part) for part in (*data, flat))
    parts = folds_of(members, samples).placed(flat) if folds else None
    return objective_of(network, layout, loss, data, FREE["learned"], parts), flat


def assert_equal_to_numpy(gpu, network, loss, dtype, tolerance, folds=False):
    host, device = (objective_on(xp, network, loss, dtype, folds=folds) for xp in (np, gpu))
    (objective, flat), (there, flat_there) = host, device
    expected, found = objective.evaluate(flat), there.evaluate(flat_there)
    assert gpu.holds(found.J)
    assert gpu.holds(found.gradient)
    np.testing.assert_allclose(to_host(found.J), expected.J, rtol=tolerance)
    if folds:
        np.testing.assert_allclose(to_host(found.held_out), expected.held_out, rtol=tolerance)
    scale = np.abs(expected.gradient).max()
    np.testing.assert_allclose(to_host(found.gradient), expected.gradient, atol=tolerance * scale)
    U, U_there = objective.layout.views(flat), objective.layout.views(flat_there)
    for function, arguments in ((outputs, (network,)), (mean_outputs, (network, LOSSES[loss]))):
        wanted = function(*arguments, U, objective.samples.X)
        made = function(*arguments, U_there, there.samples.X)
        np.testing.assert_allclose(to_host(made), wanted, atol=tolerance * np.abs(wanted).max())


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scheme", EXPLICIT)
def test_explicit_schemes_are_equal_to_numpy(scheme, activation, dtype, tolerance, gpu):
    network = ode_net(TABLEAUX[scheme], activation)
    assert_equal_to_numpy(gpu, network, "softmax", dtype, tolerance, folds=True)


@pytest.mark.parametrize("scheme", IMPLICIT)
def test_implicit_schemes_are_equal_to_numpy(scheme, gpu):
    assert_equal_to_numpy(gpu, ode_net(TABLEAUX[scheme]), "softmax", np.float64, 1e-10)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_and_feed_forward_networks_are_equal_to_numpy(loss, gpu):
    assert_equal_to_numpy(gpu, feed_forward(), loss, np.float64, 1e-10)
    assert_equal_to_numpy(gpu, ode_net(TABLEAUX["rk4"]), loss, np.float64, 1e-10)


SPIN = """
extern "C" __global__ void spin(long long cycles) {
    long long start = clock64();
    while (clock64() - start < cycles) {}
}
"""


def spinning():
    """Return an event that occurs when the device has been busy for about a second."""
    import cupy

    spun = cupy.cuda.Event()
    cupy.RawKernel(SPIN, "spin")((1,), (1,), (np.int64(2 * 10**9),))
    spun.record()
    return spun


@pytest.mark.parametrize("scheme", IMPLICIT)
def test_an_evaluation_with_an_implicit_scheme_waits_for_the_device_once(scheme, gpu, monkeypatch):
    network = ode_net(TABLEAUX[scheme])
    objective, flat = objective_on(gpu, network, "softmax", np.float64, n_channels=4, N=1)
    objective.evaluate(flat)  # compiles kernels, and caches properties
    done = []

    def asked(array):
        done.append(spun.done)
        return to_host(array)

    monkeypatch.setattr(reference, "to_host", asked)
    spun = spinning()
    objective.evaluate(flat)
    assert len(done) == 1
    # With more than about a thousand launches in its queue, CUDA itself waits.
    if network.tableau.n_stages == 1:
        assert done == [False]  # everything has been queued by then


@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.parametrize("scheme", EXPLICIT)
def test_an_evaluation_does_not_wait_for_the_device(scheme, folds, gpu):
    network = ode_net(TABLEAUX[scheme])
    objective, flat = objective_on(gpu, network, "softmax", np.float64, folds=folds)
    objective.evaluate(flat)  # compiles kernels, and caches properties
    spun = spinning()
    found = objective.evaluate(flat)
    assert not spun.done  # everything is queued behind it, and no result has been requested
    assert np.isfinite(to_host(found.J)).all()
    assert spun.done


def test_memory_that_runs_out_halves_the_blocks(gpu):
    import cupy

    # An implicit scheme, whose stages are arrays of all samples.
    pool, samples = cupy.get_default_memory_pool(), 200_000
    rng = np.random.default_rng(0)
    layout = Layout(10, 16, 1)
    U = Controls(
        K=rng.normal(size=(1, 10, 16, 16)) / 8,
        b=rng.normal(size=(1, 10, 16)),
        h=np.full((1, 10), 0.1),
        W=rng.normal(size=(1, 1, 16)),
        mu=np.zeros((1, 1)),
    )
    X, targets = rng.normal(size=(samples, 16)), rng.normal(size=(samples, 1))
    data = (X, targets, np.full(samples, 1 / samples), np.zeros(1))
    network = ode_net(TABLEAUX["implicit_midpoint"])

    def on(xp, **options):
        return objective_of(network, layout, "squared", tuple(map(xp.asarray, data)), **options)

    expected = on(np).evaluate(layout.flatten(U))
    objective, flat = on(gpu, blocks=Blocks(size=samples)), gpu.asarray(layout.flatten(U))
    state = samples * 16 * 8
    pool.set_limit(size=pool.used_bytes() + 20 * state)
    try:
        with pytest.warns(RuntimeWarning, match="Memory ran out with 200000 samples"):
            found = objective.evaluate(flat)
    finally:
        pool.set_limit(size=0)
    np.testing.assert_allclose(to_host(found.J), expected.J, rtol=1e-10)
    np.testing.assert_allclose(to_host(found.gradient), expected.gradient, atol=1e-10)


def test_every_device_computes_with_its_own_arrays(gpu):
    import cupy

    network = ode_net(TABLEAUX["heun"])
    objective, flat = objective_on(np, network, "softmax", np.float64)
    for number in range(cupy.cuda.runtime.getDeviceCount()):
        with cupy.cuda.Device(number):
            there, flat_there = objective_on(cupy, network, "softmax", np.float64)
            found = there.evaluate(flat_there)
        assert found.gradient.device.id == number
        np.testing.assert_allclose(to_host(found.J), objective.evaluate(flat).J, rtol=1e-10)
