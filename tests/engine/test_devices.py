"""What matters on a device beside right results: nothing is read from it, and its memory is
enough."""

import re
import sys

import numpy as np
import pytest

from skode.engine.arrays import to_host
from skode.engine.losses import LOSSES
from skode.engine.networks import Network, ode_net
from skode.engine.objective import Objective
from skode.engine.prediction import outputs, trajectories
from skode.engine.schemes import TABLEAUX
from tests.engine.everywhere import on, there
from tests.engine.problems import FREE, Placed, problem, folds_of
from tests.namespaces import NAMESPACES

EXPLICIT = [name for name, tableau in TABLEAUX.items() if tableau.explicit]
second_device = pytest.mark.parametrize("xp", ["strict-device1"], indirect=True)


class Watch:
    """Within a ``with`` statement nothing may be read from the device, and so waited for."""

    forbidden = False

    def __enter__(self):
        self.forbidden = True

    def __exit__(self, *exception):
        self.forbidden = False

    def guarded(self, function):
        def call(*arguments):
            assert not self.forbidden, "something is read from the device"
            return function(*arguments)

        return call


@pytest.fixture
def unread(xp, monkeypatch):
    """A watch over what brings numbers of array-api-strict to the host."""
    watch, cls = Watch(), type(xp.zeros(1))
    for name in ("__bool__", "__float__", "__int__", "__index__", "__complex__", "__dlpack__"):
        monkeypatch.setattr(cls, name, watch.guarded(getattr(cls, name)))
    for name, module in list(sys.modules.items()):
        if name.startswith("skode.engine.") and hasattr(module, "to_host"):
            monkeypatch.setattr(module, "to_host", watch.guarded(to_host))
    return watch


def objective_there(xp, scheme, steps, with_shares, block_size):
    """The objective of three members, and controls, in the namespace."""
    layout, flat, *data = there(xp, problem("softmax", steps, members=3, lifted=True))
    folds = there(xp, folds_of(members=3)) if with_shares else None
    network = ode_net(TABLEAUX[scheme])
    options = {"block_size": block_size, "folds": folds, "smooth": (0.1, 0.5)}
    return Objective(network, layout, LOSSES["softmax"], *data, FREE[steps], **options), flat


@second_device
@pytest.mark.parametrize("with_shares", [True, False])
@pytest.mark.parametrize("steps", ["fixed", "learned"])
@pytest.mark.parametrize("scheme", EXPLICIT)
def test_an_evaluation_reads_nothing_from_the_device(scheme, steps, with_shares, xp, unread):
    objective, flat = objective_there(xp, scheme, steps, with_shares, block_size=3)
    members = xp.asarray(np.arange(3))
    objective.evaluate(flat, members)  # which may set up what is kept
    with unread:
        for gradient in (True, False):
            found = objective.evaluate(-flat, members, gradient)
    assert np.isfinite(to_host(found.J)).all()


@second_device
@pytest.mark.parametrize("block_size", [None, 3])
def test_a_verdict_is_all_that_is_waited_for(block_size, xp, unread):
    objective, flat = objective_there(xp, "heun", "learned", True, block_size)
    members = xp.asarray(np.arange(3))
    whole = objective.evaluate(flat, members)
    asked = []

    def verdict(values):
        unread.forbidden = False
        asked.append(to_host(values.J))
        unread.forbidden = True
        return np.array([True, False, True])

    with unread:
        found = objective.evaluate(flat, members, verdict)
    (J,) = asked
    np.testing.assert_array_equal(J, to_host(whole.J))
    one, other = to_host(found.gradient), to_host(whole.gradient)
    np.testing.assert_allclose(one[[0, 2]], other[[0, 2]], atol=1e-13 * np.abs(other).max())


@second_device
def test_the_watch_sees_what_is_read(xp, unread):
    with unread, pytest.raises(AssertionError, match="read from the device"):
        float(xp.zeros(()))


MESSAGE = r"Memory ran out with (\d+) samples in a block; going on with (\d+)\."
OF_HOST, OF_CUDA = "MemoryError", "torch.cuda.OutOfMemoryError"


def out_of_memory(error):
    return MemoryError if error == OF_HOST else sys.modules["torch"].cuda.OutOfMemoryError


@pytest.fixture
def enough_for(monkeypatch):
    """Lets memory run out where there are more than some number of samples in a block."""
    plain = Network.propagate

    def limit(most, error=OF_HOST):
        def propagate(self, ready, x, *arguments, **options):
            if x.shape[1] > most:
                raise out_of_memory(error)
            return plain(self, ready, x, *arguments, **options)

        monkeypatch.setattr(Network, "propagate", propagate)

    return limit


@pytest.mark.parametrize(
    ("xp", "error"),
    [*((name, OF_HOST) for name in NAMESPACES), ("torch", OF_CUDA)],
    indirect=["xp"],
)
def test_where_memory_runs_out_blocks_are_halved(xp, error, enough_for):
    layout, flat, *data = problem("softmax", "learned", members=3, samples=20)
    network = ode_net(TABLEAUX["heun"])
    arguments = xp, network, layout, LOSSES["softmax"], *data, FREE["learned"]
    options = {"folds": folds_of(members=3, samples=20)}
    U, X = layout.views(flat), data[0]

    def close(one, other):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)

    small = Placed(*arguments, block_size=5, **options).evaluate(flat)
    predicted = [on(xp, function)(network, U, X, 5) for function in (outputs, trajectories)]
    enough_for(5, error)
    objective = Placed(*arguments, **options)
    with pytest.warns(RuntimeWarning, match=MESSAGE) as seen:
        found = objective.evaluate(flat)
    sizes = [re.search(MESSAGE, str(warning.message)).groups() for warning in seen]
    assert sizes == [("20", "10"), ("10", "5")]
    for one, other in zip(found, small, strict=True):
        close(one, other)
    again = objective.evaluate(flat)  # it knows by now
    for one, other in zip(again, found, strict=True):
        np.testing.assert_array_equal(one, other)
    for function, expected in zip((outputs, trajectories), predicted, strict=True):
        with pytest.warns(RuntimeWarning, match=MESSAGE):
            close(on(xp, function)(network, U, X), expected)
    with pytest.warns(RuntimeWarning, match=MESSAGE):
        p = Placed(*arguments, **options).costates(flat)
    np.testing.assert_allclose(p, Placed(*arguments, block_size=5).costates(flat), atol=1e-14)
    # The verdict waits for the objective on all samples all the same.
    asked = []

    def verdict(values):
        asked.append(values.J)
        return np.array([True, False, True])

    with pytest.warns(RuntimeWarning, match=MESSAGE):
        found = Placed(*arguments, **options).evaluate(flat, gradient=verdict)
    assert len(asked) == 1
    close(asked[0], small.J)
    close(found.gradient[[0, 2]], small.gradient[[0, 2]])


def test_what_memory_a_batch_has_found_is_known_to_all(xp, enough_for):
    layout, flat, *data = there(xp, problem("softmax", "learned", samples=20))
    objective = Objective(ode_net(TABLEAUX["heun"]), layout, LOSSES["softmax"], *data)
    enough_for(5)
    with pytest.warns(RuntimeWarning, match=MESSAGE):
        objective.sample(xp.asarray(np.arange(12))).evaluate(flat)
    objective.sample(xp.asarray(np.arange(4, 18))).evaluate(flat)
    assert np.isfinite(to_host(objective.evaluate(flat).J)).all()


def test_where_there_is_no_memory_for_one_sample_the_error_is_raised(xp, enough_for):
    layout, flat, *data = problem("softmax", "learned")
    network = ode_net(TABLEAUX["heun"])
    objective = Placed(xp, network, layout, LOSSES["softmax"], *data)
    enough_for(0)
    for function in (
        lambda: objective.evaluate(flat),
        lambda: on(xp, outputs)(network, layout.views(flat), data[0]),
    ):
        with pytest.warns(RuntimeWarning, match=MESSAGE), pytest.raises(MemoryError):
            function()
