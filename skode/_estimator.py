"""What the estimators share: validate, encode, train, keep, predict."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ._verbose import audible, iteration_reporter, report_end
from .engine.arrays import namespace, quiet
from .engine.constraints import simplex_steps, unconstrained
from .engine.controls import Controls, Layout, refined
from .engine.descent import SOLVERS
from .engine.fields import ACTIVATIONS
from .engine.line_search import LINE_SEARCHES
from .engine.losses import LOSSES
from .engine.objective import Objective
from .engine.prediction import outputs
from .engine.training import INTERRUPTED, MAX_ITER, SLOW, STALLED, train

FLOATS = (np.float64, np.float32)
USER = 5  # frames from a warning up to the call of fit: _warn…, _train, fit and its decorator


class NetworkEstimator(BaseEstimator):
    """An estimator whose model is a batch of networks, the members.

    A subclass says with `_recipe` and `_network` which network it is, and may add a `_constraint`.
    """

    _parameter_constraints: dict = {
        "N": [Interval(Integral, 1, None, closed="left")],
        "h": [Interval(Real, 0, None, closed="neither")],
        "learn_step": ["boolean", StrOptions({"simplex"})],
        "n_channels": [Interval(Integral, 1, None, closed="left"), None],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "solver": [StrOptions(set(SOLVERS))],
        "line_search": [StrOptions(set(LINE_SEARCHES))],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def _train(self, X, targets, weights, loss):
        """Fit the members to the targets, (n_samples, n_outputs), and keep what came out."""
        n_channels = self._checked_n_channels(X.shape[1])
        recipe = self._recipe()
        layout = Layout(self.N, n_channels, targets.shape[1])
        network = self._network(recipe)
        objective = Objective(
            network,
            layout,
            LOSSES[loss],
            X,
            targets,
            weights,
            np.full(self.n_members, self.alpha, dtype=X.dtype),
            free=[part for part in Controls._fields if part != "h" or self.learn_step],
        )
        training = train(
            objective,
            self._start(layout).astype(X.dtype),
            LINE_SEARCHES[self.line_search],
            solver=self.solver,
            project=self._constraint(layout, network),
            max_iter=self.max_iter,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            on_iteration=iteration_reporter(self),
        )
        report_end(self, training)
        self._keep(recipe, layout, training, loss)
        self._warn_unless_converged()
        return self

    def _constraint(self, layout, network):
        """The projection that every trial point goes through."""
        if self.learn_step == "simplex":
            return simplex_steps(layout, self.N * self.h)
        return unconstrained

    def _checked_n_channels(self, n_features):
        if self.n_channels is None:
            return n_features
        if self.n_channels < n_features:
            raise ValueError(
                f"n_channels={self.n_channels} is less than the number of features, {n_features}: "
                "the state has to hold them. Allowed is any number from there on, or None for as "
                "many channels as features."
            )
        return self.n_channels

    def _start(self, layout):
        """Random K and b of order one, readout zero.

        Without b the network of an odd activation would be an odd function, and training on a task
        that is symmetric about the origin would start from a saddle.  Because W and μ are zero, no
        class is favoured: renaming the classes, in whatever order, leaves the fit alone.
        """
        rng = check_random_state(self.random_state)
        M, N, n, q = self.n_members, layout.n_layers, layout.n_channels, layout.n_outputs
        return layout.flatten(
            Controls(
                K=rng.normal(scale=n**-0.5, size=(M, N, n, n)),
                b=rng.normal(scale=n**-0.5, size=(M, N, n)),
                h=np.full((M, N), float(self.h)),
                W=np.zeros((M, q, n)),
                mu=np.zeros((M, q)),
            )
        )

    def _keep(self, recipe, layout, training, loss):
        U = layout.views(training.flat)
        self.K_, self.b_, self.h_, self.W_, self.mu_ = map(np.ascontiguousarray, U)
        self.n_outputs_ = layout.n_outputs
        self.loss_ = training.J
        self.loss_curve_ = training.curve
        self.n_iter_ = training.n_iter
        self.n_evaluations_ = training.n_evaluations
        self.stop_reason_ = training.reason
        # Prediction follows what was fitted, not parameters that were set since.
        self._fitted_recipe = recipe
        self._fitted_loss = loss

    def _warn_unless_converged(self):
        if np.any(self.stop_reason_ == INTERRUPTED):
            warnings.warn(
                "Training interrupted: the best iterate so far is kept.",
                UserWarning,
                stacklevel=USER,
            )
            return
        if np.any(self.stop_reason_ == MAX_ITER):
            warnings.warn(
                f"Training ended at max_iter={self.max_iter} before the objective settled "
                f"(tol={self.tol}). Increase max_iter or tol, or scale the data.",
                ConvergenceWarning,
                stacklevel=USER,
            )
        for reason in (SLOW, STALLED):
            if np.any(early := self.stop_reason_ == reason):
                warnings.warn(
                    f"Training ended after {self.n_iter_[early].min()} iterations ({reason}): "
                    "the objective is steep and yet only tiny steps lower it. Scale X, for example "
                    "with StandardScaler, or take a smaller h, or a smooth activation"
                    f"{self._more_advice()}.",
                    ConvergenceWarning,
                    stacklevel=USER,
                )

    def _more_advice(self):
        """What else may be tried where training has ended early."""
        return ""

    def _controls(self):
        return Controls(self.K_, self.b_, self.h_, self.W_, self.mu_)

    def _fitted_network(self):
        return self._network(self._fitted_recipe)

    def _validated(self, X):
        """X as it has to be for prediction."""
        check_is_fitted(self)
        return validate_data(self, X, dtype=self.K_.dtype, reset=False)

    def _outputs(self, X, refinement=1):
        """The outputs of every member, (n_members, n_outputs, n_samples).

        With a `refinement`, each step is taken as so many shorter ones with the same controls.
        """
        X = self._validated(X)
        z = outputs(self._fitted_network(), refined(self._controls(), refinement), X)
        if not np.isfinite(z).all():
            raise ValueError(
                f"The network's output is not finite for {(~np.isfinite(z)).any((0, 1)).sum()} of "
                f"{z.shape[2]} samples: X is too far from the data that the model was fitted to. "
                "Scale it as then."
            )
        return z


class NetworkClassifier(ClassifierMixin, NetworkEstimator):
    """The part of the classifiers that knows about classes."""

    _parameter_constraints: dict = {
        **NetworkEstimator._parameter_constraints,
        "loss": [StrOptions({"log_loss", "squared_error"})],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the network to training data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data, best scaled to unit variance.  float32 is kept, everything else becomes
            float64.
        y : array-like of shape (n_samples,)
            Class labels: numbers, booleans or strings.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; the data loss is the weighted mean.  None means equal weights.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is not as described, if there is only one class, or if the
            objective is not finite at the start; the estimator is then left as it was.

        Warns
        -----
        ConvergenceWarning
            If training ended at `max_iter`, or where the objective is steep and yet only tiny steps
            lower it, or none.
        UserWarning
            If training was interrupted with Ctrl-C; the best iterate is kept.
        """
        with _unchanged_on_error(self), audible(self.verbose):
            X, y = validate_data(self, X, y, dtype=FLOATS)
            check_classification_targets(y)
            weights = _normalised_weights(sample_weight, X)
            self.classes_, codes = np.unique(y, return_inverse=True)
            present = self.classes_[np.unique(codes[weights > 0])]
            if len(present) < 2:
                raise ValueError(
                    "y must hold at least two classes with a positive sample_weight, in "
                    f"{X.dtype} and beside the largest weight; got one class, {present[0]}."
                )
            log_loss = "logistic" if len(self.classes_) == 2 else "softmax"
            loss = log_loss if self.loss == "log_loss" else "squared"
            return self._train(X, self._targets(codes), weights, loss)

    def _targets(self, codes):
        """One column of zeros and ones for two classes, else one such column per class."""
        if len(self.classes_) == 2:
            return codes[:, None] == 1
        return codes[:, None] == np.arange(len(self.classes_))

    def _codes(self, y):
        """The places of the labels `y` in `classes_`."""
        index = {label: k for k, label in enumerate(self.classes_)}
        if not index.keys() >= set(y):
            raise ValueError(f"y holds labels that are not among the classes {self.classes_}.")
        return np.array([index[label] for label in y], dtype=int)

    def decision_function(self, X):
        """Log-odds of the second class, or log-probabilities of all.

        They are those of the averaged probabilities of the members, so for two classes and one
        member the network's output itself.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
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
        log_proba = self._log_proba(X)
        if len(self.classes_) == 2:
            return log_proba[1] - log_proba[0]
        return np.ascontiguousarray(log_proba.T)

    def predict_proba(self, X):
        """Class probabilities, averaged over the members.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of `classes_`.

        Raises
        ------
        NotFittedError, ValueError
            As `decision_function`.
        """
        with quiet():
            return np.ascontiguousarray(np.exp(self._log_proba(X)).T)

    def predict_log_proba(self, X):
        """Logarithms of the class probabilities, exact also where those underflow.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Log-probabilities, in the order of `classes_`.

        Raises
        ------
        NotFittedError, ValueError
            As `decision_function`.
        """
        return np.ascontiguousarray(self._log_proba(X).T)

    def predict(self, X):
        """The class of the highest probability.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels out of `classes_`.

        Raises
        ------
        NotFittedError, ValueError
            As `decision_function`.
        """
        most_likely = self._log_proba(X).argmax(axis=0)
        return self.classes_[most_likely]

    def _log_proba(self, X, refinement=1):
        """Logarithm of the members' mean probabilities, (n_classes, n_samples)."""
        z = self._outputs(X, refinement)
        with quiet():
            log_proba = LOSSES[self._fitted_loss].log_proba(namespace(z), z)
            total = np.logaddexp.reduce(log_proba, axis=0)
            return total - np.log(len(log_proba), dtype=log_proba.dtype)


def _normalised_weights(sample_weight, X):
    """The weights in the dtype of X, (n_samples,), with sum one."""
    if sample_weight is None or isinstance(sample_weight, Real):
        sample_weight = np.full(len(X), 1.0 if sample_weight is None else sample_weight)
    weights = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weights.shape != (len(X),):
        raise ValueError(f"sample_weight.shape == {weights.shape}, expected {(len(X),)}.")
    if np.any(weights < 0):
        raise ValueError(
            f"sample_weight must not be negative; its least entry is {weights.min()}. "
            "Leave samples out with a weight of 0."
        )
    if not np.any(weights > 0):
        raise ValueError("sample_weight is zero for all samples; at least one must be positive.")
    with quiet():  # weights may vanish beside others
        weights = weights / weights.max()  # first, so that the sum cannot overflow
        return (weights / weights.sum()).astype(X.dtype)


@contextmanager
def _unchanged_on_error(estimator):
    """Give the estimator back as it was when the block raises."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
