"""Functions that show how a fitted network works."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ._chain_rule import through_steps
from ._curvature import on_orthogonal, on_sphere
from ._devices import host_values
from ._estimator import NetworkEstimator
from ._sensitivity import has_columns, of_loss, of_output
from ._sparse import matrix
from .engine import prediction
from .engine.arrays import quiet
from .engine.controls import Layout
from .engine.hamiltonian import control_hessian as hessian_of_layers
from .engine.kernels import Samples
from .engine.objective import Objective
from .engine.penalties import Penalties
from .engine.sparse_rows import SparseRows
from .engine.unsolved import UnsolvedStagesError

__all__ = [
    "ControlHessian",
    "StepDoublingGap",
    "control_hessian",
    "costates",
    "input_gradients",
    "step_doubling_gap",
    "trajectories",
]

BATCH = 4096  # samples for which derivatives with respect to the inputs are in memory at a time


def trajectories(estimator, X):
    """Return the states of the samples after every layer.

    Parameters
    ----------
    estimator : estimator of skode or Pipeline
        A fitted classifier or regressor, or a fitted pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.

    Returns
    -------
    ndarray of shape (n_networks, N + 1, n_samples, n_channels)
        ``[:, 0]`` are the lifted inputs x: σ(V x + ν), V x + ν, or x padded with zeros. ``[:, N]``
        are the inputs of the readout. The inputs x are ``feature_map_.transform(X)``.

    Raises
    ------
    NotFittedError
        If the estimator has not been fitted.
    TypeError
        If the estimator is not one of skode.
    ValueError
        If X has other features than in `fit` or entries that are not finite; if X is so far from
        the training data that a state overflows; or if the stage equations of an implicit scheme
        could not be solved for a sample.

    Examples
    --------
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.inspection import trajectories
    >>> X, y = make_spirals(100, random_state=0)
    >>> model = ODENetClassifier(N=4, n_channels=3, cv=None, random_state=0).fit(X, y)
    >>> trajectories(model, X).shape
    (1, 5, 100, 3)
    """
    network, X = network_and_features(estimator, X)
    X = network.feature_map_.transform(network._validated(X, "trajectories"))
    states = prediction.trajectories(network._fitted_network(), network._controls(), X)
    if not np.isfinite(states).all():
        raise ValueError("The states overflow: X is too far from the data of the fit.")
    return np.ascontiguousarray(np.swapaxes(states, 2, 3))


def costates(estimator, X, y):
    """Return the costates, the derivatives of the loss with respect to the states.

    They are the derivatives pℓ = ∂J/∂yℓ of the mean loss J of the samples, without penalty. The
    states yℓ are those of `trajectories`.

    Parameters
    ----------
    estimator : estimator of skode or Pipeline
        A fitted classifier or regressor, or a fitted pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Their classes or labels; or their targets. For targets, J is the loss in the units that the
        parameter `loss` explains.

    Returns
    -------
    ndarray of shape (n_networks, N + 1, n_samples, n_channels)
        ``[:, 0]`` is the derivative p⁰ with respect to the lifted inputs. The derivative with
        respect to the inputs is ``p0[..., :n_inputs]`` if they are padded, ``p0 @ V_`` if the lift
        is linear, and ``(p0 * ds) @ V_`` if it is nonlinear, with ds = σ′(V x + ν) for the inputs
        x. ``feature_map_.pull_back`` converts it to the derivative with respect to the features
        after the steps of a pipeline. Samples that the network finds ambiguous have large entries.

    Raises
    ------
    NotFittedError, TypeError
        See `trajectories`.
    ValueError
        See `trajectories`; also if `y` has labels that are not classes of the estimator, another
        number of targets than in `fit`, or another length than X.

    References
    ----------
    Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as optimal control problems"
    (2021), Proposition 1.

    Examples
    --------
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.inspection import costates
    >>> X, y = make_spirals(100, random_state=0)
    >>> model = ODENetClassifier("gauss4", N=2, n_channels=2, cv=None, random_state=0).fit(X, y)
    >>> costates(model, X, y).shape
    (1, 3, 100, 2)
    """
    _, objective, flat = _objective_of(estimator, X, y, "costates")
    p = objective.costates(flat)
    if not np.isfinite(p).all():
        raise ValueError("The costates are not finite: X is too far from the data of the fit.")
    return np.ascontiguousarray(np.swapaxes(p, 2, 3))


def _objective_of(estimator, X, y, asking):
    """The fitted network, the mean loss of samples without penalty, and the flat controls."""
    network, X = network_and_features(estimator, X)
    targets = network._checked_targets(y)
    check_consistent_length(X, targets)
    network._outputs(X, asking)  # raises if the network cannot be evaluated
    X = network.feature_map_.transform(network._validated(X, asking))
    U = network._controls()
    n_networks, N, n_channels, _ = U.K.shape
    lifted = 0 if U.V is None else X.shape[1]
    layout = Layout(N, n_channels, network.n_outputs_, lifted)
    objective = Objective(
        network._fitted_network(),
        layout,
        network._loss_of_fit,
        Samples(X, targets, np.full(len(X), 1 / len(X))),
        Penalties(np.zeros(n_networks, dtype=X.dtype)),
    )
    return network, objective, layout.flatten(U)


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
    G = of_features(network, steps_before(estimator), X, of_mean)
    return np.moveaxis(G, 0, 1) if y is None and has_columns(network) else G[0]


def of_features(network, steps, X, of_mean, checked=False):
    """The derivatives of functions of what a fitted network says, with respect to the features.

    Parameters
    ----------
    network : estimator
        As `network_of` gives it.
    steps : list of (str, transformer)
        The fitted steps before it.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        What the first of them, or the network, is given.
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
    inputs, pull_back = through_steps(steps, X)
    inputs = host_values(inputs)
    try:
        with quiet():
            if checked and type(inputs) is np.ndarray:
                rows = inputs.astype(network.K_.dtype, copy=False)
            else:
                rows = network._validated(inputs, "input_gradients")
            G = pull_back(_of_inputs(network, rows, of_mean))
    except UnsolvedStagesError:
        network._outputs(inputs, "input_gradients")  # names all samples that cannot be evaluated
        raise
    if not np.isfinite(G).all():
        network._outputs(inputs, "input_gradients")  # raises where the network itself overflows
        raise ValueError("The derivatives are not finite: X is too far from the data of the fit.")
    return G


def _of_inputs(network, X, of_mean):
    """The derivatives with respect to validated features, (functions, n_samples, n_features)."""
    parts = []
    weights = np.asarray(network.network_weights_, dtype=network.K_.dtype)
    with network._blocks() as blocks:
        for rows in gen_batches(X.shape[0], BATCH):
            part = X[rows, :]
            G = prediction.input_gradients(
                network._fitted_network(),
                network._loss_of_fit,
                network._controls(),
                network.feature_map_.of(part),
                lambda mean, some, start=rows.start: of_mean(
                    mean, slice(start + some.start, start + some.stop)
                ),
                weights,
                blocks,
            )
            at = matrix(part) if isinstance(part, SparseRows) else part
            G = np.swapaxes(G, 1, 2)
            parts.append(network.feature_map_.pull_back(at, G).astype(np.float64))
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True, repr=False, eq=False)
class StepDoublingGap:
    """The change of predictions when each step is split into several shorter ones.

    Parameters
    ----------
    gap : ndarray of shape (n_samples,)
        The largest change of a class probability of each sample; for a regressor, of a target in
        the standardised units that the parameter `loss` explains.
    changed : float or None
        For a classifier, the share of samples for which the predicted class, or one of the labels,
        changes.
    refinement : int
        The number of steps that replace one.

    Examples
    --------
    >>> import numpy as np
    >>> from skode.inspection import StepDoublingGap
    >>> StepDoublingGap(gap=np.array([0.0, 0.02]), changed=0.5, refinement=2)
    Step doubling gap of 2 samples, 2 steps in place of 1
      change of the class probabilities: mean 0.01, max 0.02
      samples whose prediction changes: 50 %
    """

    gap: np.ndarray
    changed: float | None
    refinement: int

    @property
    def mean_gap(self):
        """The mean of `gap`."""
        return float(self.gap.mean())

    @property
    def max_gap(self):
        """The maximum of `gap`."""
        return float(self.gap.max())

    def __repr__(self):
        of_what = "standardised predictions" if self.changed is None else "class probabilities"
        lines = [
            f"Step doubling gap of {len(self.gap)} samples, {self.refinement} steps in place of 1",
            f"change of the {of_what}: mean {self.mean_gap:.3g}, max {self.max_gap:.3g}",
        ]
        if self.changed is not None:
            lines.append(f"samples whose prediction changes: {100 * self.changed:.3g} %")
        return "\n  ".join(lines)


def step_doubling_gap(estimator, X, *, refinement=2):
    """Measure how much the predictions depend on the discretisation of the ODE.

    Every step h of the scheme is split into `refinement` steps h/`refinement` with the same
    controls. If the gap is small, the scheme resolves the flow of the ODE. If it is large, the
    network is a composition of layers that does not approximate a flow.

    Parameters
    ----------
    estimator : ODENetClassifier, ODENetRegressor or Pipeline
        A fitted estimator, or a fitted pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.
    refinement : int, default=2
        Number of steps that replace one.

    Returns
    -------
    StepDoublingGap
        Its text is a summary of three lines. Its attributes are ``gap``, an ndarray of shape
        (n_samples,) with the largest change of a class probability, or of a predicted target in the
        standardised units that the regressor's parameter `loss` explains; ``mean_gap`` and
        ``max_gap``, the mean and the maximum of ``gap``; and for classifiers ``changed``, the share
        of samples for which the predicted class, or one of the labels, changes.

    Raises
    ------
    NotFittedError
        If the estimator has not been fitted.
    TypeError
        If the estimator is not an ODE network of skode.
    ValueError
        If `refinement` is not an integer of at least 2, or X cannot be predicted.

    Examples
    --------
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.inspection import step_doubling_gap
    >>> X, y = make_spirals(100, random_state=0)
    >>> coarse, fine = (
    ...     step_doubling_gap(ODENetClassifier(scheme, random_state=0).fit(X, y), X)
    ...     for scheme in ("euler", "gauss4")
    ... )
    >>> bool(fine.max_gap < coarse.max_gap)
    True
    >>> print(coarse)  # doctest: +ELLIPSIS
    Step doubling gap of 100 samples, 2 steps in place of 1
      change of the class probabilities: mean 0..., max 0...
      samples whose prediction changes: ... %
    """
    network, X = network_and_features(estimator, X)
    if network._fitted_network().skip == 0.0:
        raise TypeError(f"A feed-forward network does not discretise an ODE; got {network!r}.")
    if not isinstance(refinement, Integral) or isinstance(refinement, bool) or refinement < 2:
        raise ValueError(f"refinement must be an integer of at least 2; got {refinement!r}.")
    with quiet():
        coarse, fine = (network._outputs(X, "step_doubling_gap", k) for k in (1, refinement))
        if is_classifier(network):
            before, after = (network._kind.most_likely(outputs) for outputs in (coarse, fine))
            coarse, fine = np.exp(coarse), np.exp(fine)
    changed = None
    if is_classifier(network):
        changed = float((before != after).reshape(len(before), -1).any(axis=1).mean())
    return StepDoublingGap(np.abs(fine - coarse).max(axis=0), changed, int(refinement))


@dataclass(frozen=True, repr=False, eq=False)
class ControlHessian:
    """The second derivatives of the Hamiltonians of the layers, and how singular they are.

    Parameters
    ----------
    blocks : ndarray of shape (n_networks, N, n_channels, n_channels + 1, n_channels + 1)
        The Hessian of each layer with respect to the rows of [K b], which do not interact.
    eigenvalues : ndarray of shape (n_networks, N, n_channels * (n_channels + 1))
        Its eigenvalues in ascending order.
    tangent_eigenvalues : ndarray of shape (n_networks, N, dimension) or None
        Those of the Hessian on the manifold that the controls were kept on. None if there is none.
    constraint : str or None
        The constraint that the estimator was trained with.

    Examples
    --------
    >>> import numpy as np
    >>> from skode.inspection import ControlHessian
    >>> ControlHessian(
    ...     blocks=np.zeros((1, 1, 1, 2, 2)),
    ...     eigenvalues=np.array([[[0.0, 2.0]]]),
    ...     tangent_eigenvalues=np.array([[[1.0]]]),
    ...     constraint="sphere",
    ... )
    Hessian of the Hamiltonian, 1 network with 1 layer of 2 controls
      eigenvalues: from 0 to 2, 50 % near zero, condition number inf
      on the sphere: from 1 to 1, 0 % near zero, condition number 1
    """

    blocks: np.ndarray
    eigenvalues: np.ndarray
    tangent_eigenvalues: np.ndarray | None
    constraint: str | None

    NEAR = 1e-6
    """Eigenvalues are near zero if they are smaller than this fraction of the largest one."""

    @property
    def spectrum(self):
        """The eigenvalues that matter to training: on the manifold, where there is one."""
        on_manifold = self.tangent_eigenvalues
        return self.eigenvalues if on_manifold is None else on_manifold

    @property
    def condition(self):
        """The condition number of each layer, an ndarray of shape (n_networks, N).

        It is the largest absolute eigenvalue divided by the smallest one, and infinite if that is
        zero.
        """
        return _condition(self.spectrum)

    @property
    def near_zero(self):
        """The share of the eigenvalues of each layer that are near zero, of the same shape."""
        return _near_zero(self.spectrum)

    def __repr__(self):
        n_networks, N, size = self.eigenvalues.shape
        networks = f"{n_networks} network{'s' * (n_networks > 1)}"
        layers = f"{N} layer{'s' * (N > 1)} of {size} controls"
        lines = [
            f"Hessian of the Hamiltonian, {networks} with {layers}",
            f"eigenvalues: {_in_words(self.eigenvalues)}",
        ]
        if self.tangent_eigenvalues is not None:
            where = "sphere" if self.constraint == "sphere" else "orthogonal group"
            lines.append(f"on the {where}: {_in_words(self.tangent_eigenvalues)}")
        return "\n  ".join(lines)


def _condition(eigenvalues):
    size = np.abs(eigenvalues)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = size.max(axis=-1) / size.min(axis=-1)
    return np.where(size.min(axis=-1) > 0, ratio, np.inf)


def _near_zero(eigenvalues):
    size = np.abs(eigenvalues)
    return (size <= ControlHessian.NEAR * size.max(axis=-1, keepdims=True)).mean(axis=-1)


def _in_words(eigenvalues):
    """The range of eigenvalues, and the medians over the layers of what says how singular it is."""
    near, condition = np.median(_near_zero(eigenvalues)), np.median(_condition(eigenvalues))
    return (
        f"from {eigenvalues.min():.3g} to {eigenvalues.max():.3g}, {100 * near:.3g} % near zero, "
        f"condition number {condition:.2g}"
    )


def control_hessian(estimator, X, y, *, alpha=0.0):
    """Compute the Hessian of the Hamiltonian with respect to the controls of every layer.

    In optimal control, an invertible Hessian makes the controls a smooth function of states and
    costates. In neural networks it is nearly singular [1]_: in many directions, the controls can be
    changed almost without effect. This function shows how singular it is, and what a penalty or a
    `constraint` changes.

    Parameters
    ----------
    estimator : estimator of skode or Pipeline
        A fitted classifier or regressor, or a fitted pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Their classes, labels or targets, as in `costates`.
    alpha : float, default=0.0
        Strength of the penalty ½ α ‖K‖², which is added to the Hamiltonian. The strength that was
        used in training is ``alpha_``.

    Returns
    -------
    ControlHessian
        Printed, it is a summary. Its attributes are ``blocks``, the Hessian itself;
        ``eigenvalues``, ``tangent_eigenvalues`` and ``spectrum``; ``condition``, the condition
        number of each layer, and ``near_zero``, the share of its eigenvalues that are near zero.

    Raises
    ------
    NotFittedError, TypeError
        As `trajectories`.
    ValueError
        As `costates`; if `alpha` is no number that is finite and not negative; if `constraint` has
        been set since the fit, so that the controls do not obey it; or if the vector field is
        "gradient_flow" or "hamiltonian", whose Hessian has no blocks.

    Notes
    -----
    The function whose second derivatives are computed is

    Hℓ(U) = h Σ ⟨Γi, f(Yi, U)⟩ + ½ α ‖K‖²,   f(y, U) = σ(K y + b),   U = [K b].

    The sum runs over the samples and the stages i of the scheme, with the values Yi and the
    costates Γi of the stages held fixed; Euler's method has one stage, Y = yℓ and Γ = pℓ₊₁. The
    costates are derivatives of the mean loss of the samples. So Hℓ is the Hamiltonian ⟨p, f(y, U)⟩
    of the control problem, averaged over the stages with the weights of the scheme, times the step
    h; and its gradient ∂Hℓ/∂U is the derivative of the objective with respect to the controls of
    the layer. It is not the Hessian of the objective, which has further terms because states and
    costates depend on the controls.

    Each row of [K b] stands in one component of f, so the Hessian has a block for each row. With
    ``activation="relu"`` or "identity", σ″ is zero almost everywhere, and so is the Hessian.

    If the estimator was trained with ``constraint="sphere"`` or "orthogonal", then
    ``tangent_eigenvalues`` are those of the Riemannian Hessian. It acts on tangent vectors, of
    n_channels² or n_channels (n_channels + 1)/2 dimensions per layer, and has a term for the
    curvature of the manifold, made of the multiplier of the constraint. For "orthogonal" it is a
    full matrix, so that time grows as the sixth power of n_channels. A "spectral" bound is no
    manifold, and the Hessian is that without a constraint.

    References
    ----------
    .. [1] Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as optimal control
       problems" (2021), section 3.

    Examples
    --------
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.inspection import control_hessian
    >>> X, y = make_spirals(100, random_state=0)
    >>> model = ODENetClassifier(
    ...     activation="tanh", constraint="sphere", n_channels=6, random_state=0
    ... ).fit(X, y)
    >>> found = control_hessian(model, X, y)
    >>> print(found)  # doctest: +ELLIPSIS
    Hessian of the Hamiltonian, ... networks with 2 layers of 42 controls
      eigenvalues: from ... to ..., ... % near zero, condition number ...
      on the sphere: from ... to ..., ... % near zero, condition number ...
    >>> bool((found.condition > 10).all())
    True
    """
    if not isinstance(alpha, Real) or isinstance(alpha, bool) or not 0 <= alpha < np.inf:
        raise ValueError(f"alpha must be a number that is finite and not negative; got {alpha!r}.")
    network, objective, flat = _objective_of(estimator, X, y, "control_hessian")
    if not objective.problem.network.field.plain:
        raise ValueError(
            "control_hessian is for vector fields σ(K y + b), whose Hessian has a block for each "
            f"row of K. The model has vector_field={network._fitted_recipe['vector_field']!r}."
        )
    blocks, gradient = hessian_of_layers(objective, flat)
    if not (np.isfinite(blocks).all() and np.isfinite(gradient).all()):
        raise ValueError("The Hessian is not finite: X is too far from the data of the fit.")
    blocks, gradient, K = (np.array(part, np.float64) for part in (blocks, gradient, network.K_))
    n = K.shape[-1]
    blocks[..., range(n), range(n)] += alpha
    gradient[..., :n] += alpha * K
    eigenvalues = np.linalg.eigvalsh(blocks).reshape(*K.shape[:2], -1)
    on_manifold = _on_manifold(network, blocks, gradient, K)
    return ControlHessian(blocks, np.sort(eigenvalues, axis=-1), on_manifold, network.constraint)


def _on_manifold(network, blocks, gradient, K):
    """The eigenvalues of the Riemannian Hessian of every layer, or None without a manifold."""
    if network.constraint not in ("sphere", "orthogonal"):
        return None
    rows = np.concatenate([K, network.b_[..., None]], axis=-1)
    n, norm = K.shape[-1], network.constraint_norm
    if network.constraint == "sphere":
        off = np.linalg.norm(rows, axis=-1) / norm - 1
    else:
        off = np.swapaxes(K, -1, -2) @ K / norm**2 - np.eye(n)
    if np.abs(off).max() > np.finfo(network.K_.dtype).eps ** 0.5:
        raise ValueError(
            f"The controls do not obey constraint={network.constraint!r} with "
            f"constraint_norm={norm}: it has been set since the fit. Fit again."
        )
    if network.constraint == "sphere":
        found = np.linalg.eigvalsh(on_sphere(blocks, gradient, rows))
    else:
        flat = [part.reshape(-1, *part.shape[2:]) for part in (blocks, gradient, K)]
        layers = zip(*flat, strict=True)
        found = np.stack([np.linalg.eigvalsh(on_orthogonal(*layer)) for layer in layers])
    return np.sort(found.reshape(*K.shape[:2], -1), axis=-1)


def network_and_features(estimator, X):
    """Return the fitted network, and X after the steps before the network."""
    network = network_of(estimator)
    return network, host_values(transformed(steps_before(estimator), X))


def steps_before(estimator):
    """The steps before the network that do something, as (name, transformer)."""
    return [(name, step) for name, step in _steps(estimator)[:-1] if not _idle(step)]


def first_step(estimator):
    """The step that X is given to, which may be the network."""
    return next(step for _, step in _steps(estimator) if not _idle(step))


def transformed(steps, X):
    """X after some steps.

    A pipeline of them would refuse to transform if its last step does not say that it is fitted.
    """
    for _, step in steps:
        X = step.transform(X)
    return X


def _steps(estimator):
    """All steps of a pipeline, which may end in a pipeline; or the estimator as the only one."""
    if isinstance(estimator, Pipeline) and len(estimator):
        *before, (name, last) = estimator.steps
        return [*before, *([(name, last)] if not isinstance(last, Pipeline) else _steps(last))]
    return [("", estimator)]


def _idle(step):
    return step is None or (isinstance(step, str) and step == "passthrough")


def network_of(estimator):
    """Return the fitted network, which may be the last step of a pipeline, in host memory."""
    _, network = _steps(estimator)[-1]
    if not isinstance(network, NetworkEstimator):
        raise TypeError(
            "estimator must be one of skode, or a pipeline that ends in one (for a search, give "
            f"its best_estimator_); got {network!r}."
        )
    check_is_fitted(network)
    return copy(network).to_host().set_params(device=None)
