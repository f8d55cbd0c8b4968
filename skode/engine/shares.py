"""Which samples each member is trained on, and which it is judged by.

Samples that play the same part in every member form a group: a fold, for example.  What has to be
stored is the group of each sample and the weight of each group for each member, never an array of
members × samples.
"""

from __future__ import annotations

from dataclasses import dataclass

from .arrays import Array, namespace

__all__ = ["Shares"]


@dataclass(frozen=True)
class Shares:
    """The weights of the groups of samples for each member.

    Parameters
    ----------
    group : array of int of shape (samples,)
        The group of each sample.
    train : array of shape (members, groups)
        Factors of the samples' weights in the data loss.
    held_out : array of shape (members, groups)
        Factors of the samples' weights in the held-out loss.
    """

    group: Array
    train: Array
    held_out: Array

    def of(self, members: Array) -> Shares:
        """The shares of some of the members."""
        xp = namespace(self.train)
        train, held_out = (xp.take(t, members, axis=0) for t in (self.train, self.held_out))
        return Shares(self.group, train, held_out)

    def weights(self, rows: slice, w: Array) -> tuple[Array, Array]:
        """The weights of the samples `rows` in both losses, (members, samples), from their own."""
        xp = namespace(self.train)
        group = self.group[rows]
        return xp.take(self.train, group, axis=1) * w, xp.take(self.held_out, group, axis=1) * w
