"""Descent with backtracking, every member at its own pace.

Every round evaluates one trial point per running member, all in one batch.  A member whose trial is
accepted moves there; the others take a shorter step in the next round.  No member waits for the
line search of another.
"""

from __future__ import annotations

from .arrays import Array, host, placed, quiet, to_host
from .directions import Direction
from .line_search import LineSearch
from .objective import Evaluation
from .record import Record, inner

__all__ = ["Backtracking"]

# A gradient beside J takes twice as long as J alone; apart it may need the pass forward again.  So
# it is computed at once where more than this share of the trials is accepted.
HOPEFUL = 0.7
LEARNING = 0.2  # how much the last round counts in that share


class Backtracking:
    """Rounds of trial points along a direction.

    Parameters
    ----------
    record : Record
        The members, where they are.
    direction : Direction
    line_search : LineSearch
    """

    def __init__(self, record: Record, direction: Direction, line_search: LineSearch) -> None:
        self.record, self.direction, self.line_search = record, direction, line_search
        self.t = host.full(record.running.shape, line_search.first_step)
        self.hope = 1.0  # the share of the trials that were accepted of late
        nobody = host.zeros(record.running.shape, dtype=bool)
        with quiet():
            self.d = direction(record, nobody, None)

    def round(self, tol: float) -> Array:
        """One trial point for every running member: move there, or shorten the step.

        Returns a mask of the members whose trial rounding cannot tell from their present point.
        """
        record, t = self.record, self.t
        xp, u, g = record.xp, record.u, record.g
        J = record.J[record.running]
        step = placed(t, u, u.dtype)[:, None]
        with quiet():
            trial = record.project(u + step * self.d)
            move = trial - u
            products = xp.stack([inner(g, move), inner(move, move), inner(u, u)])
            slope, distance2, size2 = to_host(products)
            standing = distance2 <= xp.finfo(u.dtype).eps ** 2 * size2

            def good(found: Evaluation) -> Array:
                enough = self.line_search.accepts(J, to_host(found.J), slope, distance2, t)
                return enough & (slope <= 0) & ~standing

            # Where trials are rejected often, the gradient waits for the verdict.
            found = record.evaluate(trial, gradient=True if self.hope > HOPEFUL else good)
            accepted = good(found)
            if found.gradient is not None:
                accepted &= host.isfinite(to_host(inner(found.gradient, found.gradient)))
            self.hope += LEARNING * (float(host.mean(accepted)) - self.hope)
            J_trial = to_host(found.J)
            held_out = J_trial if found.held_out is None else to_host(found.held_out)
            record.n_evaluations[record.running] += 1
            self.t = self.line_search.next_step(t, accepted, J, J_trial, slope)
            if host.any(accepted):
                record.move(accepted, trial, found.gradient, J_trial, held_out, tol)
            # A direction that leads nowhere may be due to what it remembers.
            renewed = self.direction.forget((standing | ~(slope <= 0)) & ~accepted)
            self.t[renewed] = self.line_search.first_step
            if host.any(accepted | renewed):
                mask = placed(accepted | renewed, u)[:, None]
                self.d = xp.where(mask, self.direction(record, accepted, move), self.d)
        return standing & ~renewed

    def keep(self, staying: Array) -> None:
        """Members have left the batch: go on with the rows `staying`."""
        self.d = self.record.xp.take(self.d, staying, axis=0)
        self.t = self.t[to_host(staying)]
        self.direction.keep(staying)
