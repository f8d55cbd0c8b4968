"""The derivatives of losses and predictions with respect to the features."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_consistent_length

from .._devices import host_values
from .._sparse import matrix
from ..engine import prediction
from ..engine.arrays import quiet
from ..engine.sparse_rows import SparseRows
from ..engine.unsolved import UnsolvedStagesError
from ._chain_rule import through_steps
from ._pipelines import network_of, steps_before
from ._sensitivity import has_columns, of_loss, of_output

BATCH = 4096  # samples for which derivatives with respect to the inputs are in memory at a time


def input_gradients(estimator, X, y=None):
    """Compute how each sample's loss, or the output, depends on the sample's features.

    The derivatives are exact up to rounding. They are those of the whole model, the average of its
    networks, and not an average of the networks' own derivatives. If the estimator is a pipeline,
    they are the derivatives with respect to the features that the pipeline is given, in their own
    units.

    Parameters
    ----------
    estimator : estimator of skode or Pipeline
        A fitted classifier or regressor, or a fitted pipeline that ends in one. The steps before it
        may be ``StandardScaler``, ``MinMaxScaler``, ``MaxAbsScaler``, ``RobustScaler``, ``PCA``,
        ``IncrementalPCA``, ``TruncatedSVD``, "passthrough", and a ``Pipeline`` or a
        ``ColumnTransformer`` of these.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.
    y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
        Their classes, labels or targets. With `y`, the loss of each sample is differentiated; the
        notes define this loss. Without `y`, the output is differentiated: ``decision_function`` of
        a classifier, or ``predict`` of a regressor.

    Returns
    -------
    ndarray of shape (n_samples, n_features) or (n_samples, n_outputs, n_features)
        Derivatives with respect to the features. The array has three axes without `y` if the
        output has several columns.

    Raises
    ------
    NotFittedError
        If the estimator has not been fitted.
    TypeError
        If the estimator is not one of skode, or if the pipeline has a step without a chain rule.
    ValueError
        If X cannot be predicted, if `y` has labels that are not classes of the estimator, another
        number of targets than in `fit` or another length than X, or if a derivative overflows.

    See Also
    --------
    costates : Derivatives with respect to the states of each network.

    Notes
    -----
    The loss is the one that the model was fitted with:

    - "log_loss": ``-log(p)`` of the true class, where p is from ``predict_proba``; for several
      labels, its mean over the labels.
    - "squared_error" of a classifier: ``½ Σ (p - t)²`` over the classes, where t is 1 for the true
      class and 0 for the others.
    - Regressors: the loss of the parameter `loss`, in the units of y; for several targets, its mean
      over the targets. For example "squared_error" is ``½ (predict(X) - y)²``.

    Let the model's probability be p = Σₖ wₖ qₖ with network k's weight wₖ and probability qₖ. Then
    ∂ log p / ∂x = Σₖ (wₖ qₖ / p) ∂ log qₖ / ∂x. So each network has a weight of its share of p.
    The derivative of each network is its costate p⁰, brought back through the lift and
    ``feature_map_``. At a kink, such as the end of a piece of a feature, the two one-sided
    derivatives are averaged; with ``activation="relu"``, the derivative of σ at 0 is 0.

    For the log-probability of any class, give this class as `y` for all samples, and change the
    sign of the result.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skode import ODENetRegressor
    >>> from skode.inspection import input_gradients
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    >>> model = make_pipeline(StandardScaler(), ODENetRegressor(random_state=0)).fit(X, y)
    >>> gradients = input_gradients(model, X)  # units of y per unit of the feature
    >>> gradients.shape
    (442, 10)
    >>> bool(gradients[:, X.columns.get_loc("bmi")].mean() > 0)
    True
    """
    network = network_of(estimator)
    if y is not None:
        check_consistent_length(host_values(X), host_values(y))
    of_mean = of_output(network) if y is None else of_loss(network, y)
    G = Derivatives(network, steps_before(estimator)).of(X, of_mean)
    return np.moveaxis(G, 0, 1) if y is None and has_columns(network) else G[0]


class Derivatives:
    """The derivatives of functions of what a fitted network says, with respect to the features.

    Parameters
    ----------
    network : estimator
        As `network_of` gives it. It must not change any more.
    steps : list of (str, transformer)
        The fitted steps before it.
    """

    def __init__(self, network, steps):
        self._network, self._steps = network, steps
        self._problem, self._flat = prediction.problem_of(
            network._fitted_network(), network._loss_of_fit, network._controls()
        )
        self._weights = np.asarray(network.network_weights_, dtype=network.K_.dtype)

    def of(self, X, of_mean, checked=False):
        """Compute the derivatives.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            What the first of the steps, or the network, is given.
        of_mean : callable
            See `_sensitivity`.
        checked : bool, default=False
            Whether X is known to be finite, and to have the features of the fit; this saves time.

        Returns
        -------
        ndarray of shape (functions, n_samples, n_features)

        Raises
        ------
        TypeError, ValueError
            As `input_gradients`.
        """
        network = self._network
        inputs, pull_back = through_steps(self._steps, X)
        inputs = host_values(inputs)
        try:
            with quiet():
                if checked and type(inputs) is np.ndarray:
                    rows = inputs.astype(network.K_.dtype, copy=False)
                else:
                    rows = network._validated(inputs, "input_gradients")
                G = pull_back(self._of_inputs(rows, of_mean))
        except UnsolvedStagesError:
            network._outputs(inputs, "input_gradients")  # names all samples that have no output
            raise
        if not np.isfinite(G).all():
            network._outputs(inputs, "input_gradients")  # raises where the network overflows
            raise ValueError(
                "The derivatives are not finite: X is too far from the data of the fit."
            )
        return G

    def _of_inputs(self, X, of_mean):
        """The derivatives for validated features, (functions, n_samples, n_features)."""
        parts, feature_map = [], self._network.feature_map_
        with self._network._blocks() as blocks:
            for start in range(0, X.shape[0], BATCH):
                part = X[start : start + BATCH, :]
                G = prediction.input_gradients(
                    self._problem,
                    self._flat,
                    feature_map.of(part),
                    lambda mean, some, start=start: of_mean(
                        mean, slice(start + some.start, start + some.stop)
                    ),
                    self._weights,
                    blocks,
                )
                at = matrix(part) if isinstance(part, SparseRows) else part
                G = np.swapaxes(G, 1, 2)
                parts.append(feature_map.pull_back(at, G).astype(np.float64, copy=False))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
