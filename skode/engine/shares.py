"""Which samples each member is trained on, and which it is judged by.

Samples that play the same part in every split form a group: a fold, for example.  What has to be
stored is the group of each sample, the weight of each group in each split, and the split of each
member, never an array of members × samples.
"""

from __future__ import annotations

from dataclasses import dataclass

from .arrays import Array, host, namespace, on_host, placed

__all__ = ["Shares"]


@dataclass(frozen=True)
class Shares:
    """The weights of the groups of samples in each split.

    Parameters
    ----------
    group : array of int of shape (samples,)
        The group of each sample.
    train : array of shape (splits, groups)
        Factors of the samples' weights in the data loss.
    held_out : array of shape (splits, groups)
        Factors of the samples' weights in the held-out loss.
    split : array of int of shape (members,), optional
        The split of each member; by default every member has its own, in their order.
    """

    group: Array
    train: Array
    held_out: Array
    split: Array | None = None

    def placed(self, like: Array) -> Shares:
        """These shares, which are the host's, where `like` is."""
        if on_host(like):
            return self
        # Not every library takes small integers for indices.
        group = placed(self.group.astype(host.int64), like)
        split = self.split if self.split is None else placed(self.split, like)
        return Shares(group, placed(self.train, like), placed(self.held_out, like), split)

    def of(self, members: Array) -> Shares:
        """The shares of some of the members."""
        split = members
        if self.split is not None:
            split = namespace(self.split).take(self.split, members)
        return Shares(self.group, self.train, self.held_out, split)

    def weights(self, rows: slice, w: Array) -> tuple[Array, Array]:
        """The weights of the samples `rows` in both losses, (members, samples), from their own."""
        xp = namespace(self.train)
        train, held_out = (
            xp.take(table, self.group[rows], axis=1) * w for table in (self.train, self.held_out)
        )
        if self.split is None:
            return train, held_out
        return xp.take(train, self.split, axis=0), xp.take(held_out, self.split, axis=0)
