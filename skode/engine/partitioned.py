"""Partitioned Runge-Kutta schemes: one tableau for each half of the channels.

For y = (q, p) with q′ = f(p) and p′ = g(q), a scheme with the coefficients (A, b) for q and (Â, b̂)
for p takes the step

    Qi = q + h Σj aij f(Pj),    Pi = p + h Σj âij g(Qj),
    q⁺ = q + h Σi bi f(Pi),     p⁺ = p + h Σi b̂i g(Qi).

It is symplectic if bi âij + b̂j aji = bi b̂j for all i and j.

Reference: Hairer, Lubich, Wanner, "Geometric Numerical Integration" (2006), sections II.2 and VI.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any

from .arrays import Array, device, namespace
from .drawing import as_text
from .rooted_trees import Matrix, Vector
from .tableaux import ROUNDING, Block, ButcherTableau


@dataclass(frozen=True)
class PartitionedTableau:
    """An explicit partitioned scheme, for separable Hamiltonian systems.

    Parameters
    ----------
    first, second : ButcherTableau
        The coefficients for the first half of the channels, and for the second.
    name : str
    """

    first: ButcherTableau
    second: ButcherTableau
    name: str

    explicit = True
    diagonally_implicit = True
    kind = "explicit, partitioned"
    a_stable = False
    stiffly_accurate = False

    @property
    def n_stages(self) -> int:
        """Number of stages."""
        return self.first.n_stages

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The stages one by one."""
        return self.first.blocks

    @property
    def moves(self) -> list[tuple[bool, float]]:
        """What a step does in turn: whether it moves the first half, and by which part of h.

        Each stage of these schemes moves one half, along the field at the other half as it then is.
        """
        pairs = zip(self.first.b, self.second.b, strict=True)
        return [(bool(b), b or b_) for b, b_ in pairs]

    @property
    def symplectic(self) -> bool:
        """Whether the flow of a separable Hamiltonian system stays symplectic."""
        (A, b), (A_, b_) = ((part.A, part.b) for part in (self.first, self.second))
        stages = range(self.n_stages)
        return all(
            abs(b[i] * A_[i][j] + b_[j] * A[j][i] - b[i] * b_[j]) < ROUNDING
            for i in stages
            for j in stages
        )

    @property
    def order(self) -> int:
        """The order for separable systems, 1 or 2: of more, no use is made."""
        crossed = (self.first.b, self.second.c), (self.second.b, self.first.c)
        defects = [math.fsum(map(mul, b, c)) - 0.5 for b, c in crossed]
        return 2 if max(map(abs, defects)) < ROUNDING else 1

    @property
    def _facts(self) -> str:
        facts = f"{self.n_stages} stages, order {self.order}, {self.kind}"
        return f"{facts}, symplectic" if self.symplectic else facts

    def __repr__(self) -> str:
        return f"PartitionedTableau({self.name!r}, {self._facts})"

    def __str__(self) -> str:
        drawn = [as_text(part.A, part.b, part.c) for part in (self.first, self.second)]
        halves = ("first half of the channels:", "second half of the channels:")
        lines = [line for pair in zip(halves, drawn, strict=True) for line in pair]
        return "\n".join([f"{self.name}: {self._facts}", *lines])


Scheme = ButcherTableau | PartitionedTableau
Weight = Any  # a float, or an array (1, channels, 1) where it differs between the halves
Weights = Sequence[Weight]


def coefficients(scheme: Scheme, like: Array) -> tuple[Sequence[Weights], Weights]:
    """A and b as factors of states like `like`, (members, channels, samples)."""
    if isinstance(scheme, ButcherTableau):
        return scheme.A, scheme.b
    xp, n = namespace(like), like.shape[1]
    upper = xp.reshape(xp.arange(n, device=device(like)) < n // 2, (1, n, 1))

    def weight(first: float, second: float) -> Weight:
        if first == second:
            return first
        ones = xp.ones(upper.shape, dtype=like.dtype, device=device(like))
        return xp.where(upper, first * ones, second * ones)

    one, other = scheme.first, scheme.second
    A = [list(map(weight, *rows)) for rows in zip(one.A, other.A, strict=True)]
    return A, list(map(weight, one.b, other.b))


def _partitioned(name: str, A: Matrix, b: Vector, A_: Matrix, b_: Vector) -> PartitionedTableau:
    return PartitionedTableau(ButcherTableau(A, b), ButcherTableau(A_, b_), name)


PARTITIONED: dict[str, PartitionedTableau] = {
    scheme.name: scheme
    for scheme in (
        # q⁺ = q + h f(p), p⁺ = p + h g(q⁺): de Vogelaere (1956).
        _partitioned("symplectic_euler", ((0, 0), (1, 0)), (1, 0), ((0, 0), (0, 0)), (0, 1)),
        # p½ = p + ½ h g(q), q⁺ = q + h f(p½), p⁺ = p½ + ½ h g(q⁺): Störmer (1907), Verlet (1967).
        _partitioned(
            "stormer_verlet",
            ((0, 0, 0), (0, 0, 0), (0, 1, 0)),
            (0, 1, 0),
            ((0, 0, 0), (1 / 2, 0, 0), (1 / 2, 0, 0)),
            (1 / 2, 0, 1 / 2),
        ),
    )
}
