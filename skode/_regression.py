"""The part of the regressors that knows about targets."""

from __future__ import annotations

import math

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array

from ._devices import follows_data, host_values
from ._estimator import NetworkEstimator
from ._inputs import Data, cast, checked_weights, counted, precision, unchanged_on_error
from ._stream import trained_by_adam
from ._verbose import audible
from .engine.arrays import converted, namespace, quiet, to_host


class NetworkRegressor(RegressorMixin, NetworkEstimator):
    """Networks whose outputs are the standardised targets."""

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
            Training data, best scaled to unit variance.  float32 is kept, everything else becomes
            float64.  Sparse features may be matrices or arrays of SciPy in any format; those
            that are not CSR are converted.  They are never made dense as a whole.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets, in any units.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; training and held-out losses are weighted means.  None means equal
            weights.
        groups : array-like of shape (n_samples,), default=None
            Groups of samples that have to be on the same side of a split.  "auto" and a number of
            folds keep them together, and a splitter is given them.
        X_val, y_val : shapes (n_val, n_features) and like y, default=None
            Samples to judge by, in place of those that `cv` holds out; array-like, and `X_val` may
            be a sparse matrix, whether X is one or not.  They have to be scaled as X
            is, which a pipeline does not do.  The out-of-fold results are then NaN, and
            `oof_score_` is that of these samples.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is not as described, or if the objective is not finite at the
            start; the estimator is then left as it was.
        TypeError
            If X is sparse and ``device="cuda"``.

        Warns
        -----
        ConvergenceWarning
            If half of the networks ended at `max_iter`, or where the objective is steep and yet
            only tiny steps lower it, or none, or kept their start as nothing later was better for
            what is held out.
        UserWarning
            If training was interrupted with Ctrl-C; the best iterates are kept.  And where
            ``warm_start=True`` goes on with other samples or other splits.
        """
        with unchanged_on_error(self), audible(self.verbose):
            X, y = self._checked_targets_of(X, y, first=True)
            weights = checked_weights(sample_weight, X)
            self._set_scale(y, weights)
            validation = self._validation(X, X_val, y_val, sample_weight_val)
            data, count = self._data(X, y, weights), counted(sample_weight, X)
            self._fit(data, count, validation, groups, "squared")
            return self

    @available_if(trained_by_adam)
    @_fit_context(prefer_skip_nested_validation=True)
    @follows_data
    def partial_fit(self, X, y, sample_weight=None):
        """One more epoch, on these samples.

        It is there with ``solver="adam"`` alone.  Nothing is held out, so that `cv` and all that
        goes with it have no part in it, and `n_restarts` networks are trained; after `fit`, those
        that it has kept, with the penalty `alpha_`.  The learning rate stays `learning_rate_init`.
        The targets are standardised by mean and deviation of the first call, which has to be large
        enough for that.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If the data is not as described, or y has another number of targets than before.
        """
        with unchanged_on_error(self), audible(self.verbose):
            first = not hasattr(self, "K_")
            X, y = self._checked_targets_of(X, y, first)
            weights = checked_weights(sample_weight, X)
            if first:
                self._set_scale(y, weights)
            y = self._like_those_before(y, "y")
            self._continue(self._data(X, y, weights), "squared")
            return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _checked_targets_of(self, X, y, first):
        X, y = self._checked_pair(X, y, first, multi_output=True, y_numeric=True)
        return X, y.astype(np.float64, copy=False)

    def _set_scale(self, y, weights):
        """Mean and standard deviation of the targets, of one where they are constant."""
        with quiet():
            mean = np.average(y, axis=0, weights=weights)
        if not np.isfinite(mean).all():
            raise ValueError("The sum of y is not finite. Give y in larger units.")
        used = y[weights > 0]
        largest = np.abs(used - mean).max(axis=0)
        unit = np.where(largest > 0, largest, 1.0)  # so that no square is beyond the numbers
        deviation = unit * np.average(((used - mean) / unit) ** 2, 0, weights[weights > 0]) ** 0.5
        constant = deviation <= 10 * np.finfo(y.dtype).eps * np.abs(mean)
        self._scale = np.where(constant, 1.0, deviation)
        # The mean of equal numbers is none of them, by a rounding that training would enlarge.
        self._centre = np.where(constant, used[0], mean)

    def _data(self, X, y, weights):
        targets = cast(self._standardised(y), precision(X))
        if not np.isfinite(targets[weights > 0]).all():
            raise ValueError(
                f"Some targets are so many standard deviations from the mean that {precision(X)} "
                "cannot hold them."
            )
        return Data(X, y, targets, weights, weights)

    def _checked_validation_targets(self, y_val):
        return self._like_those_before(y_val, "y_val")

    def _checked_targets(self, y):
        """What the outputs are compared with, from targets in their units."""
        return self._standardised(self._like_those_before(y, "y"))

    def _like_those_before(self, y, name):
        """Targets in their units as float64, as many per sample as those that set the scale."""
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
        """The targets, averaged over the networks.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_targets)
            Predictions, in the units of y.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X has other features than in `fit`, or entries that are not finite, or lies so far
            outside the training data that the network overflows; or if the stage equations of an
            implicit scheme could not be solved for a sample, with sample, layer and residual.
        """
        return self._in_units(self._outputs(X, "predict"))

    def _in_units(self, mean):
        """Predictions in the units of y, of shape (n_samples,) or (n_samples, n_targets)."""
        xp = namespace(mean)
        standardised = xp.reshape(mean.T, (mean.shape[1], *self._centre.shape))
        centre, scale = converted(self._centre, mean), converted(self._scale, mean)
        return centre + scale * xp.astype(standardised, xp.float64, copy=False)

    def _to_average(self, rows, outputs, weights, data):
        """The loss of averaged outputs of samples, and the outputs to average."""
        targets = data.targets[rows].T
        return lambda mean: float(weights @ ((mean - targets) ** 2).mean(axis=0)), outputs

    def _keep_out_of_fold(self, parts, data):
        """Prediction and R² on held-out samples; averaged where one is held out repeatedly."""
        total = np.zeros((len(data), *self._centre.shape))
        times = np.zeros(len(data))
        for rows, mean in parts:
            total[rows] += self._in_units(mean)
            times[rows] += 1
        held_out = np.flatnonzero((times > 0) & (data.given_weights > 0))
        total[times == 0] = np.nan
        self.oof_prediction_ = (total.T / np.maximum(times, 1)).T
        self.oof_score_ = np.nan  # as R² of a single sample is
        if len(held_out) > 1:  # in standard units, in which no square overflows
            self.oof_score_ = r2_score(
                data.targets[held_out],
                self._standardised(self.oof_prediction_[held_out]),
                sample_weight=data.given_weights[held_out],
            )
