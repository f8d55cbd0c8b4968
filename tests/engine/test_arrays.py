import sys
from types import ModuleType

import array_api_compat
import numpy as np
import pytest

from skode.engine.arrays import Scratch, free_memory, fusible, namespace, placed, quiet, to_host
from skode.engine.blocks import FEWEST_SAMPLES, SHARE, block_size
from tests.engine.everywhere import home, not_cupy


def test_out_is_written_on_numpy_and_ignored_elsewhere(xp):
    x, y = xp.asarray([[1.0, 2.0], [3.0, 4.0]]), xp.asarray([[1.0, 0.0], [1.0, 1.0]])
    out = xp.zeros_like(x)
    result = namespace(x).matmul(x, y, out=out)
    np.testing.assert_array_equal(to_host(result), [[3, 2], [7, 4]])
    if xp.module is np:
        assert result is out
    else:
        assert not to_host(out).any()


def test_functions_without_the_hint_pass_through(xp):
    x = xp.asarray([3.0, 1.0, 2.0])
    np.testing.assert_array_equal(to_host(namespace(x).sort(x)), [1, 2, 3])


def test_to_host_gives_numpy_arrays(xp):
    host = to_host(xp.asarray([1.0, 2.0]))
    assert isinstance(host, np.ndarray)
    np.testing.assert_array_equal(host, [1, 2])


def test_work_arrays_of_one_name_lie_in_the_same_memory():
    scratch = Scratch(np.zeros(1, dtype=np.float32), widest=5)
    first = scratch((2, 3), "F", 0)
    assert first.shape == (2, 3)
    assert first.dtype == np.float32
    first[...] = [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_array_equal(scratch((2, 3), "F", 0), first)
    assert not np.shares_memory(first, scratch((2, 3), "F", 1))
    for shape in [(2, 2), (2, 5), (1, 2, 1)]:  # there is room for rows of five
        other = scratch(shape, "F", 0)
        assert other.shape == shape
        assert np.shares_memory(first, other)
    assert scratch((9, 9), "F", 0).shape == (9, 9)


def test_scratch_tells_when_another_takes_over():
    scratch = Scratch(np.zeros(1))
    assert [scratch.turned_to(user) for user in "aabba"] == [True, False, True, False, True]


def test_scratch_allocates_nothing_where_out_is_ignored(xp):
    found = Scratch(xp.zeros(1))((2, 3), "F")
    assert (found is None) == (xp.module is not np)


def test_quiet_silences_expected_overflow():
    with quiet():
        assert np.isinf(np.exp(np.float64(1e4)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("kind", ["plain", "read-only", "reversed", "broadcast"])
def test_what_is_placed_is_there_as_it_was(kind, dtype, xp):
    # PyTorch warns of memory that is read-only, and refuses such as lies backward.
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


def test_a_fusible_function_is_traced_once_on_cupy(monkeypatch):
    # A stand-in for CuPy, whose arrays are NumPy's.
    traced, called = [], []

    def fuse(kernel_name):
        def decorate(function):
            traced.append(kernel_name)

            def kernel(*arrays):
                called.append(arrays)
                return function(*arrays)

            return kernel

        return decorate

    stand_in = ModuleType("cupy")
    stand_in.fuse, stand_in.tanh = fuse, np.tanh
    spaces = []

    @fusible
    def tanh_of_sum(xp, a, b):
        spaces.append(xp)
        return xp.tanh(a + b)

    a, b = np.array([0.5]), np.array([0.25])
    np.testing.assert_array_equal(tanh_of_sum(np, a, b), np.tanh(a + b))
    assert (traced, spaces) == ([], [np])
    monkeypatch.setitem(sys.modules, "cupy", stand_in)
    monkeypatch.setattr(array_api_compat, "is_cupy_array", lambda array: True)
    for _ in range(2):
        # What the caller has for its namespace is of no use to a kernel.
        np.testing.assert_array_equal(tanh_of_sum(None, a, b), np.tanh(a + b))
    assert traced == ["skode_tanh_of_sum"]
    assert spaces == [np, stand_in, stand_in]
    assert len(called) == 2
    for arrays in called:
        assert all(one is other for one, other in zip(arrays, (a, b), strict=True))


@not_cupy
def test_host_memory_has_no_limit_to_be_asked_for(xp):
    assert free_memory(xp.zeros(1)) is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_blocks_on_a_device_fill_a_share_of_its_room(dtype, xp):
    like = xp.asarray(np.zeros(1, dtype=dtype))
    state = 3 * 16 * np.dtype(dtype).itemsize  # of one sample, of all members
    room = 10**9
    size = block_size(3, 16, like, room, n_states=40)
    assert 40 * state * size <= SHARE * room < 40 * state * (size + 1)
    assert block_size(3, 16, like, 1000, n_states=40) == FEWEST_SAMPLES
    # Without any, they are those for the cache, whatever the number of states.
    assert block_size(3, 16, like, None, n_states=40) == block_size(3, 16, np.zeros(1, dtype=dtype))
