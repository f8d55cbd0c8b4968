"""Fold weights: which samples each member is trained on, and which it is judged by.

Samples that play the same part in every split form a group: a fold, for example.  What is stored
is the group of each sample, the weight of each group in each split, and the split of each member,
never an array of members × samples.
"""

from __future__ import annotations

from typing import NamedTuple

from .arrays import Array, host, namespace, on_host, placed


class FoldWeights(NamedTuple):
    """The weights of the groups of samples in each split.

    `train` and `held_out`, (splits, groups), are factors of the samples' weights in the data loss
    and in the held-out loss.  `group`, (samples,), is the group of each sample, and `split`,
    (members,), the split of each member: both are integers.
    """

    group: Array
    train: Array
    held_out: Array
    split: Array

    def placed(self, like: Array) -> FoldWeights:
        """These fold weights, which are the host's, where `like` is."""
        if on_host(like):
            return self
        # Not every library takes small integers for indices.
        group = placed(self.group.astype(host.int64), like)
        return FoldWeights(group, *(placed(part, like) for part in self[1:]))

    def of_members(self, members: slice | Array) -> FoldWeights:
        """The fold weights of some of the members."""
        return self._replace(split=_some(self.split, members))

    def of_samples(self, rows: slice | Array) -> FoldWeights:
        """The fold weights of some of the samples."""
        return self._replace(group=_some(self.group, rows))

    def weights(self, w: Array) -> tuple[Array, Array]:
        """The weights of the samples in both losses, (members, samples), from their own."""
        xp = namespace(self.train)
        train, held_out = (
            xp.take(xp.take(table, self.split, axis=0), self.group, axis=1) * w
            for table in (self.train, self.held_out)
        )
        return train, held_out


def _some(array: Array, which: slice | Array) -> Array:
    """The entries of a vector in a slice, or at some indices."""
    return array[which] if isinstance(which, slice) else namespace(array).take(array, which)
