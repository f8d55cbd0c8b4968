"""A-stability of a Runge-Kutta scheme, from its stability function.

On y′ = λ y a step multiplies y by R(z), z = hλ, with::

    R(z) = P(z)/Q(z),    P(z) = det(I - zA + z 1bᵀ),    Q(z) = det(I - zA).

The scheme is A-stable if `|R| ≤ 1` on the left half-plane: by the maximum principle, if R has no
pole there and `E(y) = |Q(iy)|² - |P(iy)|² ≥ 0` for all real y.

Reference: Hairer, Wanner, "Solving Ordinary Differential Equations II" (1996), section IV.3.
"""

from __future__ import annotations

import math

from .arrays import Array, host

ROUNDING = 1e-11  # values of a polynomial up to this size count as zero


def a_stable(A: tuple[tuple[float, ...], ...], b: tuple[float, ...]) -> bool:
    """Whether the scheme with coefficients A and weights b is A-stable."""
    A_, b_ = host.asarray(A, dtype=float), host.asarray(b, dtype=float)
    # det(I - zA) has the coefficients of det(zI - A) in reverse order.
    P, Q = host.poly(A_ - b_[None, :]), host.poly(A_)
    poles = [1 / value for value in host.linalg.eigvals(A_) if abs(value) > ROUNDING]
    at_poles = [sum(c * z**k for k, c in enumerate(P)) for z in poles]
    if any(z.real <= ROUNDING and abs(p) > ROUNDING for z, p in zip(poles, at_poles, strict=True)):
        return False
    E = _on_imaginary_axis(Q) - _on_imaginary_axis(P)
    return _nowhere_negative(host.where(host.abs(E) > ROUNDING, E, 0.0))


def _on_imaginary_axis(P: Array) -> Array:
    """Return the coefficients of |P(iy)|² as a polynomial in x = y², in ascending order."""
    s = len(P)
    square = host.zeros(s)
    for j in range(s):
        for k in range(s):
            if (j + k) % 2 == 0:  # the others cancel: i^j (-i)^k + i^k (-i)^j = 0
                square[(j + k) // 2] += P[j] * P[k] * (-1) ** ((j - k) // 2)
    return square


def _nowhere_negative(E: Array) -> bool:
    """Whether the polynomial E(x) ≥ 0 for all x ≥ 0: check 0, x → ∞ and the zeros of E′."""
    nonzero = [k for k, c in enumerate(E) if c]
    if not nonzero:
        return True
    if E[nonzero[-1]] < 0:
        return False
    slope = [k * c for k, c in enumerate(E)][1 : nonzero[-1] + 1]
    turning = host.roots(slope[::-1]) if len(slope) > 1 else []
    at = [0.0, *(x.real for x in turning if x.real > 0)]
    return all(
        math.fsum(terms) >= -ROUNDING * math.fsum(map(abs, terms))
        for terms in ([c * x**k for k, c in enumerate(E)] for x in at)
    )
