"""Rooted trees, which correspond to the order conditions of a Runge-Kutta scheme.

A scheme has order p if Φ(t) = 1/γ(t) for every rooted tree t of at most p nodes.

Reference: Hairer, Nørsett, Wanner, "Solving Ordinary Differential Equations I" (1993), section
II.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from itertools import combinations_with_replacement, groupby
from typing import Any

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]

# A rooted tree is the tuple of its root's subtrees; its order is its number of nodes.
Tree = tuple[Any, ...]


@cache
def rooted_trees(order: int) -> tuple[Tree, ...]:
    """Return all rooted trees with `order` nodes: a root over a multiset of smaller trees."""
    return tuple(
        forest for sizes in _partitions(order - 1, order - 1) for forest in _forests(sizes)
    )


def _partitions(total: int, largest: int) -> Iterator[tuple[int, ...]]:
    """Yield the non-increasing tuples of positive integers, at most `largest`, with sum `total`."""
    if total == 0:
        yield ()
    for first in range(min(total, largest), 0, -1):
        for rest in _partitions(total - first, first):
            yield (first, *rest)


def _forests(sizes: tuple[int, ...]) -> list[Tree]:
    """Return the multisets of rooted trees whose orders are `sizes`, with equal sizes adjacent."""
    forests: list[Tree] = [()]
    for size, run in groupby(sizes):
        choices = list(combinations_with_replacement(rooted_trees(size), len(list(run))))
        forests = [forest + choice for forest in forests for choice in choices]
    return forests


@cache
def _nodes(tree: Tree) -> int:
    return 1 + sum(map(_nodes, tree))


@cache
def density(tree: Tree) -> int:
    """Return γ(t): the number of nodes times the densities of the subtrees."""
    return _nodes(tree) * math.prod(map(density, tree))


def stage_weights(A: Matrix, tree: Tree) -> Vector:
    """Return the vector u with Φ(t) = bᵀu: ui = Π over subtrees t' of Σj aij u(t')j."""
    u = [1.0] * len(A)
    for subtree in tree:
        v = stage_weights(A, subtree)
        u = [
            ui * math.fsum(a * vj for a, vj in zip(row, v, strict=True))
            for ui, row in zip(u, A, strict=True)
        ]
    return tuple(u)
