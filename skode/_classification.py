"""The part of the classifiers that handles classes and labels."""

from __future__ import annotations

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import check_classification_targets, is_multilabel, unique_labels
from sklearn.utils.validation import column_or_1d

from ._course import Course
from ._devices import follows_data, host_values
from ._estimator import NetworkEstimator
from ._from_blocks import ClassifierFromBlocks
from ._inputs import Data, checked_weights, class_factors, counted
from ._labels import Classes, Labels
from ._parameters import fitting
from ._scoring import FixedClassifier
from ._stream import only_with_adam
from ._warnings import warn_of_classes_not_judged
from .engine.arrays import array_library, device, namespace, quiet, to_host

UNSURE = 0.1  # the probability of all other classes, if a network predicts the right one


class NetworkClassifier(ClassifierMixin, ClassifierFromBlocks, NetworkEstimator):
    """The part of the classifiers that handles classes and labels."""

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
            Training data; scale it to unit variance first. float32 stays float32, everything else
            becomes float64. Sparse matrices and arrays of SciPy may have any format. They are never
            made dense as a whole.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels: numbers, booleans, strings or dates. If a sample may have several labels,
            or none: one column of zeros and ones for each label.
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
            If a parameter or the data is not as described, if `loss` or `class_weight` is not
            available for several labels, if no split of `cv` trains on a class that it holds out,
            or if the objective is not finite at the start. The estimator is then left as it was.
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
            known = self._kind if hasattr(self, "classes_") else None
            X, y = self._checked_labels(X, y, first=True)
            if self._multilabel:
                self.classes_ = np.arange(y.shape[1])
                codes = self._kind.codes(y)
            else:
                self.classes_, codes = np.unique(y, return_inverse=True)
                codes = codes.astype(np.int32)
            if self._goes_on and not known.same_as(self._kind):
                raise ValueError(
                    f"warm_start=True goes on with {known}, but y holds {self._kind}. Set "
                    "warm_start=False to start afresh."
                )
            data = self._data(X, codes, checked_weights(sample_weight, X))
            validation = self._validation(X, X_val, y_val, sample_weight_val)
            self._fit(data, counted(sample_weight, X), validation, groups, course)
        course.reraise_interruption()
        return self

    @only_with_adam
    @_fit_context(prefer_skip_nested_validation=True)
    @follows_data
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one more epoch, on these samples only.

        Only available with ``solver="adam"``. Nothing is held out, so `cv` and related parameters
        have no effect. `n_restarts` networks are trained; after `fit`, the networks that it has
        kept, with the penalty `alpha_`. The learning rate is always `learning_rate_init`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Their classes or labels.
        classes : array-like of shape (n_classes,), default=None
            All classes that can occur. Needed in the first call, optional in later ones. With
            several labels per sample, they are the column numbers of y and may be left out.
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
            If `classes` is missing in the first call or changes later, if `y` has labels that are
            not among them, or if ``class_weight="balanced"``, which needs all data at once.
        """
        with fitting(self):
            first = not hasattr(self, "classes_")
            self._refuse_balanced_weights("partial_fit")
            several = getattr(self, "_multilabel", None)
            X, y = self._checked_labels(X, y, first)
            if not first and several != self._multilabel:
                self._multilabel = several
                raise ValueError(f"Before, y held {self._kind}; its shape is now {y.shape}.")
            if first and self._multilabel:
                classes = _columns(y, classes)
            classes = self._checked_classes(classes, first)
            if first:
                self.classes_ = classes
            weights = checked_weights(sample_weight, X)
            self._continue(self._data(X, self._kind.codes(y), weights))
            return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.loss == "log_loss" and self.class_weight is None
        return tags

    def _refuse_balanced_weights(self, method):
        """Raise if the class weights depend on all data."""
        if self.class_weight == "balanced":
            raise ValueError(
                f"class_weight='balanced' takes all data at once, which {method} does not see. "
                "Give a dict of weights."
            )

    def _checked_labels(self, X, y, first):
        """Return X and y, validated, and whether y holds several labels."""
        with quiet():  # older versions of scikit-learn cast NaN
            self._multilabel = y is not None and is_multilabel(host_values(y))
        X, y = self._checked_pair(X, y, first, multi_output=self._multilabel)
        check_classification_targets(y)
        if self._multilabel and self.loss != "log_loss":
            raise ValueError(
                f"loss={self.loss!r} is for classes that exclude each other, but y holds several "
                "labels. Set loss='log_loss'."
            )
        if self._multilabel and self.class_weight is not None:
            raise ValueError(
                f"class_weight={self.class_weight!r} is for classes that exclude each other, but y "
                "holds several labels. Set class_weight=None."
            )
        return X, y

    def _checked_classes(self, classes, first):
        """Return the classes given to `partial_fit`, now or earlier."""
        if first and classes is None:
            raise ValueError(
                "classes must be given in the first call of partial_fit: all that will ever be "
                "seen."
            )
        if classes is None:
            return self.classes_
        classes = unique_labels(column_or_1d(host_values(classes)))
        if not first and not np.array_equal(classes, self._labels):
            raise ValueError(
                f"classes={classes} are not those of the first call of partial_fit or of "
                f"fit, {self._labels}. Leave them out, or start with a new estimator."
            )
        if not len(classes):
            raise ValueError("classes must hold at least one class.")
        return classes

    @property
    def _labels(self):
        """The classes as a host array."""
        return to_host(self.classes_)

    @property
    def _kind(self):
        """The kind of y: classes, or labels."""
        return Labels(self.classes_.shape[0]) if self._multilabel else Classes(self._labels)

    def _loss_recipe(self):
        """The arguments of `loss_named`."""
        squared = self.loss == "squared_error" and self._kind.n_rows > 1
        return {"name": "logistic_squared" if squared else self._kind.loss}

    def _data(self, X, codes, weights):
        """Return the samples, with class weights as factors of their weights."""
        targets = self._kind.targets(codes)
        if self._multilabel:
            return Data(X, codes, targets, weights, weights)
        factors = class_factors(self.class_weight, self._labels, codes, weights)
        of_sample = weights if self.class_weight is None else weights * factors[codes]
        return Data(X, self._labels[codes], targets, of_sample, weights, codes)

    def _checked_validation_targets(self, y_val):
        return self._kind.codes(y_val, "y_val", warn=True)

    def _checked_targets(self, y):
        """Return the targets of the outputs, from labels."""
        return self._kind.targets(self._kind.codes(host_values(y)))

    score = follows_data(ClassifierMixin.score)

    @follows_data
    def decision_function(self, X):
        """Return log-odds, or logarithms of class probabilities.

        p is the averaged probability of the networks, as in `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples,), (n_samples, n_classes) or (n_samples, n_labels)
            For two classes, log(p / (1 - p)) of ``classes_[1]``. For more classes, log p of every
            class. With several labels, log(p / (1 - p)) of every label.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X has other features than in `fit`, or numbers that are not finite, or is so far from
            the training data that the network overflows. With an implicit scheme, if a stage
            equation could not be solved; the message names sample, layer and residual.
        """
        mean = self._outputs(X, "decision_function")
        return self._kind.decision(mean)

    @follows_data
    def predict_proba(self, X):
        """Predict probabilities of classes or labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples, n_classes) or (n_samples, n_labels)
            Weighted average of the networks' probabilities, in the order of `classes_`. Those of
            several labels do not add up to one.

        Raises
        ------
        NotFittedError, ValueError
            As `decision_function`.
        """
        with quiet():
            mean = self._outputs(X, "predict_proba")
            log_proba = self._kind.log_proba(mean)
            return namespace(log_proba).exp(log_proba)

    @follows_data
    def predict_log_proba(self, X):
        """Predict logarithms of probabilities, accurate even where a probability underflows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples, n_classes) or (n_samples, n_labels)
            Log-probabilities, in the order of `classes_`.

        Raises
        ------
        NotFittedError, ValueError
            As `decision_function`.
        """
        mean = self._outputs(X, "predict_log_proba")
        return self._kind.log_proba(mean)

    @follows_data
    def predict(self, X):
        """Predict the most probable class, or all labels more probable than not.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_labels)
            Class labels from `classes_`; strings are always in a NumPy array. With several labels,
            zeros and ones.

        Raises
        ------
        NotFittedError, ValueError
            As `decision_function`.
        """
        mean = self._outputs(X, "predict")
        most_likely = self._kind.most_likely(mean)
        if self._multilabel:
            return most_likely
        if array_library(mean) is None or array_library(self.classes_) is None:
            return self._labels[to_host(most_likely)]
        return namespace(mean).take(self.classes_, most_likely)

    def _mean_outputs(self, U, inputs, weights=None):
        """Return the mean prediction of members with the controls U."""
        if self._kind.n_rows > 1:
            return super()._mean_outputs(U, inputs, weights)
        xp = namespace(U.K)  # with one class, its probability is one
        return xp.zeros((1, inputs.shape[0]), dtype=U.K.dtype, device=device(U.K))

    @property
    def _by_score(self):
        return super()._by_score and self._kind.n_rows > 1  # a single class cannot be scored

    def _as_estimator(self, log_proba):
        """Return predictions as an estimator for a scorer."""
        return FixedClassifier(self._kind, log_proba)

    def _truth(self, data, rows):
        """Return the predictions of a network that knows the classes of the samples."""
        right = self._kind.targets(_codes(data)[rows]).T
        if self._multilabel or len(right) == 1:  # absent or the first class; then the others
            right = np.concatenate([~right, right])
        return self._as_estimator(
            np.log(np.where(right, 1 - UNSURE, UNSURE / max(1, len(right) - 1)))
        )

    def _to_score(self, rows, log_proba, data):
        """The negative score of averaged probabilities, and the probabilities to average."""
        score = self._score_of(rows, data)
        return lambda mean: score(np.log(mean)), np.exp(log_proba)

    def _to_average(self, rows, log_proba, weights, data):
        """The loss of averaged probabilities of samples, and the probabilities to average."""
        codes = _codes(data)[rows]
        if self.loss == "squared_error":
            targets = np.arange(log_proba.shape[1])[:, None] == codes
            proba = np.exp(log_proba)
            return lambda mean: float(weights @ ((mean - targets) ** 2).sum(axis=0)), proba
        of_true = np.exp(self._kind.of_true(log_proba, codes))
        least = np.finfo(of_true.dtype).tiny
        return lambda mean: float(-weights @ np.log(np.maximum(mean, least)).mean(axis=0)), of_true

    def _keep_out_of_fold(self, parts, data):
        """Decision and accuracy on held-out samples; averaged where one is held out repeatedly."""
        kind = self._kind
        total = np.full((kind.n_rows, len(data)), -np.inf, dtype=data.precision)
        times = np.zeros(len(data), dtype=data.precision)
        with quiet():
            for rows, log_proba in parts:
                total[:, rows] = np.logaddexp(total[:, rows], log_proba)
                times[rows] += 1
            decision = kind.decision(total - np.log(times))
        decision[times == 0] = np.nan
        held_out = np.flatnonzero((times > 0) & (data.given_weights > 0))
        self.oof_decision_function_ = decision
        self.oof_score_ = accuracy_score(
            _codes(data)[held_out],
            kind.most_likely(total[:, held_out]),
            sample_weight=data.given_weights[held_out],
        )

    def _note_unscored(self, data):
        """The score counts all classes, or is NaN."""
        if self._multilabel:
            return
        decision = self.oof_decision_function_.reshape(len(data), -1)
        used = data.weights > 0
        held_out = used & ~np.isnan(decision[:, 0])
        missing = np.setdiff1d(data.codes[used], data.codes[held_out])
        if missing.size:
            self.oof_score_ = np.nan
            warn_of_classes_not_judged(self._labels[missing].tolist())


def _columns(y, classes):
    """The classes where y holds labels: the numbers of its columns."""
    numbers = np.arange(y.shape[1])
    if classes is not None and not np.array_equal(host_values(classes), numbers):
        raise ValueError(
            f"classes={classes} are not the numbers of the columns of y, {numbers}, each of which "
            "is a label. Leave them out."
        )
    return numbers


def _codes(data):
    """The classes of the samples as numbers, or their labels as zeros and ones."""
    return data.y if data.codes is None else data.codes
