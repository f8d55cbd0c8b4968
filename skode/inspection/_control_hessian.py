"""The second derivatives of the Hamiltonian with respect to the controls."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np

from ..engine.hamiltonian import control_hessian as hessian_of_layers
from ._costates import objective_of
from ._curvature import on_orthogonal, on_sphere


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
        As `costates`; if `alpha` is no number that is finite and not negative; if the controls have
        been changed since the fit, so that they do not obey the constraint; or if the vector field
        is "gradient_flow" or "hamiltonian", whose Hessian has no blocks.

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
    network, objective, flat = objective_of(estimator, X, y, "control_hessian")
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
    constraint = network._fitted_constraint["name"]
    return ControlHessian(blocks, np.sort(eigenvalues, axis=-1), on_manifold, constraint)


def _on_manifold(network, blocks, gradient, K):
    """The eigenvalues of the Riemannian Hessian of every layer, or None without a manifold."""
    constraint, norm = (network._fitted_constraint[key] for key in ("name", "norm"))
    if constraint not in ("sphere", "orthogonal"):
        return None
    rows, n = np.concatenate([K, network.b_[..., None]], axis=-1), K.shape[-1]
    if constraint == "sphere":
        off = np.linalg.norm(rows, axis=-1) / norm - 1
    else:
        off = np.swapaxes(K, -1, -2) @ K / norm**2 - np.eye(n)
    if np.abs(off).max() > np.finfo(network.K_.dtype).eps ** 0.5:
        raise ValueError(
            f"The controls do not obey constraint={constraint!r} with constraint_norm={norm}: they "
            "have been changed since the fit. Fit again."
        )
    if constraint == "sphere":
        found = np.linalg.eigvalsh(on_sphere(blocks, gradient, rows))
    else:
        flat = [part.reshape(-1, *part.shape[2:]) for part in (blocks, gradient, K)]
        layers = zip(*flat, strict=True)
        found = np.stack([np.linalg.eigvalsh(on_orthogonal(*layer)) for layer in layers])
    return np.sort(found.reshape(*K.shape[:2], -1), axis=-1)
