"""Training in turns: no more members side by side than memory is meant for."""

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

# Of what the members of a turn hold; but there is one member of each candidate at least.
MOST_BYTES = 2**28
# Arrays of the size of the controls that a member holds: points and gradients, the moments of Adam;
# and with L-BFGS its pairs.
ARRAYS = 16
PAIRED = ARRAYS + 2 * (MEMORY + 1)


class Turn(NamedTuple):
    """What some of the members are trained with; `rows`, on the host, says which they are."""

    rows: Array
    objective: Objective
    start: Array
    race: Race | None
    schedule: Schedule | None


def in_turns(
    objective: Objective, start: Array, solver: str, race: Race | None, schedule: Schedule | None
) -> list[Turn]:
    """Return the turns in which members are trained, as few as `MOST_BYTES` allow.

    The parameters are those of `train`.  The candidates of a race stay side by side: a turn has all
    of them on some of the folds, or restarts, which the race then goes by.  Apart from that, the
    company does not matter to a member, as all turns go through the same batches.
    """
    n_candidates = 1 if race is None else race.shape[0]
    parts = _parts(start, solver, n_candidates)
    if len(parts) == 1:
        return [Turn(parts[0], objective, start, race, schedule)]
    found = []
    for rows in parts:
        where, some = placed(rows, start), race
        if race is not None:
            some = Race(n_candidates, len(rows) // n_candidates)
        begin = namespace(start).take(start, where, axis=0)
        found.append(Turn(rows, objective.of_members(where), begin, some, copy.deepcopy(schedule)))
    return found


def _parts(start: Array, solver: str, n_candidates: int) -> list[Array]:
    """The members of every turn; they are candidates × folds and restarts."""
    number = PAIRED if "lbfgs" in solver else ARRAYS
    most = MOST_BYTES // (number * int(start.shape[1]) * itemsize(start))
    each = max(1, most // n_candidates)
    members = host.reshape(host.arange(start.shape[0]), (n_candidates, -1))
    return [
        host.reshape(members[:, first : first + each], -1)
        for first in range(0, members.shape[1], each)
    ]


def finished(every: Sequence[Turn], done: Sequence[Training], constraint: Constraint) -> Training:
    """Return what came out of all turns, of which the first are done.

    The members of the others have NaN for what is not known of them, and `NOT_BEGUN` for a reason.
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
    """Return what is known of members whose turn has not come."""
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
    """Return the members of several trainings, whose controls have one layout, as one."""
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
