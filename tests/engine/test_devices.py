"""Efficiency on a device: nothing is read from it unnecessarily."""

import sys

import numpy as np
import pytest

from skode.engine.arrays import to_host
from skode.engine.blocks import Blocks
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.prediction import mean_outputs, outputs, trajectories
from skode.engine.schemes import TABLEAUX
from tests.engine.everywhere import there
from tests.engine.problems import FREE, folds_of, objective_of, problem

EXPLICIT = [name for name, tableau in TABLEAUX.items() if tableau.explicit]
second_device = pytest.mark.parametrize("xp", ["strict-device1"], indirect=True)


class Watch:
    """A context in which nothing may be read from the device, which would wait for it."""

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
    """Detect copies of numbers of array-api-strict to the host."""
    watch, cls = Watch(), type(xp.zeros(1))
    for name in ("__bool__", "__float__", "__int__", "__index__", "__complex__", "__dlpack__"):
        monkeypatch.setattr(cls, name, watch.guarded(getattr(cls, name)))
    for name, module in list(sys.modules.items()):
        if name.startswith("skode.engine.") and hasattr(module, "to_host"):
            monkeypatch.setattr(module, "to_host", watch.guarded(to_host))
    return watch


@second_device
@pytest.mark.parametrize("with_folds", [True, False])
@pytest.mark.parametrize("steps", ["fixed", "learned"])
@pytest.mark.parametrize("scheme", EXPLICIT)
def test_an_evaluation_reads_nothing_from_the_device(scheme, steps, with_folds, xp, unread):
    layout, flat, *data = there(xp, problem("softmax", steps, members=3, lifted=True))
    folds = there(xp, folds_of(members=3)) if with_folds else None
    network = ode_net(TABLEAUX[scheme], "mixed", "tanh")
    options = {"folds": folds, "smooth": (0.1, 0.5), "blocks": Blocks(size=3)}
    objective = objective_of(network, layout, "softmax", data, FREE[steps], **options)
    members = xp.asarray(np.arange(3))
    with unread:
        for gradient in (True, False):
            found = objective.evaluate(-flat, members, gradient)
            objective.evaluate(flat, None, gradient)
    assert np.isfinite(to_host(found.J)).all()


@second_device
def test_a_prediction_reads_only_the_steps_from_the_device(xp, unread, monkeypatch):
    # Layers with h = 0 are left out; this requires reading h.
    layout, flat, X, *_ = there(xp, problem("softmax", "learned"))
    network, U = ode_net(TABLEAUX["heun"]), layout.views(flat)
    monkeypatch.setattr("skode.engine.prediction.without_idle_layers", lambda U: U)
    with unread:
        for function in (outputs, trajectories):
            function(network, U, X, Blocks(size=3))
        found = mean_outputs(network, LOSSES["softmax"], U, X, Blocks(size=3))
    assert np.isfinite(to_host(found)).all()


@second_device
def test_the_watch_sees_what_is_read(xp, unread):
    with unread, pytest.raises(AssertionError, match="read from the device"):
        float(xp.zeros(()))
