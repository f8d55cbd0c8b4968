"""exp, expm1, log1p and tanh that LLVM can vectorise.

The functions of numba's math module are scalar calls, an order of magnitude slower, because the
wheels of numba come without Intel's SVML.  These have no branches and no tables, are within two
units in the last place, and follow the conventions for infinities and NaN.  All rest on

    exp(r) = (w + r)/(w - r),  where  w = r coth(r/2) = 2 + P(r²) r²

is even in r, so that a short polynomial P serves (as in fdlibm's e_exp.c, whose coefficients these
are), and on x = k log 2 + r with |r| ≤ ½ log 2.  log1p follows fdlibm's s_log1p.c.

Every function takes a float64 or float32 scalar.  Without compilation (NUMBA_DISABLE_JIT=1) the
same source runs on NumPy's scalars.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

__all__ = ["exp", "expm1", "log1p", "tanh"]

# No "reassoc": it would cancel the number that rounds to integers.
OPTIONS = {
    "error_model": "numpy",
    "fastmath": {"contract", "nsz", "arcp"},
    "forceinline": True,
    "nogil": True,
}

LOG2_E = 1.4426950408889634

# For each precision: the number that, added, leaves an integer in the low bits; log 2 in two parts,
# of which the first has so few bits that its multiples are exact.
ROUND, LN2_HIGH, LN2_LOW = 6755399441055744.0, 6.93147180369123816490e-01, 1.90821492927058770002e-10
INVERSE32, ROUND32 = np.float32(LOG2_E), np.float32(12582912.0)
LN2_HIGH32, LN2_LOW32 = np.float32(6.9314575195e-01), np.float32(1.4286067653e-06)
P32 = np.float32(1.6666625440e-1), np.float32(-2.7667332906e-3)
L32 = np.float32(0.66666662693), np.float32(0.40000972152)
M32 = np.float32(0.28498786688), np.float32(0.24279078841)
HALF32, ONE32, TWO32 = np.float32(0.5), np.float32(1.0), np.float32(2.0)
ROOT2_BITS, ROOT2_BITS32 = np.int64(0x3FE6A09E667F3BCD), np.int32(0x3F3504F3)
TINY, TINY32 = np.float64(2.0**-1022), np.float32(2.0**-126)


def _for_both(double: Callable[[Any], Any], single: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """One function of a scalar, from its form for float64 and that for float32."""

    def function(x: Any) -> Any:
        return single(x) if isinstance(x, np.float32) else double(x)

    @overload(function, jit_options=OPTIONS)
    def _choose(x: Any) -> Callable[[Any], Any]:
        return single if x == types.float32 else double

    return function


@njit(**OPTIONS)
def _power_of_two(k):
    """2^k as a float64, for an integer -1022 ≤ k ≤ 1023."""
    return ((k + np.int64(1023)) << np.int64(52)).view(np.float64)
