"""Descent directions."""

from __future__ import annotations

from collections.abc import Callable

from .arrays import Array

__all__ = ["SOLVERS"]


def steepest(g: Array) -> Array:
    """Gradient descent: d = -g."""
    return -g


SOLVERS: dict[str, Callable[[Array], Array]] = {"gd": steepest}
