"""Training: minimise the objective of every member of a batch.

The loop is array code over members.  Decisions, such as accepting a trial, stopping or keeping a
point, are made for each member separately, with masks.  All numbers that they depend on are copied
from the device at once.
"""

from .adam import Adam, Moments, Schedule
from .line_search import LINE_SEARCHES
from .loop import SOLVERS, train
from .racing import Race
from .starts import random_start
from .state import State, Training
from .stopping import (
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
