"""The interface of a kernel: what it is given, and what it gives back."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ..arrays import Array, namespace
from ..controls import Layout
from ..fold_weights import FoldWeights
from ..losses import Loss
from ..networks import Network


class Problem(NamedTuple):
    """What is computed: the network, where its controls lie, the loss, and whether h is learned."""

    network: Network
    layout: Layout
    loss: Loss
    learn_step: bool


class Samples(NamedTuple):
    """Samples in the order of their rows.

    X (samples, n_features) may be read-only, of any memory layout and any real dtype; on the host
    it may be `SparseRows`.  The targets (samples, n_outputs) and weights (samples,) are in the
    dtype of the controls.  Without fold weights every member is trained on all samples, and judged
    by none.
    """

    X: Array
    targets: Array
    weights: Array
    folds: FoldWeights | None = None

    def of(self, rows: slice | Array) -> Samples:
        """Some of the samples."""
        folds = self.folds if self.folds is None else self.folds.of_samples(rows)
        if isinstance(rows, slice):
            return Samples(self.X[rows, :], self.targets[rows, :], self.weights[rows], folds)
        take = namespace(self.weights).take
        X, targets = (take(part, rows, axis=0) for part in (self.X, self.targets))
        return Samples(X, targets, take(self.weights, rows), folds)

    def of_members(self, members: slice | Array | None) -> Samples:
        """The samples with the fold weights of some of the members."""
        if self.folds is None or members is None:
            return self
        return self._replace(folds=self.folds.of_members(members))


class Sums(NamedTuple):
    """Sums over samples, for every member.

    Parameters
    ----------
    loss : array of shape (members,) in float64
        Σ w ℓ over the samples with their weights in training; +inf where a stage equation of a
        sample that has a weight could not be solved.
    held_out : array of shape (members,) in float64, or None
        The same with their weights in judging; +inf in place of NaN.  None without fold weights.
    gradient : array of shape (members, layout.size), or None
        Derivatives of `loss` with respect to the flat controls; None where it is not wanted.  That
        with respect to h is zero unless `learn_step`.
    sensitivity : array of shape (members,) in float64, or None
        What `loss` is off by, at most and to first order, per unit of the tolerance with which the
        stage equations of an implicit scheme are solved.  None without a gradient, and where they
        are always solved to rounding.
    """

    loss: Array
    held_out: Array | None
    gradient: Array | None
    sensitivity: Array | None = None


class Kernel(Protocol):
    """What the modules of this package offer."""

    def is_usable_for(self, problem: Problem, like: Array) -> bool:
        """Whether it can compute this problem with controls like `like`, on this machine."""

    def takes_members_alone(self, problem: Problem) -> bool:
        """Whether a member has the same bits in any company."""

    def call_size(
        self, problem: Problem, n_members: int, n_samples: int, like: Array
    ) -> tuple[int, int]:
        """How many members and how many samples one call takes.

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
        """The sums over the samples, by one row of `flat` for every member.

        The residuals of stage equations are at most `tolerance`, (members,), relative to the sizes
        of their terms; by default they are roundings.  A kernel may always solve to rounding.
        """

    def predict(
        self, problem: Problem, X: Array, flat: Array, weights: Array | None = None
    ) -> Array:
        """What `loss.mean` makes of the outputs for the rows of X: (classes or outputs, samples).

        The members have the weights (members,), which add up to one; equal ones by default.

        Raises
        ------
        UnsolvedStagesError
            If the stage equations of an implicit scheme could not be solved for some sample.
        """
