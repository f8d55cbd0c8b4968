"""The part of the classifiers that knows about classes."""

from __future__ import annotations

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import column_or_1d

from ._devices import follows_data, host_values
from ._estimator import NetworkEstimator
from ._inputs import Data, checked_weights, class_factors, counted, unchanged_on_error
from ._stream import trained_by_adam
from ._verbose import audible
from .engine.arrays import array_library, contiguous, namespace, quiet, to_host


class NetworkClassifier(ClassifierMixin, NetworkEstimator):
    """The part of the classifiers that knows about classes."""

    _parameter_constraints: dict = {
        **NetworkEstimator._parameter_constraints,
        "loss": [StrOptions({"log_loss", "squared_error"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
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
            Training data, best scaled to unit variance.  float32 is kept, everything else becomes
            float64.  Sparse features may be matrices or arrays of SciPy in any format; those
            that are not CSR are converted.  They are never made dense as a whole.
        y : array-like of shape (n_samples,)
            Class labels: numbers, booleans or strings.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; training and held-out losses are weighted means.  None means equal
            weights.
        groups : array-like of shape (n_samples,), default=None
            Groups of samples that have to be on the same side of a split.  "auto" and a number of
            folds keep them together, and a splitter is given them.
        X_val, y_val : shapes (n_val, n_features) and (n_val,), default=None
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
            If a parameter or the data is not as described, if there is only one class, if a split
            of `cv` leaves a class out of training, or if the objective is not finite at the start;
            the estimator is then left as it was.
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
            X, y = self._checked_pair(X, y, first=True)
            check_classification_targets(y)
            known = getattr(self, "_labels", None)
            self.classes_, codes = np.unique(y, return_inverse=True)
            codes = codes.astype(np.int32)
            if self._goes_on and not np.array_equal(known, self.classes_):
                raise ValueError(
                    f"warm_start=True goes on with the classes {known}, but y holds "
                    f"{self.classes_}. Set warm_start=False to start afresh."
                )
            data = self._data(X, codes, checked_weights(sample_weight, X))
            self._require_classes(data)
            validation = self._validation(X, X_val, y_val, sample_weight_val)
            self._fit(data, counted(sample_weight, X), validation, groups, self._loss_name())
            return self

    @available_if(trained_by_adam)
    @_fit_context(prefer_skip_nested_validation=True)
    @follows_data
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """One more epoch, on these samples.

        It is there with ``solver="adam"`` alone.  Nothing is held out, so that `cv` and all that
        goes with it have no part in it, and `n_restarts` networks are trained; after `fit`, those
        that it has kept, with the penalty `alpha_`.  The learning rate stays `learning_rate_init`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,)
            Their classes.
        classes : array-like of shape (n_classes,), default=None
            All classes that will ever be seen; needed in the first call, and may be left out later.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If `classes` is missing in the first call, or other than then; if `y` has labels that
            are not among them; or if ``class_weight="balanced"``, which takes all data.
        """
        with unchanged_on_error(self), audible(self.verbose):
            first = not hasattr(self, "classes_")
            if first and classes is None:
                raise ValueError(
                    "classes must be given in the first call of partial_fit: all that will ever be "
                    "seen."
                )
            if classes is not None:
                classes = unique_labels(column_or_1d(host_values(classes)))
                if not first and not np.array_equal(classes, self._labels):
                    raise ValueError(
                        f"classes={classes} are not those of the first call of partial_fit or of "
                        f"fit, {self._labels}. Leave them out, or start with a new estimator."
                    )
                if len(classes) < 2:
                    raise ValueError(f"classes must hold at least two classes; got {classes}.")
            if self.class_weight == "balanced":
                raise ValueError(
                    "class_weight='balanced' takes all data at once, which partial_fit does not "
                    "see. Give a dict of weights."
                )
            X, y = self._checked_pair(X, y, first)
            check_classification_targets(y)
            if first:
                self.classes_ = classes
            weights = checked_weights(sample_weight, X)
            self._continue(self._data(X, self._codes(y), weights), self._loss_name())
            return self

    @property
    def _labels(self):
        """The classes as a host array."""
        return to_host(self.classes_)

    def _loss_name(self):
        if self.loss == "squared_error":
            return "logistic_squared"
        return "logistic" if self.classes_.shape[0] == 2 else "softmax"

    def _data(self, X, codes, weights):
        """The samples, with the class weights in their weights."""
        factors = class_factors(self.class_weight, self._labels, codes, weights)
        of_sample = weights if self.class_weight is None else weights * factors[codes]
        return Data(X, self._labels[codes], self._targets(codes), of_sample, weights, codes)

    def _checked_validation_targets(self, y_val):
        if y_val.shape[1:] not in {(), (1,)}:
            raise ValueError(f"y_val must be one column of labels; its shape is {y_val.shape}.")
        return self._codes(column_or_1d(y_val, warn=True), "y_val")

    def _require_classes(self, data):
        """Raise unless there are two classes that count in the precision of X."""
        weights = (data.weights / (data.weights.sum() or 1.0)).astype(data.precision)
        present = self._labels[np.unique(data.codes[weights > 0])]
        if len(present) < 2:
            found = f"one class, {present[0]}" if len(present) else "no class"
            if self.classes_.shape[0] > 1:
                found += (
                    " that counts: the others have no positive sample_weight and class_weight, or "
                    f"one that is nothing beside the largest in {data.precision}"
                )
            raise ValueError(f"y must hold at least two classes; got {found}.")

    def _targets(self, codes):
        """One column of zeros and ones for two classes, else one such column per class."""
        if self.classes_.shape[0] == 2:
            return codes[:, None] == 1
        return codes[:, None] == np.arange(self.classes_.shape[0])

    def _checked_targets(self, y):
        """What the outputs are compared with, from labels."""
        return self._targets(self._codes(column_or_1d(host_values(y))))

    def _codes(self, y, name="y"):
        """The places of the labels `y` in `classes_`."""
        index = {label: k for k, label in enumerate(self._labels)}
        if new := set(np.asarray(y).tolist()) - index.keys():
            raise ValueError(
                f"{name} holds labels that are not among the classes {self._labels}: "
                f"{', '.join(sorted(map(repr, new))[:5])}."
            )
        return np.array([index[label] for label in y], dtype=int)

    score = follows_data(ClassifierMixin.score)

    @follows_data
    def decision_function(self, X):
        """Log-odds of the second class, or log-probabilities of all.

        They are those of the averaged probabilities of the members, so for two classes and one
        member the network's output itself.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)
            For two classes, log(p / (1 - p)) of ``classes_[1]``; else log p of every class.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X has other features than in `fit`, or entries that are not finite, or lies so far
            outside the training data that the network overflows; or if the stage equations of an
            implicit scheme could not be solved for a sample, with sample, layer and residual.
        """
        return self._decision(self._outputs(X, "decision_function"))

    def _decision(self, log_proba):
        """What `decision_function` gives, from (n_classes, n_samples)."""
        if self.classes_.shape[0] == 2:
            return log_proba[1, :] - log_proba[0, :]
        return contiguous(log_proba.T)

    @follows_data
    def predict_proba(self, X):
        """Class probabilities, averaged over the members.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples, n_classes)
            Probabilities, in the order of `classes_`.

        Raises
        ------
        NotFittedError, ValueError
            As `decision_function`.
        """
        with quiet():
            log_proba = self._outputs(X, "predict_proba")
            return contiguous(namespace(log_proba).exp(log_proba).T)

    @follows_data
    def predict_log_proba(self, X):
        """Logarithms of the class probabilities, exact also where those underflow.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples, n_classes)
            Log-probabilities, in the order of `classes_`.

        Raises
        ------
        NotFittedError, ValueError
            As `decision_function`.
        """
        return contiguous(self._outputs(X, "predict_log_proba").T)

    @follows_data
    def predict(self, X):
        """The class of the highest probability.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples,)
            Labels out of `classes_`; strings are always in a NumPy array.

        Raises
        ------
        NotFittedError, ValueError
            As `decision_function`.
        """
        log_proba = self._outputs(X, "predict")
        most_likely = namespace(log_proba).argmax(log_proba, axis=0)
        if array_library(log_proba) is None or array_library(self.classes_) is None:
            return self._labels[to_host(most_likely)]
        return namespace(log_proba).take(self.classes_, most_likely)

    def _to_average(self, rows, log_proba, weights, data):
        """The loss of averaged probabilities of samples, and the probabilities to average."""
        codes = data.codes[rows]
        if self.loss == "squared_error":
            targets = np.arange(log_proba.shape[1])[:, None] == codes
            proba = np.exp(log_proba)
            return lambda mean: float(weights @ ((mean - targets) ** 2).sum(axis=0)), proba
        of_true = np.exp(log_proba[:, codes, np.arange(len(codes))])
        least = np.finfo(of_true.dtype).tiny
        return lambda mean: float(-weights @ np.log(np.maximum(mean, least))), of_true

    def _keep_out_of_fold(self, parts, data):
        """Decision and accuracy on held-out samples; averaged where one is held out repeatedly."""
        total = np.full((self.classes_.shape[0], len(data)), -np.inf, dtype=data.precision)
        times = np.zeros(len(data), dtype=data.precision)
        with quiet():
            for rows, log_proba in parts:
                total[:, rows] = np.logaddexp(total[:, rows], log_proba)
                times[rows] += 1
            decision = self._decision(total - np.log(times))
        decision[times == 0] = np.nan
        held_out = np.flatnonzero((times > 0) & (data.given_weights > 0))
        self.oof_decision_function_ = decision
        self.oof_score_ = accuracy_score(
            data.codes[held_out],
            total[:, held_out].argmax(axis=0),
            sample_weight=data.given_weights[held_out],
        )
