"""The sizes of calls of the reference kernel, and the readability of tracebacks."""

import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import skode
from skode.engine.activations import ACTIVATIONS
from skode.engine.controls import Layout
from skode.engine.kernels import Problem, reference
from skode.engine.kernels.reference import (
    DEVICE_FRACTION,
    FEWEST_SAMPLES,
    STATE_BYTES,
    call_size,
    features,
)
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.schemes import TABLEAUX
from tests.engine.everywhere import on
from tests.estimators import blobs, curve, short

PACKAGE = Path(skode.__file__).parent


def of_width(n_channels, n_layers=3, scheme="heun"):
    layout = Layout(n_layers, n_channels, 1)
    return Problem(ode_net(TABLEAUX[scheme]), layout, LOSSES["squared"], False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_on_the_host_states_fit_the_cache(dtype):
    like = np.zeros(1, dtype)
    for n_channels in (1, 3, 16, 100):
        state = n_channels * like.itemsize  # of one sample
        members, samples = call_size(of_width(n_channels), 50, 10**6, like)
        assert members == 1
        assert state * samples <= STATE_BYTES < state * (samples + 1)
        # Few samples: several members fit into one call.
        members, same = call_size(of_width(n_channels), 50, 40, like)
        assert same == samples
        assert members * 40 * state <= STATE_BYTES < (members + 1) * 40 * state


def test_on_the_host_even_wide_networks_have_calls_that_are_worth_it():
    assert call_size(of_width(10_000), 3, 10**6, np.zeros(1)) == (1, FEWEST_SAMPLES)


@pytest.mark.parametrize("scheme", ["euler", "rk4", "gauss4"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_on_a_device_a_call_fills_a_part_of_the_free_memory(dtype, scheme, xp, monkeypatch):
    room = 10**9
    monkeypatch.setattr("skode.engine.kernels.reference.free_memory", lambda like: room)
    like = xp.asarray(np.zeros(1, dtype=dtype))
    s = TABLEAUX[scheme].n_stages
    # Every layer stores y, Yi and Fi; the adjoint of one needs Vi and Γi, and temporary arrays.
    # Gauss' stages are one block, with a matrix of (2 · 16)² per layer, and three at work.
    n_states = 6 * (2 * s + 1) + 4 * s + (8 * 2**2 * 16 if scheme == "gauss4" else 0)
    state = 3 * 16 * np.dtype(dtype).itemsize  # of one sample, of all members
    members, size = call_size(of_width(16, 5, scheme), 3, 10**6, like)
    assert members == 3
    assert n_states * state * size <= DEVICE_FRACTION * room < n_states * state * (size + 1)
    room = 1000
    assert call_size(of_width(16, 5, scheme), 3, 10**6, like) == (3, FEWEST_SAMPLES)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, bool])
def test_features_have_the_samples_last_and_the_precision_of_the_controls(dtype, xp):
    X = np.arange(6).reshape(3, 2).astype(dtype)
    for like in (np.float32, np.float64):
        found = on(xp, features)(X, np.zeros(1, like))
        assert found.dtype == like
        np.testing.assert_array_equal(found, X.T)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam"])
@pytest.mark.parametrize("name", ["ODENetClassifier", "FeedForwardRegressor"])
def test_from_fit_to_the_formula_there_are_ten_frames_at_most(name, solver, monkeypatch):
    # A profiler and a traceback should show layer and formula.
    monkeypatch.setattr("skode.engine.kernels.KERNELS", (reference,))
    stacks = []

    def value(xp, z):
        stack = traceback.extract_stack()
        inside = [frame for frame in stack if Path(frame.filename).is_relative_to(PACKAGE)]
        first = next(k for k, frame in enumerate(inside) if frame.name == "fit")
        if any(frame.name == "train" for frame in inside):  # and not a check after training
            stacks.append([(Path(frame.filename).name, frame.name) for frame in inside[first:]])
        return xp.tanh(z)

    monkeypatch.setitem(ACTIVATIONS, "tanh", replace(ACTIVATIONS["tanh"], value=value))
    X, y = blobs(2, 30) if "Classifier" in name else curve(30)
    short(getattr(skode, name), solver=solver, max_iter=3).fit(X, y)
    assert stacks
    for stack in stacks:
        assert len(stack) <= 10, stack
        assert stack[-2:] == [("networks.py", "forward"), ("steps.py", "step")]
