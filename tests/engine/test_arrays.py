import array_api_strict
import numpy as np

from skode.engine.arrays import Scratch, namespace, quiet, to_host


def test_out_is_written_on_numpy_and_ignored_elsewhere(xp):
    x, y = xp.asarray([[1.0, 2.0], [3.0, 4.0]]), xp.asarray([[1.0, 0.0], [1.0, 1.0]])
    out = xp.zeros_like(x)
    result = namespace(x).matmul(x, y, out=out)
    np.testing.assert_array_equal(to_host(result), [[3, 2], [7, 4]])
    if xp is np:
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


def test_scratch_allocates_nothing_where_out_is_ignored():
    assert Scratch(array_api_strict.zeros(1))((2, 3), "F") is None


def test_quiet_silences_expected_overflow():
    with quiet():
        assert np.isinf(np.exp(np.float64(1e4)))
