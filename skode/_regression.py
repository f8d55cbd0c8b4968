"""The part of the regressors that handles targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import NamedTuple

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_array

from ._course import Course
from ._devices import follows_data, host_values
from ._estimator import NetworkEstimator
from ._from_blocks import RegressorFromBlocks
from ._inputs import Data, cast, checked_weights, counted, precision
from ._parameters import fitting
from ._scoring import FixedRegressor
from ._stream import only_with_adam
from ._targets import (
    Sample,
    TwoPoints,
    least_poisson_loss,
    mean_and_deviation,
    median_and_quartiles,
    refuse_dates,
    require_counts,
    zero_and_mean,
)
from .engine.arrays import converted, namespace, quiet, to_host


class RegressionLoss(NamedTuple):
    """The engine's name of a loss, and the function that scales the targets for it."""

    name: str
    units: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


LOSSES = {
    "squared_error": RegressionLoss("squared", mean_and_deviation),
    "absolute_error": RegressionLoss("quantile", median_and_quartiles),
    "huber": RegressionLoss("huber", median_and_quartiles),
    "quantile": RegressionLoss("quantile", median_and_quartiles),
    "poisson": RegressionLoss("poisson", zero_and_mean),
}


class NetworkRegressor(RegressorMixin, RegressorFromBlocks, NetworkEstimator):
    """Networks whose outputs are the standardised targets, or their logarithms."""

    _channels_per_output = 2  # targets may be independent, and channels with relu are one-sided

    _parameter_constraints: dict = {
        **NetworkEstimator._parameter_constraints,
        "loss": [StrOptions(set(LOSSES))],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    @follows_data
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        groups=None,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Fit the networks to training data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; scale it to unit variance first. float32 stays float32, everything else
            becomes float64. Sparse matrices and arrays of SciPy may have any format. They are never
            made dense as a whole.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets, in any units. With ``loss="poisson"`` they must not be negative.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the samples. None means equal weights.
        groups : array-like of shape (n_samples,), default=None
            Samples of the same group stay on the same side of every split. ``cv="auto"`` and a
            number of folds keep them together; a splitter gets them as its argument.
        X_val, y_val : shapes (n_val, n_features) and like y, default=None
            Held-out samples, in place of those of `cv`. X_val must be scaled like X, which a
            pipeline does not do by itself. Out-of-fold results are then NaN, and `oof_score_` is
            the score on these samples.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the held-out samples.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is not as described, if the objective is not finite at the
            start, or if ``warm_start=True`` would continue with another loss. The estimator is then
            left as it was.
        TypeError
            If X is sparse and ``device="cuda"``.
        KeyboardInterrupt
            After Ctrl-C. If training had begun, the estimator is fitted nevertheless: it keeps the
            best iterate of every network. Otherwise it is left as it was. In a search, the
            exception ends the search.

        Warns
        -----
        ConvergenceWarning
            If half of the networks ended at `max_iter` or `max_time`; if the gradient is large but
            only tiny steps lower the objective, or none; if half of the networks never lowered the
            held-out loss; or if `max_time` was up before all networks had begun, or before they
            were trained on all samples.
        UserWarning
            If ``warm_start=True`` continues with other samples or other splits.
        """
        course = Course(self, X, y, sample_weight)
        with fitting(self), course:
            if self._goes_on:
                self._require_same_loss()
            X, y = self._checked_targets_of(X, y, first=True)
            weights = checked_weights(sample_weight, X)
            self._centre, self._scale = LOSSES[self.loss].units(y, weights)
            validation = self._validation(X, X_val, y_val, sample_weight_val)
            data, count = self._data(X, y, weights), counted(sample_weight, X)
            self._fit(data, count, validation, groups, course)
        course.reraise_interruption()
        return self

    @only_with_adam
    @_fit_context(prefer_skip_nested_validation=True)
    @follows_data
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one more epoch, on these samples only.

        Only available with ``solver="adam"``. Nothing is held out, so `cv` and related parameters
        have no effect. `n_restarts` networks are trained; after `fit`, the networks that it has
        kept, with the penalty `alpha_`. The learning rate is always `learning_rate_init`.

        The targets are standardised by the samples of the first call, so give it enough of them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the samples.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        AttributeError
            If the solver is not "adam".
        ValueError
            If the data is not as described, if y has another number of targets than before, or if
            `loss` has changed. The quantile may change.
        """
        with fitting(self):
            first = not hasattr(self, "K_")
            if not first:
                self._require_same_loss()
            X, y = self._checked_targets_of(X, y, first)
            weights = checked_weights(sample_weight, X)
            if first and not hasattr(self, "_centre"):  # `fit_blocks` may have seen all targets
                self._centre, self._scale = LOSSES[self.loss].units(y, weights)
            y = self._like_those_before(y, "y")
            self._continue(self._data(X, y, weights))
            return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags

    def _checked_targets_of(self, X, y, first):
        refuse_dates(y, "y")
        X, y = self._checked_pair(X, y, first, multi_output=True, y_numeric=True)
        if self.loss == "poisson":
            require_counts(y, "y")
        return X, y.astype(np.float64, copy=False)

    def _summary_of_targets(self):
        """Return a summary of targets, to which those of blocks can be added."""
        units = LOSSES[self.loss].units
        return Sample(units) if units is median_and_quartiles else TwoPoints(units)

    def _loss_recipe(self):
        """The arguments of `loss_named`."""
        quantile = self.quantile if self.loss == "quantile" else 0.5
        return {"name": LOSSES[self.loss].name, "quantile": float(quantile)}

    def _require_same_loss(self):
        """Raise unless the outputs have the same meaning as before, if training continues."""
        if LOSSES[self.loss].name != self._fitted_loss["name"]:
            raise ValueError(
                f"Training goes on from networks that were fitted with another loss than "
                f"{self.loss!r}. Set it as before, or start afresh."
            )

    def _data(self, X, y, weights):
        targets = cast(self._standardised(y), precision(X))
        if not np.isfinite(targets[weights > 0]).all():
            raise ValueError(
                f"Some targets are so large in units of the others that {precision(X)} cannot hold "
                "them."
            )
        return Data(X, y, targets, weights, weights)

    def _checked_validation_targets(self, y_val):
        y_val = self._like_those_before(y_val, "y_val")
        if self.loss == "poisson":
            require_counts(y_val, "y_val")
        return y_val

    def _checked_targets(self, y):
        """Return the targets of the outputs, from targets in their units."""
        y = self._like_those_before(y, "y")
        if self._loss_of_fit.log_link:
            require_counts(y, "y")
        return self._standardised(y)

    def _like_those_before(self, y, name):
        """Return targets in their units as float64, with the same number per sample as before."""
        refuse_dates(y, name)
        y = check_array(host_values(y), ensure_2d=False, dtype=np.float64, input_name=name)
        expected = (len(y), *self._centre.shape)
        if y.shape != expected:
            raise ValueError(
                f"{name} has the shape {y.shape}, but {expected} is expected: before, y had "
                f"{math.prod(self._centre.shape)} target(s)."
            )
        return y

    def _standardised(self, y):
        with quiet():
            return ((y - to_host(self._centre)) / to_host(self._scale)).reshape(len(y), -1)

    score = follows_data(RegressorMixin.score)

    @follows_data
    def predict(self, X):
        """Predict targets; with ``loss="quantile"`` a quantile of them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_targets)
            Weighted average of the networks' predictions, in the units of y.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X has other features than in `fit`, or numbers that are not finite, or is so far from
            the training data that the network overflows. With an implicit scheme, if a stage
            equation could not be solved; the message names sample, layer and residual.
        """
        return self._in_units(self._outputs(X, "predict"))

    def _in_units(self, mean):
        """Return predictions in the units of y, of shape (n_samples,) or (n_samples, n_targets)."""
        xp = namespace(mean)
        standardised = xp.reshape(mean.T, (mean.shape[1], *self._centre.shape))
        centre, scale = converted(self._centre, mean), converted(self._scale, mean)
        return centre + scale * xp.astype(standardised, xp.float64, copy=False)

    def _as_estimator(self, mean):
        """Return predictions as an estimator for a scorer."""
        return FixedRegressor(self._in_units(mean))

    def _truth(self, data, rows):
        """Return the predictions of the best constant for the samples."""
        y = data.y[rows]
        return FixedRegressor(np.zeros_like(y) + y.mean(axis=0))

    def _to_score(self, rows, predictions, data):
        """The negative score of averaged predictions, and the predictions to average."""
        return self._score_of(rows, data), predictions

    def _to_average(self, rows, predictions, weights, data):
        """The loss of averaged predictions of samples, and the predictions to average."""
        targets, loss = data.targets[rows].T, self._loss_of_fit
        least = least_poisson_loss(targets).mean(axis=0) if loss.log_link else 0.0

        def of_mean(mean):
            z = np.log(np.maximum(mean, np.finfo(mean.dtype).tiny)) if loss.log_link else mean
            value, _ = loss.value_and_derivative(np, z[None], targets[None])
            return float(weights @ (value[0] - least))  # not negative

        return of_mean, predictions

    def _keep_out_of_fold(self, parts, data):
        """Set prediction and R² on held-out samples; a sample held out repeatedly is averaged."""
        total = np.zeros((len(data), *self._centre.shape))
        times = np.zeros(len(data))
        for rows, mean in parts:
            total[rows] += self._in_units(mean)
            times[rows] += 1
        held_out = np.flatnonzero((times > 0) & (data.given_weights > 0))
        total[times == 0] = np.nan
        self.oof_prediction_ = (total.T / np.maximum(times, 1)).T
        self.oof_score_ = np.nan  # R² of a single sample is undefined
        if len(held_out) > 1:  # in standard units, so that squares do not overflow
            self.oof_score_ = r2_score(
                data.targets[held_out],
                self._standardised(self.oof_prediction_[held_out]),
                sample_weight=data.given_weights[held_out],
            )
