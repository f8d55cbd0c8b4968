"""The interface of a kernel: its arguments and results."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from ..arrays import Array, namespace
from ..controls import Layout
from ..fold_weights import FoldWeights
from ..losses import Loss
from ..networks import Network

CONTROLS, FEATURES = 1, 2  # with respect to what a compiled kernel differentiates


class Problem(NamedTuple):
    """The computation: network, layout of its controls, loss, and whether h is learned."""

    network: Network
    layout: Layout
    loss: Loss
    learn_step: bool


class Samples(NamedTuple):
    """Samples, one per row.

    X (samples, n_features) may be read-only, and have any memory layout and any real dtype; on the
    host it may be `SparseRows`.  The targets (samples, n_outputs) and weights (samples,) have the
    dtype of the controls.  Without fold weights every member is trained on all samples, and there
    is no held-out loss.
    """

    X: Array
    targets: Array
    weights: Array
    folds: FoldWeights | None = None

    def of(self, rows: slice | Array) -> Samples:
        """Return some of the samples."""
        folds = self.folds if self.folds is None else self.folds.of_samples(rows)
        if isinstance(rows, slice):
            return Samples(self.X[rows, :], self.targets[rows, :], self.weights[rows], folds)
        take = namespace(self.weights).take
        X, targets = (take(part, rows, axis=0) for part in (self.X, self.targets))
        return Samples(X, targets, take(self.weights, rows), folds)

    def of_members(self, members: slice | Array | None) -> Samples:
        """Return the samples with the fold weights of some of the members."""
        if self.folds is None or members is None:
            return self
        return self._replace(folds=self.folds.of_members(members))


class Sums(NamedTuple):
    """Sums over samples, for every member.

    Parameters
    ----------
    loss : array of shape (members,) in float64
        Σ w ℓ over the samples with their training weights; +inf if a stage equation of a sample
        with nonzero weight could not be solved.
    held_out : array of shape (members,) in float64, or None
        The same with held-out weights, and +inf in place of NaN.  None without fold weights.
    gradient : array of shape (members, layout.size), or None
        Derivatives of `loss` with respect to the flat controls; None if not requested.  The
        derivative with respect to h is zero unless `learn_step`.
    sensitivity : array of shape (members,) in float64, or None
        A bound, to first order, on the error of `loss` per unit of the tolerance of the stage
        equations of an implicit scheme.  None without a gradient, or if they are always solved
        to rounding.
    """

    loss: Array
    held_out: Array | None
    gradient: Array | None
    sensitivity: Array | None = None


class Kernel(Protocol):
    """The functions that each kernel module provides."""

    def is_usable_for(self, problem: Problem, like: Array) -> bool:
        """Whether the kernel supports this problem with controls like `like`, on this machine."""

    def members_are_independent(self, problem: Problem) -> bool:
        """Whether the results of a member do not depend, to the last bit, on the other members."""

    def call_size(
        self, problem: Problem, n_members: int, n_samples: int, like: Array
    ) -> tuple[int, int]:
        """Return the number of members and the number of samples for one call.

        On the host the number of samples does not depend on the number of members.
        """

    def evaluate(
        self,
        problem: Problem,
        samples: Samples,
        flat: Array,
        gradient: bool,
        tolerance: Array | None = None,
    ) -> Sums:
        """Return the sums over the samples; `flat` has one row for every member.

        The residuals of stage equations are at most `tolerance`, (members,), relative to the sizes
        of their terms; by default they are rounding errors.  A kernel may always solve to rounding.
        """

    def predict(
        self, problem: Problem, X: Array, flat: Array, weights: Array | None = None
    ) -> Array:
        """Return `loss.mean` of the outputs for the rows of X: (classes or outputs, samples).

        The members have the weights (members,), which add up to one; by default they are equal.

        Raises
        ------
        UnsolvedStagesError
            If the stage equations of an implicit scheme could not be solved for some sample.
        """

    def input_gradients(
        self, problem: Problem, X: Array, flat: Array, of_outputs: Callable[[Array], Array]
    ) -> Array:
        """Derivatives of functions of the outputs, (functions, n_features, samples).

        They are with respect to the rows of X, and summed over the members.  `of_outputs` makes of
        the outputs z of all members, (members, n_outputs, samples), the derivatives of the
        functions with respect to them, (functions, members, n_outputs, samples).

        Raises
        ------
        UnsolvedStagesError
            As `predict`.
        """
