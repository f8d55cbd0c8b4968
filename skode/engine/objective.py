"""The objective J and its gradient.

    J(U) = Σi wi ℓ(W yᴺi + μ, ci) + ½ α (‖K‖² + ‖W‖² + ‖V‖²) + ½ β Σℓ ‖Uℓ⁺¹ - Uℓ‖²/h

for all members of the batch at once.  The same forward pass gives the held-out loss, which is the
first sum with other weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any, NamedTuple

from .arrays import Array, host, namespace, quiet, to_host
from .blocks import Blocks
from .constraints import structured
from .controls import Controls, Layout
from .elsewhere import Elsewhere
from .kernels import Problem, Samples
from .kernels.reference import features
from .losses import Loss
from .networks import Forward, Network
from .penalties import Penalties

Judge = Callable[[Problem, Array, Array, Array | None], Array]
ALL_BUT_STEPS = ("K", "b", "W", "mu", "V", "nu")


class Evaluation(NamedTuple):
    """The results of an evaluation of the objective, for every member.

    J (members,) and the held-out loss (members,) are in float64.  The gradient has the shape of the
    controls.  It is None if not requested; the held-out loss is None if nothing is held out.  The
    sensitivity bounds, to first order, the error of J per unit of the tolerance of the stage
    equations; it is None if these are always solved to rounding.
    """

    J: Array
    gradient: Array | None
    held_out: Array | None
    sensitivity: Array | None = None


class Objective:
    """J and its gradient from the costate equation, exact to rounding.

    J is +inf if a stage equation of an implicit scheme cannot be solved for a sample with nonzero
    weight.

    Parameters
    ----------
    network : Network
    layout : Layout
    loss : Loss
    samples : Samples
        The weights wi are factors of the losses: 1/samples for the mean, ones for the sum.  Fold
        weights define on which samples each member is trained and on which it is validated.
    penalties : Penalties
    free : collection of str, default=("K", "b", "W", "mu", "V", "nu")
        The parts of the controls to train; the gradient of the others is zero.
    blocks : Blocks, optional
        How the samples are split into blocks; by default as the kernels do, in one thread.
    judge : callable (problem, flat, split, loss) -> array of shape (members,), optional
        Returns the held-out loss, or a score in its place, of members in the given splits.

    Attributes
    ----------
    free : array of bool of shape (controls,) or (members, controls)
        A mask of the controls to train, for all members or for each of them.
    some_fixed : bool
        Whether the mask matters for other controls than h.
    """

    def __init__(
        self,
        network: Network,
        layout: Layout,
        loss: Loss,
        samples: Samples,
        penalties: Penalties,
        free: Collection[str] = ALL_BUT_STEPS,
        blocks: Blocks | None = None,
        judge: Judge | None = None,
    ) -> None:
        like = penalties.alpha
        xp = namespace(like)
        self.layout, self.penalties = layout, penalties
        self.problem = Problem(network, layout, loss, learn_step="h" in free)
        self.samples = samples._replace(
            targets=xp.astype(samples.targets, like.dtype, copy=False),
            weights=xp.astype(samples.weights, like.dtype, copy=False),
        )
        self.blocks, self.judge = Blocks() if blocks is None else blocks, judge
        self._last: tuple[Array, Objective] | None = None  # members, and their part
        self.free = layout.mask(free, like)
        # The kernels ignore h if it is fixed; other fixed parts are rare.
        named = zip(Controls._fields, layout.shapes, strict=True)
        parts = {name for name, shape in named if shape is not None}
        self.some_fixed = bool(parts - {"h"} - set(free))
        # Only that part of the gradient counts along which K keeps its structure.
        self._along_structure = structured(layout, network.field, damping=0.0).project
        self._squared = xp.astype(layout.mask(("K", "W", "V"), like), like.dtype)

    @cached_property
    def trained_rows(self) -> Array:
        """Return the samples with nonzero weight in the data loss of some member."""
        weights, folds = to_host(self.samples.weights), self.samples.folds
        if folds is not None:
            some = host.any(to_host(folds.train) != 0, axis=0)
            weights = weights * some[to_host(folds.group)]
        return host.nonzero(weights)[0]

    @property
    def elsewhere(self) -> bool:
        """Whether other processes hold the samples."""
        return isinstance(self.samples.X, Elsewhere)

    def replaced(self, **changes: Any) -> Objective:
        """Return a copy with other attributes, by name."""
        part = copy.copy(self)
        vars(part).update(changes, _last=None)
        vars(part).pop("trained_rows", None)  # the samples may be other ones
        return part

    def of_members(self, members: Array) -> Objective:
        """Return the objective of some of the members."""
        samples, penalties = self.samples.of_members(members), self.penalties.of(members)
        free = self.free
        if free.ndim > 1:
            free = namespace(free).take(free, members, axis=0)
        return self.replaced(samples=samples, penalties=penalties, free=free)

    def _part_of(self, members: Array | None) -> Objective:
        """Return the objective of some members; those of a training stay the same for long."""
        if members is None:
            return self
        if self._last is None or self._last[0] is not members:
            self._last = members, self.of_members(members)
        return self._last[1]

    def sample(self, rows: Array) -> Objective:
        """Return the objective of some trained rows, an unbiased estimate of the data loss."""
        samples, factor = self.samples.of(rows), self.trained_rows.shape[0] / rows.shape[0]
        samples = samples._replace(weights=factor * samples.weights)
        return self.replaced(samples=samples, judge=None)

    def value_and_gradient(self, flat: Array, members: Array | None = None) -> tuple[Array, Array]:
        """Return J, (members,) in float64, and its gradient, of the shape of `flat`."""
        evaluation = self.evaluate(flat, members)
        return evaluation.J, evaluation.gradient

    def evaluate(
        self,
        flat: Array,
        members: Array | None = None,
        gradient: bool = True,
        tolerance: Array | None = None,
    ) -> Evaluation:
        """Return J, its gradient and the held-out loss.

        Parameters
        ----------
        flat : array of shape (members, layout.size)
        members : array of int, optional
            The members that the rows belong to; by default all.
        gradient : bool, default=True
            Whether to compute the gradient, which takes twice as long as the values.
        tolerance : host array of shape (members,), optional
            The largest residuals of stage equations, relative to the sizes of their terms.  By
            default the equations are solved to rounding.
        """
        part = self._part_of(members)
        samples = part.samples
        sums = self.blocks.add_up(self.problem, samples, flat, gradient, tolerance)
        with quiet():
            penalty, of_penalty = part.penalties.value_and_gradient(
                self.layout, self._squared, flat
            )
            J, dJ = sums.loss + penalty, sums.gradient
            if dJ is not None:
                dJ = dJ + of_penalty
                if self.some_fixed:
                    xp = namespace(dJ)
                    dJ = xp.where(part.free, dJ, xp.zeros_like(dJ))
                dJ = self._along_structure(dJ)
        held_out = sums.held_out
        if self.judge is not None and samples.folds is not None:
            held_out = self.judge(self.problem, flat, samples.folds.split, held_out)
        return Evaluation(J, dJ, held_out, sums.sensitivity)

    def costates(self, flat: Array) -> Array:
        """Return the costates ∂J/∂y⁰ … ∂J/∂yᴺ, (members, n_layers + 1, n_channels, samples)."""
        network, xp, U = self.problem.network, namespace(flat), self.layout.views(flat)

        def of_rows(rows: slice) -> Array:
            _, done, dz = self.linearised(flat, rows)
            with quiet():
                return xp.stack(network.costates(U, done, dz), axis=1)

        parts = self.blocks.map(of_rows, self.problem, flat, self.samples.X.shape[0])
        return xp.concat(parts, axis=3)

    def linearised(self, flat: Array, rows: slice) -> tuple[Array, Forward, Array]:
        """The features of some samples, the recorded pass forward with them, and ∂J/∂z."""
        network, _, loss, _ = self.problem
        xp, part = namespace(flat), self.samples.of(rows)
        w = part.weights if part.folds is None else part.folds.weights(part.weights)[0]
        with quiet():
            x = features(part.X, flat)
            done = network.forward(self.layout.views(flat), x, record=True)
            c = xp.permute_dims(part.targets, (1, 0))[None, ...]
            _, derivative = loss.value_and_derivative(xp, done.z, c)
            return x, done, w[..., None, :] * derivative
