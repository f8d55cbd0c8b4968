"""L-BFGS directions for every member of the batch."""

from __future__ import annotations

from ..arrays import Array, device, host, namespace, on_host, placed, put
from .backtracking import Steepest
from .state import State, inner

MEMORY = 10  # pairs that are stored
COPIED = 2**22  # numbers in the pairs of members that are moved at a time
LONGEST = 0.5  # largest length of a direction, as a fraction of √(1 + ‖u‖²)


class LBFGS(Steepest):
    """The limited-memory BFGS direction d = -H r in its compact form.

    Let s = ũ - u and y = r̃ - r be the last pairs, as columns of S and Y from the oldest to the
    newest.  With the upper triangle R of SᵀY, its diagonal D, and γ ≈ ⟨s, y⟩/⟨y, y⟩ of the newest
    pair,

        H r = γ r + S R⁻ᵀ ((D + γ YᵀY) R⁻¹ Sᵀr - γ Yᵀr) - γ Y R⁻¹ Sᵀr.

    So a direction takes two products with the memory; the rest is small and computed on the host.
    r is the gradient, or under constraints the projected gradient, see `Constraint`.  A pair is
    skipped if its curvature ⟨s, y⟩ is not clearly positive.

    γ only sets the scale, so it is rounded to three bits.  This removes the rounding errors of
    ⟨s, y⟩/⟨y, y⟩, which would otherwise enter every component of d.  Training with the samples in
    another order would then soon give different results.

    The length of d is limited to ½ √(1 + ‖u‖²): if the pairs contain little information on the
    curvature, d may be far too long, and the result would depend on its last digits.

    A pair is stored before its curvature is known, so that all products are copied to the host at
    once.  For this the memory has one slot more than it holds pairs, the spare slot.

    Reference: Byrd, Nocedal, Schnabel, "Representations of quasi-Newton matrices and their use in
    limited memory methods" (Mathematical Programming 63, 1994), equation (3.1).

    Parameters
    ----------
    u : array of shape (running, controls)
        Where the members start.
    memory : int, default=10
        Number of pairs that are stored, p.

    Attributes
    ----------
    pairs : array of shape (running, 2 (p + 1), controls)
        The rows s of S, then the rows y of Y, by slot.
    SY, YY : host arrays of shape (running, p + 1, p + 1)
        SᵀY and YᵀY by slot; entries of unused slots are meaningless.
    n_learned, n_pairs : host arrays of int of shape (running,)
        The number of all pairs so far, and of pairs in use, at most p.  The newest is in slot
        n_learned - 1 modulo p + 1, the others are in the slots before it, and the next slot is
        the spare one.
    """

    def __init__(self, u: Array, memory: int = MEMORY) -> None:
        members, size = u.shape
        slots = memory + 1
        self.pairs = namespace(u).zeros((members, 2 * slots, size), dtype=u.dtype, device=device(u))
        self.SY = host.zeros((members, slots, slots))
        self.YY = host.zeros((members, slots, slots))
        self.n_learned = host.zeros(members, dtype=int)
        self.n_pairs = host.zeros(members, dtype=int)

    def measure(self, accepted: Array, s: Array, r: Array, r_new: Array) -> Array:
        """Compute products of S and Y, with s and y in the spare slots, see `_factors`.

        The parameters are those of `Steepest.measure`.
        """
        xp, slots = namespace(r), self.SY.shape[1]
        new = xp.stack([s, r_new - r, r_new], axis=1)
        rows = host.nonzero(accepted)[0]
        spare = self.n_learned[rows] % slots
        put(self.pairs, rows, host.stack([spare, spare + slots], axis=1), new[:, :2, :])
        products = xp.matmul(self.pairs, xp.matrix_transpose(self._factors(new)))
        return xp.astype(xp.reshape(products, (r.shape[0], -1)), xp.float64, copy=False)

    def _factors(self, new: Array) -> Array:
        """Return the rows by which S and Y are multiplied: here those of `new`, s, y and r."""
        return new

    def solve(self, state: State, accepted: Array, products: Array | None) -> Array:
        """Return the directions; for a member without pairs, -r with a length of at most 1."""
        r, xp = state.r, state.xp
        gamma = 1 / host.maximum(1.0, state.steepness**0.5)
        if products is None:
            return -placed(gamma, r, r.dtype)[:, None] * r
        members, slots = self.SY.shape[:2]
        by_slot = host.reshape(products, (members, 2, slots, -1))
        self._learn(host.nonzero(accepted)[0], by_slot)
        a, b, gamma = self._coefficients(by_slot[..., -1], gamma)
        coefficients = -host.concat([gamma[:, None], a, b], axis=1)
        on_device = placed(coefficients, r, r.dtype)
        d = on_device[:, :1] * r + xp.matmul(on_device[:, None, 1:], self.pairs)[:, 0, :]
        excess2 = inner(d, d) / (LONGEST**2 * (1 + state.size2))
        factor = 1 / xp.sqrt(xp.maximum(excess2, xp.ones_like(excess2)))
        return xp.astype(factor, r.dtype, copy=False)[:, None] * d

    def _learn(self, rows: Array, products: Array) -> None:
        """Use the pairs in the spare slots of these members, if their curvature is positive.

        `products` are Sᵀ(s, y, r) and Yᵀ(s, y, r), (running, 2, slots, 3).
        """
        slots = self.SY.shape[1]
        eps = namespace(self.pairs).finfo(self.pairs.dtype).eps
        spare = self.n_learned[rows] % slots
        sy, yy = products[rows, 0, spare, 1], products[rows, 1, spare, 1]
        curved = sy > eps * yy
        k, slot = rows[curved], spare[curved]
        self.SY[k, :, slot] = products[k, 0, :, 1]
        self.SY[k, slot, :] = products[k, 1, :, 0]
        self.SY[k, slot, slot] = sy[curved]
        self.YY[k, :, slot] = self.YY[k, slot, :] = products[k, 1, :, 1]
        self.n_learned[k] += 1
        self.n_pairs[k] = host.minimum(self.n_pairs[k] + 1, slots - 1)

    def _coefficients(self, products: Array, gamma: Array) -> tuple[Array, Array, Array]:
        """Return the coefficients of S and of Y, by slot, and of r in H r.

        `products` are Sᵀr and Yᵀr, (running, 2, slots); `gamma` is γ for members without pairs.
        """
        members, slots = self.SY.shape[:2]
        # The slots of every member from the oldest pair to the newest, and a mask of empty ones.
        age = host.arange(slots - 1)
        order = (self.n_learned[:, None] + 1 + age) % slots
        empty = age < slots - 1 - self.n_pairs[:, None]
        k, one = host.arange(members)[:, None], host.eye(slots - 1)
        gone = empty[:, :, None] | empty[:, None, :]
        SY, YY = (
            host.where(gone, 0.0, part[k[..., None], order[:, :, None], order[:, None, :]])
            for part in (self.SY, self.YY)
        )
        Sr, Yr = (host.where(empty, 0.0, products[k, i, order])[..., None] for i in (0, 1))
        sy, yy = SY[:, -1, -1], YY[:, -1, -1]
        scale = rounded(sy / host.where(yy > 0, yy, 1.0))
        gamma = host.where(self.n_pairs > 0, scale, gamma)
        R = host.triu(SY) + one * empty[:, :, None]
        R_Sr = host.linalg.solve(R, Sr)
        column = gamma[:, None, None]
        right = (SY * one + column * YY) @ R_Sr - column * Yr
        by_age = host.linalg.solve(host.matrix_transpose(R), right), -column * R_Sr
        by_slot = host.zeros((2, members, slots))
        for place, part in zip(by_slot, by_age, strict=True):
            place[k, order] = part[..., 0]
        return *by_slot, gamma

    def forget(self, which: Array) -> Array:
        """Remove the pairs of the members in the host mask; return which of them had pairs."""
        had_some = which & (self.n_pairs > 0)
        self.n_pairs[had_some] = 0
        return had_some

    def select(self, rows: Array) -> None:
        """Keep only these rows, a host array; the other members have ended."""
        # In place, since a copy of all is large; on a device with few calls.
        pairs, first = self.pairs, int(host.sum(rows == host.arange(len(rows))))
        if on_host(pairs):
            for k in range(first, len(rows)):
                pairs[k] = pairs[rows[k]]
        else:
            size = 1 + COPIED // (pairs.shape[1] * pairs.shape[2])
            for k in range(first, len(rows), size):
                some = placed(rows[k : k + size], pairs)
                pairs[k : k + some.shape[0], ...] = namespace(pairs).take(pairs, some, axis=0)
        self.pairs = self.pairs[: len(rows), ...]
        self.SY, self.YY = self.SY[rows], self.YY[rows]
        self.n_learned, self.n_pairs = self.n_learned[rows], self.n_pairs[rows]


def rounded(values: Array) -> Array:
    """Return host `values` rounded to three significant bits."""
    mantissa, exponent = host.frexp(values)
    return host.ldexp(host.round(8 * mantissa) / 8, exponent)
