"""Calls that know their arrays, for what is done to every block in the same way.

A pass forward and its adjoint are lists of calls.  Where libraries write in place, each has its
arrays once and for all; elsewhere it looks them up, since every result is a new array.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .arrays import Array

__all__ = ["Call", "Place", "call"]

Call = Callable[[], object]


class Place:
    """Where calls find an array, and where they put one.

    Parameters
    ----------
    array : array, optional
        Stays, and is written to.  Without one, whatever is put here takes the place of the array
        that was there before.
    """

    def __init__(self, array: Array = None) -> None:
        self.array = array
        self.fixed = array is not None

    def put(self, x: Array) -> None:
        """Let the array be x, which is copied unless it has been written here."""
        if not self.fixed:
            self.array = x
        elif x is not self.array:
            self.array[...] = x


def call(function: Callable[..., Array], *operands: Place, to: Place) -> Call:
    """A call that lets `to` be the function of the operands; its last argument is ``out``."""
    if to.fixed:
        return partial(function, *(operand.array for operand in operands), to.array)
    return lambda: to.put(function(*(operand.array for operand in operands)))
