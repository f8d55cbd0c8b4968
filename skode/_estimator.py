"""What the estimators share: parameters, and how networks are trained."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

from ._callbacks import CallbackSupport
from ._candidates import FEW, HELD_OUT_RESULTS, MANY, Candidates
from ._course import Course
from ._devices import at_work, float_type, float_types, host_values
from ._features import VIEWS
from ._folds import choose_splits, validation_split
from ._inputs import (
    Data,
    cast,
    checked_groups,
    checked_weights,
    naming_the_remedy,
    precision,
    validation_data,
)
from ._parameters import idle_parameters
from ._scoring import Judge
from ._span import Span
from ._sparse import rows_of
from ._states import StateTransformer
from ._stream import Stream
from ._warnings import (
    warn_of_an_unfinished_refit,
    warn_of_idle_parameters,
    warn_of_other_splits,
    warn_unless_converged,
    warn_unless_learned,
)
from .engine.activations import ACTIVATIONS
from .engine.arrays import to_host
from .engine.blocks import Blocks
from .engine.constraints import simplex_steps, unconstrained
from .engine.controls import Controls, Layout
from .engine.kernels import Samples
from .engine.losses import loss_named
from .engine.objective import Objective
from .engine.penalties import Penalties
from .engine.training import (
    CUT_SHORT,
    LINE_SEARCHES,
    NOT_BEGUN,
    REFIT,
    SOLVERS,
    Race,
    Schedule,
    Stopping,
    Turn,
    finished,
    in_turns,
    joined,
    random_start,
    train,
)

# Of n_channels="auto": above MANY samples, and else for fewer than so many outputs.
MANY_CHANNELS = 96
CHANNELS = ((8, 48), (16, 64), (np.inf, MANY_CHANNELS))
START = 1.0  # √n_channels times the standard deviation of K and b at the start, see `_spread`
# Of batch_size="auto": at most so many batches, but of no fewer and no more samples.
BATCHES, LEAST_BATCH, LARGEST_BATCH = 50, 32, 500
PATIENCE, EPOCHS = 20, 5  # of n_iter_no_change="auto", the second for Adam


@dataclass(frozen=True)
class Run:
    """What all candidates of a fit are trained with.

    The data are in the columns of the span, and the layout is that of all views together.  The
    first `n_rows` samples are those of X, of which `n_samples` have a weight.
    """

    data: Data
    span: Span
    n_rows: int
    n_samples: int
    layout: Layout
    solver: str
    schedule: Schedule | None
    stopping: Stopping
    blocks: Blocks
    course: Course


@dataclass(frozen=True)
class Batch:
    """Networks that are trained side by side, in turns if they are many.

    `embed` makes flat controls of the layout of all views of theirs.
    """

    turns: list[Turn]
    n_candidates: int
    project: Callable
    embed: Callable

    def outcome(self, done):
        """What has come out once the first turns are done."""
        training = finished(self.turns, done, self.project)
        return replace(training, flat=self.embed(training.flat))


class NetworkEstimator(CallbackSupport, StateTransformer, Stream, Candidates):
    """An estimator whose model is a batch of networks, the members.

    A subclass says with `_recipe` and `_network` which network it is, and with `_loss_recipe` by
    which loss it is trained.  It may add a `_constraint`.
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

    # Groups that a splitter outside needs are no business of `fit`, unless it asks for them.
    __metadata_request__fit = {"groups": False}

    _channels_per_output = 0  # at least, by default

    @property
    def _goes_on(self):
        """Whether `fit` starts from what the last one has come to."""
        return self.warm_start and hasattr(self, "K_")

    def _validation(self, X, X_val, y_val, sample_weight_val):
        """The samples to judge by that `fit` was given, or None."""
        if all(part is None for part in (X_val, y_val, sample_weight_val)):
            return None
        with naming_the_remedy(self):
            X_val, y_val = validation_data(self, X_val, y_val, X)
        weights = checked_weights(sample_weight_val, X_val, "sample_weight_val")
        return self._data(X_val, self._checked_validation_targets(y_val), weights)

    def _fit(self, data, count, validation, groups, course):
        """Train the candidates, weigh them, and keep networks of those that count.

        `count` says for how many samples the data stand.
        """
        went_on, home = self._goes_on, data.X
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
            # Nothing of an earlier fit is in the model from here on.
            self._forget(*HELD_OUT_RESULTS, "V_", "nu_")
            views = {view for view, _ in candidates}
            course.begin(len(views) + (judged and splits.refit))
            training = self._trained(run, candidates, starts, splits, shape, home)
            number = len(candidates) * shape[0] * shape[1]
            candidates, weights = self._settle(run, candidates, splits, training)
            course.report_end(training, len(candidates))
            if not course.cut_short:
                n_left_out = number - np.count_nonzero(training.reason != NOT_BEGUN)
                warn_unless_converged(self, solver, n_left_out)
            if judged and splits.refit:
                self._refit(run, candidates, starts, weights, shape, home)
        if judged:
            self._watch(went_on, splits.fingerprint(data.X))
            if validation is None:
                self._note_what_is_not_judged(data)
        if not course.cut_short:
            warn_unless_learned(self, data, went_on, validation is not None)
        if not judged or splits.refit:  # then nothing is held out from what goes on
            self._forget("_fingerprint")
        self._move_fitted(home)
        course.end()

    def _settle(self, run, candidates, splits, training):
        """Be the model that a training comes to.

        Return its candidates and their weights.  They are fewer than before if training ended
        before it was the turn of all views.
        """
        n_splits = 1 if splits is None else len(splits)
        n_trained = len(training.n_iter) // (n_splits * self.n_restarts)
        candidates = candidates[:n_trained]
        # Prediction follows what was fitted, not parameters that were set since.
        self._fitted_recipe, self._fitted_loss = self._recipe(), self._loss_recipe()
        weights = self._judge(training, run.layout, candidates, splits, run.data)
        for name in vars(self).keys() & {"oof_decision_function_", "oof_prediction_"}:
            vars(self)[name] = vars(self)[name][: run.n_rows]  # without those that judge alone
        self._keep(run.layout, training, candidates, weights, run.span)
        return candidates, weights

    def _model(self, home, settle=None):
        """The attributes of the model so far, a copy that `settle` makes of the estimator."""
        model = copy(self)
        if settle is not None:
            settle(model)
        model._move_fitted(home)
        return vars(model)

    def _prepared(self, data, n_samples, validation, groups):
        """The inputs of the networks, those to judge by last, and the splits or None."""
        groups = checked_groups(groups, data.X)
        if not self._goes_on:
            self._seed = check_random_state(self.random_state).randint(2**31 - 1)
        data = replace(data, X=at_work(self, data.X))
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
            X_val = self._inputs_of(at_work(self, validation.X))
            data = data + replace(validation, X=X_val)
            splits.check(data.weights)
        return data, splits

    def _run(self, data, n_rows, n_samples, solver, schedule, blocks, course):
        """What all candidates are trained with."""
        span = Span(self.feature_map_)
        if self.lift != "pad":
            span, data = Span.of_samples(self.feature_map_, data)
        layout = self._layout(data, n_samples, self._goes_on)
        stopping = self._stopping(solver)
        return Run(
            data, span, n_rows, n_samples, layout, solver, schedule, stopping, blocks, course
        )

    def _keep_choices(self, solver, n_splits, n_samples):
        """Say what "auto" means here."""
        self._forget("batch_size_")
        self.solver_, self.n_splits_ = solver, n_splits
        self.n_iter_no_change_ = self._stopping(solver).n_iter_no_change
        if "adam" in solver:
            self.batch_size_ = min(self._batch(n_samples), n_samples)

    def _note_what_is_not_judged(self, data):
        """Say where the out-of-fold results leave a part of the samples out."""

    def _watch(self, went_on, fingerprint):
        """Warn where networks may know what is held out, each time until a fit starts afresh."""
        known = not went_on or fingerprint == getattr(self, "_fingerprint", None)
        self._fingerprint = fingerprint
        if not known:
            self._forget("_fingerprint")
            warn_of_other_splits()

    def _refit(self, run, candidates, starts, weights, shape, home):
        """Train what is kept once more, on all samples, for as many iterations as before.

        These are the median over the networks of a candidate.  If training ends before that, the
        networks of the splits stay.
        """
        course, kept, trainings = run.course, np.flatnonzero(weights > 0), []
        best = np.reshape(to_host(self.best_iter_), (len(kept), -1))
        try:
            batches, n_iter = [], 0
            for k, median in zip(kept, np.median(best, axis=1), strict=True):
                again = replace(run, stopping=Stopping(max(1, round(median)), tol=0.0))
                if run.schedule is not None:
                    again = replace(again, schedule=self._schedule(len(run.data), run.n_samples))
                batch = self._batch_of(again, [candidates[k]], [starts[k]], None, shape)
                n_iter += len(batch.turns) * again.stopping.max_iter
                batches.append((again, batch))
            if not course.over:
                n_turns = sum(len(batch.turns) for _, batch in batches)
                course.begin_training("all samples", n_iter, n_turns)
            for again, batch in batches:
                if not course.over:
                    done = []
                    for turn in self._turns(again, batch, lambda _: self._model(home), done):
                        done.append(turn())  # noqa: PERF401  it is looked at as it grows
                    trainings.append(batch.outcome(done))
        except KeyboardInterrupt:
            course.interrupted = True
        cut_short = [np.isin(training.reason, CUT_SHORT).any() for training in trainings]
        if len(trainings) < len(kept) or any(cut_short):
            if not course.cut_short:
                warn_of_an_unfinished_refit(self.max_time)
        else:
            training = joined(trainings)
            training = replace(training, reason=np.full(len(training.reason), REFIT))
            self._keep(run.layout, training, [candidates[k] for k in kept], weights[kept], run.span)
            course.report_end(training, len(kept), "all samples")
        if trainings:
            course.end_training(lambda: self._model(home))

    def _trained(self, run, candidates, starts, splits, shape, home):
        """What training comes to, view by view of the features.

        `shape` is the number of splits and that of restarts.  If training ends before all networks
        of the first view have had their turn, the others are missing; if before all of another
        view, that view is.
        """
        course, found = run.course, []
        views = [view for view in run.span.views if any(name == view for name, _ in candidates)]

        def so_far(training):
            return [*found, training] if not found or NOT_BEGUN not in training.reason else found

        def model(trainings):
            training = joined(trainings)
            return self._model(home, lambda copy: copy._settle(run, candidates, splits, training))

        for view in views:
            if found and course.over:
                break
            mine = [k for k, (name, _) in enumerate(candidates) if name == view]
            some, begin = ([part[k] for k in mine] for part in (candidates, starts))
            try:
                batch = self._batch_of(run, some, begin, splits, shape)
                n_turns, what = len(batch.turns), f"features {view}" if len(views) > 1 else ""
                course.begin_training(what, n_turns * run.stopping.max_iter, n_turns)
                done = []
                for turn in self._turns(run, batch, lambda now: model(so_far(now)), done):
                    done.append(turn())  # noqa: PERF401  it is looked at as it grows
                training = batch.outcome(done)
            except KeyboardInterrupt:
                if not found:
                    raise
                course.interrupted = True
                break
            found = so_far(training)
            course.end_training(partial(model, found))
        return joined(found)

    def _batch_of(self, run, candidates, starts, splits, shape):
        """The networks of some candidates with the same view of the features."""
        view, n_candidates = candidates[0][0], len(candidates)
        seen, alphas = run.data.of_columns(run.span.views[view]), [alpha for _, alpha in candidates]
        layout, every = self._layout(seen, run.n_samples, self._goes_on), (n_candidates, *shape)
        objective = self._objective(layout, seen, alphas, every, splits, run.blocks)
        start = seen.placed(cast(np.concatenate(starts), seen.precision))
        turns = in_turns(objective, start, run.solver, _race(every), run.schedule)
        project = self._constraint(layout, objective.problem.network)

        def embed(flat):
            return run.layout.flatten(run.span.embedded(view, layout.views(flat)))

        return Batch(turns, n_candidates, project, embed)

    def _turns(self, run, batch, model, done):
        """Yield the trainings of a batch, to be called one after the other, while there is time.

        What they return belongs in the list `done`.  `model` computes the model so far, see
        `Course.follower`.
        """
        course, stopping = run.course, run.stopping
        follower = course.follower(
            batch.n_candidates, stopping.max_iter, lambda now: model(batch.outcome([*done, now]))
        )
        for turn in batch.turns:
            if done and course.over:
                break
            yield partial(
                train,
                turn.objective,
                turn.start,
                run.solver,
                line_search=self.line_search,
                schedule=turn.schedule,
                project=batch.project,
                stopping=replace(stopping, deadline=course.begin_turn()),
                race=turn.race,
                on_iteration=follower,
                exact_stages=self._exact_stages,
            )
            course.end_turn(done[-1])

    @property
    def _exact_stages(self):
        """Whether stage equations, if there are any, are always solved to rounding."""
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

    def _layout(self, data, n_samples, goes_on):
        """The layout of the networks; those that training goes on with keep their channels."""
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
        if self.lift != "pad":
            return Layout(self.N, n_channels, n_outputs, lifted=n_features)
        if n_channels < n_features:
            seen = "features" if self.feature_map_.is_identity else "inputs"
            raise ValueError(
                f"n_channels={n_channels} is less than the number of {seen}, {n_features}: "
                "the state has to hold them. Take at least as many, or 'auto', or another lift."
            )
        return Layout(self.N, n_channels, n_outputs)

    def _objective(self, layout, data, alphas, shape, splits, blocks):
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
        judge = None
        if splits is not None and self._by_score:
            judge = Judge(self.scoring, self._said, self._truth, data, splits)
        return Objective(
            self._network(self._recipe()),
            layout,
            loss_named(**self._loss_recipe()),
            Samples(data.X, data.placed(data.targets), weights, folds),
            Penalties(data.placed(alphas), self.smoothness, self.h),
            free=[part for part in Controls._fields if part != "h" or self.learn_step],
            blocks=blocks,
            judge=judge,
        )

    def _batch(self, n_samples):
        if self.batch_size != "auto":
            return self.batch_size
        number = min(BATCHES, max(1, n_samples // LEAST_BATCH))
        return min(-(-n_samples // number), LARGEST_BATCH)

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

    def _constraint(self, layout, network):
        """The projection that every trial point goes through."""
        if self.learn_step == "simplex":
            return simplex_steps(layout, self.N * self.h)
        return unconstrained

    def _starts(self, run, candidates, shape):
        """The flat controls that each candidate starts from: the same for every alpha."""
        starts, each = [None] * len(candidates), shape[0] * shape[1]
        for view, columns in run.span.views.items():
            mine = [k for k, (name, _) in enumerate(candidates) if name == view]
            if not mine:
                continue
            layout = self._layout(run.data.of_columns(columns), run.n_samples, self._goes_on)
            if self._goes_on:
                remedy = "Set warm_start=False to start anew"
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
        """Those of the call before, of the networks with a view."""
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
        """What prediction has to know of the parameters."""
        lift = self.activation if self.lift == "nonlinear" else "identity"
        return {"activation": self.activation, "lift": lift, "h": float(self.h)}

    def _spread(self):
        """√n_channels times the standard deviation of K and b at the start."""
        return START

    def _random_controls(self, layout, n_networks):
        rng = np.random.RandomState(self._seed)
        return random_start(layout, n_networks, self._spread(), self.h, rng)

    def _more_advice(self, solver):
        """What else may be tried where training has ended early."""
        return ", or a smaller learning_rate_init" if "adam" in solver else ""

    def _checked_pair(self, X, y, first, **checks):
        """X and y as they have to be for training, y on the host."""
        types = float_types(X) if first else float_type(X, precision(self.K_))
        reset = first and not self._goes_on
        checks = {"dtype": types, "reset": reset, "accept_sparse": "csr", **checks}
        with naming_the_remedy(self):
            X, y = validate_data(self, X, host_values(y), **checks)
        return rows_of(X), y


def _race(shape):
    """The race of alphas × splits × restarts, or None where there is only one candidate."""
    n_alphas, n_splits, _ = shape
    return None if n_alphas == 1 else Race(n_alphas, n_splits)
