"""Training of the networks of a fit, and assembly of the model."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ._candidates import Candidates
from ._course import Course
from ._gathering import training_of
from ._inputs import Data, cast
from ._scoring import Judge
from ._span import Span
from ._together import Job
from ._warnings import warn_of_an_unfinished_refit
from .engine.arrays import to_host
from .engine.blocks import Blocks
from .engine.constraints import Constraint
from .engine.controls import Controls, Layout
from .engine.kernels import Samples
from .engine.losses import loss_named
from .engine.objective import Objective
from .engine.penalties import Penalties
from .engine.training import (
    CUT_SHORT,
    NOT_BEGUN,
    REFIT,
    Race,
    Schedule,
    Stopping,
    Turn,
    finished,
    in_turns,
    joined,
)

# Parameters that no constraint depends on, and that may differ between networks in a batch.
OPEN = {"alpha", "smoothness", "random_state", "n_restarts", "cv", "n_jobs"}


@dataclass(frozen=True)
class Run:
    """The settings for training all candidates of a fit.

    The data are in the columns of the span, and the layout is for all views together.  The first
    `n_rows` samples are the rows of X, of which `n_samples` have a weight.
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
    """Networks that are trained side by side, or in turns if there are many.

    `embed` converts their flat controls to the layout for all views.
    """

    turns: list[Turn]
    n_candidates: int
    constraint: Constraint
    embed: Callable

    def outcome(self, done):
        """Return the results after the first turns."""
        training = finished(self.turns, done, self.constraint)
        return replace(training, flat=self.embed(training.flat))


class Trainer(Candidates):
    """The part of an estimator that trains the networks of its candidates."""

    def _trained(self, run, candidates, starts, splits, shape, like):
        """Train all networks, one view of the features after the other.

        `shape` holds the numbers of splits and of restarts.  If training ends before all networks
        of the first view have begun, the others are left out; if it ends before all networks of
        another view have begun, that view is left out.
        """
        course, found = run.course, []
        views = [view for view in run.span.views if any(name == view for name, _ in candidates)]

        def so_far(training):
            return [*found, training] if not found or NOT_BEGUN not in training.reason else found

        def model(trainings):
            training = joined(trainings)
            return self._model(like, lambda copy: copy._settle(run, candidates, splits, training))

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
        """Return the networks of some candidates with the same view of the features."""
        view, n_candidates = candidates[0][0], len(candidates)
        seen, alphas = run.data.of_columns(run.span.views[view]), [alpha for _, alpha in candidates]
        layout, every = self._layout(seen, run.n_samples, self._goes_on), (n_candidates, *shape)
        objective = self._objective(layout, seen, alphas, every, splits, run.blocks)
        start = seen.placed(cast(np.concatenate(starts), seen.precision))
        turns = in_turns(objective, start, run.solver, _race(every), run.schedule)
        constraint = self._constraint(layout, objective.problem.network)

        def embed(flat):
            return run.layout.flatten(run.span.embedded(view, layout.views(flat)))

        return Batch(turns, n_candidates, constraint, embed)

    def _turns(self, run, batch, model, done):
        """Yield functions that train a batch in turns, to be called in order, while there is time.

        Append their results to the list `done`.  `model` computes the model so far, see
        `Course.follower`.
        """
        course, stopping = run.course, run.stopping
        follower = course.follower(
            batch.n_candidates, stopping.max_iter, lambda now: model(batch.outcome([*done, now]))
        )
        for turn in batch.turns:
            if done and course.over:
                break
            job = Job(
                turn.objective,
                turn.start,
                run.solver,
                self.line_search,
                turn.schedule,
                batch.constraint,
                replace(stopping, deadline=course.begin_turn()),
                turn.race,
                follower,
                self._exact_stages,
                self._about_constraint(batch.constraint),
            )
            yield training_of(job)
            course.end_turn(done[-1])

    def _about_constraint(self, constraint):
        """Return what is equal for estimators with equal constraints; None if there is none."""
        if constraint.nothing:
            return None
        parameters = self.get_params(deep=False)
        return tuple((name, repr(parameters[name])) for name in sorted(parameters.keys() - OPEN))

    def _objective(self, layout, data, alphas, shape, splits, blocks):
        """Return the objective of alphas × splits × restarts."""
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
            judge = Judge(self.scoring, self._as_estimator, self._truth, data, splits)
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

    def _settle(self, run, candidates, splits, training):
        """Set the fitted attributes from a training.

        Return its candidates and their weights.  There are fewer candidates if training ended
        before all views had begun.
        """
        n_splits = 1 if splits is None else len(splits)
        n_trained = len(training.n_iter) // (n_splits * self.n_restarts)
        candidates = candidates[:n_trained]
        self._keep_recipes()
        weights = self._judge(training, run.layout, candidates, splits, run.data)
        for name in vars(self).keys() & {"oof_decision_function_", "oof_prediction_"}:
            vars(self)[name] = vars(self)[name][: run.n_rows]  # without those that judge alone
        self._keep(run.layout, training, candidates, weights, run.span)
        return candidates, weights

    def _model(self, like, settle=None):
        """Return the attributes of the model so far, from a copy of the estimator."""
        model = copy(self)
        if settle is not None:
            settle(model)
        model._move_fitted(like)
        return vars(model)

    def _refit(self, run, candidates, starts, weights, shape, like):
        """Train the kept candidates once more, on all samples, for as many iterations as before.

        That number is the median over the networks of a candidate.  If training ends before that,
        the networks of the splits are kept.
        """
        course, kept, trainings = run.course, np.flatnonzero(weights > 0), []
        best = np.reshape(to_host(self.best_iter_), (len(kept), -1))
        try:
            batches, n_iter = [], 0
            for k, median in zip(kept, np.median(best, axis=1), strict=True):
                again = replace(run, stopping=Stopping(max(1, round(median)), tol=0.0))
                batch = self._batch_of(again, [candidates[k]], [starts[k]], None, shape)
                n_iter += len(batch.turns) * again.stopping.max_iter
                batches.append((again, batch))
            if not course.over:
                n_turns = sum(len(batch.turns) for _, batch in batches)
                course.begin_training("all samples", n_iter, n_turns)
            for again, batch in batches:
                if not course.over:
                    done = []
                    for turn in self._turns(again, batch, lambda _: self._model(like), done):
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
            course.end_training(lambda: self._model(like))


def _race(shape):
    """Return the race of alphas × splits × restarts, or None if there is only one candidate."""
    n_alphas, n_splits, _ = shape
    return None if n_alphas == 1 else Race(n_alphas, n_splits)
