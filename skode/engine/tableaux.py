"""Butcher tableaux: validated data, facts derived from it, and the table of named schemes.

A scheme (A, b, c) with s stages takes the step

    Yi = y + h Σj aij f(Yj),   i = 1..s,        y⁺ = y + h Σi bi f(Yi).

Reference: Hairer, Nørsett, Wanner, "Solving Ordinary Differential Equations I" (1993), chapter II.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations_with_replacement, groupby
from typing import Any

__all__ = ["TABLEAUX", "ButcherTableau", "as_tableau"]

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]

ROUNDING = 1e-12  # how far a coefficient may be from satisfying an identity exactly
HIGHEST_ORDER_CHECKED = 6


@dataclass(frozen=True)
class ButcherTableau:
    """A Runge-Kutta scheme, refused unless it is consistent.

    Parameters
    ----------
    A : array-like of shape (n_stages, n_stages)
        Stage coefficients aij.
    b : array-like of shape (n_stages,)
        Weights of the stages; they sum to one, single weights may be zero.
    c : array-like of shape (n_stages,)
        Nodes; equal to the row sums of `A`.
    name : str, default="custom"
        Used in messages and in the repr.

    Raises
    ------
    ValueError
        If sizes differ, an entry is not finite, ``c`` is not the row sums of ``A``, or ``b`` does
        not sum to one.

    Examples
    --------
    >>> from skode import ButcherTableau
    >>> ButcherTableau([[0, 0], [1, 0]], [1 / 2, 1 / 2], [0, 1], name="heun")
    ButcherTableau('heun', 2 stages, order 2, explicit)
    """

    A: Matrix
    b: Vector
    c: Vector
    name: str = "custom"

    def __post_init__(self) -> None:
        for field, value in (
            ("A", tuple(_floats(row, f"a row of A, {row!r},") for row in _rows(self.A))),
            ("b", _floats(self.b, f"b={self.b!r}")),
            ("c", _floats(self.c, f"c={self.c!r}")),
        ):
            object.__setattr__(self, field, value)
        self._refuse_inconsistency()

    def _refuse_inconsistency(self) -> None:
        s = len(self.b)
        if s == 0 or len(self.c) != s or len(self.A) != s or any(len(row) != s for row in self.A):
            raise ValueError(
                f"scheme {self.name!r}: A must be square, with as many rows as b and c have "
                f"entries, and at least one; got rows of {[len(row) for row in self.A]} in A, "
                f"{len(self.b)} entries in b and {len(self.c)} in c."
            )
        if not all(math.isfinite(x) for x in (*self.b, *self.c, *(a for r in self.A for a in r))):
            raise ValueError(f"scheme {self.name!r}: A, b and c must be finite numbers.")
        for i, (row, node) in enumerate(zip(self.A, self.c, strict=True)):
            if not math.isclose(math.fsum(row), node, rel_tol=ROUNDING, abs_tol=ROUNDING):
                raise ValueError(
                    f"scheme {self.name!r}: every c[i] must be the sum of row i of A; row {i} sums "
                    f"to {math.fsum(row)!r}, but c[{i}] is {node!r}."
                )
        if not math.isclose(math.fsum(self.b), 1.0, rel_tol=ROUNDING, abs_tol=ROUNDING):
            raise ValueError(
                f"scheme {self.name!r}: b must sum to 1 (otherwise the scheme does not converge); "
                f"it sums to {math.fsum(self.b)!r}."
            )

    @property
    def n_stages(self) -> int:
        """Number s of stages."""
        return len(self.b)

    @property
    def explicit(self) -> bool:
        """Whether A is strictly lower triangular, so that no stage equation has to be solved."""
        return all(a == 0.0 for i, row in enumerate(self.A) for a in row[i:])

    @cached_property
    def order(self) -> int:
        """Largest p up to 6 with Φ(t) = 1/γ(t) for every rooted tree t of at most p nodes."""
        p = 1
        while p < HIGHEST_ORDER_CHECKED and not any(self.order_defects(p + 1)):
            p += 1
        return p

    def order_defects(self, p: int) -> list[float]:
        """Φ(t) - 1/γ(t) for every rooted tree t with `p` nodes, rounding errors set to zero."""
        defects = []
        for tree in _rooted_trees(p):
            weight = math.fsum(
                bi * ui for bi, ui in zip(self.b, _stage_weights(self.A, tree), strict=True)
            )
            defect = weight - 1.0 / _density(tree)
            defects.append(0.0 if abs(defect) < ROUNDING else defect)
        return defects

    def partner(self) -> ButcherTableau:
        """The symplectic partner, the scheme that the costate follows.

        It has b̃ = b and bi ãij + bj aji - bi bj = 0: Hager (2000), Sanz-Serna (2016).

        Raises
        ------
        ValueError
            If a weight bi is zero: there is no partner, while the division-free form of the
            adjoint step, which skode uses, goes on.
        """
        if not all(self.b):
            raise ValueError(f"scheme {self.name!r} has a weight of zero, hence no partner.")
        stages = range(self.n_stages)
        A = tuple(
            tuple(self.b[j] - self.b[j] * self.A[j][i] / self.b[i] for j in stages) for i in stages
        )
        return ButcherTableau(A, self.b, tuple(map(math.fsum, A)), name=f"partner of {self.name}")

    def __repr__(self) -> str:
        stages = f"{self.n_stages} stage{'s' if self.n_stages > 1 else ''}"
        kind = "explicit" if self.explicit else "implicit"
        return f"ButcherTableau({self.name!r}, {stages}, order {self.order}, {kind})"


def _rows(A: Any) -> list[Any]:
    try:
        return list(A)
    except TypeError:
        raise ValueError(f"A must be a square matrix of numbers; got {A!r}.") from None


def _floats(values: Any, what: str) -> Vector:
    try:
        return tuple(float(x) for x in values)
    except (TypeError, ValueError):
        raise ValueError(f"{what} must be a sequence of numbers.") from None


# A rooted tree is the tuple of its root's subtrees; its order is its number of nodes.
Tree = tuple[Any, ...]


@cache
def _rooted_trees(order: int) -> tuple[Tree, ...]:
    """All rooted trees with `order` nodes: a root over a multiset of smaller trees."""
    return tuple(
        forest for sizes in _partitions(order - 1, order - 1) for forest in _forests(sizes)
    )


def _partitions(total: int, largest: int) -> Iterator[tuple[int, ...]]:
    """Non-increasing tuples of positive integers, at most `largest`, that sum to `total`."""
    if total == 0:
        yield ()
    for first in range(min(total, largest), 0, -1):
        for rest in _partitions(total - first, first):
            yield (first, *rest)


def _forests(sizes: tuple[int, ...]) -> list[Tree]:
    """Multisets of rooted trees whose orders are `sizes`, equal sizes side by side."""
    forests: list[Tree] = [()]
    for size, run in groupby(sizes):
        choices = list(combinations_with_replacement(_rooted_trees(size), len(list(run))))
        forests = [forest + choice for forest in forests for choice in choices]
    return forests


@cache
def _nodes(tree: Tree) -> int:
    return 1 + sum(map(_nodes, tree))


@cache
def _density(tree: Tree) -> int:
    """γ(t): the number of nodes times the densities of the subtrees."""
    return _nodes(tree) * math.prod(map(_density, tree))


def _stage_weights(A: Matrix, tree: Tree) -> Vector:
    """The vector u with Φ(t) = bᵀu: ui = Π over subtrees t' of Σj aij u(t')j."""
    u = [1.0] * len(A)
    for subtree in tree:
        v = _stage_weights(A, subtree)
        u = [
            ui * math.fsum(a * vj for a, vj in zip(row, v, strict=True))
            for ui, row in zip(u, A, strict=True)
        ]
    return tuple(u)


def _named(name: str, A: Sequence[Sequence[float]], b: Sequence[float]) -> ButcherTableau:
    """A named explicit scheme from the strictly lower triangle of A, row by row."""
    s = len(b)
    full = tuple((*row, *[0.0] * (s - len(row))) for row in A)
    return ButcherTableau(full, tuple(b), tuple(map(math.fsum, full)), name=name)


TABLEAUX: dict[str, ButcherTableau] = {
    scheme.name: scheme
    for scheme in (
        # Order 1, 1 stage.  Explicit Euler: with it an ODE network is a residual network (ResNet).
        _named("euler", [[]], [1]),
        # Order 2, 2 stages.  Improved Euler, explicit trapezoidal rule.
        _named("heun", [[], [1]], [1 / 2, 1 / 2]),
        # Order 2, 2 stages.  Runge's method; its first weight is zero.
        _named("midpoint", [[], [1 / 2]], [0, 1]),
        # Order 2, 2 stages.  Least bound on the local error among them: Ralston (1962).
        _named("ralston2", [[], [2 / 3]], [1 / 4, 3 / 4]),
        # Order 3, 3 stages.  Kutta (1901).
        _named("kutta3", [[], [1 / 2], [-1, 2]], [1 / 6, 2 / 3, 1 / 6]),
        # Order 3, 3 stages.  Ralston (1962); also the propagating part of Bogacki-Shampine 3(2).
        _named("ralston3", [[], [1 / 2], [0, 3 / 4]], [2 / 9, 1 / 3, 4 / 9]),
        # Order 3, 3 stages.  Strong-stability preserving: Shu and Osher (1988).
        _named("ssprk3", [[], [1], [1 / 4, 1 / 4]], [1 / 6, 1 / 6, 2 / 3]),
        # Order 4, 4 stages.  The classical Runge-Kutta method, "Kutta4": Kutta (1901).
        _named("rk4", [[], [1 / 2], [0, 1 / 2], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
        # Order 4, 4 stages.  The 3/8 rule: Kutta (1901).
        _named("rk38", [[], [1 / 3], [-1 / 3, 1], [1, -1, 1]], [1 / 8, 3 / 8, 3 / 8, 1 / 8]),
    )
}


def as_tableau(scheme: Any) -> ButcherTableau:
    """The tableau meant by a name, a `ButcherTableau`, or a triple (A, b, c).

    Raises
    ------
    ValueError
        If the name is unknown or the triple is not a consistent tableau.
    """
    if isinstance(scheme, ButcherTableau):
        return scheme
    if isinstance(scheme, str):
        if scheme not in TABLEAUX:
            raise ValueError(
                f"scheme must be one of {', '.join(map(repr, TABLEAUX))}, a ButcherTableau or a "
                f"triple (A, b, c); got {scheme!r}."
            )
        return TABLEAUX[scheme]
    try:
        A, b, c = scheme
    except (TypeError, ValueError):
        raise ValueError(
            f"scheme must be a name, a ButcherTableau or a triple (A, b, c); got {scheme!r}."
        ) from None
    return ButcherTableau(A, b, c)
