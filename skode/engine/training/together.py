"""Training of several jobs together: their members in one batch, and the results as if alone.

A member does not depend on the others in its batch, so each job gets the same results, to the last
bit, as `train` would give it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import pairwise

from ..arrays import Array, current_device, equal, host, itemsize, namespace
from ..blocks import Blocks
from ..constraints import Constraint
from ..objective import Objective
from ..threads import Threads
from .adam import Schedule
from .loop import train
from .racing import Race, Races
from .state import State, Training
from .stopping import INTERRUPTED, Stopping
from .turns import ARRAYS, PAIRED


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
    def size(self) -> int:
        """The bytes of the arrays of its members."""
        number = PAIRED if "lbfgs" in self.solver else ARRAYS
        return number * int(self.start.shape[0]) * int(self.start.shape[1]) * itemsize(self.start)

    @property
    def can_wait(self) -> bool:
        """Whether it may be trained with others: nobody follows it, and it has no deadline."""
        return self.on_iteration is None and self.stopping.deadline == host.inf

    @property
    def run(self) -> Callable[[], Training]:
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

    def fits(self, other: Job) -> bool:
        """Whether both can be trained in one batch."""
        one, two = self.objective, other.objective
        mine, its = (
            (job.solver, job.line_search, job.stopping, job.exact_stages, job.about_constraint)
            for job in (self, other)
        )
        return (
            mine == its
            and self.constraint.nothing == other.constraint.nothing
            and one.problem._replace(learn_step=False) == two.problem._replace(learn_step=False)
            and _equal_samples(one, two)
            and _same_batches(self, other)
        )


def train_together(
    jobs: Sequence[Job], threads: Threads, most_bytes: int
) -> list[Training | ValueError]:
    """Return the trainings of all jobs, as many in one batch as fit; errors are results too.

    Parameters
    ----------
    jobs : sequence of Job
    threads : Threads
        The threads of all batches.
    most_bytes : int
        The largest size of the arrays of a batch, unless a single job is larger.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C is pressed.
    """
    found: dict[int, Training | ValueError] = {}
    for places in _batches(jobs, most_bytes):
        with current_device(jobs[places[0]].start):  # which may not be that of this thread
            trainings = _in_one_batch([jobs[k] for k in places], threads)
        found.update(zip(places, trainings, strict=True))
    return [found[k] for k in range(len(jobs))]


def _batches(jobs: Sequence[Job], most_bytes: int) -> list[list[int]]:
    """Return the jobs of each batch, by number."""
    open_: list[list[int]] = []  # one batch of each kind
    full = []
    for k, job in enumerate(jobs):
        batch = next((batch for batch in open_ if jobs[batch[0]].fits(job)), None)
        if batch is None:
            open_.append([k])
        elif sum(jobs[i].size for i in batch) + job.size <= most_bytes:
            batch.append(k)
        else:
            full.append(batch[:])
            batch[:] = [k]
    return full + open_


def _in_one_batch(jobs: Sequence[Job], threads: Threads) -> list[Training | ValueError]:
    """Return the trainings of jobs that fit."""
    if len(jobs) == 1:
        return [_alone(jobs[0])]
    ends = pairwise(host.cumsum([0, *(job.start.shape[0] for job in jobs)]).tolist())
    members = [slice(first, last) for first, last in ends]
    pairs = zip((job.race for job in jobs), members, strict=True)
    heats = [(race, some) for race, some in pairs if race is not None]
    whole = replace(
        jobs[0],
        objective=Objective.joined([job.objective for job in jobs], Blocks(threads)),
        start=namespace(jobs[0].start).concat([job.start for job in jobs]),
        race=Races(heats) if heats else None,
    )
    try:
        training = whole.run()
    except ValueError:  # the start of a member is not finite
        return list(map(_alone, jobs))
    if host.any(training.reason == INTERRUPTED):
        raise KeyboardInterrupt
    return [_part(training, some) for some in members]


def _alone(job: Job) -> Training | ValueError:
    """Return the training of a job, or its error."""
    try:
        return job.run()
    except ValueError as error:
        return error


def _part(training: Training, members: slice) -> Training:
    """Return the results of some of the members."""
    parts = {field.name: getattr(training, field.name)[members] for field in fields(Training)}
    length = int(host.max(parts["n_iter"])) + 1
    for name in ("curve", "held_out_curve"):
        parts[name] = parts[name][:, :length]
    return Training(**parts)


def _equal_samples(one: Objective, two: Objective) -> bool:
    """Whether two objectives have the same samples, and folds that can be joined."""
    mine, its = one.samples, two.samples
    if not all(map(equal, mine[:3], its[:3])):
        return False
    if (mine.folds is None) != (its.folds is None):
        return False
    if one.judge is None and two.judge is None:
        return True
    if one.judge is None or two.judge is None or mine.folds is None or its.folds is None:
        return False
    return mine.folds.same_tables(its.folds) and bool(one.judge == two.judge)


def _same_batches(one: Job, two: Job) -> bool:
    """Whether Adam draws the same batches."""
    if one.schedule is None or two.schedule is None:
        return one.schedule is two.schedule
    same = one.schedule[:-1] == two.schedule[:-1]
    mine, its = (job.schedule.rng.get_state() for job in (one, two))  # type: ignore[union-attr]
    states = zip(mine, its, strict=True)
    return (
        same
        and all(bool(host.all(host.asarray(a) == host.asarray(b))) for a, b in states)
        and equal(one.objective.trained_rows, two.objective.trained_rows)
    )
