"""One objective of the members of several ones, which have the same samples."""

from __future__ import annotations

from copy import copy

import numpy as np

from .engine.arrays import namespace, placed, to_host
from .engine.fold_weights import FoldWeights
from .engine.penalties import Penalties
from .engine.sparse_rows import SparseRows


def joined_objective(parts, blocks):
    """Return the objective of the members of several ones with the same samples and network.

    They may differ in the penalties, in the folds unless they have a judge, and in whether the
    steps are learned.
    """
    whole, samples = copy(parts[0]), parts[0].samples
    if samples.folds is not None:
        folds = joined_folds([part.samples.folds for part in parts])
        whole.samples = samples._replace(folds=folds)
    whole.penalties = joined_penalties([part.penalties for part in parts])
    learning = [part.problem.learn_step for part in parts]
    whole.problem = whole.problem._replace(learn_step=any(learning))
    if any(learning) and not all(learning):
        xp = namespace(whole._free)
        numbers = [part.penalties.alpha.shape[0] for part in parts]
        rows = zip(parts, numbers, strict=True)
        whole._free = xp.concat([xp.stack(number * [part._free]) for part, number in rows])
        whole._some_fixed = True
    whole.blocks = blocks
    vars(whole).pop("trained_rows", None)
    return whole


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
