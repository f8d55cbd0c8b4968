"""Fold weights: on which samples each member is trained, and on which it is validated.

Samples with the same role in every split form a group, for example a fold.  Only the group of each
sample, the weight of each group in each split, and the split of each member are stored, never an
array of members × samples.
"""

from __future__ import annotations

from typing import NamedTuple

from .arrays import Array, host, namespace, on_host, placed


class FoldWeights(NamedTuple):
    """The weights of the groups of samples in each split.

    `train` and `held_out`, (splits, groups), are factors of the samples' weights in the data loss
    and in the held-out loss.  `group`, (samples,), holds the group of each sample, and `split`,
    (members,), the split of each member, both as integers.
    """

    group: Array
    train: Array
    held_out: Array
    split: Array

    def placed(self, like: Array) -> FoldWeights:
        """Copy these fold weights from the host to the device of `like`."""
        if on_host(like):
            return self
        # Not every library accepts small integers as indices.
        group = placed(self.group.astype(host.int64), like)
        return FoldWeights(group, *(placed(part, like) for part in self[1:]))

    def of_members(self, members: slice | Array) -> FoldWeights:
        """Return the fold weights of some of the members."""
        return self._replace(split=_some(self.split, members))

    def of_samples(self, rows: slice | Array) -> FoldWeights:
        """Return the fold weights of some of the samples."""
        return self._replace(group=_some(self.group, rows))

    def weights(self, w: Array) -> tuple[Array, Array]:
        """Return the weights in both losses, (members, samples), from the weights `w`."""
        xp = namespace(self.train)
        train, held_out = (
            xp.take(xp.take(table, self.split, axis=0), self.group, axis=1) * w
            for table in (self.train, self.held_out)
        )
        return train, held_out


def _some(array: Array, which: slice | Array) -> Array:
    """Select the entries of a vector by a slice or by indices."""
    return array[which] if isinstance(which, slice) else namespace(array).take(array, which)
