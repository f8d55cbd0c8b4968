"""Training in turns: no more members side by side than memory is meant for."""

from __future__ import annotations

import copy
from dataclasses import fields
from typing import Any

from ..arrays import Array, host, itemsize, namespace, placed
from ..constraints import unconstrained
from ..objective import Objective
from .adam import Schedule
from .lbfgs import MEMORY
from .loop import train
from .racing import Race
from .state import Project, State, Training
from .stopping import INTERRUPTED

# Of what the members of a turn hold; but there is one member of each candidate at least.
MOST_BYTES = 2**28
# Arrays of the size of the controls that a member holds: points and gradients, the moments of Adam;
# and with L-BFGS its pairs.
ARRAYS = 16
PAIRED = ARRAYS + 2 * (MEMORY + 1)


def train_in_turns(
    objective: Objective,
    start: Array,
    solver: str = "lbfgs",
    *,
    schedule: Schedule | None = None,
    race: Race | None = None,
    **options: Any,
) -> Training:
    """Train as `train` does, but only so many members at a time as `MOST_BYTES` allow.

    The candidates of a race stay side by side: a turn has all of them on some of the folds, or
    restarts, which the race then goes by.  Apart from that, the company does not matter to a
    member.  After an interruption, the members of later turns stay where they start.
    """
    parts = _parts(start, solver, 1 if race is None else race.shape[0])
    if len(parts) == 1:
        return train(objective, start, solver, schedule=schedule, race=race, **options)
    trainings: list[Training] = []
    for rows in parts:
        part = objective.of_members(placed(rows, start))
        begin = namespace(start).take(start, placed(rows, start), axis=0)
        if trainings and INTERRUPTED in trainings[-1].reason:
            trainings.append(_left_out(part, begin, **options))
            continue
        some = race if race is None else Race(race.shape[0], len(rows) // race.shape[0])
        batches = copy.deepcopy(schedule)  # the same in all turns
        trainings.append(train(part, begin, solver, schedule=batches, race=some, **options))
    return _in_order(joined(trainings), host.argsort(host.concatenate(parts)))


def _parts(start: Array, solver: str, n_candidates: int) -> list[Array]:
    """The members of every turn; they are candidates × folds and restarts."""
    number = PAIRED if "lbfgs" in solver else ARRAYS
    most = MOST_BYTES // (number * int(start.shape[1]) * itemsize(start))
    of_candidate = start.shape[0] // n_candidates
    each = max(1, most // n_candidates)
    members = host.reshape(host.arange(start.shape[0]), (n_candidates, of_candidate))
    return [
        host.reshape(members[:, first : first + each], -1) for first in range(0, of_candidate, each)
    ]


def _left_out(
    objective: Objective,
    start: Array,
    project: Project = unconstrained,
    exact_stages: bool = False,
    **options: Any,
) -> Training:
    """What comes of members whose turn was not to be."""
    state = State(objective, start, project, exact_stages)
    state.end_all(INTERRUPTED)
    return state.result()


def _in_order(training: Training, order: Array) -> Training:
    """The members of a training in another order."""
    parts = {field.name: getattr(training, field.name) for field in fields(Training)}
    return Training(
        **{
            name: namespace(part).take(part, placed(order, part), axis=0)
            for name, part in parts.items()
        }
    )


def joined(trainings: list[Training]) -> Training:
    """The members of several trainings, whose controls have one layout, as one `Training`."""
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
