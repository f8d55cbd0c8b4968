"""The CUDA kernel without a device: compiled for every architecture, and executed on the CPU."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings

from skode.engine.activations import ACTIVATIONS
from skode.engine.fold_weights import FoldWeights
from skode.engine.kernels import cuda, cuda_machine, reference
from skode.engine.losses import LOSSES
from tests.engine.kernels import emulation, nvrtc
from tests.engine.kernels.cuda_cases import (
    EXPLICIT,
    LIFTS,
    NARROW,
    WIDE,
    Case,
    assert_equal_to_reference,
)
from tests.reference import explicit_schemes


def evaluated(case, gradient=True, **options):
    machine = emulation.machine(**options)
    return cuda.evaluate_on(machine, case.problem, case.data, case.flat, gradient)


def outputs(case, X=None, **options):
    X = case.data.X if X is None else X
    return cuda.outputs_on(emulation.machine(**options), case.problem, X, case.flat)


def assert_same_bits(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_right(case):
    """Compare everything with the reference, with threads and blocks in both orders."""
    found = evaluated(case)
    assert_equal_to_reference(case, found, outputs(case))
    assert_same_bits(evaluated(case, multiprocessors=3, backward=True), found)
    assert_same_bits(evaluated(case, gradient=False)[:2], found[:2])


def crossed(k):
    """Choices with periods such that all pairs of them occur."""
    return {
        "loss": list(LOSSES)[k % len(LOSSES)],
        "lift": LIFTS[k % 3],
        "learn_step": k % 5 != 0,
        "folds": k % 7 % 2 == 0,
        "members": 1 + 2 * (k % 11 % 2),
        "skip": float(k % 9 != 0),
    }


PAIRS = list(enumerate(itertools.product(EXPLICIT, ACTIVATIONS)))


@pytest.mark.parametrize(("k", "pair"), PAIRS, ids=["-".join(pair) for _, pair in PAIRS])
def test_every_scheme_and_activation(k, pair):
    assert_right(Case(*pair, **crossed(k)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("wide", [False, True], ids=["narrow", "wide"])
@pytest.mark.parametrize("lift", LIFTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_and_lift(loss, lift, wide, dtype):
    n_channels, samples = (WIDE[dtype], 40) if wide else (NARROW, 150)
    case = Case("kutta3", "mixed", loss, lift, dtype, n_channels=n_channels, samples=samples)
    for skip, (learn_step, folds) in zip((1.0, 0.0), ((True, False), (False, True)), strict=True):
        assert_right(replace(case, skip=skip, learn_step=learn_step, folds=folds))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_several_labels(dtype):
    assert_right(Case(loss="logistic", n_outputs=3, dtype=dtype))


@pytest.mark.parametrize("scheme", ["euler", "midpoint", "rk4"])
def test_wide_networks(scheme):
    assert_right(Case(scheme, "tanh", n_channels=40, samples=50))


def test_wide_networks_of_many_samples(monkeypatch):
    """Test single precision, whose tiles have another shape."""
    monkeypatch.setattr(cuda_machine, "FEW_SAMPLES", 100)
    assert_right(Case("ralston2", dtype="float32", n_channels=WIDE["float32"]))


@settings(max_examples=15)
@given(explicit_schemes())
def test_any_tableau(scheme):
    assert_right(Case(scheme, samples=20, n_channels=2, n_features=2))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n_channels", [1, 4, 17])
def test_every_number_of_channels(n_channels, dtype):
    assert_right(Case("euler", dtype=dtype, n_channels=n_channels, samples=130))


@pytest.mark.parametrize("n_channels", [NARROW, WIDE["float64"]])
def test_more_features_and_outputs_than_channels(n_channels):
    assert_right(Case(n_channels=n_channels, n_features=60, n_outputs=33, samples=40))


def test_jobs_of_many_tiles(monkeypatch):
    monkeypatch.setattr(cuda_machine, "JOBS", 3)
    case = Case(samples=128 * 7 + 5, members=2)
    found = evaluated(case)
    assert_equal_to_reference(case, found)
    # Neither the number of thread blocks nor their memory affects the results.
    for multiprocessors in (2, 100):
        assert_same_bits(evaluated(case, multiprocessors=multiprocessors), found)
    monkeypatch.setattr(cuda, "RECORD_FRACTION", 1e-12)
    assert_same_bits(evaluated(case, multiprocessors=100), found)


@pytest.mark.parametrize("n_channels", [NARROW, WIDE["float64"]])
def test_a_member_does_not_depend_on_the_others(n_channels):
    case = Case(n_channels=n_channels, members=4)
    whole, machine = evaluated(case), emulation.machine()
    for k in range(4):
        member = slice(k, k + 1)
        samples = case.data.of_members(member)
        alone = cuda.evaluate_on(machine, case.problem, samples, case.flat[member], True)
        assert_same_bits(alone[:3], [part[member] for part in whole[:3]])


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("n_channels", [NARROW, WIDE["float64"]])
def test_tiles_without_weight_are_left_out(monkeypatch, n_channels, backward):
    """A member with weights on some of the tiles has the sums over these."""
    monkeypatch.setattr(cuda_machine, "JOBS", 3)  # jobs of two tiles, which may begin with either
    problem = Case(n_channels=n_channels).problem
    tile = cuda_machine.Variant.of(problem, "float64", 1).tile
    case = Case(n_channels=n_channels, folds=False, samples=5 * tile + 3)
    machine, tiles = emulation.machine(backward), np.arange(5 * tile + 3) // tile
    train = np.array([[1.0, 0, 0, 0, 0, 2.0], [0, 0, 1.0, 0.5, 1.0, 0], np.zeros(6)])
    held_out = np.array([np.zeros(6), [0, 0, 0, 0, 0, 1.0], [0, 1.0, 0, 0, 0, 0]])
    folds = FoldWeights(tiles, train, held_out, np.arange(3))
    samples = case.data._replace(folds=folds)
    found = cuda.evaluate_on(machine, case.problem, samples, case.flat, True)
    expected = reference.evaluate(case.problem, samples, case.flat, True)
    for one, other in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)
    samples.X[(tiles == 1) | (tiles == 3)] = np.inf  # the first member does not see them
    again = cuda.evaluate_on(machine, case.problem, samples, case.flat, True)
    assert_same_bits([part[:1] for part in again[:3]], [part[:1] for part in found[:3]])


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("n_channels", [NARROW, WIDE["float64"]])
def test_samples_without_weight_need_not_be_finite(n_channels, backward):
    case = Case(activation="relu", lift="nonlinear", folds=False, n_channels=n_channels)
    samples, machine = case.data, emulation.machine(backward)
    weighted = samples.weights > 0
    samples.X[~weighted] = np.inf
    found = cuda.evaluate_on(machine, case.problem, samples, case.flat, True)
    trained = samples.of(np.nonzero(weighted)[0])
    expected = reference.evaluate(case.problem, trained, case.flat, True)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-14)
    np.testing.assert_allclose(found.gradient, expected.gradient, atol=1e-12)


def test_results_that_are_not_finite_are_detected():
    case = Case()
    samples, machine = case.data, emulation.machine()
    group = int(np.argmax(samples.folds.held_out[0]))
    train = np.ones_like(samples.folds.train)
    train[:, group] = 0
    folds = samples.folds._replace(train=train, split=np.zeros(3, dtype=int))
    samples = samples._replace(folds=folds)
    row = np.nonzero((folds.group == group) & (samples.weights > 0))[0][0]
    samples.X[row] = np.nan
    found = cuda.evaluate_on(machine, case.problem, samples, case.flat, True)
    assert np.isposinf(found.held_out).all()
    assert np.isfinite(found.loss).all()
    assert np.isfinite(found.gradient).all()
    samples.X[folds.group != group] = np.nan
    found = cuda.evaluate_on(machine, case.problem, samples, case.flat, True)
    assert np.isnan(found.loss).all()


def test_layouts_and_dtypes_of_the_data():
    case = Case()
    expected, machine = evaluated(case), emulation.machine()
    samples, flat = case.data, case.flat
    forms = [
        np.asfortranarray(samples.X),
        samples.X[::-1].copy()[::-1],
        np.repeat(samples.X, 2, axis=1)[:, ::2],
    ]
    forms[0].setflags(write=False)
    for X in forms:
        same = samples._replace(X=X, targets=np.asfortranarray(samples.targets))
        found = cuda.evaluate_on(machine, case.problem, same, np.asfortranarray(flat), True)
        assert_same_bits(found, expected)
    single = samples._replace(X=samples.X.astype(np.float32))
    wanted = reference.evaluate(case.problem, single, flat, True)
    found = cuda.evaluate_on(machine, case.problem, single, flat, True)
    np.testing.assert_allclose(found.gradient, wanted.gradient, atol=1e-12)


# --- the functions that the engine calls, with an emulated CuPy


@pytest.fixture(params=["cupy", "torch"])
def put(request, monkeypatch):
    """Put a NumPy array on the emulated device, as an array of a library."""
    make = emulation.on_device
    if request.param == "torch":
        torch = pytest.importorskip("torch")
        make = torch.tensor
        stream = SimpleNamespace(cuda_stream=0)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setitem(sys.modules, "cupy", emulation.CUPY)
    cuda_machine._machine.cache_clear()
    yield make
    cuda_machine._machine.cache_clear()


@pytest.mark.parametrize("loss", LOSSES)
def test_evaluate_and_predict(loss, put):
    case = Case(loss=loss, lift="nonlinear")
    samples, flat = case.data, put(case.flat)
    folds = samples.folds._make(map(put, samples.folds))
    there = samples._make((*map(put, samples[:3]), folds))
    found = cuda.evaluate(case.problem, there, flat, True)
    assert all(isinstance(part, type(flat)) for part in found[:3])
    assert_equal_to_reference(case, type(found)(*map(np.asarray, found[:3])))
    mean = cuda.predict(case.problem, there.X, flat)
    assert isinstance(mean, np.ndarray) == isinstance(flat, np.ndarray)
    np.testing.assert_allclose(
        mean, reference.predict(case.problem, samples.X, case.flat), rtol=1e-12
    )


def test_predictions_are_nan_where_an_output_is_not_finite(put):
    case = Case()
    X = case.data.X
    X[7] = np.nan
    mean = np.asarray(cuda.predict(case.problem, put(X), put(case.flat)))
    assert np.isnan(mean[:, 7]).all()
    assert np.isfinite(np.delete(mean, 7, axis=1)).all()


def test_a_prediction_takes_as_many_samples_at_once_as_memory_allows(put, monkeypatch):
    case = Case()
    X, flat = put(case.data.X), put(case.flat)
    expected = np.asarray(cuda.predict(case.problem, X, flat))
    for room in (1, 40_000):
        monkeypatch.setattr(cuda, "free_memory", lambda like, room=room: room)
        X = put(case.data.X[:20])
        found = np.asarray(cuda.predict(case.problem, X, flat))
        np.testing.assert_array_equal(found, expected[:, :20])


def test_a_call_takes_all_samples_of_as_many_members_as_memory_allows(monkeypatch):
    case = Case()
    for room, complete in ((80 * 2**30, True), (2**28, False), (1, False)):
        monkeypatch.setattr(cuda, "free_memory", lambda like, room=room: room)
        members, samples = cuda.call_size(case.problem, 1000, 10**6, case.flat)
        assert samples == 10**6
        assert 1 <= members <= 1000
        assert complete == (members == 1000)
        if members > 1:
            assert members * cuda_machine.JOBS * case.problem.layout.size * 8 <= room


def test_what_it_serves():
    machine, case = emulation.machine(), Case()

    def serves(machine=machine, **changes):
        return cuda.serves(machine, replace(case, **changes).problem, "float64")

    assert serves()
    assert serves(n_channels=cuda.MOST_CHANNELS)
    assert not serves(n_channels=cuda.MOST_CHANNELS + 1)
    assert not serves(scheme="gauss4")
    assert not serves(n_outputs=1000)
    assert not cuda.serves(machine, case.problem, np.float16)
    assert not serves(machine._replace(shared_bytes=48 * 1024), n_channels=64)
    many = np.tri(cuda.MOST_STAGES + 1, k=-1)
    assert not serves(scheme=(many, np.eye(len(many))[0], many.sum(axis=1)))
    problem = case.problem
    network = replace(problem.network, lift=ACTIVATIONS["relu"])
    assert not cuda.serves(machine, problem._replace(network=network), "float64")


def test_arrays_of_a_device_are_for_it(put):
    flat = put(Case().flat)
    # PyTorch's tensors are in host memory here, even if a device is emulated.
    assert cuda.is_usable_for(Case().problem, flat) == isinstance(flat, np.ndarray)
    assert not cuda.is_usable_for(Case("gauss4").problem, flat)
    assert not cuda.is_usable_for(Case().problem, put(Case().flat.astype(np.float16)))


def test_arrays_of_the_host_are_not_for_it(xp):
    if xp.name == "cupy":
        pytest.skip("these are arrays of a device")
    assert not cuda.is_usable_for(Case().problem, xp.asarray(Case().flat))


# --- the compiler


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n_channels", [1, 17, 35])
def test_shared_memory_is_what_the_source_says(n_channels, dtype):
    for samples in (100, 10**6):
        variant = cuda_machine.Variant.of(
            Case("euler", n_channels=n_channels).problem, dtype, samples
        )
        compiled = emulation.library(cuda_machine.source(), variant.options)
        for n_outputs in (1, 5, 40):
            expected = compiled.bytes_of_shared_memory(n_outputs)
            assert variant.shared_bytes(n_outputs) == expected


@pytest.mark.parametrize("architecture", [70, 80, 90, 100])
@pytest.mark.parametrize(
    ("n_channels", "dtype", "scheme"), [(6, "float32", "heun"), (40, "float64", "euler")]
)
def test_nvrtc_compiles_it(n_channels, dtype, scheme, architecture):
    if architecture not in nvrtc.architectures():
        pytest.skip(f"this NVRTC does not compile for sm_{architecture}")
    case = Case(scheme, "mixed", n_channels=n_channels)
    variant = cuda_machine.Variant.of(case.problem, dtype, 10**6)
    options = "--std=c++17", f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v"
    used = nvrtc.registers_and_spills(
        nvrtc.compiled(cuda_machine.source(), *options, *variant.options), "evaluate"
    )
    # Of 65536 registers, for as many blocks of threads as the source requests.
    assert used.registers * variant.threads <= 65536 // 2
    assert used.spilled <= 256
