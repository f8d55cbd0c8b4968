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


def test_scratch_hands_out_the_same_array_for_the_same_name():
    scratch = Scratch(np.zeros(1, dtype=np.float32))
    first = scratch((2, 3), "F", 0)
    assert first.shape == (2, 3)
    assert first.dtype == np.float32
    assert scratch((2, 3), "F", 0) is first
    assert scratch((2, 3), "F", 1) is not first
    assert scratch((2, 4), "F", 0).shape == (2, 4)


def test_scratch_allocates_nothing_where_out_is_ignored():
    assert Scratch(array_api_strict.zeros(1))((2, 3), "F") is None


def test_quiet_silences_expected_overflow():
    with quiet():
        assert np.isinf(np.exp(np.float64(1e4)))
