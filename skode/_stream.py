"""Training on a stream of samples, part by part: `partial_fit`."""

from __future__ import annotations

from dataclasses import replace
from functools import update_wrapper
from numbers import Real
from types import MethodType

import numpy as np
from sklearn.utils import check_random_state

from ._candidates import HELD_OUT_RESULTS
from ._devices import where_computed
from ._features import GIVEN
from ._inputs import cast
from ._span import Span
from .engine.arrays import namespace, to_host
from .engine.training import MAX_ITER, Adam, Moments, Schedule, State

LENGTH = (
    10_000  # samples that the default penalty of a stream is meant for; their number is unknown
)


class only_with_adam:  # noqa: N801  a decorator
    """Make a method available only with ``solver="adam"``, and explain this in the error.

    `sklearn.utils.metaestimators.available_if` would hide the reason in the cause of its error.
    """

    def __init__(self, method):
        self._method = method
        update_wrapper(self, method)

    def __get__(self, estimator, cls=None):
        if estimator is None:
            return self._method
        if estimator.solver != "adam":
            name, method = type(estimator).__name__, self._method.__name__
            raise AttributeError(
                f"{name}.{method} is only available with solver='adam', but the solver is "
                f"{estimator.solver!r}. Set solver='adam' before training, or call fit."
            )
        return MethodType(self._method, estimator)


class Stream:
    """The part of an estimator that trains on new samples, with Adam."""

    def _continue(self, data):
        """Train for one more epoch of Adam, on these samples only."""
        self._forget(*HELD_OUT_RESULTS, "_fingerprint")
        first, n_samples, like = not hasattr(self, "K_"), len(data), data.X
        data = replace(data, X=where_computed(self, data.X))
        if first:
            self._begin_stream(data)
        else:
            self._require_same_features()
        if first or isinstance(self.alpha, Real):
            self.alpha_ = float(self._alphas(GIVEN, None, LENGTH, LENGTH)[0])
        data, span = replace(data, X=self._inputs_of(data.X)), Span(self.feature_map_)
        whole = self._layout(data, n_samples, goes_on=not first)
        n_networks = len(self.network_features_)
        epochs = np.zeros(n_networks, dtype=int) if first else to_host(self.network_n_iter_)
        moments, states, flats = {}, [], []
        with self._blocks() as blocks:
            for view, columns in span.views.items():
                n_mine = self.network_features_.count(view)
                if not n_mine:
                    continue
                seen = data.of_columns(columns)
                layout = self._layout(seen, n_samples, goes_on=not first)
                if first:
                    start = self._random_controls(layout, n_networks)
                else:
                    start = self._last_controls(
                        view, n_networks, whole, span, "Set them as they were"
                    )
                shape = (1, 1, n_mine)
                objective = self._objective(layout, seen, [self.alpha_], shape, None, blocks)
                u = cast(layout.flatten(start), seen.precision)
                constraint = self._constraint(layout, objective.problem.network)
                state = State(objective, seen.placed(u), constraint, self._exact_stages)
                schedule = self._stream_schedule(n_samples, int(epochs.max()))
                adam = Adam(state, schedule, self._moments(view, u, state, seen))
                adam.round()
                moments[view] = tuple(map(to_host, (state.u, *adam.moments)))
                trained = span.embedded(view, layout.views(state.u))
                flats.append(whole.flatten(trained))
                states.append(state)
        self._keep_choices(self.solver, 0, n_samples)
        self._adam = moments
        self._keep_controls(whole, namespace(flats[0]).concat(flats), span)
        self._keep_recipes()
        self.network_n_iter_ = self.best_iter_ = epochs + 1
        self.loss_ = np.concatenate([state.J for state in states])
        before = np.concatenate([state.curve[:, :1] for state in states])
        history = before.T if first else to_host(self.loss_curve_)
        self.loss_curve_ = np.full((self.network_n_iter_.max() + 1, n_networks), np.nan)
        self.loss_curve_[: len(history)] = history
        self.loss_curve_[self.network_n_iter_, np.arange(n_networks)] = self.loss_
        n_evaluations = np.concatenate([state.n_evaluations for state in states])
        self.n_evaluations_ = n_evaluations + (0 if first else to_host(self.n_evaluations_))
        self.stop_reason_ = n_networks * [MAX_ITER]  # one epoch was requested
        self._move_fitted(like)

    def _begin_stream(self, data):
        """Set what the first call of `partial_fit` decides."""
        names = self._views(data, None, LENGTH)
        self._seed = check_random_state(self.random_state).randint(2**31 - 1)
        self._set_features(data, names)
        self._n_kept, self.network_weights_ = 1, np.full(self.n_restarts, 1 / self.n_restarts)
        self.network_features_ = [names[0]] * self.n_restarts

    def _moments(self, view, u, state, data):
        """Return the state of Adam from the previous call, on the device of the features.

        Adam starts afresh if the previous call did not end at u, the fitted controls: they, or the
        parameter h, have been changed since.
        """
        end, *arrays, k, rate_factor = getattr(self, "_adam", {}).get(view, (None, None, None))
        if end is None or not np.array_equal(end, u):
            return Moments.none(state.u)
        return Moments(*map(data.placed, arrays), k, rate_factor)

    def _stream_schedule(self, n_samples, epochs):
        """Return the schedule of Adam in `partial_fit`, after `epochs` epochs of earlier calls.

        A part of a stream may be smaller than a batch.  The number of parts is unknown, so the
        learning rate does not decay.
        """
        rng = np.random.RandomState([self._seed, epochs])
        return Schedule(min(self._batch(n_samples), n_samples), self.learning_rate_init, 0.0, rng)
