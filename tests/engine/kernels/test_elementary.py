"""exp, expm1, log1p and tanh of the compiled kernels against multiprecision arithmetic."""

import mpmath
import numpy as np
import pytest

numba = pytest.importorskip("numba")

from skode.engine.kernels import elementary  # noqa: E402

FUNCTIONS = {"exp": np.exp, "expm1": np.expm1, "log1p": np.log1p, "tanh": np.tanh}
DTYPES = np.float64, np.float32
MOST = 2.0  # units in the last place


def compiled(name):
    function = getattr(elementary, name)

    @numba.njit(error_model="numpy", fastmath={"contract", "nsz"})
    def of_all(x, out):
        for j in range(x.size):
            out[j] = function(x[j])

    def of(x):
        out = np.empty_like(x)
        of_all(x, out)
        return out

    return of


OF = {name: compiled(name) for name in FUNCTIONS}


def arguments(name, dtype, number=400):
    """Numbers from the whole range, with more where the functions vary or are pieced together."""
    rng, limits = np.random.default_rng(0), np.finfo(dtype)
    exponents = np.log10(float(limits.smallest_subnormal)), np.log10(float(limits.max))
    of_any_size = 10.0 ** rng.uniform(*exponents, number)
    joints = np.log(2) * (np.arange(-8, 9) / 4 + 1e-4 * rng.normal(size=17))
    x = np.r_[of_any_size, -of_any_size, joints, rng.uniform(-2, 2, 4 * number)]
    x = np.r_[x, rng.uniform(-25, 25, number), rng.uniform(-750, 710, number)]
    if name == "log1p":
        return np.r_[x[x > -1], of_any_size - 1].astype(dtype)
    return np.r_[x, np.arange(-30, 31)].astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_two_units_in_the_last_place(name, dtype):
    x = arguments(name, dtype)
    exact = getattr(mpmath, name)
    limit = float(np.finfo(dtype).max)
    with mpmath.workprec(160), np.errstate(over="ignore"):
        for argument, found in zip(x, OF[name](x), strict=True):
            expected = exact(mpmath.mpf(float(argument)))
            nearest = dtype(float(expected))
            if not abs(expected) < limit:
                assert found == nearest, argument
                continue
            unit = mpmath.mpf(float(np.spacing(np.abs(nearest))))
            error = abs(mpmath.mpf(float(found)) - expected) / unit
            assert error <= MOST, (argument, float(error))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_single_precision_from_end_to_end(name):
    # Every 509th number, and NumPy in double precision for the exact values.
    x = np.arange(0, 2**32, 509, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = x[np.isfinite(x)]
    with np.errstate(all="ignore"):
        exact = FUNCTIONS[name](x.astype(float))
        nearest = exact.astype(np.float32)
    found, finite = OF[name](x), np.isfinite(nearest)
    np.testing.assert_array_equal(found[~finite], nearest[~finite])
    unit = np.spacing(np.abs(nearest[finite])).astype(float)
    error = np.abs(found[finite] - exact[finite]) / unit
    assert error.max() <= MOST, x[finite][error.argmax()]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_at_the_ends(name, dtype):
    limits = np.finfo(dtype)
    ends = [0.0, np.inf, np.nan, float(limits.max), float(limits.smallest_subnormal), 1.0]
    x = np.array([*ends, *(-end for end in ends)], dtype)
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name](x)
    found = OF[name](x)
    options = {"rtol": 2 * float(limits.eps), "atol": float(limits.smallest_subnormal)}
    np.testing.assert_allclose(found, expected, **options)
    assert found.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_keeps_the_sign_of_zero(dtype):
    found = OF["tanh"](np.array([0.0, -0.0], dtype))
    np.testing.assert_array_equal(np.signbit(found), [False, True])
