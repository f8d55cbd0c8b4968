import numpy as np
import pytest

from skode.engine.arrays import (
    contiguous,
    converted,
    free_memory,
    itemsize,
    on_host,
    placed,
    positive_part,
    quiet,
    spread,
    to_host,
)
from tests.engine.everywhere import home, not_cupy, on


def test_to_host_gives_numpy_arrays(xp):
    host = to_host(xp.asarray([1.0, 2.0]))
    assert isinstance(host, np.ndarray)
    np.testing.assert_array_equal(host, [1, 2])


def test_quiet_silences_expected_overflow():
    with quiet():
        assert np.isinf(np.exp(np.float64(1e4)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("kind", ["plain", "read-only", "reversed", "broadcast"])
def test_what_is_placed_is_there_as_it_was(kind, dtype, xp):
    # PyTorch warns of read-only memory, and rejects negative strides.
    values = np.arange(12).reshape(3, 4).astype(dtype)
    if kind == "reversed":
        values = values[::-1, ::-1]
    elif kind == "broadcast":
        values = np.broadcast_to(values[:1], (3, 4))
    values.flags.writeable = kind in ("plain", "reversed")
    before = values.copy()
    found = placed(values, xp.zeros(1))
    assert found.dtype == getattr(xp, dtype)
    np.testing.assert_array_equal(home(xp, found), before)
    single = placed(values, xp.zeros(1), xp.float32)
    assert single.dtype == xp.float32
    np.testing.assert_array_equal(home(xp, single), before.astype("float32"))


def test_numbers_are_placed_too(xp):
    like = xp.asarray(np.zeros(2, dtype="float32"))
    for values in (1.5, [1.5, 2.5], ((1.5,), (2.5,))):
        found = placed(values, like, like.dtype)
        assert found.dtype == xp.float32
        np.testing.assert_array_equal(home(xp, found), np.array(values, dtype="float32"))


@not_cupy
def test_host_memory_has_no_limit_to_be_asked_for(xp):
    assert free_memory(xp.zeros(1)) is None


def test_converted_arrays_are_of_the_library_and_on_the_device_of_the_other(xp):
    host = np.arange(6.0).reshape(2, 3)
    like = xp.zeros(1)
    found = converted(host, like)
    np.testing.assert_array_equal(home(xp, found), host)
    assert converted(found, like) is found
    back = converted(found, host)
    assert isinstance(back, np.ndarray)
    np.testing.assert_array_equal(back, host)


@pytest.mark.parametrize("rows", [[1], [0, 3], [0, 1, 2, 3]])
def test_rows_are_spread_to_their_places(rows, xp):
    part = np.arange(2.0 * len(rows)).reshape(-1, 2)
    found = home(xp, spread(xp.asarray(part), np.array(rows), 4))
    assert found.shape == (4, 2)
    np.testing.assert_array_equal(found[rows], part)


def test_contiguous_arrays_have_their_last_axis_densest(xp):
    host = np.arange(6.0).reshape(2, 3)
    found = contiguous(xp.asarray(host).T)
    np.testing.assert_array_equal(home(xp, found), host.T)
    if on_host(found):
        assert found.flags.c_contiguous


@pytest.mark.parametrize(("dtype", "expected"), [("float32", 4), ("float64", 8)])
def test_bytes_of_a_number(dtype, expected, xp):
    assert itemsize(xp.asarray(np.zeros(1, dtype=dtype))) == expected


def test_the_positive_part_leaves_nan_alone(xp):
    found = on(xp, positive_part)(xp, np.array([-1.0, 0.0, 2.0, np.nan, np.inf, -np.inf]))
    np.testing.assert_array_equal(found, [0, 0, 2, np.nan, np.inf, 0])
