"""All trainable numbers: one flat row per member, and the named views into it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from .arrays import Array, device, host, namespace, placed, to_host


class Controls(NamedTuple):
    """The controls of every member, or a gradient with respect to them.

    Shapes, without the leading axis of the members: K (n_layers, n_channels, n_channels),
    b (n_layers, n_channels), h (n_layers,), W (n_outputs, n_channels), mu (n_outputs,).  Networks
    with a learned lift of the features also have V (n_channels, n_features) and nu (n_channels,),
    which are None otherwise.
    """

    K: Array
    b: Array
    h: Array
    W: Array
    mu: Array
    V: Array = None
    nu: Array = None


def refined(U: Controls, times: int) -> Controls:
    """Refine the time grid: split every layer into `times` layers with the step h/times."""
    xp = namespace(U.K)
    K, b, h = (xp.repeat(part, times, axis=1) for part in (U.K, U.b, U.h))
    return U._replace(K=K, b=b, h=h / times)


def without_idle_layers(U: Controls) -> Controls:
    """Remove the layers with h = 0 from an ODE network; they do not change the state.

    If members have different numbers of such layers, some members keep a few, at the end.
    """
    idle = to_host(U.h) == 0
    n_layers = max(1, int(host.max(host.sum(~idle, axis=1))))
    if n_layers == idle.shape[1]:
        return U
    xp, (members, every) = namespace(U.K), idle.shape
    order = host.argsort(idle, axis=1, stable=True)[:, :n_layers]
    rows = placed(host.reshape(every * host.arange(members)[:, None] + order, -1), U.K)

    def kept(part: Array) -> Array:
        rest = part.shape[2:]
        layers = xp.reshape(part, (members * every, *rest))
        return xp.reshape(xp.take(layers, rows, axis=0), (members, n_layers, *rest))

    return U._replace(K=kept(U.K), b=kept(U.b), h=kept(U.h))


@dataclass(frozen=True)
class Layout:
    """The positions of the named parts of the controls in the flat row of a member.

    `lifted` is the number of features that a learned map lifts to the channels, or 0 if the
    features are padded with zeros.
    """

    n_layers: int
    n_channels: int
    n_outputs: int
    lifted: int = 0

    @cached_property
    def shapes(self) -> Controls:
        """The shape of every part, for one member."""
        N, n, q, d = self.n_layers, self.n_channels, self.n_outputs, self.lifted
        lift = {"V": (n, d), "nu": (n,)} if d else {}
        return Controls(K=(N, n, n), b=(N, n), h=(N,), W=(q, n), mu=(q,), **lift)

    @cached_property
    def slices(self) -> Controls:
        """The slice of every part in the flat row."""
        shapes = [shape for shape in self.shapes if shape is not None]
        ends = list(accumulate(map(math.prod, shapes)))
        return Controls(*map(slice, [0, *ends], ends))

    @property
    def size(self) -> int:
        """The number of controls of one member."""
        return max(int(part.stop) for part in self.slices if part is not None)

    def views(self, flat: Array) -> Controls:
        """Return views of the named parts of `flat`, of shape (members, size)."""
        xp = namespace(flat)
        return Controls(
            *(
                xp.reshape(flat[:, part], (flat.shape[0], *shape))
                for part, shape in zip(self.slices, self.shapes, strict=True)
                if part is not None
            )
        )

    def flatten(self, controls: Controls) -> Array:
        """Return the flat rows, (members, size), of named parts."""
        parts = [part for part in controls if part is not None]
        xp = namespace(*parts)
        return xp.concat([xp.reshape(part, (part.shape[0], -1)) for part in parts], axis=1)

    def mask(self, free: Collection[str], like: Array) -> Array:
        """Return a flat row, True on the parts named in `free` and False on the fixed parts.

        Raises
        ------
        ValueError
            If a name is not the name of a part.
        """
        if unknown := set(free) - set(Controls._fields):
            raise ValueError(
                f"free must name parts of the controls, {', '.join(Controls._fields)}; "
                f"got {', '.join(sorted(unknown))}."
            )
        xp = namespace(like)
        return xp.concat(
            [
                xp.full(math.prod(shape), name in free, dtype=xp.bool, device=device(like))
                for name, shape in zip(Controls._fields, self.shapes, strict=True)
                if shape is not None
            ]
        )
