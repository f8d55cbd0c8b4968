"""The table of named schemes, and the conversion of other descriptions of a scheme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from .partitioned import PARTITIONED, PartitionedTableau
from .tableaux import ButcherTableau


def _named(name: str, A: Sequence[Sequence[float]], b: Sequence[float]) -> ButcherTableau:
    """Create a named scheme; rows of A may omit trailing zeros."""
    full = tuple((*row, *[0.0] * (len(b) - len(row))) for row in A)
    return ButcherTableau(full, tuple(b), name=name)


ROOT3, ROOT6, ROOT15 = math.sqrt(3), math.sqrt(6), math.sqrt(15)
GAMMA = 1 - 1 / math.sqrt(2)  # a root of γ² - 2γ + 1/2, which makes sdirk2 of order 2

TABLEAUX: dict[str, ButcherTableau] = {
    scheme.name: scheme
    for scheme in (
        # Explicit, order 1.  With Euler's scheme an ODE network is a residual network (ResNet).
        _named("euler", [[]], [1]),
        # Explicit, order 2.  Among those with two stages, Ralston's has the least error bound.
        _named("heun", [[], [1]], [1 / 2, 1 / 2]),  # improved Euler, explicit trapezoidal rule
        _named("midpoint", [[], [1 / 2]], [0, 1]),  # Runge; the first weight is zero
        _named("ralston2", [[], [2 / 3]], [1 / 4, 3 / 4]),  # Ralston (1962)
        # Explicit, order 3.  Ralston's also is the propagating part of Bogacki-Shampine 3(2).
        _named("kutta3", [[], [1 / 2], [-1, 2]], [1 / 6, 2 / 3, 1 / 6]),  # Kutta (1901)
        _named("ralston3", [[], [1 / 2], [0, 3 / 4]], [2 / 9, 1 / 3, 4 / 9]),  # Ralston (1962)
        # Also of order 3, strong-stability preserving: Shu and Osher (1988).
        _named("ssprk3", [[], [1], [1 / 4, 1 / 4]], [1 / 6, 1 / 6, 2 / 3]),
        # Explicit, order 4: the classical Runge-Kutta method and the 3/8 rule, Kutta (1901).
        _named("rk4", [[], [1 / 2], [0, 1 / 2], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
        _named("rk38", [[], [1 / 3], [-1 / 3, 1], [1, -1, 1]], [1 / 8, 3 / 8, 3 / 8, 1 / 8]),
        # Implicit, order 1 and 2.
        _named("implicit_euler", [[1]], [1]),  # backward Euler, Radau IIA of order 1
        _named("implicit_midpoint", [[1 / 2]], [1]),  # Gauss of order 2
        _named("trapezoid", [[], [1 / 2, 1 / 2]], [1 / 2, 1 / 2]),  # Crank-Nicolson, Lobatto IIIA
        # Also of order 2, L-stable: Alexander (1977).
        _named("sdirk2", [[GAMMA], [1 - GAMMA, GAMMA]], [1 - GAMMA, GAMMA]),
        # Order 4.  Gauss-Legendre, Hammer-Hollingsworth.
        _named("gauss4", [[1 / 4, 1 / 4 - ROOT3 / 6], [1 / 4 + ROOT3 / 6, 1 / 4]], [1 / 2, 1 / 2]),
        # Order 6.  Gauss-Legendre, Kuntzmann-Butcher.
        _named(
            "gauss6",
            [
                [5 / 36, 2 / 9 - ROOT15 / 15, 5 / 36 - ROOT15 / 30],
                [5 / 36 + ROOT15 / 24, 2 / 9, 5 / 36 - ROOT15 / 24],
                [5 / 36 + ROOT15 / 30, 2 / 9 + ROOT15 / 15, 5 / 36],
            ],
            [5 / 18, 4 / 9, 5 / 18],
        ),
        # Orders 3 and 5.  Radau IIA: Ehle (1969).
        _named("radau_iia3", [[5 / 12, -1 / 12], [3 / 4, 1 / 4]], [3 / 4, 1 / 4]),
        _named(
            "radau_iia5",
            [
                [(88 - 7 * ROOT6) / 360, (296 - 169 * ROOT6) / 1800, (-2 + 3 * ROOT6) / 225],
                [(296 + 169 * ROOT6) / 1800, (88 + 7 * ROOT6) / 360, (-2 - 3 * ROOT6) / 225],
                [(16 - ROOT6) / 36, (16 + ROOT6) / 36, 1 / 9],
            ],
            [(16 - ROOT6) / 36, (16 + ROOT6) / 36, 1 / 9],
        ),
        # Order 4; the first stage is explicit.  Lobatto IIIA: Ehle (1968).
        _named(
            "lobatto_iiia4",
            [[], [5 / 24, 1 / 3, -1 / 24], [1 / 6, 2 / 3, 1 / 6]],
            [1 / 6, 2 / 3, 1 / 6],
        ),
        # Order 4.  Lobatto IIIC: Chipman (1971).
        _named(
            "lobatto_iiic4",
            [[1 / 6, -1 / 3, 1 / 6], [1 / 6, 5 / 12, -1 / 12], [1 / 6, 2 / 3, 1 / 6]],
            [1 / 6, 2 / 3, 1 / 6],
        ),
    )
}


def as_tableau(scheme: Any) -> ButcherTableau | PartitionedTableau:
    """Return the tableau for a name, a `ButcherTableau`, or a tuple (A, b) or (A, b, c).

    A name may be that of a partitioned scheme.

    Raises
    ------
    ValueError
        If the name is unknown or the tuple is not a consistent tableau.
    """
    if isinstance(scheme, ButcherTableau):
        return scheme
    if isinstance(scheme, str):
        named = TABLEAUX | PARTITIONED
        if scheme not in named:
            near = get_close_matches(scheme.lower(), named, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"There is no scheme {scheme!r}.{hint} The names are "
                f"{', '.join(map(repr, sorted(named)))}; a ButcherTableau or a tuple (A, b) or "
                "(A, b, c) is a scheme too."
            )
        return named[scheme]
    if not isinstance(scheme, tuple | list) or len(scheme) not in (2, 3):
        raise ValueError(
            f"A scheme is a name, a ButcherTableau, or a tuple (A, b) or (A, b, c); got {scheme!r}."
        )
    return ButcherTableau(*scheme)
