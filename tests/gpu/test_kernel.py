"""The CUDA kernel on a real device, compared with the reference on the host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skode.engine.activations import ACTIVATIONS
from skode.engine.arrays import to_host
from skode.engine.kernels import Samples, cuda, kernel_for, reference
from skode.engine.losses import LOSSES
from tests.engine.kernels.cuda_cases import EXPLICIT, LIFTS, Case, assert_equal_to_reference

SIZES = {"float32": (2, 8, 24, 32, 48, 96, 128), "float64": (2, 8, 16, 24, 48, 64, 96)}


@pytest.fixture(params=["cupy", "torch"])
def put(request, gpu):
    """Put a NumPy array on the device, as an array of a library."""
    if request.param == "cupy":
        return gpu.asarray
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch finds no CUDA device")
    return lambda values: torch.asarray(np.ascontiguousarray(values), device="cuda")


def there(put, samples):
    folds = samples.folds if samples.folds is None else samples.folds._make(map(put, samples.folds))
    return Samples(*map(put, samples[:3]), folds)


def assert_right(case, put):
    flat = put(case.flat)
    assert kernel_for(case.problem, flat) is cuda
    samples = there(put, case.data)
    found, again = (cuda.evaluate(case.problem, samples, flat, True) for _ in range(2))
    values = cuda.evaluate(case.problem, samples, flat, False)
    for one, other in zip(found, again, strict=True):
        assert one is other is None or (to_host(one) == to_host(other)).all()
    np.testing.assert_array_equal(to_host(values.loss), to_host(found.loss))
    assert values.gradient is None
    on_host = (part if part is None else to_host(part) for part in found)
    assert_equal_to_reference(case, found._make(on_host))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scheme", EXPLICIT)
def test_schemes_and_activations(scheme, activation, dtype, put):
    assert_right(Case(scheme, activation, dtype=dtype, samples=1000), put)


@pytest.mark.parametrize("lift", LIFTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_and_lifts(loss, lift, put):
    for skip, folds in ((1.0, True), (0.0, False)):
        case = Case("rk4", "mixed", loss, lift, skip=skip, folds=folds, learn_step=folds)
        assert_right(case, put)
        assert_right(replace(case, n_channels=40), put)


@pytest.mark.parametrize(
    ("dtype", "n_channels"), [(dtype, n) for dtype, sizes in SIZES.items() for n in sizes]
)
@pytest.mark.parametrize("scheme", ["euler", "rk4"])
def test_channels(scheme, n_channels, dtype, put):
    case = Case(scheme, dtype=dtype, n_channels=n_channels, samples=20_000, members=2)
    if not cuda.is_usable_for(case.problem, put(case.flat)):
        pytest.skip("this device has too little shared memory")
    assert_right(case, put)


def test_predictions(put):
    for loss in LOSSES:
        case = Case(loss=loss)
        mean = cuda.predict(case.problem, put(case.data.X), put(case.flat))
        expected = reference.predict(case.problem, case.data.X, case.flat)
        np.testing.assert_allclose(to_host(mean), expected, rtol=1e-10, atol=1e-12)


def test_a_member_does_not_depend_on_the_others(put):
    case = Case(members=50, samples=3000)
    samples, flat = there(put, case.data), put(case.flat)
    whole = cuda.evaluate(case.problem, samples, flat, True)
    for k in (0, 17, 49):
        part = slice(k, k + 1)
        alone = cuda.evaluate(case.problem, samples.of_members(part), flat[part], True)
        for one, other in zip(alone, whole, strict=True):
            if one is not None:
                np.testing.assert_array_equal(to_host(one), to_host(other[part]))


def test_results_are_of_the_library_of_the_controls(put):
    case = Case()
    flat = put(case.flat)
    found = cuda.evaluate(case.problem, there(put, case.data), flat, True)
    parts = [part for part in found if part is not None]
    assert len(parts) == 3
    assert all(type(part) is type(flat) and part.device == flat.device for part in parts)
