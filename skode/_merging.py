"""Batches of groups of jobs that cannot be evaluated together as they are.

On the host, groups may differ in the samples, the activation, the scheme and the loss.  They are
evaluated one by one, and the other steps of a round are taken for all members together.  Results
are the same to the last bit.

On a device, groups may differ in the samples and in the number of layers.  A small network takes a
device less time than the host needs to launch its operations.  So fewer and larger batches are
faster, even if they do more arithmetic:

- Tables of samples are put one below the other, for example those of several folds.  The weights of
  a member are zero on all rows but its own.
- ODE networks get as many layers as the deepest of the batch, see `_padding`.

Results are those of each job up to rounding errors, since sums over samples are in other blocks.
"""

from __future__ import annotations

from dataclasses import replace

from ._joining import same_table
from .engine.activations import TANH
from .engine.arrays import device, namespace, on_cpu, on_host
from .engine.kernels import cuda

# How many more multiplications a round may take to save the host a round, of about 2 ms: a GPU for
# data centres does 10¹³ a second in float64.  Libraries other than NumPy on the CPU do 10⁹.
SPARED = {"device": 2 * 10**10, "cpu": 2 * 10**6}
PASSES = 3  # one forward, and one backward of twice the arithmetic
ACTIVATION = 20  # multiplications in a value of σ
# A round of L-BFGS reads its pairs twice and some arrays besides, and a GPU could do about 20
# multiplications in the time in which it reads a number.
MOVED = 20 * 64
BOUNDED = TANH, TANH


def merged(groups, jobs, most_bytes):
    """Return the groups of each batch.

    Parameters
    ----------
    groups : list of lists of int
        Jobs that fit, by number.
    jobs : list of Job
    most_bytes : int
        The largest size of the arrays of a batch.

    Returns
    -------
    list of lists of the groups
    """
    found = []
    for group in groups:
        alone = Batch.of([jobs[k] for k in group])
        for place, (batch, some) in enumerate(found):
            both = batch.merged_with(alone, most_bytes)
            if both is not None:
                found[place] = both, [*some, group]
                break
        else:
            found.append((alone, [group]))
    return [some for _, some in found]


class Batch:
    """Groups of jobs that may be trained in one batch.

    Parameters
    ----------
    groups : list of lists of Job
    tables : list of Samples
        On a device, the different tables of samples of all groups.
    """

    def __init__(self, groups, tables):
        self.groups, self.tables = groups, tables
        self._jobs = [job for group in groups for job in group]
        self._first = groups[0][0]

    @classmethod
    def of(cls, group):
        """Return the batch of one group."""
        return cls([group], [group[0].objective.samples])

    def merged_with(self, other, most_bytes):
        """Return the batch of these groups and the only one of another; None if it is no better."""
        one, two = self._first, other._first
        if on_host(one.start):
            both = Batch(self.groups + other.groups, self.tables)
            return both if _share_rounds(one, two) and both._size <= most_bytes else None
        if not _are_alike(one, two):
            return None
        tables, table = self.tables, other.tables[0]
        if one.schedule is not None or one.objective.judge or two.objective.judge:
            if not one.follows_as(two):  # batches of Adam and scores are of certain samples
                return None
        elif not any(same_table(mine, table) for mine in tables):
            tables = [*tables, table]
        both = Batch(self.groups + other.groups, tables)
        if len(tables) > 1 and not both._may_see_other_rows:
            return None
        if len(both._depths) > 1 and not both._may_be_padded:
            return None
        more = both._arithmetic - self._arithmetic - other._arithmetic
        spared = SPARED["cpu" if on_cpu(one.start) else "device"]
        return both if more <= spared and both._size <= most_bytes else None

    @property
    def _depths(self):
        """The numbers of layers."""
        return {group[0].objective.layout.n_layers for group in self.groups}

    @property
    def _skips_rows(self):
        """Whether blocks of rows without a weight take no time, even if states are not finite."""
        return cuda.is_usable_for(self._first.objective.problem, self._first.start)

    @property
    def _may_see_other_rows(self):
        """Whether rows without a weight do no harm: in the reference, states must be bounded."""
        return self._skips_rows or self._first.objective.problem.network.activation.codes == BOUNDED

    @property
    def _may_be_padded(self):
        """Whether layers of zeros change nothing."""
        network = self._first.objective.problem.network
        rough = any(job.objective.penalties.beta for job in self._jobs)
        return network.skip == 1.0 and self._first.constraint.nothing and not rough

    @property
    def _layout(self):
        """The layout of all members in the batch."""
        return replace(self._first.objective.layout, n_layers=max(self._depths))

    @property
    def _size(self):
        """The bytes of the arrays of all members."""
        n_members = sum(job.start.shape[0] for job in self._jobs)
        return n_members * self._first.size_of_member(self._layout)

    @property
    def _arithmetic(self):
        """An estimate of the time of a round on the device, as a number of multiplications."""
        problem, layout = self._first.objective.problem, self._layout
        n, s = layout.n_channels, problem.network.tableau.n_stages
        of_row = PASSES * n * (layout.n_layers * s * (n + ACTIVATION) + layout.lifted)
        rows = sum(table.X.shape[0] for table in self.tables)
        n_members, n_rows, skips_rows = 0, 0, self._skips_rows
        for group in self.groups:
            members = sum(job.start.shape[0] for job in group)
            own = group[0].objective.samples.X.shape[0]
            n_members += members
            n_rows += members * (own if skips_rows else rows)
        return n_rows * of_row + n_members * layout.size * MOVED


def _share_rounds(one, two):
    """Whether two jobs on the host can be evaluated one by one and share the rest of a round."""
    objectives = one.objective, two.objective
    return (
        objectives[0].layout == objectives[1].layout
        and one.settings == two.settings
        and one.start.dtype == two.start.dtype
        and one.schedule is None
        and two.schedule is None
        # With implicit schemes, the tolerance may depend on all samples.
        and all(each.problem.network.tableau.explicit for each in objectives)
        and not any(each.elsewhere for each in objectives)
        and len({each.samples.folds is None for each in objectives}) == 1
    )


def _are_alike(one, two):
    """Whether two jobs on a device differ in the samples and in the number of layers at most."""
    problems = [
        job.objective.problem._replace(
            layout=replace(job.objective.layout, n_layers=1), learn_step=False
        )
        for job in (one, two)
    ]
    mine, its = (
        [_kind(part) for part in (job.start, *job.objective.samples[:3])] for job in (one, two)
    )
    return (
        one.settings == two.settings
        and problems[0] == problems[1]
        # The reference solves stage equations for all members and samples together.
        and problems[0].network.tableau.explicit
        and (one.schedule is None) == (two.schedule is None)
        and (one.objective.samples.folds is None) == (two.objective.samples.folds is None)
        and mine[1:] == its[1:]
        and mine[0][:3] == its[0][:3]
    )


def _kind(array):
    """Return what two arrays must have in common to be put one below the other."""
    where = None if on_host(array) else namespace(array), device(array)
    return type(array), where, array.dtype, array.shape[1:]
