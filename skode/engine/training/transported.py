"""L-BFGS on a manifold: the pairs go along from tangent space to tangent space."""

from __future__ import annotations

from collections.abc import Callable

from ..arrays import Array, host, namespace
from .lbfgs import LBFGS, MEMORY
from .state import chosen


class TransportedLBFGS(LBFGS):
    """L-BFGS whose pairs are transported to where the members are, by projection.

    Then all of SᵀY and YᵀY is new in every iteration, and a pair may lose its curvature: the member
    forgets that and those before it.

    Reference: Huang, Gallivan, Absil, "A Broyden class of quasi-Newton methods for Riemannian
    optimization" (SIAM Journal on Optimization 25, 2015), in its limited-memory form, with the
    transport of Absil, Mahony, Sepulchre, "Optimization algorithms on matrix manifolds" (2008),
    section 8.1.3.

    Parameters
    ----------
    u, memory
        Those of `LBFGS`.
    tangent : callable (u, v) -> array
        The projection onto the tangent spaces, see `Constraint.tangent`.
    """

    def __init__(
        self, u: Array, tangent: Callable[[Array, Array], Array], memory: int = MEMORY
    ) -> None:
        super().__init__(u, memory)
        self._tangent = tangent

    def transport(self, accepted: Array, u: Array) -> None:
        """Carry the pairs along, see `Steepest.transport`."""
        xp, shape = namespace(u), self.pairs.shape
        flat = (
            xp.reshape(pairs, (shape[0], -1))
            for pairs in (self._tangent(u, self.pairs), self.pairs)
        )
        self.pairs = xp.reshape(chosen(accepted, *flat), shape)

    def _factors(self, new: Array) -> Array:
        """Return all pairs and r, since all products of pairs are new."""
        return namespace(new).concat([self.pairs, new[:, 2:, :]], axis=1)

    def _learn(self, rows: Array, products: Array) -> None:
        """Use the pairs of these members that have curvature, the newest in the spare slots.

        `products` are Sᵀ(S, Y, r) and Yᵀ(S, Y, r), (running, 2, slots, 2 slots + 1).
        """
        slots = self.SY.shape[1]
        self.SY[rows] = products[rows, 0, :, slots:-1]
        self.YY[rows] = products[rows, 1, :, slots:-1]
        eps = namespace(self.pairs).finfo(self.pairs.dtype).eps
        sy, yy = (host.diagonal(part[rows], axis1=1, axis2=2) for part in (self.SY, self.YY))
        curved, each = sy > eps * yy, host.arange(rows.size)
        k = rows[curved[each, self.n_learned[rows] % slots]]
        self.n_learned[k] += 1
        self.n_pairs[k] = host.minimum(self.n_pairs[k] + 1, slots - 1)
        from_newest = (self.n_learned[rows, None] - 1 - host.arange(slots - 1)) % slots
        unbroken = host.cumprod(curved[each[:, None], from_newest], axis=1)
        self.n_pairs[rows] = host.minimum(self.n_pairs[rows], host.sum(unbroken, axis=1))
