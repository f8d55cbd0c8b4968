"""One objective of the members of several ones."""

from __future__ import annotations

import numpy as np
from scipy.linalg import block_diag

from ._padding import padded
from .engine.arrays import namespace, on_host, placed, to_host
from .engine.fold_weights import FoldWeights
from .engine.objective import Evaluation
from .engine.penalties import Penalties
from .engine.sparse_rows import SparseRows


def joined_objective(parts, blocks):
    """Return the objective of the members of several ones with the same samples and network.

    They may differ in the penalties, in the folds unless they have a judge, and in whether the
    steps are learned.
    """
    first = parts[0]
    if len(parts) == 1:
        return first.replaced(blocks=blocks)
    samples, changes = first.samples, {"blocks": blocks}
    if samples.folds is not None:
        folds = joined_folds([part.samples.folds for part in parts])
        changes["samples"] = samples._replace(folds=folds)
    changes["penalties"] = joined_penalties([part.penalties for part in parts])
    learning = [part.problem.learn_step for part in parts]
    changes["problem"] = first.problem._replace(learn_step=any(learning))
    if any(learning) and not all(learning):
        xp = namespace(first.free)
        numbers = [part.penalties.alpha.shape[0] for part in parts]
        rows = zip(parts, numbers, strict=True)
        changes["free"] = xp.concat([xp.stack(number * [part.free]) for part, number in rows])
        changes["some_fixed"] = True
    return first.replaced(**changes)


def merged_objective(groups, blocks):
    """Return the objective of the members of several groups of objectives.

    Those of a group are as in `joined_objective`.  On the host, groups may differ in everything but
    the layout.  On a device, they may differ in the samples and, for ODE networks, in the number of
    layers; the layout is that of the deepest ones.
    """
    if len(groups) == 1:
        return joined_objective(groups[0], blocks)
    parts = [joined_objective(group, blocks) for group in groups]
    if on_host(parts[0].penalties.alpha):
        return SideBySide(parts)
    deepest = max(parts, key=lambda part: part.layout.n_layers)
    numbers = [sum(one.penalties.alpha.shape[0] for one in group) for group in groups]
    samples = merged_samples([part.samples for part in parts], numbers)
    changes = {"samples": samples}
    if parts[0].samples.folds is None and samples.folds is not None:
        changes["judge"] = _nothing_is_held_out
    changes["penalties"] = joined_penalties([one.penalties for group in groups for one in group])
    learning = any(part.problem.learn_step for part in parts)
    problem = changes["problem"] = deepest.problem._replace(learn_step=learning)
    if any(part.free.ndim > 1 or part.problem != problem for part in parts):
        pairs = zip(parts, numbers, strict=True)
        masks = [_masks(part, number, deepest.layout.n_layers) for part, number in pairs]
        changes["free"], changes["some_fixed"] = namespace(deepest.free).concat(masks), True
    return deepest.replaced(**changes)


class SideBySide:
    """The objective of the members of several ones, which are evaluated one by one.

    Parameters
    ----------
    parts : list of Objective
        Objectives with the same layout, on the host.  Their members come one after the other.
    """

    # All samples are in this process.  Members always ascend, since no round has two trials of one.
    elsewhere = False

    def __init__(self, parts):
        self.layout, self._parts = parts[0].layout, parts
        self._ends = np.cumsum([0, *(part.penalties.alpha.shape[0] for part in parts)])
        self._last = None, None  # members, and their shares

    def evaluate(self, flat, members=None, gradient=True):
        """See `Objective.evaluate`; the members ascend, and the schemes are explicit."""
        shares = self._shares(members)
        found = [part.evaluate(flat[rows], its, gradient) for part, rows, its in shares]
        by_field = zip(*found, strict=True)
        return Evaluation(*(None if each[0] is None else np.concatenate(each) for each in by_field))

    def of_members(self, members):
        """Return the objective of some of the members, which ascend."""
        return SideBySide([part.of_members(its) for part, _, its in self._shares(members)])

    def _shares(self, members):
        """Return the parts with some of the members, their rows, and their own numbers there.

        Those of the last members are kept, since an objective knows its members by their array.
        """
        if members is None:
            members = np.arange(self._ends[-1])
        elif self._last[0] is members:
            return self._last[1]
        bounds = np.searchsorted(members, self._ends)
        shares = [
            (part, slice(first, last), members[first:last] - start)
            for part, first, last, start in zip(
                self._parts, bounds[:-1], bounds[1:], self._ends[:-1], strict=True
            )
            if last > first
        ]
        self._last = members, shares
        return shares


def _masks(part, number, n_layers):
    """Return what the members of an objective train, of a number of layers; not those added."""
    xp, free = namespace(part.free), part.free
    if free.ndim == 1:
        free = xp.broadcast_to(free[None, :], (number, free.shape[0]))
    return padded(free, part.layout, n_layers)


def _nothing_is_held_out(problem, flat, split, loss):
    """Judge networks whose weights only say which samples are theirs: there is no held-out loss."""
    return


def merged_samples(parts, numbers):
    """Return the samples of several objectives with these numbers of members, one below the other.

    The fold weights of a member are zero on the samples of the others.
    """
    tables, which = [], []  # different samples
    for part in parts:
        k = next((k for k, table in enumerate(tables) if same_table(part, table)), len(tables))
        tables += [part] if k == len(tables) else []
        which.append(k)
    if len(tables) == 1:
        folds = parts[0].folds
        return parts[0]._replace(folds=folds and joined_folds([part.folds for part in parts]))
    concat = namespace(parts[0].weights).concat
    X, targets, weights = (concat([table[i] for table in tables]) for i in range(3))
    folds = _side_by_side(parts, numbers, which)
    return parts[0]._replace(X=X, targets=targets, weights=weights, folds=folds)


def _side_by_side(parts, numbers, which):
    """Return the fold weights of the members of parts that have the tables `which` of samples."""
    found, splits, first = [], {}, 0
    for k in range(max(which) + 1):
        mine = [i for i, table in enumerate(which) if table == k]
        folds = joined_folds([_own_folds(parts[i], numbers[i]) for i in mine])
        found.append([to_host(part) for part in folds[:3]])
        ends = np.cumsum([numbers[i] for i in mine])[:-1]
        some = np.split(to_host(folds.split) + first, ends)
        splits.update(zip(mine, some, strict=True))
        first += folds.train.shape[0]
    groups, train, held_out = zip(*found, strict=True)
    before = np.cumsum([0, *(table.shape[1] for table in train)])
    group = np.concatenate([each + n for each, n in zip(groups, before[:-1], strict=True)])
    split = np.concatenate([splits[i] for i in range(len(parts))])
    folds = FoldWeights(group, block_diag(*train), block_diag(*held_out), split)
    return folds.placed(parts[0].weights)


def _own_folds(samples, number):
    """Return the fold weights of members; without any, those of training on all of the samples."""
    if samples.folds is not None:
        return samples.folds
    weights = to_host(samples.weights)
    group, split = np.zeros(weights.shape, dtype=int), np.zeros(number, dtype=int)
    train = np.ones((1, 1), dtype=weights.dtype)
    return FoldWeights(group, train, np.zeros_like(train), split)


def joined_penalties(parts):
    """Return the penalties of the members of several objectives."""
    alpha = namespace(parts[0].alpha).concat([part.alpha for part in parts])
    strengths = [part[1:] for part in parts]
    if not any(beta for beta, _ in strengths) or len(set(strengths)) == 1:
        return Penalties(alpha, *strengths[0])
    number = [part.alpha.shape[0] for part in parts]
    beta, h = (np.repeat(values, number) for values in zip(*strengths, strict=True))
    return Penalties(alpha, placed(beta.astype(float), alpha), placed(h.astype(float), alpha))


def joined_folds(parts):
    """Return the fold weights of the members of several trainings on the same samples."""
    kinds = []  # different tables
    which = []
    for part in parts:
        k = next((k for k, kind in enumerate(kinds) if same_splits(part, kind)), len(kinds))
        kinds += [part] if k == len(kinds) else []
        which.append(k)
    if len(kinds) == 1:
        split = namespace(kinds[0].split).concat([part.split for part in parts])
        return kinds[0]._replace(split=split)
    # Samples with the same group in all tables form a group.
    groups = np.stack([to_host(kind.group) for kind in kinds])
    old, group = np.unique(groups, axis=1, return_inverse=True)
    train, held_out = (
        np.concatenate([to_host(kind[i])[:, old[k]] for k, kind in enumerate(kinds)])
        for i in (1, 2)
    )
    first = np.cumsum([0, *(kind.train.shape[0] for kind in kinds)])
    pairs = zip(parts, which, strict=True)
    split = np.concatenate([to_host(part.split) + first[k] for part, k in pairs])
    return FoldWeights(group.reshape(-1), train, held_out, split).placed(parts[0].train)


def same_table(one, two):
    """Whether two tables of samples are equal, except for what is held out."""
    return all(map(equal, one[:3], two[:3]))


def same_splits(one, two):
    """Whether two fold weights have the same splits of the same samples."""
    return all(map(equal, one[:3], two[:3]))


def equal(one, two):
    """Whether two arrays, or `SparseRows`, are equal in type, shape, precision and every entry."""
    if one is two:
        return True
    if type(one) is not type(two) or one.shape != two.shape or one.dtype != two.dtype:
        return False
    if isinstance(one, SparseRows):
        parts = ((rows.data, rows.indices, rows.indptr) for rows in (one, two))
        return all(map(equal, *parts))
    return bool(to_host(namespace(one).all(one == two)))
