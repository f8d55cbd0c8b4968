"""The last state of the networks as features for other estimators: `transform`."""

from __future__ import annotations

from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from ._devices import follows_data, where_computed
from ._fitted import require_finite
from .engine.arrays import converted, namespace
from .engine.prediction import final_states


class StateTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """The part of an estimator that provides `transform`."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self):
        return self.n_networks_ * self.n_channels_

    @follows_data
    def transform(self, X):
        """Compute the last state of every network: learned features for another estimator.

        The readout of a network is an affine map of its last state. In this state the classes are
        as easy to separate, or the targets as close to linear, as the network could make them. So
        the state can be the input of a linear model, a nearest-neighbour search or a plot. Each
        network has its own coordinates, so the states are put side by side and not averaged. Set
        ``cv=None`` to have a single network, and thus few columns.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        array of shape (n_samples, n_networks * n_channels)
            The states. Network k fills the columns from ``k * n_channels_`` to ``(k + 1) *
            n_channels_``. The array is dense, and in the library and on the device of X.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError
            If X has other features than in `fit` or entries that are not finite; if X is so far
            from the training data that a state overflows; or if the stage equations of an implicit
            scheme could not be solved for a sample.
        """
        X = self._validated(X, "transform")
        inputs = self.feature_map_.of(where_computed(self, X))
        network, U = self._fitted_network(), self._controls_like(inputs)
        with self._blocks() as blocks:
            states = final_states(network, U, inputs, blocks)
        xp, (n_networks, n_channels, n_samples) = namespace(states), states.shape
        require_finite("The state", xp.all(xp.isfinite(states), axis=(0, 1)))
        rows = xp.permute_dims(states, (2, 0, 1))
        found = xp.reshape(rows, (n_samples, n_networks * n_channels))
        return converted(found, getattr(X, "like", X))

    # The name that scikit-learn's wrapper for `set_output` shows if X is missing.
    transform.__qualname__ = "transform"
