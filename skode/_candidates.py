"""The candidates of a fit: their selection, their weights, and the results that are kept."""

from __future__ import annotations

from numbers import Real

import numpy as np

from ._averaging import greedy_weights
from ._devices import host_values
from ._features import GIVEN, PIECEWISE, VIEWS, FeatureMap, some_in_pieces
from ._fitted import FittedNetworks
from ._scoring import negative_score
from .engine.arrays import namespace, placed, quiet, to_host
from .engine.sparse_rows import SparseRows
from .engine.training import NOT_BEGUN

# The meaning of "auto" depends on the number of samples.
FEW = 700  # up to this number: L-BFGS and four candidates; above: Adam and fewer
MANY = 10_000  # above this number: more channels

# The candidates of alpha="auto", multiplied by the number of samples, for up to this many samples:
# with one view of the features, or with two.
ALPHAS = {
    "alone": ((FEW, (0.1, 0.5, 2.0, 8.0)), (MANY, (0.5, 4.0, 32.0)), (np.inf, (1.0,))),
    GIVEN: ((FEW, (0.5, 2.0)), (np.inf, (1.0,))),
    PIECEWISE: ((FEW, (2.0, 8.0)), (np.inf, (2.0,))),
}
# The penalty if no samples are held out, times the number of samples.  Fewer than LEAST samples
# count as LEAST, since a larger penalty would suppress a small network.
ALONE, LEAST = 1.0, 100
MOST_IN_PIECES = 20_000  # samples, up to which both views of the features are used by default

# Fitted attributes that exist only if samples are held out.
HELD_OUT_RESULTS = (
    "candidates_",
    "validation_loss_",
    "validation_curve_",
    "oof_decision_function_",
    "oof_prediction_",
    "oof_score_",
)


class Candidates(FittedNetworks):
    """The part of an estimator that selects among candidates: views of the features and penalties.

    For each candidate, a network is trained for every split and restart.
    """

    def _set_features(self, data, names):
        """Compute the inputs of the networks from the features."""
        if self.lift == "pad" and len(names) > 1:
            raise ValueError(
                f"features={self.features!r} needs a lift, as networks with different views have "
                "different numbers of inputs. Set lift='nonlinear' or 'linear', or take one view."
            )
        self.feature_map_ = FeatureMap(names, data.X, data.weights)
        self._fitted_features = self.features

    def _require_same_features(self):
        """Raise unless networks whose training continues get the same inputs as before."""
        if self.features != self._fitted_features:
            raise ValueError(
                f"Training goes on from networks with features={self._fitted_features!r}; now it "
                f"would be {self.features!r}. Set it as before, or start afresh."
            )

    def _views(self, data, splits, n_samples):
        """Return the views of the features."""
        name, choice = self.features, splits is not None
        if name == "both" and not choice:
            raise ValueError(
                "features='both' means a choice between views, but no samples are held out for it. "
                "Take one view; or set cv or early_stopping=True, or give X_val and y_val to fit."
            )
        if name == "auto":
            dense = not isinstance(data.X, SparseRows)
            choice = choice and dense and self.lift != "pad" and n_samples <= MOST_IN_PIECES
            name = "both" if choice else "given"
        if name == "both" and not some_in_pieces(data.X, data.weights):
            name = "given"  # there would be no difference
        return VIEWS[name]

    def _candidates(self, splits, n_samples, count):
        """Return the candidates, each of them a view of the features and a penalty.

        If training continues, every candidate that was kept continues with every penalty.
        """
        found = []
        for view in self.feature_map_.views:
            n_kept = 1
            if self._goes_on:
                networks = self.network_features_
                n_kept = networks.count(view) * self._n_kept // len(networks)
            alphas = self._alphas(view, splits, n_samples, count)
            found += [(view, alpha) for alpha in alphas for _ in range(n_kept)]
        return found

    def _alphas(self, view, splits, n_samples, count):
        """Return the penalties of the candidates with a view of the features.

        The number of penalties depends on the number of rows, and their size on the number of
        samples that the rows represent; a stream counts as many samples, not only its first part.
        """
        if isinstance(self.alpha, str):
            if splits is None:
                return [ALONE / max(count, LEAST)]
            table = ALPHAS[view if len(self.feature_map_.views) > 1 else "alone"]
            numbers = next(numbers for limit, numbers in table if n_samples <= limit)
            return [number / count for number in numbers]
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
                f"alpha={self.alpha!r} means a choice, but no samples are held out for it. Give "
                "one number; or set cv or early_stopping=True, or give X_val and y_val to fit."
            )
        return alphas.tolist()

    def _judge(self, training, layout, candidates, splits, data):
        """Set out-of-fold results and return the weights of the candidates."""
        weights = np.ones(len(candidates)) / len(candidates)
        views, alphas = map(np.array, zip(*candidates, strict=True))
        if splits is not None:
            shape = (len(candidates), len(splits), self.n_restarts)
            begun = (training.reason != NOT_BEGUN).reshape(shape)[0]  # the same for every candidate
            self.validation_loss_ = training.held_out.reshape(shape)
            self.validation_curve_ = training.held_out_curve.reshape(*shape, -1)
            self._fitted_scoring = self.scoring if isinstance(self.scoring, str) else "score"
            mean = self.validation_loss_.mean(axis=(1, 2), where=begun)
            able = np.isfinite(mean)
            able[np.argmin(mean)] = True
            flat = training.flat
            parts = list(self._out_of_fold(flat, layout, np.flatnonzero(able), begun, splits, data))
            weights = np.zeros(len(candidates))
            weights[able] = self._weights(parts, data)
            self._keep_out_of_fold(self._averaged(parts, data), data)
            self.candidates_ = {
                "features": views,
                "alpha": alphas,
                "validation_loss": mean,
                "weight": weights,
            }
        self.alpha_ = float(alphas[np.argmax(weights)])
        return weights

    def _out_of_fold(self, flat, layout, candidates, begun, splits, data):
        """Yield, for each split, the held-out samples and the outputs of each candidate for them.

        The outputs are (candidates, classes or outputs, samples).  Samples without weight are left
        out, since their features are arbitrary.  Networks whose training has not begun are left out
        too; they are the last ones of `begun`, (splits, restarts).
        """
        for s, number in enumerate(begun.sum(axis=1)):
            if not number:
                return
            rows = splits.rows(s)
            rows = rows[data.given_weights[rows] > 0]
            X, outputs = data.features(rows), []
            for candidate in candidates:
                first = (candidate * len(splits) + s) * self.n_restarts
                members = flat[first : first + number, :]
                outputs.append(to_host(self._mean_outputs(layout.views(members), X)))
            yield rows, np.stack(outputs)

    def _averaged(self, parts, data):
        """Yield, for each split, the samples and the candidates' weighted mean outputs for them.

        The weights are computed on the other splits, if there are any.
        """
        average = self._loss_of_fit.average
        for s, (rows, outputs) in enumerate(parts):
            weights = self._weights(parts[:s] + parts[s + 1 :] or parts, data)
            with quiet():
                yield rows, average(np, outputs, weights)[0]

    @property
    def _by_score(self):
        """Whether candidates are selected by a score instead of the loss."""
        return self.scoring != "auto"

    def _score_of(self, rows, data):
        """Return a function that computes the negative score of outputs for some samples."""
        y, weights = data.y[rows], data.given_weights[rows]
        return lambda outputs: negative_score(self.scoring, self._as_estimator(outputs), y, weights)

    def _weights(self, parts, data):
        """Return the weights of the candidates, from the results of `_out_of_fold`."""
        if len(parts[0][1]) == 1:
            return np.ones(1)
        rows = np.concatenate([rows for rows, _ in parts])
        outputs = np.concatenate([outputs for _, outputs in parts], axis=2)
        if self._by_score:
            with quiet():
                score, predictions = self._to_score(rows, outputs, data)
                if np.isfinite(score(predictions.mean(axis=0))):
                    return greedy_weights(score, predictions)
        with quiet():
            shares = [data.weights[rows] / data.weights[rows].sum() for rows, _ in parts]
            loss, predictions = self._to_average(rows, outputs, np.concatenate(shares), data)
            return greedy_weights(loss, predictions)

    def _keep(self, layout, training, candidates, weights, span):
        """Keep the networks of the candidates with a positive weight."""
        each = len(training.n_iter) // len(weights)
        begun = training.reason != NOT_BEGUN
        kept = np.flatnonzero(np.repeat(weights > 0, each) & begun)
        flat = training.flat
        flat = namespace(flat).take(flat, placed(kept, flat), axis=0)
        self._keep_controls(layout, flat, span)
        self._n_kept = np.count_nonzero(weights)
        self.network_features_ = [candidates[k // each][0] for k in kept]
        n_begun = np.count_nonzero(begun[:each])
        self.network_weights_ = np.repeat(weights[weights > 0] / n_begun, n_begun)
        self.network_n_iter_, self.best_iter_ = training.n_iter[kept], training.best_iter[kept]
        self.loss_ = training.J[kept]
        self.loss_curve_ = training.curve[kept, : self.network_n_iter_.max() + 1].T
        self.n_evaluations_ = training.n_evaluations[kept]
        self.stop_reason_ = training.reason[kept].tolist()
        self._forget("_adam")
