"""How much predictions change when every step is split into shorter ones."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from sklearn.base import is_classifier

from ..engine.arrays import quiet
from ._pipelines import network_and_features


@dataclass(frozen=True, repr=False, eq=False)
class StepDoublingGap:
    """The change of predictions when each step is split into several shorter ones.

    Parameters
    ----------
    gap : ndarray of shape (n_samples,)
        The largest change of a class probability of each sample; for a regressor, of a target in
        the standardised units that the parameter `loss` explains.
    changed : float or None
        For a classifier, the share of samples for which the predicted class, or one of the labels,
        changes.
    refinement : int
        The number of steps that replace one.

    Examples
    --------
    >>> import numpy as np
    >>> from skode.inspection import StepDoublingGap
    >>> StepDoublingGap(gap=np.array([0.0, 0.02]), changed=0.5, refinement=2)
    Step doubling gap of 2 samples, 2 steps in place of 1
      change of the class probabilities: mean 0.01, max 0.02
      samples whose prediction changes: 50 %
    """

    gap: np.ndarray
    changed: float | None
    refinement: int

    @property
    def mean_gap(self):
        """The mean of `gap`."""
        return float(self.gap.mean())

    @property
    def max_gap(self):
        """The maximum of `gap`."""
        return float(self.gap.max())

    def __repr__(self):
        of_what = "standardised predictions" if self.changed is None else "class probabilities"
        lines = [
            f"Step doubling gap of {len(self.gap)} samples, {self.refinement} steps in place of 1",
            f"change of the {of_what}: mean {self.mean_gap:.3g}, max {self.max_gap:.3g}",
        ]
        if self.changed is not None:
            lines.append(f"samples whose prediction changes: {100 * self.changed:.3g} %")
        return "\n  ".join(lines)


def step_doubling_gap(estimator, X, *, refinement=2):
    """Measure how much the predictions depend on the discretisation of the ODE.

    Every step h of the scheme is split into `refinement` steps h/`refinement` with the same
    controls. If the gap is small, the scheme resolves the flow of the ODE. If it is large, the
    network is a composition of layers that does not approximate a flow.

    Parameters
    ----------
    estimator : ODENetClassifier, ODENetRegressor or Pipeline
        A fitted estimator, or a fitted pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.
    refinement : int, default=2
        Number of steps that replace one.

    Returns
    -------
    StepDoublingGap
        Its text is a summary of three lines. Its attributes are ``gap``, an ndarray of shape
        (n_samples,) with the largest change of a class probability, or of a predicted target in the
        standardised units that the regressor's parameter `loss` explains; ``mean_gap`` and
        ``max_gap``, the mean and the maximum of ``gap``; and for classifiers ``changed``, the share
        of samples for which the predicted class, or one of the labels, changes.

    Raises
    ------
    NotFittedError
        If the estimator has not been fitted.
    TypeError
        If the estimator is not an ODE network of skode.
    ValueError
        If `refinement` is not an integer of at least 2, or X cannot be predicted.

    Examples
    --------
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.inspection import step_doubling_gap
    >>> X, y = make_spirals(100, random_state=0)
    >>> coarse, fine = (
    ...     step_doubling_gap(ODENetClassifier(scheme, random_state=0).fit(X, y), X)
    ...     for scheme in ("euler", "gauss4")
    ... )
    >>> bool(fine.max_gap < coarse.max_gap)
    True
    >>> print(coarse)  # doctest: +ELLIPSIS
    Step doubling gap of 100 samples, 2 steps in place of 1
      change of the class probabilities: mean 0..., max 0...
      samples whose prediction changes: ... %
    """
    network, X = network_and_features(estimator, X)
    if network._fitted_network().skip == 0.0:
        raise TypeError(f"A feed-forward network does not discretise an ODE; got {network!r}.")
    if not isinstance(refinement, Integral) or isinstance(refinement, bool) or refinement < 2:
        raise ValueError(f"refinement must be an integer of at least 2; got {refinement!r}.")
    with quiet():
        coarse, fine = (network._outputs(X, "step_doubling_gap", k) for k in (1, refinement))
        if is_classifier(network):
            before, after = (network._kind.most_likely(outputs) for outputs in (coarse, fine))
            coarse, fine = np.exp(coarse), np.exp(fine)
    changed = None
    if is_classifier(network):
        changed = float((before != after).reshape(len(before), -1).any(axis=1).mean())
    return StepDoublingGap(np.abs(fine - coarse).max(axis=0), changed, int(refinement))
