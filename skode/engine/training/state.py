"""The state of a training: the current points of the members, and their history."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from ..arrays import Array, host, namespace, placed, quiet, to_host
from ..constraints import Constraint
from ..objective import Objective
from .exactness import Exactness


@dataclass(frozen=True)
class Training:
    """The results of a training; all but `flat` are host arrays.

    The best point of a member, its row of `flat`, is the one with the lowest held-out loss or, if
    nothing is held out, with the lowest objective.  The curves, (members, iterations + 1), include
    the start; they are NaN after a member has ended.  Held-out losses are NaN if nothing is held
    out.
    """

    flat: Array  # the best points, (members, controls)
    J: Array  # the objective there, (members,) like all others but the curves
    curve: Array
    held_out: Array  # the held-out loss at the best points
    held_out_curve: Array
    n_iter: Array
    n_evaluations: Array  # of the objective on all samples
    best_iter: Array  # the iteration of the best point
    reason: Array  # why the member ended, a string


class State:
    """The members during training.

    A member runs until it ends.  Some arrays have a row per running member, in the order of
    `running`; the others, on the host, have a row per member.

    Parameters
    ----------
    objective : Objective
    start : array of shape (members, controls)
    constraint : Constraint
        What the controls have to obey.
    exact_stages : bool, default=False
        Whether stage equations are always solved to rounding.  This is necessary unless the
        constraint ensures that they have one solution: otherwise a small residual does not imply
        one.

    Attributes
    ----------
    running, members : arrays of int of shape (running,)
        The members that have not ended, on the host and on the device of the controls.
    u, best : arrays of shape (running, controls)
        The current and the best point.
    g, r : arrays of shape (running, controls), or None
        The gradient at u, along the manifold if there is one, and the projected gradient, see
        `Constraint`.  None if the gradient on all samples is not known.
    steepness : host array of shape (running,)
        ‖r‖², or 0 without a gradient.
    exactness : Exactness or None
        The tolerance of J at u; None if J is always known to rounding.
    J, held_out : host arrays of shape (members,)
        The objective and the held-out loss at u; the latter is NaN if nothing is held out, and
        `judged` is then False.
    curve, held_out_curve, lowest_curve : host arrays of shape (members, allocated iterations)
        Curves of J, of the held-out loss, and of the lowest J since the phase began.
    phase_start : host array of int of shape (members,)
        The iteration at which the current phase of the solver began.
    mark, mark_iter : host arrays of shape (members,)
        The held-out loss that last fell by more than `tol` below the previous mark, and its
        iteration.
    n_iter, n_evaluations, reason, best_J, best_held_out, best_iter : host arrays, (members,)
        As in `Training`; the reason is empty until a member ends.

    Raises
    ------
    ValueError
        If the objective or its gradient is not finite at the start of a member.
    """

    def __init__(
        self,
        objective: Objective,
        start: Array,
        constraint: Constraint,
        exact_stages: bool = False,
    ) -> None:
        self.objective, self.constraint = objective, constraint
        xp = self.xp = namespace(start)
        members = start.shape[0]
        self.running = host.arange(members)
        self.members = placed(self.running, start)
        with quiet():
            self.u = self.best = constraint.project(start)
        first = objective.evaluate(self.u)
        self.judged = first.held_out is not None
        sensitivity = None if exact_stages else first.sensitivity
        self.exactness = Exactness.of(sensitivity, float(xp.finfo(start.dtype).eps))
        with quiet():
            self.g, self.r = self.gradients(self.u, first.gradient)
            facts = [first.J, inner(self.r, self.r)]
            facts += [first.held_out] if self.judged else []
            self.J, self.steepness, *rest = to_host(xp.stack(facts))
        if not host.all(host.isfinite(self.J) & host.isfinite(self.steepness)):
            raise ValueError(
                "The objective or its gradient is not finite at the start of training, or the "
                "stage equations of an implicit scheme could not be solved: scale X, for example "
                "with StandardScaler, and y; or take a smaller h, alpha or smoothness, or "
                "stage_guard='bound'."
            )
        self.held_out = rest[0] if self.judged else host.full(members, host.nan)
        self.n_iter = host.zeros(members, dtype=int)
        self.n_evaluations = host.ones(members, dtype=int)
        self.reason = host.full(members, "", dtype="<U20")
        self.curve, self.held_out_curve = self.J[:, None], self.held_out[:, None]
        self.lowest_curve, self.phase_start = self.J[:, None], host.zeros(members, dtype=int)
        self.best_J, self.best_held_out = self.J, self.held_out
        self.best_iter = host.zeros(members, dtype=int)
        self.mark, self.mark_iter = self.held_out.copy(), host.zeros(members, dtype=int)
        self._ended: list[tuple[Array, Array]] = []  # members and their points
        self._size2: tuple[Array, Array] | None = None  # u, and its sizes

    @property
    def size2(self) -> Array:
        """‖u‖² on the device; it is computed once for an array u."""
        if self._size2 is None or self._size2[0] is not self.u:
            self._size2 = self.u, inner(self.u, self.u)
        return self._size2[1]

    def gradients(self, u: Array, derivative: Array) -> tuple[Array, Array]:
        """Return g and r at the points u, from the derivative of J with respect to the controls.

        Without a constraint, all three are the same array.
        """
        g = self.constraint.tangent(u, derivative)
        return g, self.constraint.projected_gradient(u, g)

    def move(
        self,
        moving: Array,
        u: Array,
        g: Array,
        r: Array,
        steepness: Array,
        J: Array,
        held_out: Array | None,
    ) -> None:
        """Record another iteration of the members in the host mask `moving`.

        u, g, r and `steepness` become the attributes; the rows of the other members must be
        unchanged.  J and `held_out` are host arrays of shape (running,); entries of the other
        members are ignored.
        """
        who = self.running[moving]
        n_iter = _changed(self.n_iter, who, self.n_iter[who] + 1)
        new_J = _changed(self.J, who, J[moving])
        new_held_out = self.held_out
        if held_out is not None:
            new_held_out = _changed(self.held_out, who, held_out[moving])
        self._write(who, n_iter, new_J, new_held_out)
        better = new_held_out < self.best_held_out if self.judged else new_J < self.best_J
        best = chosen(better[self.running], u, self.best)
        # In one statement, so that after an interruption (in CPython) J belongs to the point.
        self.best, self.best_J, self.best_held_out, self.best_iter = (
            best,
            host.where(better, new_J, self.best_J),
            host.where(better, new_held_out, self.best_held_out),
            host.where(better, n_iter, self.best_iter),
        )
        self.u, self.g, self.r, self.steepness = u, g, r, steepness
        self.J, self.held_out, self.n_iter = new_J, new_held_out, n_iter

    def improve(self, which: Array, J: Array, exactness: Exactness) -> None:
        """Replace J at the current points of the members in a mask by better values, (running,)."""
        self.J = _changed(self.J, self.running[which], J[which])
        self.exactness = exactness

    def _write(self, who: Array, n_iter: Array, J: Array, held_out: Array) -> None:
        """Append entries to the curves."""
        if who.size and host.max(n_iter) >= self.curve.shape[1]:  # full: make it twice as long
            self.curve, self.held_out_curve, self.lowest_curve = (
                host.pad(curve, ((0, 0), (0, curve.shape[1])), constant_values=host.nan)
                for curve in (self.curve, self.held_out_curve, self.lowest_curve)
            )
        self.curve[who, n_iter[who]] = J[who]
        lowest = host.minimum(self.lowest_curve[who, n_iter[who] - 1], J[who])
        self.lowest_curve[who, n_iter[who]] = lowest
        self.held_out_curve[who, n_iter[who]] = held_out[who]

    def go_to_best(self) -> None:
        """Move the running members to their best points, and begin a new phase of the solver."""
        running = self.running
        found = self.objective.evaluate(self.best, self.members)
        with quiet():
            g, r = self.gradients(self.best, found.gradient)
            J, steepness = to_host(self.xp.stack([found.J, inner(r, r)]))
        self.n_evaluations[running] += 1
        self.u, self.g, self.r, self.steepness = self.best, g, r, steepness
        if self.exactness is not None:
            self.exactness = Exactness.of(found.sensitivity, float(self.xp.finfo(self.u.dtype).eps))
        self.J = _changed(self.J, running, J)
        self.held_out = _changed(self.held_out, running, self.best_held_out[running])
        self.phase_start[running] = self.mark_iter[running] = self.n_iter[running]
        self.lowest_curve[running, self.n_iter[running]] = J

    def end_all(self, reason: str) -> None:
        """End all members at their current points."""
        self.reason[self.running] = reason
        self.take_out(host.ones(self.running.shape, dtype=bool))

    def so_far(self, reason: str) -> Training:
        """Return the result if training ended now, for this reason."""
        now = copy.copy(self)
        now.reason = self.reason.copy()
        if now.running.size:
            now.end_all(reason)
        return now.result()

    def take_out(self, leaving: Array) -> Array:
        """End the running members in the host mask; return the rows of the others."""
        staying = host.nonzero(~leaving)[0]
        rows, rows_out = (placed(r, self.u) for r in (staying, host.nonzero(leaving)[0]))
        out = (self.running[leaving], self.xp.take(self.best, rows_out, axis=0))
        u, best, g = (
            array if array is None else self.xp.take(array, rows, axis=0)
            for array in (self.u, self.best, self.g)
        )
        r = g if self.r is self.g else self.xp.take(self.r, rows, axis=0)
        members = self.xp.take(self.members, rows)
        # In one statement, so that an interruption (in CPython) finds each member in one place.
        self._ended, self.u, self.best, self.running, self.members = (
            [*self._ended, out],
            u,
            best,
            self.running[staying],
            members,
        )
        self.g, self.r, self.steepness = g, r, self.steepness[staying]
        if self.exactness is not None:
            self.exactness = self.exactness.select(staying)
        return staying

    def result(self) -> Training:
        """Return the result, once all members have ended."""
        members = host.concatenate([members for members, _ in self._ended])
        flat = self.xp.concat([best for _, best in self._ended], axis=0)
        flat = self.xp.take(flat, placed(host.argsort(members), flat), axis=0)
        if self.exactness is not None:  # finally compute J to rounding
            with quiet():
                found = self.objective.evaluate(flat, gradient=False)
                self.best_J = to_host(found.J)
                self.best_held_out = to_host(found.held_out) if self.judged else self.held_out
        done = host.arange(self.curve.shape[1]) <= self.n_iter[:, None]
        # Without leftovers of an interruption.
        curves = (host.where(done, c, host.nan) for c in (self.curve, self.held_out_curve))
        curve, held_out_curve = (c[:, : int(host.max(self.n_iter)) + 1] for c in curves)
        return Training(
            flat=flat,
            J=self.best_J,
            curve=curve,
            held_out=self.best_held_out,
            held_out_curve=held_out_curve,
            n_iter=self.n_iter,
            n_evaluations=self.n_evaluations,
            best_iter=self.best_iter,
            reason=self.reason,
        )


def inner(x: Array, y: Array) -> Array:
    """Return ⟨x, y⟩ per member, summed in float64."""
    xp = namespace(x)
    return xp.sum(x * y, axis=1, dtype=xp.float64)


def chosen(which: Array, new: Array, old: Array) -> Array:
    """Return the rows of `new` where the host mask `which` is True, and those of `old` elsewhere.

    If all rows come from one array, that array itself is returned.
    """
    return chosen_rows(which, [(new, old)])[0]


def chosen_rows(which: Array, pairs: Sequence[tuple[Array, Array]]) -> list[Array]:
    """Return what `chosen` does for several pairs (new, old), with one copy of the mask."""
    if host.all(which):
        return [new for new, _ in pairs]
    if not host.any(which):
        return [old for _, old in pairs]
    mask = placed(which, pairs[0][0])[:, None]
    return [namespace(new).where(mask, new, old) for new, old in pairs]


def _changed(values: Array, where: Array, new: Array) -> Array:
    """Return a copy of host `values` with some entries replaced."""
    values = values.copy()
    values[where] = new
    return values
