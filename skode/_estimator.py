"""What the estimators share: train the candidates, weigh them, keep what predicts."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

from ._averaging import greedy_weights
from ._devices import at_work, float_type, float_types, host_values
from ._fitted import FittedNetworks
from ._folds import MANY, choose_splits, validation_split
from ._inputs import checked_groups, checked_weights, precision, validation_data
from ._verbose import iteration_reporter, report_end
from ._warnings import warn_of_other_splits, warn_unless_converged
from .engine.activations import ACTIVATIONS
from .engine.arrays import namespace, placed, quiet, to_host
from .engine.constraints import simplex_steps, unconstrained
from .engine.controls import Controls, Layout
from .engine.kernels import Samples
from .engine.losses import LOSSES
from .engine.objective import Objective
from .engine.penalties import Penalties
from .engine.training import (
    LINE_SEARCHES,
    MAX_ITER,
    SOLVERS,
    Adam,
    Moments,
    Race,
    Schedule,
    State,
    Stopping,
    random_start,
    train,
)

# The candidates of alpha="auto", times the number of samples, up to so many samples.  A penalty is
# worth less the more data there are.  The last is also that where no samples are held out, and then
# for fewer than FEW samples that of FEW: more would leave nothing of a small network.
ALPHAS = ((1500, (0.1, 0.5, 2.0, 8.0)), (MANY, (0.2, 1.0, 5.0)), (np.inf, (1.0,)))
FEW = 100
CHANNELS, MANY_CHANNELS = 48, 96  # of n_channels="auto"
START = 1.0  # √n_channels times the standard deviation of K and b at the start, see `_spread`
BATCH = 500  # of batch_size="auto", at most
PATIENCE, EPOCHS = 20, 10  # of n_iter_no_change="auto", the second for Adam

# Fitted attributes that are there only where samples are held out.
HELD_OUT_RESULTS = (
    "candidates_",
    "validation_loss_",
    "validation_curve_",
    "oof_decision_function_",
    "oof_prediction_",
    "oof_score_",
)


def trained_by_adam(estimator):
    """Whether `partial_fit` is there."""
    if estimator.solver == "adam":
        return True
    raise AttributeError(
        f"partial_fit is available with solver='adam' alone, not with {estimator.solver!r}."
    )


class NetworkEstimator(FittedNetworks):
    """An estimator whose model is a batch of networks, the members.

    A subclass says with `_recipe` and `_network` which network it is, and may add a `_constraint`.
    """

    _parameter_constraints: dict = {
        "N": [Interval(Integral, 1, None, closed="left")],
        "h": [Interval(Real, 0, None, closed="neither")],
        "learn_step": ["boolean", StrOptions({"simplex"})],
        "n_channels": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "lift": [StrOptions({"nonlinear", "linear", "pad"})],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"}), "array-like"],
        "smoothness": [Interval(Real, 0, None, closed="left")],
        "cv": [StrOptions({"auto"}), "cv_object"],
        "n_restarts": [Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"auto", *SOLVERS})],
        "line_search": [StrOptions(set(LINE_SEARCHES))],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "learning_rate_decay": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "warm_start": ["boolean"],
        "n_jobs": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
            None,
        ],
        "device": [StrOptions({"cpu", "cuda"}), None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    # Folds by group need no request of their own under metadata routing.
    __metadata_request__fit = {"groups": True}

    @property
    def _goes_on(self):
        """Whether `fit` starts from what the last one has come to."""
        return self.warm_start and hasattr(self, "K_")

    def _validation(self, X, X_val, y_val, sample_weight_val):
        """The samples to judge by that `fit` was given, or None."""
        if all(part is None for part in (X_val, y_val, sample_weight_val)):
            return None
        X_val, y_val = validation_data(self, X_val, y_val, X)
        weights = checked_weights(sample_weight_val, X_val, "sample_weight_val")
        return self._data(X_val, self._checked_validation_targets(y_val), weights)

    def _fit(self, data, count, validation, groups, loss):
        """Fit the candidates to the data, keep the best, and what it says of held-out samples.

        `count` says for how many samples the data stand.
        """
        went_on = self._goes_on
        if not went_on:
            self._seed = check_random_state(self.random_state).randint(2**31 - 1)
        home, groups = data.X, checked_groups(groups, data.X)
        n_rows, n_samples = len(data), np.count_nonzero(data.weights)
        data = replace(data, X=at_work(self, data.X))
        if validation is not None:
            splits = validation_split(len(data), len(validation))
            data = data + replace(validation, X=at_work(self, validation.X))
        else:
            splits = choose_splits(self, data, groups, self._seed)
        if splits is not None:
            splits.check(data.weights, data.codes, getattr(self, "_labels", ()))
        alphas = self._alphas(splits, n_samples, count)
        schedule = self._schedule(n_rows, n_samples) if "adam" in self._solver(n_samples) else None
        self._train(data, n_samples, schedule, alphas, splits, loss)
        if splits is None:
            self._forget("_fingerprint")
        else:
            self._watch(went_on, splits.fingerprint(data.X))
            if validation is not None:  # the samples of X were all trained on
                for name in vars(self).keys() & {"oof_decision_function_", "oof_prediction_"}:
                    vars(self)[name] = vars(self)[name][: -len(validation)]
        self._move_fitted(home)

    def _watch(self, went_on, fingerprint):
        """Warn where networks may know what is held out, each time until a fit starts afresh."""
        known = not went_on or fingerprint == getattr(self, "_fingerprint", None)
        self._fingerprint = fingerprint
        if not known:
            self._forget("_fingerprint")
            warn_of_other_splits()

    def _train(self, data, n_samples, schedule, alphas, splits, loss):
        went_on = self._goes_on
        if went_on:  # from every candidate that was kept, with every penalty
            alphas = np.repeat(alphas, self._n_kept).tolist()
        shape = (len(alphas), 1 if splits is None else len(splits), self.n_restarts)
        layout = self._layout(data, n_samples, went_on)
        solver = self._solver(n_samples)
        with self._blocks() as blocks:
            objective = self._objective(layout, data, alphas, shape, splits, loss, blocks)
            training = train(
                objective,
                data.placed(cast(self._start(layout, shape), data.precision)),
                solver,
                line_search=self.line_search,
                schedule=schedule,
                project=self._constraint(layout, objective.problem.network),
                stopping=self._stopping(solver),
                race=_race(shape),
                on_iteration=iteration_reporter(self),
            )
        report_end(self, training)
        # Prediction follows what was fitted, not parameters that were set since.
        self._fitted_recipe, self._fitted_loss = self._recipe(), loss
        weights = self._judge(training, layout, alphas, shape, splits, data)
        self._keep(layout, training, weights)
        warn_unless_converged(self, solver, training, went_on)

    def _continue(self, data, loss):
        """One more epoch of Adam on these samples alone."""
        self._forget(*HELD_OUT_RESULTS, "_fingerprint")
        first, n_samples, home = not hasattr(self, "K_"), len(data), data.X
        data = replace(data, X=at_work(self, data.X))
        if first:
            self._seed = check_random_state(self.random_state).randint(2**31 - 1)
        if first or isinstance(self.alpha, Real):
            self.alpha_ = float(self._alphas(None, MANY, MANY)[0])
        layout = self._layout(data, n_samples, goes_on=not first)
        n_networks = self.n_restarts if first else self.K_.shape[0]
        if first:
            start = self._random_controls(layout, n_networks)
            epochs = np.zeros(n_networks, dtype=int)
        else:
            start = self._last_controls(layout, n_networks, "Set them as they were")
            epochs = to_host(self.n_iter_)
        shape = (1, 1, n_networks)
        with self._blocks() as blocks:
            objective = self._objective(layout, data, [self.alpha_], shape, None, loss, blocks)
            flat = data.placed(cast(layout.flatten(start), data.precision))
            state = State(objective, flat, self._constraint(layout, objective.problem.network))
            schedule = self._stream_schedule(n_samples, int(epochs.max()))
            adam = Adam(state, schedule, self._moments(data))
            adam.round()
        self._adam = tuple(map(to_host, adam.moments))
        self._keep_controls(layout, state.u)
        if first:
            self._n_kept, self.network_weights_ = 1, np.full(n_networks, 1 / n_networks)
        self._fitted_loss, self._fitted_recipe = loss, self._recipe()
        self.n_iter_ = self.best_iter_ = epochs + 1
        self.loss_ = state.J
        history = state.curve[:, :1] if first else to_host(self.loss_curve_)
        self.loss_curve_ = np.full((n_networks, self.n_iter_.max() + 1), np.nan)
        self.loss_curve_[:, : history.shape[1]] = history
        self.loss_curve_[np.arange(n_networks), self.n_iter_] = state.J
        self.n_evaluations_ = state.n_evaluations + (0 if first else to_host(self.n_evaluations_))
        self.stop_reason_ = n_networks * [MAX_ITER]  # one epoch is all that was asked for
        self._move_fitted(home)

    def _moments(self, data):
        """What Adam remembers of the call before, where the features are."""
        if not hasattr(self, "_adam"):
            return None
        mu, nu, *counts = self._adam
        return Moments(data.placed(mu), data.placed(nu), *counts)

    def _solver(self, n_samples):
        if self.solver == "auto":
            return "adam" if n_samples > MANY else "lbfgs"
        return self.solver

    def _stopping(self, solver):
        patience = self.n_iter_no_change
        if patience == "auto":
            patience = EPOCHS if solver == "adam" else PATIENCE
        return Stopping(self.max_iter, self.tol, patience)

    def _alphas(self, splits, n_samples, count):
        """The candidates for the penalty.

        How many there are is a matter of the samples to be computed with, and how large they are of
        those that the data stand for; a stream counts as many samples, not as its first few.
        """
        if isinstance(self.alpha, str):
            if splits is None:
                return [ALPHAS[-1][1][0] / max(count, FEW)]
            candidates = next(numbers for limit, numbers in ALPHAS if n_samples <= limit)
            return [number / count for number in candidates]
        if isinstance(self.alpha, Real):
            return [self.alpha]
        try:
            alphas = np.asarray(host_values(self.alpha), dtype=float)
        except (TypeError, ValueError):
            alphas = np.empty(0)
        if alphas.ndim != 1 or not alphas.size or not (np.isfinite(alphas) & (alphas >= 0)).all():
            raise ValueError(
                f"alpha={self.alpha!r} must be a number, 'auto', or a sequence of at least one "
                "number; each of them finite and not negative."
            )
        if splits is None and len(alphas) > 1:
            raise ValueError(
                f"alpha={self.alpha!r} is a choice, but no samples are held out to choose by. "
                "Give one number, or, to fit, a cv, or early_stopping=True, or X_val and y_val."
            )
        return alphas.tolist()

    def _layout(self, data, n_samples, goes_on):
        """The layout of the networks; those that training goes on with keep their channels."""
        n_features, n_outputs = data.X.shape[1], data.targets.shape[1]
        n_channels = self.n_channels
        if n_channels == "auto" and goes_on:
            n_channels = self.K_.shape[2]
        elif n_channels == "auto":
            n_channels = MANY_CHANNELS if n_samples > MANY else CHANNELS
            if self.lift == "pad":
                n_channels = max(n_channels, n_features)
        if self.lift != "pad":
            return Layout(self.N, n_channels, n_outputs, lifted=n_features)
        if n_channels < n_features:
            raise ValueError(
                f"n_channels={n_channels} is less than the number of features, {n_features}: "
                "the state has to hold them. Take at least as many, or 'auto', or another lift."
            )
        return Layout(self.N, n_channels, n_outputs)

    def _objective(self, layout, data, alphas, shape, splits, loss, blocks):
        """The objective of alphas × splits × restarts."""
        n_alphas, n_splits, n_restarts = shape
        weights, folds = data.weights, None
        if splits is None:
            weights = weights / (weights.sum() or 1.0)
        else:
            folds = splits.fold_weights(weights, data.precision, n_alphas, n_restarts)
            folds = folds.placed(data.like)
        alphas = cast(np.repeat(alphas, n_splits * n_restarts), data.precision)
        weights = data.placed(weights.astype(data.precision))
        return Objective(
            self._network(self._recipe()),
            layout,
            LOSSES[loss],
            Samples(data.X, data.placed(data.targets), weights, folds),
            Penalties(data.placed(alphas), self.smoothness, self.h),
            free=[part for part in Controls._fields if part != "h" or self.learn_step],
            blocks=blocks,
        )

    def _batch(self, n_samples):
        return min(BATCH, n_samples) if self.batch_size == "auto" else self.batch_size

    def _schedule(self, n_rows, n_samples):
        """How Adam goes in `fit`; of the rows so many have a weight."""
        batch = self._batch(n_samples)
        if batch > n_rows:
            raise ValueError(
                f"batch_size={batch} is more than the number of samples, {n_rows}. "
                "Take at most as many, or 'auto'."
            )
        rng = np.random.RandomState([self._seed, 0])
        return Schedule(
            min(batch, n_samples), self.learning_rate_init, self.learning_rate_decay, rng
        )

    def _stream_schedule(self, n_samples, epochs):
        """How Adam goes in `partial_fit`, after so many epochs of earlier calls.

        The part of a stream may be smaller than a batch.  As nobody knows how many parts there will
        be, the learning rate stays.
        """
        rng = np.random.RandomState([self._seed, epochs])
        return Schedule(min(self._batch(n_samples), n_samples), self.learning_rate_init, 0.0, rng)

    def _constraint(self, layout, network):
        """The projection that every trial point goes through."""
        if self.learn_step == "simplex":
            return simplex_steps(layout, self.N * self.h)
        return unconstrained

    def _start(self, layout, shape):
        """The flat controls that training starts from, the same for every alpha."""
        n_candidates, n_splits, n_restarts = shape
        n_kept = 1
        if self._goes_on:
            n_kept, remedy = self._n_kept, "Set warm_start=False to start anew"
            start = self._last_controls(layout, n_kept * n_splits * n_restarts, remedy)
        else:
            start = self._random_controls(layout, n_splits * n_restarts)
        return np.tile(layout.flatten(start), (n_candidates // n_kept, 1))

    def _last_controls(self, layout, n_networks, remedy):
        """Those of the call before."""
        start = Controls(*(part if part is None else to_host(part) for part in self._controls()))
        shapes = [None if shape is None else (n_networks, *shape) for shape in layout.shapes]
        if [None if part is None else part.shape for part in start] != shapes:
            raise ValueError(
                f"Training goes on from {self.K_.shape[0]} networks with N={self.K_.shape[1]}, "
                f"n_channels={self.K_.shape[2]} and {self.n_outputs_} outputs; now it would be "
                f"{n_networks} with N={layout.n_layers}, n_channels={layout.n_channels} and "
                f"{layout.n_outputs} outputs, or another lift. {remedy}."
            )
        return start if self.learn_step else start._replace(h=np.full_like(start.h, self.h))

    def _recipe(self):
        """What prediction has to know of the parameters."""
        lift = self.activation if self.lift == "nonlinear" else "identity"
        return {"activation": self.activation, "lift": lift, "h": float(self.h)}

    def _spread(self):
        """√n_channels times the standard deviation of K and b at the start."""
        return START

    def _random_controls(self, layout, n_networks):
        rng = np.random.RandomState(self._seed)
        return random_start(layout, n_networks, self._spread(), self.h, rng)

    def _judge(self, training, layout, alphas, shape, splits, data):
        """The weights of the candidates, and what their average says of held-out samples."""
        self._forget(*HELD_OUT_RESULTS)
        weights = np.ones(1)
        if splits is not None:
            self.validation_loss_ = training.held_out.reshape(shape)
            self.validation_curve_ = training.held_out_curve.reshape(*shape, -1)
            mean = self.validation_loss_.mean(axis=(1, 2))
            able = np.isfinite(mean)
            able[np.argmin(mean)] = True
            parts = list(self._out_of_fold(training, layout, np.flatnonzero(able), splits, data))
            weights = np.zeros(len(alphas))
            weights[able] = self._weights(parts, data)
            average = LOSSES[self._fitted_loss].average
            with quiet():
                together = [(rows, average(np, said, weights[able])) for rows, said in parts]
            self._keep_out_of_fold(together, data)
            self.candidates_ = {
                "alpha": np.array(alphas, dtype=float),
                "validation_loss": mean,
                "weight": weights,
            }
        self.alpha_ = float(alphas[np.argmax(weights)])
        return weights

    def _out_of_fold(self, training, layout, candidates, splits, data):
        """Split by split, the held-out samples and what each candidate says of them.

        (candidates, classes or outputs, samples).  Samples without weight are left out, as their
        features may be anything.
        """
        for s in range(len(splits)):
            rows = splits.rows(s)
            rows = rows[data.given_weights[rows] > 0]
            X, said = data.features(rows), []
            for candidate in candidates:
                first = (candidate * len(splits) + s) * self.n_restarts
                members = training.flat[first : first + self.n_restarts, :]
                said.append(to_host(self._mean_outputs(layout.views(members), X)))
            yield rows, np.stack(said)

    def _weights(self, parts, data):
        """The weights of the candidates, from what `_out_of_fold` gives."""
        if len(parts[0][1]) == 1:
            return np.ones(1)
        rows = np.concatenate([rows for rows, _ in parts])
        said = np.concatenate([said for _, said in parts], axis=2)
        with quiet():
            shares = [data.weights[rows] / data.weights[rows].sum() for rows, _ in parts]
            loss, predictions = self._to_average(rows, said, np.concatenate(shares), data)
            return greedy_weights(loss, predictions)

    def _keep(self, layout, training, weights):
        """What the members of the candidates with a weight have come to."""
        each = len(training.n_iter) // len(weights)
        kept = np.flatnonzero(np.repeat(weights > 0, each))
        flat = training.flat
        flat = namespace(flat).take(flat, placed(kept, flat), axis=0)
        self._keep_controls(layout, flat)
        self._n_kept = np.count_nonzero(weights)
        self.network_weights_ = np.repeat(weights[weights > 0] / each, each)
        self.n_iter_, self.best_iter_ = training.n_iter[kept], training.best_iter[kept]
        self.loss_ = training.J[kept]
        self.loss_curve_ = training.curve[kept, : self.n_iter_.max() + 1]
        self.n_evaluations_ = training.n_evaluations[kept]
        self.stop_reason_ = training.reason[kept].tolist()
        self._forget("_adam")

    def _more_advice(self, solver):
        """What else may be tried where training has ended early."""
        return ", or a smaller learning_rate_init" if "adam" in solver else ""

    def _checked_pair(self, X, y, first, **checks):
        """X and y as they have to be for training, y on the host."""
        types = float_types(X) if first else float_type(X, precision(self.K_))
        reset = first and not self._goes_on
        return validate_data(self, X, host_values(y), dtype=types, reset=reset, **checks)


def cast(array, dtype):
    """In the precision of X; numbers beyond it are infinite, which training will notice."""
    with quiet():
        return array.astype(dtype)


def _race(shape):
    """The race of alphas × splits × restarts, or None where there is only one candidate."""
    n_alphas, n_splits, _ = shape
    return None if n_alphas == 1 else Race(n_alphas, n_splits)
