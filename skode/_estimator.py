"""The code shared by the estimators: parameters, their "auto" values, and the order of a fit."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

from ._callbacks import CallbackSupport
from ._candidates import FEW, HELD_OUT_RESULTS, MANY
from ._devices import float_type, float_types, host_values, where_computed
from ._features import VIEWS
from ._folds import choose_splits, validation_split
from ._inputs import (
    checked_groups,
    checked_weights,
    naming_the_remedy,
    precision,
    validation_data,
)
from ._parameters import idle_parameters
from ._span import Span
from ._sparse import rows_of
from ._states import StateTransformer
from ._stream import Stream
from ._training import Run, Trainer
from ._warnings import (
    warn_of_idle_parameters,
    warn_of_other_splits,
    warn_unless_converged,
    warn_unless_learned,
)
from .engine.activations import ACTIVATIONS
from .engine.arrays import to_host
from .engine.constraints import both, simplex_steps, spectral_ball, unconstrained
from .engine.controls import Controls, Layout
from .engine.manifolds import orthogonal_layers, rows_of_norm
from .engine.training import (
    LINE_SEARCHES,
    NOT_BEGUN,
    SOLVERS,
    Schedule,
    Stopping,
    random_start,
)

# For n_channels="auto": above MANY samples, or for fewer than this many outputs.
MANY_CHANNELS = 96
CHANNELS = ((8, 48), (16, 64), (np.inf, MANY_CHANNELS))
START = 1.0  # √n_channels times the initial standard deviation of K and b, see `_spread`
# For batch_size="auto": at most this many batches, of at least and at most this many samples.
BATCHES, LEAST_BATCH, LARGEST_BATCH = 50, 32, 500
# The constraints by name; each is made from a layout and `constraint_norm`.
CONSTRAINTS = {
    "spectral": spectral_ball,
    "sphere": rows_of_norm,
    "orthogonal": orthogonal_layers,
}
PATIENCE, EPOCHS = 20, 5  # of n_iter_no_change="auto"; the second is for Adam


class NetworkEstimator(CallbackSupport, StateTransformer, Stream, Trainer):
    """An estimator whose model is a batch of networks, the members.

    A subclass defines the network by `_recipe` and `_network`, and the loss by `_loss_recipe`.  It
    may add a `_constraint`.
    """

    _parameter_constraints: dict = {
        "N": [Interval(Integral, 1, None, closed="left")],
        "h": [Interval(Real, 0, None, closed="neither")],
        "learn_step": ["boolean", StrOptions({"simplex"})],
        "n_channels": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "lift": [StrOptions({"nonlinear", "linear", "pad"})],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "features": [StrOptions({"auto", *VIEWS})],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"}), "array-like"],
        "smoothness": [Interval(Real, 0, None, closed="left")],
        "constraint": [StrOptions(set(CONSTRAINTS)), None],
        "constraint_norm": [Interval(Real, 0, None, closed="neither")],
        "cv": [StrOptions({"auto"}), "cv_object"],
        "scoring": [StrOptions({"auto", *get_scorer_names()}), callable],
        "n_restarts": [Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"auto", *SOLVERS})],
        "line_search": [StrOptions(set(LINE_SEARCHES))],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "learning_rate_decay": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
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

    # `fit` gets the groups for a splitter in an outer search only if it requests them.
    __metadata_request__fit = {"groups": False}

    _channels_per_output = 0  # at least, by default

    @property
    def _goes_on(self):
        """Whether `fit` continues from the last fit."""
        return self.warm_start and hasattr(self, "K_")

    def _validation(self, X, X_val, y_val, sample_weight_val):
        """Return the validation samples given to `fit`, or None."""
        if all(part is None for part in (X_val, y_val, sample_weight_val)):
            return None
        with naming_the_remedy(self):
            X_val, y_val = validation_data(self, X_val, y_val, X)
        weights = checked_weights(sample_weight_val, X_val, "sample_weight_val")
        return self._data(X_val, self._checked_validation_targets(y_val), weights)

    def _fit(self, data, count, validation, groups, course):
        """Train the candidates, compute their weights, and keep the networks with positive weights.

        `count` is the number of samples that the data represent.
        """
        went_on, like = self._goes_on, data.X
        n_rows, n_samples = len(data), np.count_nonzero(data.weights)
        if not n_samples:
            raise ValueError("class_weight is zero for all classes of samples that have a weight.")
        solver = self._solver(n_samples)
        data, splits = self._prepared(data, n_samples, validation, groups)
        judged = splits is not None
        warn_of_idle_parameters(idle_parameters(self, validation is not None, judged, solver))
        candidates = self._candidates(splits, n_samples, count)
        schedule = self._schedule(n_rows, n_samples) if "adam" in solver else None
        shape = (len(splits) if judged else 1, self.n_restarts)
        self._keep_choices(solver, len(splits) if judged else 0, n_samples)
        with self._blocks() as blocks:
            run = self._run(data, n_rows, n_samples, solver, schedule, blocks, course)
            starts = self._starts(run, candidates, shape)
            # From here on, the model contains nothing of an earlier fit.
            self._forget(*HELD_OUT_RESULTS, "V_", "nu_")
            views = {view for view, _ in candidates}
            course.begin(len(views) + (judged and splits.refit))
            training = self._trained(run, candidates, starts, splits, shape, like)
            number = len(candidates) * shape[0] * shape[1]
            candidates, weights = self._settle(run, candidates, splits, training)
            course.report_end(training, len(candidates))
            if not course.cut_short:
                n_left_out = number - np.count_nonzero(training.reason != NOT_BEGUN)
                warn_unless_converged(self, solver, n_left_out)
            if judged and splits.refit:
                self._refit(run, candidates, starts, weights, shape, like)
        if judged:
            self._warn_of_leakage(went_on, splits.fingerprint(data.X))
            if validation is None:
                self._note_unscored(data)
        if not course.cut_short:
            warn_unless_learned(self, data, went_on, validation is not None)
        if not judged or splits.refit:  # nothing was held out from these networks
            self._forget("_fingerprint")
        self._move_fitted(like)
        course.end()

    def _prepared(self, data, n_samples, validation, groups):
        """Return the inputs of the networks, validation samples last, and the splits or None."""
        groups = checked_groups(groups, data.X)
        if not self._goes_on:
            self._seed = check_random_state(self.random_state).randint(2**31 - 1)
        data = replace(data, X=where_computed(self, data.X))
        if validation is not None:
            splits = validation_split(len(data), len(validation))
        else:
            splits = choose_splits(self, data, groups, self._seed)
        if self._goes_on:
            self._require_same_features()
        else:
            self._set_features(data, self._views(data, splits, n_samples))
        data = replace(data, X=self._inputs_of(data.X))
        if validation is not None:
            X_val = self._inputs_of(where_computed(self, validation.X))
            data = data + replace(validation, X=X_val)
            splits.check(data.weights)
        return data, splits

    def _run(self, data, n_rows, n_samples, solver, schedule, blocks, course):
        """Return the settings for training all candidates."""
        span = Span(self.feature_map_)
        if self.lift != "pad":
            span, data = Span.of_samples(self.feature_map_, data)
        layout = self._layout(data, n_samples, self._goes_on)
        stopping = self._stopping(solver)
        return Run(
            data, span, n_rows, n_samples, layout, solver, schedule, stopping, blocks, course
        )

    def _keep_choices(self, solver, n_splits, n_samples):
        """Store the meaning of "auto" for this fit."""
        self._forget("batch_size_")
        self.solver_, self.n_splits_ = solver, n_splits
        self.n_iter_no_change_ = self._stopping(solver).n_iter_no_change
        if "adam" in solver:
            self.batch_size_ = min(self._batch(n_samples), n_samples)

    def _note_unscored(self, data):
        """Report samples that the out-of-fold results leave out."""

    def _warn_of_leakage(self, went_on, fingerprint):
        """Warn if networks may have been trained on held-out samples, until a fit starts afresh."""
        known = not went_on or fingerprint == getattr(self, "_fingerprint", None)
        self._fingerprint = fingerprint
        if not known:
            self._forget("_fingerprint")
            warn_of_other_splits()

    @property
    def _exact_stages(self):
        """Whether stage equations are always solved to rounding."""
        return False

    def _solver(self, n_samples):
        if self.solver != "auto":
            return self.solver
        return "adam" if n_samples > FEW else "lbfgs"

    def _stopping(self, solver):
        patience = self.n_iter_no_change
        if patience == "auto":
            patience = EPOCHS if solver == "adam" else PATIENCE
        return Stopping(self.max_iter, self.tol, patience)

    def _channel_multiple(self):
        """What the number of channels must be a multiple of."""
        return 1

    def _layout(self, data, n_samples, goes_on):
        """Return the layout of the networks; if training continues, the channels do not change."""
        n_features, n_outputs = data.X.shape[1], data.targets.shape[1]
        n_channels = self.n_channels
        if n_channels == "auto" and goes_on:
            n_channels = self.K_.shape[2]
        elif n_channels == "auto":
            n_channels = next(number for limit, number in CHANNELS if n_outputs < limit)
            n_channels = max(n_channels, self._channels_per_output * n_outputs)
            if n_samples > MANY:
                n_channels = MANY_CHANNELS
            if self.lift == "pad":
                n_channels = max(n_channels, n_features)
            n_channels += n_channels % self._channel_multiple()
        if self.lift != "pad":
            return Layout(self.N, n_channels, n_outputs, lifted=n_features)
        if n_channels < n_features:
            seen = "features" if self.feature_map_.is_identity else "inputs"
            raise ValueError(
                f"n_channels={n_channels} is less than the number of {seen}, {n_features}: "
                "the state has to hold them. Take at least as many, or 'auto', or another lift."
            )
        return Layout(self.N, n_channels, n_outputs)

    def _batch(self, n_samples):
        if self.batch_size != "auto":
            return self.batch_size
        number = min(BATCHES, max(1, n_samples // LEAST_BATCH))
        return min(-(-n_samples // number), LARGEST_BATCH)

    def _schedule(self, n_rows, n_samples):
        """Return the schedule of Adam in `fit`; `n_samples` of the rows have a weight."""
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

    def _constraint(self, layout, network):
        """Return the constraint on the controls."""
        return both(self._of_steps(layout, network), self._of_weights(layout, network))

    def _of_steps(self, layout, network):
        """Return the constraint on the steps."""
        if self.learn_step == "simplex":
            return simplex_steps(layout, self.N * self.h)
        return unconstrained

    def _of_weights(self, layout, network):
        """Return the constraint on K and b."""
        if self.constraint is None:
            return unconstrained
        return CONSTRAINTS[self.constraint](layout, self.constraint_norm)

    def _starts(self, run, candidates, shape):
        """Return the initial flat controls of each candidate; they do not depend on alpha."""
        starts, each = [None] * len(candidates), shape[0] * shape[1]
        for view, columns in run.span.views.items():
            mine = [k for k, (name, _) in enumerate(candidates) if name == view]
            if not mine:
                continue
            layout = self._layout(run.data.of_columns(columns), run.n_samples, self._goes_on)
            if self._goes_on:
                remedy = "Set warm_start=False to start afresh"
                n_networks = self._n_kept * each
                found = self._last_controls(view, n_networks, run.layout, run.span, remedy)
            else:
                lifted = run.span.n_inputs(view) if layout.lifted else 0
                found = self._random_controls(replace(layout, lifted=lifted), each)
            flat = layout.flatten(run.span.project(view, found)).reshape(-1, each, layout.size)
            for i, k in enumerate(mine):  # alphas × candidates that were kept
                starts[k] = flat[i % len(flat)]
        return starts

    def _last_controls(self, view, n_networks, whole, span, remedy):
        """Return the controls of the previous call, of the networks with a view."""
        start = Controls(*(part if part is None else to_host(part) for part in self._controls()))
        if whole.lifted:
            whole = replace(whole, lifted=self.feature_map_.n_inputs)
        shapes = [None if shape is None else (n_networks, *shape) for shape in whole.shapes]
        if [None if part is None else part.shape for part in start] != shapes:
            raise ValueError(
                f"Training goes on from {self.K_.shape[0]} networks with N={self.K_.shape[1]}, "
                f"n_channels={self.K_.shape[2]} and {self.n_outputs_} outputs; now it would be "
                f"{n_networks} with N={whole.n_layers}, n_channels={whole.n_channels} and "
                f"{whole.n_outputs} outputs, or another lift. {remedy}."
            )
        mine = np.array(self.network_features_) == view
        start = Controls(*(part if part is None else part[mine] for part in start))
        if not self.learn_step:
            start = start._replace(h=np.full_like(start.h, self.h))
        return span.seen_by(view, start)

    def _recipe(self):
        """The parameters that prediction depends on."""
        lift = self.activation if self.lift == "nonlinear" else "identity"
        return {"activation": self.activation, "lift": lift, "h": float(self.h)}

    def _keep_recipes(self):
        """Keep what describes the fitted networks, since parameters may be set later."""
        self._fitted_recipe, self._fitted_loss = self._recipe(), self._loss_recipe()
        self._fitted_constraint = {"name": self.constraint, "norm": float(self.constraint_norm)}

    def _spread(self):
        """√n_channels times the initial standard deviation of K and b."""
        return START

    def _random_controls(self, layout, n_networks):
        rng = np.random.RandomState(self._seed)
        return random_start(layout, n_networks, self._spread(), self.h, rng)

    def _more_advice(self, solver):
        """Return further advice for training that has ended early."""
        return ", or a smaller learning_rate_init" if "adam" in solver else ""

    def _checked_pair(self, X, y, first, **checks):
        """Return X and y, validated for training, with y on the host."""
        types = float_types(X) if first else float_type(X, precision(self.K_))
        reset = first and not self._goes_on
        checks = {"dtype": types, "reset": reset, "accept_sparse": "csr", **checks}
        with naming_the_remedy(self):
            X, y = validate_data(self, X, host_values(y), **checks)
        return rows_of(X), y
