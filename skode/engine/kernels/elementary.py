"""exp, expm1, log1p and tanh that LLVM can vectorise.

The functions of numba's math module are scalar calls and ten times slower, because the wheels of
numba do not include Intel's SVML.  The functions here have no branches and no tables, are accurate
to two units in the last place, and handle infinities and NaN as usual.  All except log1p, and tanh
in single precision, are based on

    x = ½ k log 2 + r,  |r| ≤ ¼ log 2,    tanh r = r/(1 + u),    exp 2r = (1 + u + r)/(1 + u - r),

where u = r coth r - 1 = r² P(r²) is even in r, so that a short polynomial P is enough (fdlibm's
e_exp.c).  log1p follows fdlibm's s_log1p.c.

Every function takes a float64 or float32 scalar.  Without compilation (NUMBA_DISABLE_JIT=1) the
same source runs on NumPy's scalars.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import overload

# Not "reassoc", which would cancel the `rounder`; nor "nnan" and "ninf".
OPTIONS: Any = {
    "error_model": "numpy",
    "fastmath": {"contract", "nsz"},
    "forceinline": True,
    "nogil": True,
}
inlined: Any = njit(**OPTIONS)


class Constants(NamedTuple):
    """Constants in the precision of the argument; a literal would make it float64.

    Adding `rounder` rounds to integers and leaves them in the low bits.  `ln2_high` and `ln2_low`
    add up to ½ log 2; the first has so few bits that its products with integers are exact.
    For arguments outside of `exp_least` … `exp_most` the result is 0 or infinity; the other limits
    are similar.
    """

    zero: Any
    one: Any
    two: Any
    half: Any
    rounder: Any
    two_log2_e: Any
    ln2_high: Any
    ln2_low: Any
    exp_least: Any
    exp_most: Any
    expm1_least: Any
    tanh_most: Any
    infinity: Any


_DOUBLE = Constants(
    *map(np.float64, (0, 1, 2, 0.5, 3 * 2.0**51, 2 * 1.4426950408889634)),
    *map(np.float64, (6.93147180369123816490e-01 / 2, 1.90821492927058770002e-10 / 2)),
    *map(np.float64, (-746, 710, -40, 20, np.inf)),
)
_SINGLE = Constants(
    *map(np.float32, (0, 1, 2, 0.5, 3 * 2.0**22, 2 * 1.4426950408889634)),
    *map(np.float32, (6.9314575195e-01 / 2, 1.4286067653e-06 / 2)),
    *map(np.float32, (-104, 89, -20, 10, np.inf)),
)


def _by_precision(double, single):
    """Return a function of a scalar x, from its versions for float64 and float32."""

    def function(x):
        return single(x) if isinstance(x, np.float32) else double(x)

    @overload(function, jit_options=OPTIONS)
    def _choose(x):
        return single if x == types.float32 else double

    return function


def _p_double(x):
    p = x * (512 * 4.13813679705723846039e-08) - 128 * 1.65339022054652515390e-06
    p = x * p + 32 * 6.61375632143793436117e-05
    p = x * p - 8 * 2.77777777770155933842e-03
    return x * p + 2 * 1.66666666666666019037e-01


def _p_single(x):
    return x * np.float32(-8 * 2.7667332906e-3) + np.float32(2 * 1.6666625440e-1)


def _log_double(x):
    p = x * 1.479819860511658591e-01 + 1.531383769920937332e-01
    p = x * p + 1.818357216161805012e-01
    p = x * p + 2.222219843214978396e-01
    p = x * p + 2.857142874366239149e-01
    p = x * p + 3.999999999940941908e-01
    return x * (x * p + 6.666666666666735130e-01)


def _log_single(x):
    p = x * np.float32(0.24279078841) + np.float32(0.28498786688)
    p = x * p + np.float32(0.40000972152)
    return x * (x * p + np.float32(0.66666662693))


def _power_of_two_double(x):
    bits = np.float64(x).view(np.int64)
    return np.int64((bits + np.int64(1023)) << np.int64(52)).view(np.float64)


def _power_of_two_single(x):
    bits = np.float32(x).view(np.int32)
    return np.int32((bits + np.int32(127)) << np.int32(23)).view(np.float32)


# Without the bits of √½, the exponent is that of x between √½ and √2.
def _exponent_double(x):
    return np.float64((np.float64(x).view(np.int64) - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52))


def _exponent_single(x):
    bits = np.float32(x).view(np.int32) - np.int32(0x3F3504F3)
    return np.float32(np.int32(bits) >> np.int32(23))


constants = _by_precision(lambda x: _DOUBLE, lambda x: _SINGLE)
# P(r²).
_p = _by_precision(_p_double, _p_single)
# The polynomial of log(1 + f) = f - f²/2 + s (f²/2 + R(s²)), s = f/(2 + f).
_log_polynomial = _by_precision(_log_double, _log_single)
# 2^k from k + rounder, for normal numbers 2^k.
_power_of_two = _by_precision(_power_of_two_double, _power_of_two_single)
# The integer k with √½ ≤ x/2^k < √2, for normal numbers x.
_exponent = _by_precision(_exponent_double, _exponent_single)


@inlined
def _reduced(x):
    """Return (k + rounder, r, high, low, u) for moderate x, with r = high - low more precisely."""
    c = constants(x)
    rounded = x * c.two_log2_e + c.rounder
    k = rounded - c.rounder
    high, low = x - k * c.ln2_high, k * c.ln2_low
    r = high - low
    square = r * r
    return rounded, r, high, low, square * _p(square)


@inlined
def _exp_parts(x):
    """Return (k, ½ exp(x)/2^k - ½) for moderate x."""
    c = constants(x)
    rounded, r, high, low, u = _reduced(c.half * x)
    # r/(1 + u - r) = r + r (r - u)/(1 + u - r), which has smaller rounding errors.
    v = u - r
    return rounded - c.rounder, high - (r * v / (v + c.one) + low)


@inlined
def exp(x):
    """exp(x)."""
    c = constants(x)
    x = c.exp_least if x < c.exp_least else x
    x = c.exp_most if x > c.exp_most else x
    k, half_less = _exp_parts(x)
    # In two factors, since 2^k itself may overflow or be subnormal when the result does not.
    part = (k * c.half + c.rounder) - c.rounder
    first, second = _power_of_two(part + c.rounder), _power_of_two((k - part) + c.rounder)
    return (c.one + (half_less + half_less)) * first * second


@inlined
def expm1(x):
    """Compute exp(x) - 1, accurately for small x too."""
    c = constants(x)
    y = c.expm1_least if x < c.expm1_least else x
    y = c.exp_most if y > c.exp_most else y
    k, half_less = _exp_parts(y)
    # Twice a half, since 2^k may overflow when the result does not.
    s = _power_of_two((k - c.one) + c.rounder)
    half = s * (half_less + half_less) + (s - c.half)
    return half + half


@inlined
def log1p(x):
    """Compute log(1 + x), accurately for small x too."""
    c = constants(x)
    y, quarter = c.one + x, c.half * c.half
    k = _exponent(y)
    # A quarter of it is 2^-k, which itself may be subnormal.
    scale = _power_of_two((c.two - k) + c.rounder)
    # x - (y - 1) is the rounding error; so f is exactly x where k is 0.
    f = (quarter * y * scale - c.one) + (x - (y - c.one)) * (quarter * scale)
    square = c.half * f * f
    s = f / (c.two + f)
    k2 = k + k
    value = k2 * c.ln2_high + (
        f - (square - (s * (square + _log_polynomial(s * s)) + k2 * c.ln2_low))
    )
    value = x if y == c.infinity else value
    value = -c.infinity if x == -c.one else value
    return (x - x) / (x - x) if x < -c.one else value


def _tanh_double(x):
    c = constants(x)
    size = abs(x)
    size = c.tanh_most if size > c.tanh_most else size
    rounded, r, high, low, u = _reduced(size)
    s = _power_of_two(rounded)
    # exp(2|x|) ∓ 1, multiplied by 1 + u - r, are both sums of two parts.
    less, more = s - c.one, s + c.one
    rest_less = more * high + (less * u - more * low)
    rest_more = less * r + more * u
    inverse = c.one / (more + rest_more)
    value = (less + rest_less) * inverse
    # The rounding error of the quotient.
    value += inverse * ((less - value * more) + (rest_less - value * rest_more))
    return np.copysign(value, x)


# tanh x = n/(n + d²) with d = e - |x| S, n = 2|x| S e, e = 2 S + x² U, from tanh ½x = x S/e, whose
# errors nearly cancel for large x.  S and U are polynomials of x², the minimax fit of tanh between
# 0.55 and 9.1 in units in the last place; below, x coth x = 1 + x² H likewise.
def _tanh_single(x):
    c, joint = constants(x), np.float32(0.55)
    size = abs(x)
    size = c.tanh_most if size > c.tanh_most else size
    z = size * size
    s = z * np.float32(9.283942199544981e-05) + np.float32(0.02423752471804619)
    s = z * s + np.float32(0.8143866062164307)
    u = z * np.float32(1.9933497696911218e-06) + np.float32(0.0017774647567421198)
    u = z * u + np.float32(0.1357310265302658)
    h = z * np.float32(0.001996133476495743) - np.float32(0.022201791405677795)
    h = z * h + np.float32(0.33333247900009155)
    e = z * u + (s + s)
    d = e - size * s
    n = size * (e * (s + s))
    near, far = z * h + c.one, d * d + n
    value = (size if size < joint else n) / (near if size < joint else far)
    return np.copysign(value, x)


# The hyperbolic tangent.
tanh = _by_precision(_tanh_double, _tanh_single)
