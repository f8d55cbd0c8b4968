"""Rooted trees, which correspond to the order conditions of a Runge-Kutta scheme.

A scheme has order p if Φ(t) = 1/γ(t) for every rooted tree t of at most p nodes.

Reference: Hairer, Nørsett, Wanner, "Solving Ordinary Differential Equations I" (1993), section
II.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]

# A rooted tree is the sorted tuple of its root's subtrees; its order is its number of nodes.
Tree = tuple[Any, ...]


@cache
def rooted_trees(order: int) -> tuple[Tree, ...]:
    """Return all rooted trees with `order` nodes: those with one node less, and another leaf."""
    if order == 1:
        return ((),)
    return tuple({grown for tree in rooted_trees(order - 1) for grown in _with_another_leaf(tree)})


def _with_another_leaf(tree: Tree) -> Iterator[Tree]:
    """Yield the trees with a leaf added at each node; equal trees have equal tuples."""
    yield tuple(sorted((*tree, ())))
    for k, subtree in enumerate(tree):
        for grown in _with_another_leaf(subtree):
            yield tuple(sorted((*tree[:k], grown, *tree[k + 1 :])))


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
