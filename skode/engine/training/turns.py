"""Training in turns, to limit the memory of members that are trained at the same time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

from ..arrays import Array, host, itemsize, namespace, placed
from ..constraints import Constraint
from ..objective import Objective
from .adam import Schedule
from .lbfgs import MEMORY
from .racing import Race
from .state import Training
from .stopping import NOT_BEGUN

# For the data of the members of a turn; but it has at least one member of each candidate.
MOST_BYTES = 2**28
# Arrays of the size of the controls per member: points, gradients, and the moments of Adam; with
# L-BFGS also its pairs.
ARRAYS = 16
PAIRED = ARRAYS + 2 * (MEMORY + 1)


class Turn(NamedTuple):
    """The arguments for training some of the members; `rows`, on the host, are their indices."""

    rows: Array
    objective: Objective
    start: Array
    race: Race | None
    schedule: Schedule | None


def in_turns(
    objective: Objective, start: Array, solver: str, race: Race | None, schedule: Schedule | None
) -> list[Turn]:
    """Return the turns in which members are trained, as few as `MOST_BYTES` allows.

    The parameters are those of `train`.  The candidates of a race are trained together: a turn has
    all of them on some of the folds or restarts, and the race compares them on these.  Otherwise
    a member does not depend on the others in its turn, since all turns use the same batches.  So do
    further trainings with the same schedule, whose `rng` remains as it is.
    """
    n_candidates = 1 if race is None else race.shape[0]
    parts = _parts(start, solver, n_candidates)
    if len(parts) == 1:
        return [Turn(parts[0], objective, start, race, copy.deepcopy(schedule))]
    found = []
    for rows in parts:
        where, some = placed(rows, start), race
        if race is not None:
            some = Race(n_candidates, len(rows) // n_candidates)
        begin = namespace(start).take(start, where, axis=0)
        found.append(Turn(rows, objective.of_members(where), begin, some, copy.deepcopy(schedule)))
    return found


def _parts(start: Array, solver: str, n_candidates: int) -> list[Array]:
    """Return the members of every turn; members are candidates × folds and restarts."""
    number = PAIRED if "lbfgs" in solver else ARRAYS
    most = MOST_BYTES // (number * int(start.shape[1]) * itemsize(start))
    each = max(1, most // n_candidates)
    members = host.reshape(host.arange(start.shape[0]), (n_candidates, -1))
    return [
        host.reshape(members[:, first : first + each], -1)
        for first in range(0, members.shape[1], each)
    ]


def finished(every: Sequence[Turn], done: Sequence[Training], constraint: Constraint) -> Training:
    """Return the results of all turns, of which only the first are complete.

    Members of the other turns have NaN for unknown results and `NOT_BEGUN` as the reason.
    """
    trainings = [*done, *(_not_begun(turn.start, constraint) for turn in every[len(done) :])]
    if len(trainings) == 1:
        return trainings[0]
    training = joined(trainings)
    order = host.argsort(host.concatenate([turn.rows for turn in every]))

    def in_order(part: Array) -> Array:
        return namespace(part).take(part, placed(order, part), axis=0)

    return Training(*(in_order(getattr(training, field.name)) for field in fields(Training)))


def _not_begun(start: Array, constraint: Constraint) -> Training:
    """Return the results for members whose turn has not begun."""
    unknown, none = host.full(start.shape[0], host.nan), host.zeros(start.shape[0], dtype=int)
    return Training(
        flat=constraint.project(start),
        J=unknown,
        curve=unknown[:, None],
        held_out=unknown,
        held_out_curve=unknown[:, None],
        n_iter=none,
        n_evaluations=none,
        best_iter=none,
        reason=host.full(start.shape[0], NOT_BEGUN),
    )


def joined(trainings: Sequence[Training]) -> Training:
    """Join the members of several trainings, whose controls have the same layout."""
    if len(trainings) == 1:
        return trainings[0]
    longest = max(training.curve.shape[1] for training in trainings)

    def of_all(name: str) -> Array:
        parts = [getattr(training, name) for training in trainings]
        if name.endswith("curve"):
            ends = [((0, 0), (0, longest - part.shape[1])) for part in parts]
            pairs = zip(parts, ends, strict=True)
            parts = [host.pad(part, end, constant_values=host.nan) for part, end in pairs]
        return namespace(parts[0]).concat(parts)

    return Training(*(of_all(field.name) for field in fields(Training)))
