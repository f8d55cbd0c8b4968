"""Training of several jobs together: their members in one batch, and the results as if alone.

A member does not depend on the others in its batch, so each job gets the same results, to the last
bit, as `train` would give it.  On a device, jobs with other samples or another number of layers may
be in the batch too, see `_merging`; then results are the same up to rounding errors.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np

from ._joining import equal, merged_objective, same_splits, same_table
from ._merging import merged
from ._padding import cut_back, padded
from .engine.arrays import Array, current_device, itemsize, namespace
from .engine.blocks import Blocks
from .engine.constraints import Constraint
from .engine.objective import Objective
from .engine.training import INTERRUPTED, Race, Schedule, State, Stopping, Training, train
from .engine.training.turns import ARRAYS, PAIRED


@dataclass(frozen=True)
class Job:
    """The arguments of `train`.

    Parameters
    ----------
    about_constraint : hashable, optional
        Equal for jobs with equal constraints.
    """

    objective: Objective
    start: Array
    solver: str
    line_search: str
    schedule: Schedule | None
    constraint: Constraint
    stopping: Stopping
    race: Race | Races | None = None
    on_iteration: Callable[[State], bool] | None = None
    exact_stages: bool = False
    about_constraint: Hashable = None

    @property
    def size(self):
        """The bytes of the arrays of its members."""
        return self.start.shape[0] * self.size_of_member(self.objective.layout)

    def size_of_member(self, layout):
        """Return the bytes of the arrays of a member if it has this layout."""
        number = PAIRED if "lbfgs" in self.solver else ARRAYS
        return number * layout.size * itemsize(self.start)

    @property
    def can_wait(self):
        """Whether it may be trained with others: nobody follows it, and it has no deadline."""
        return self.on_iteration is None and self.stopping.deadline == np.inf

    @property
    def run(self):
        """The function that trains the members of this job alone."""
        return partial(
            train,
            self.objective,
            self.start,
            self.solver,
            line_search=self.line_search,
            schedule=self.schedule,
            constraint=self.constraint,
            stopping=self.stopping,
            race=self.race,
            on_iteration=self.on_iteration,
            exact_stages=self.exact_stages,
        )

    def fits(self, other):
        """Whether both can be trained in one batch."""
        one, two = self.objective, other.objective
        return (
            self.settings == other.settings
            and one.problem._replace(learn_step=False) == two.problem._replace(learn_step=False)
            and self.follows_as(other)
        )

    @property
    def settings(self):
        """What has to be equal in a batch, besides problem and samples."""
        no_constraint = self.constraint.nothing
        what = self.solver, self.line_search, self.stopping, self.exact_stages
        return *what, no_constraint, self.about_constraint

    def follows_as(self, other):
        """Whether both have the same samples, in the same batches of Adam, and the same judge."""
        return _equal_samples(self.objective, other.objective) and _same_batches(self, other)


def train_together(jobs, threads, most_bytes):
    """Return the trainings of all jobs, as many in one batch as fit; errors are results too.

    Parameters
    ----------
    jobs : sequence of Job
    threads : Threads
        The threads of all batches.
    most_bytes : int
        The largest size of the arrays of a batch, unless a single job is larger.

    Returns
    -------
    list of Training or ValueError

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C is pressed.
    """
    found = {}
    for groups in _batches(jobs, most_bytes):
        places = [k for group in groups for k in group]
        with current_device(jobs[places[0]].start):  # which may not be that of this thread
            trainings = _in_one_batch([[jobs[k] for k in group] for group in groups], threads)
        found.update(zip(places, trainings, strict=True))
    return [found[k] for k in range(len(jobs))]


def _batches(jobs, most_bytes):
    """Return the jobs of each batch, by number, in groups of jobs that fit."""
    open_, sizes = [], []  # one group of each kind, and its bytes
    full = []
    for k, job in enumerate(jobs):
        place = next((i for i, group in enumerate(open_) if jobs[group[0]].fits(job)), None)
        if place is None:
            open_.append([k])
            sizes.append(job.size)
        elif sizes[place] + job.size <= most_bytes:
            open_[place].append(k)
            sizes[place] += job.size
        else:
            full.append(open_[place])
            open_[place], sizes[place] = [k], job.size
    return merged(full + open_, jobs, most_bytes)


def _in_one_batch(groups, threads):
    """Return the trainings of jobs in groups that may be merged, those of a group fit."""
    jobs = [job for group in groups for job in group]
    if len(jobs) == 1:
        return [_alone(jobs[0])]
    ends = pairwise(np.cumsum([0, *(job.start.shape[0] for job in jobs)]).tolist())
    members = [slice(first, last) for first, last in ends]
    pairs = zip((job.race for job in jobs), members, strict=True)
    heats = [(race, some) for race, some in pairs if race is not None]
    objectives = [[job.objective for job in group] for group in groups]
    objective = merged_objective(objectives, Blocks(threads))
    n_layers = objective.layout.n_layers
    starts = [padded(job.start, job.objective.layout, n_layers) for job in jobs]
    whole = replace(
        jobs[0],
        objective=objective,
        start=namespace(jobs[0].start).concat(starts),
        race=Races(heats) if heats else None,
    )
    try:
        training = whole.run()
    except ValueError:  # the start of a member is not finite
        if len(groups) == 1:
            return list(map(_alone, jobs))
        return [training for group in groups for training in _in_one_batch([group], threads)]
    if (training.reason == INTERRUPTED).any():
        raise KeyboardInterrupt
    return [
        _part(training, some, job.objective.layout, n_layers)
        for some, job in zip(members, jobs, strict=True)
    ]


def _alone(job):
    """Return the training of a job, or its error."""
    try:
        return job.run()
    except ValueError as error:
        return error


def _part(training, members, layout, n_layers):
    """Return the results of some of the members in their layout, from one with `n_layers`."""
    parts = {field.name: getattr(training, field.name)[members, ...] for field in fields(Training)}
    length = parts["n_iter"].max() + 1
    for name in ("curve", "held_out_curve"):
        parts[name] = parts[name][:, :length]
    parts["flat"] = cut_back(parts["flat"], layout, n_layers)
    return Training(**parts)


class Races:
    """Several races in one batch, each among its own members.

    Parameters
    ----------
    heats : sequence of (Race, slice)
        The races, and their members.
    """

    def __init__(self, heats):
        self._heats = heats

    def behind(self, state):
        """See `Race.behind`."""
        mask = np.zeros(state.running.shape, dtype=bool)
        for race, members in self._heats:
            mine = (members.start <= state.running) & (state.running < members.stop)
            names = ("n_iter", "held_out", "held_out_curve", "best_held_out", "reason")
            part = SimpleNamespace(**{name: getattr(state, name)[members] for name in names})
            part.running = state.running[mine] - members.start
            mask[mine] = race.behind(part)
        return mask


def _equal_samples(one, two):
    """Whether two objectives have the same samples, and folds that can be joined."""
    mine, its = one.samples, two.samples
    if not same_table(mine, its):
        return False
    if (mine.folds is None) != (its.folds is None):
        return False
    if one.judge is None and two.judge is None:
        return True
    if one.judge is None or two.judge is None or mine.folds is None:
        return False
    return same_splits(mine.folds, its.folds) and one.judge == two.judge


def _same_batches(one, two):
    """Whether Adam draws the same batches."""
    if one.schedule is None or two.schedule is None:
        return one.schedule is two.schedule
    same = one.schedule[:-1] == two.schedule[:-1]
    states = zip(*(job.schedule.rng.get_state() for job in (one, two)), strict=True)
    return (
        same
        and all(np.array_equal(mine, its) for mine, its in states)
        and equal(one.objective.trained_rows, two.objective.trained_rows)
    )
