"""Training: minimise the objective of every member of a batch.

The loop is array code over members.  Whatever is decided, to accept a trial, to stop, to keep a
point, is decided for each member alone, in masks, and all numbers that a decision needs come from
the device together.
"""

from .adam import Adam, Moments, Schedule
from .line_search import LINE_SEARCHES
from .loop import SOLVERS, train
from .racing import Race
from .starts import random_start
from .state import State, Training
from .stopping import (
    BEHIND,
    CALLBACK,
    CONVERGED,
    CUT_SHORT,
    EARLY,
    INTERRUPTED,
    MAX_ITER,
    MAX_TIME,
    NOT_BEGUN,
    REFIT,
    SLOW,
    STALLED,
    Stopping,
)
from .turns import Turn, finished, in_turns, joined

__all__ = [
    "BEHIND",
    "CALLBACK",
    "CONVERGED",
    "CUT_SHORT",
    "EARLY",
    "INTERRUPTED",
    "LINE_SEARCHES",
    "MAX_ITER",
    "MAX_TIME",
    "NOT_BEGUN",
    "REFIT",
    "SLOW",
    "SOLVERS",
    "STALLED",
    "Adam",
    "Moments",
    "Race",
    "Schedule",
    "State",
    "Stopping",
    "Training",
    "Turn",
    "finished",
    "in_turns",
    "joined",
    "random_start",
    "train",
]
