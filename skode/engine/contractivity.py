"""The radius of circle contractivity of a Runge-Kutta scheme.

Let f satisfy ⟨f(y) - f(x), y - x⟩ ≤ -c ‖f(y) - f(x)‖² for some c > 0, as f(y) = -Kᵀ σ(K y + b) does
with c = 1/‖K‖₂².  A scheme with positive weights b takes any two solutions no further apart with
steps 0 ≤ h ≤ 2 r c, where, with B = diag(b)::

    r = -1/λmin(B^-½ (B A + Aᵀ B - b bᵀ) B^-½),

and every step h ≥ 0 does so where λmin ≥ 0, as then the scheme is algebraically stable.

Reference: Dahlquist, Jeltsch, "Generalized disks of contractivity for explicit and implicit
Runge-Kutta methods" (1979).
"""

from __future__ import annotations

import math

from .arrays import host
from .tableaux import ButcherTableau

ROUNDING = 1e-12  # how far an eigenvalue may be from zero and count as zero


def contractivity_radius(tableau: ButcherTableau) -> float:
    """The radius r of the scheme; infinite where it is algebraically stable, 0 if some bi ≤ 0."""
    A, b = host.asarray(tableau.A), host.asarray(tableau.b)
    if min(tableau.b) <= 0:
        return 0.0
    BA, root = b[:, None] * A, host.sqrt(b)
    M = (BA + BA.T - b[:, None] * b[None, :]) / (root[:, None] * root[None, :])
    least = float(host.linalg.eigvalsh(M)[0])
    return math.inf if least >= -ROUNDING else -1.0 / least
