"""How long the steps of a scheme may be along a gradient flow, so that no two states move apart.

The field f(y) = -Kᵀ σ(K y + b) with 0 ≤ σ′ ≤ 1 obeys

    ⟨f(x) - f(y), x - y⟩ ≤ -‖f(x) - f(y)‖²/‖K‖₂²,

because σ is monotone and does not stretch.  A scheme whose weights b are positive then has
‖x⁺ - y⁺‖ ≤ ‖x - y‖ for all steps 0 ≤ h with h ‖K‖₂² ≤ 2r, where r, the radius of circle
contractivity, is the largest with

    B A + Aᵀ B - b bᵀ + B/r ⪰ 0,    B = diag(b).

Proof.  Let ΔYi and ΔFi be the differences of the stages and of the field there, and ν = 1/‖K‖₂².
With ΔYi = Δy + h Σj aij ΔFj,

    ‖Δy⁺‖² = ‖Δy‖² + 2h Σi bi ⟨ΔFi, ΔYi⟩ - h² Σij mij ⟨ΔFi, ΔFj⟩,    M = B A + Aᵀ B - b bᵀ,

and ⟨ΔFi, ΔYi⟩ ≤ -ν ‖ΔFi‖².  So ‖Δy⁺‖² ≤ ‖Δy‖² - h² Σij (M + (2ν/h) B)ij ⟨ΔFi, ΔFj⟩, and the sum is
not negative if 2ν/h ≥ 1/r.

Reference: Dahlquist, Jeltsch, "Generalized disks of contractivity for explicit and implicit
Runge-Kutta methods" (1979); Sherry, Celledoni, Ehrhardt, Murari, Owren, Schönlieb, "Designing
stable neural networks using convex analysis and ODEs" (2024).
"""

from __future__ import annotations

import math
from functools import cache

from .arrays import host
from .tableaux import ButcherTableau

ROUNDING = 1e-12  # an eigenvalue above minus this counts as not negative


@cache
def contractivity_radius(tableau: ButcherTableau) -> float:
    """Return r: infinite for an algebraically stable scheme, 0 if no step is safe.

    For explicit Euler, Heun and the classical scheme of order 4 it is 1; for schemes with a weight
    bi ≤ 0, such as the midpoint rule, it is 0.
    """
    A, b = host.asarray(tableau.A), host.asarray(tableau.b)
    if host.any(b <= 0):
        return 0.0
    root = host.sqrt(b)
    M = root[:, None] * A / root[None, :]
    least = float(host.linalg.eigvalsh(M + M.T - host.outer(root, root))[0])
    return math.inf if least >= -ROUNDING else -1 / least
