"""Upper bounds of Lipschitz constants of fitted networks, in the 2-norm."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from sklearn.base import is_classifier

from ..engine.arrays import to_host
from ..engine.contractivity import contractivity_radius
from ._multipliers import MOST, TOGETHER, first_multipliers, improved, verified, window
from ._unrolled import unrolled

METHODS = ("auto", "product", "log_norm", "non_expansive")
OF = ("prediction", "outputs", "states")
ROUNDING = 1e-10  # times the size of a matrix: the relative error of a computed norm is far below
CORNERS = 10  # activations whose 2^10 corners are looked at one by one
EXCESS = 1e-5  # by which part |h| ‖K‖² may be above its limit, which training keeps up to rounding


def lipschitz_bound(estimator, method="auto", *, of="prediction"):
    """Bound how fast a fitted model can change with its features.

    The bound is a number L such that for any two samples, ``norm(f(x1) - f(x2)) <= L * norm(x1 -
    x2)`` in the 2-norm. Features are those that the estimator, or the pipeline, is given, in their
    own units. So L depends on the units of the features. The bound holds everywhere, also far from
    the training data.

    Parameters
    ----------
    estimator : estimator of skode or Pipeline
        A fitted classifier or regressor, or a fitted pipeline that ends in one. The steps before it
        have to be affine: ``StandardScaler``, ``RobustScaler``, ``MinMaxScaler`` and
        ``MaxAbsScaler`` without clipping, ``PCA``, ``IncrementalPCA``, ``TruncatedSVD``,
        "passthrough", and a ``Pipeline`` or a ``ColumnTransformer`` of these.
    method : {"auto", "product", "log_norm", "non_expansive"}, default="auto"
        How each network's layers are bounded:

        - "product": by the product of the layers' own bounds from the norms of their matrices, for
          Euler's scheme ``1 + abs(h) * norm(K)``. Fast, but it grows exponentially with depth.
        - "log_norm": by inequalities that tell growth from rotation and decay, as the logarithmic
          norm does for differential equations. It is never above "product".
        - "non_expansive": by 1, for networks with ``vector_field="gradient_flow"`` whose steps keep
          the bound on ``abs(h) * norm(K)**2`` that makes each layer non-expansive.
        - "auto": the smallest that applies.
    of : {"prediction", "outputs", "states"}, default="prediction"
        What is bounded:

        - "prediction": ``predict_proba`` of a classifier, ``predict`` of a regressor; of the
          averaged model.
        - "outputs": the outputs z of each network before they are averaged: logits of a classifier,
          standardised predictions of a regressor.
        - "states": the last states of each network, which the readout sees.

    Returns
    -------
    float or ndarray of shape (n_networks,)
        The bound; for "outputs" and "states", that of each network. It may be infinite: with
        "product" for an implicit scheme whose steps are too long.

    Raises
    ------
    NotFittedError
        If the estimator has not been fitted.
    TypeError
        If the estimator is none of skode, or if a step of the pipeline is not affine.
    ValueError
        If `method` or `of` is unknown, if "non_expansive" does not apply, or if the prediction of a
        Poisson regressor is asked for, which grows exponentially and has no bound.

    See Also
    --------
    certified_accuracy : The accuracy that no small change of the features can lower.

    Notes
    -----
    Let L_k be the bound of the outputs of network k, and w_k its weight. A classifier with two
    classes has the bound ``sum(w * L) / sqrt(8)``, with more classes ``sum(w * L) / 2``. The
    proofs are in the documentation, "Proofs of the certificates".

    Bounds hold in exact arithmetic for the fitted weights. Every computed norm is enlarged by the
    factor ``1 + 1e-10 * n`` for matrices of size n, far more than its rounding error.

    References
    ----------
    Fazlyab, Robey, Hassani, Morari, Pappas, "Efficient and accurate estimation of Lipschitz
    constants for deep neural networks" (2019), for "log_norm".

    Dahlquist, Jeltsch, "Generalized disks of contractivity for explicit and implicit Runge-Kutta
    methods" (1979), for "non_expansive".

    Examples
    --------
    >>> from skode import ODENetClassifier
    >>> from skode.datasets import make_spirals
    >>> from skode.robustness import lipschitz_bound
    >>> X, y = make_spirals(100, random_state=0)
    >>> model = ODENetClassifier(N=5, n_channels=4, cv=None, random_state=0).fit(X, y)
    >>> tight, loose = (lipschitz_bound(model, method) for method in ("log_norm", "product"))
    >>> bool(tight < loose)
    True
    >>> lipschitz_bound(model, of="states").shape
    (1,)
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}; got {method!r}.")
    if of not in OF:
        raise ValueError(f"of must be one of {', '.join(map(repr, OF))}; got {of!r}.")
    network, net = unrolled(estimator)
    L = states_bound(net, method)
    if of == "states":
        return L
    L = L * spectral_norm(net.W)
    if of == "outputs":
        return L
    if is_classifier(network):
        slope = 0.0 if network._kind.n_rows == 1 else _probability_slope(network)
    elif network._loss_of_fit.log_link:
        raise ValueError(
            "The predictions of a Poisson regressor grow exponentially with the outputs, so that "
            "they have no Lipschitz bound. Ask for of='outputs', the logarithms of what each "
            "network predicts."
        )
    else:
        slope = float(np.max(np.abs(to_host(network._scale))))
    return float(net.weights @ L) * slope * (1 + ROUNDING) if slope else 0.0


def _probability_slope(network):
    """A Lipschitz constant of the probabilities as a function of the outputs."""
    # Labels: one logistic each.  Two classes: p and 1 - p, with |p'| ≤ 1/4.  More: the derivative
    # diag(p) - p pᵀ of softmax has norm at most 1/2, and that of log logistic is at most 1.
    if network._multilabel:
        return 1 / 4
    return 1 / math.sqrt(8) if network._kind.n_rows == 2 else 1 / 2


def spectral_norm(M):
    """‖M‖₂ of matrices (..., m, n), or a little more."""
    size = max(M.shape[-2:])
    return np.linalg.norm(M, 2, axis=(-2, -1)) * (1 + ROUNDING * size)


def states_bound(net, method):
    """The bound of the map from the features to yᴺ, (networks,)."""
    return lift_bound(net) * flow_bound(net, method)


def lift_bound(net):
    """The bound of the map from the features to y⁰, (networks,); σ₀ adds nothing, as σ₀′ ≤ 1."""
    if not net.in_pieces:
        return spectral_norm(net.through_pipeline(net.V))
    # On every box between the ends of pieces, u moves with the features by one slope each.
    U, M = (
        net.V / net.feature_map.width,
        net.through_pipeline(np.eye(net.feature_map.n_features_in)),
    )
    norms, outer = spectral_norm(U), spectral_norm(M)
    if M.shape[0] == M.shape[1] and not np.any(M - np.diag(np.diag(M))):
        U, outer = U * np.diag(M)[net.feature_map.column], 1.0
    return np.minimum(norms * spectral_norm(M), outer * _selection_norm(net.feature_map, U))


def _selection_norm(feature_map, U):
    """A bound of ‖U S‖₂ over all S that choose one input of each feature in every view.

    Of the pieces of a feature at most one moves at a time.
    """
    n_features, total = feature_map.n_features_in, np.zeros(len(U))
    for inputs in feature_map.views.values():
        at, part = feature_map.column[inputs], U[..., inputs]
        largest = np.zeros((len(U), n_features, n_features))
        products = np.abs(np.swapaxes(part, 1, 2) @ part)
        np.maximum.at(largest, (slice(None), at[:, None], at[None, :]), products)
        # A matrix with entries of at most these sizes has at most this norm.
        total += np.sqrt(spectral_norm(largest)) * (1 + ROUNDING * len(at))
    return total


def flow_bound(net, method):
    """The bound of the map from y⁰ to yᴺ, (networks,)."""
    if method == "product":
        return np.prod(product_bounds(net), axis=0)
    if method == "non_expansive":
        return _non_expansive(net)
    bounds = log_norm_bounds(net)
    if method == "auto" and net.gradient_flow:
        circle = np.prod([_circle_bound(net, layer) for layer in net.layers], axis=0)
        bounds = np.minimum(bounds, circle)
    return bounds


def stage_bounds(net, layer):
    """Lipschitz constants of the stages Yi as functions of y, (networks, stages), or infinity.

    They obey e = 1 + θ |A| e, with the Lipschitz constant θ of h P σ(K y + b).
    """
    theta, s = _theta(layer), net.tableau.n_stages
    A = np.abs(net.coefficients)
    with np.errstate(invalid="ignore", over="ignore"):
        if net.tableau.explicit:
            e = np.ones((len(theta), s))
            for i in range(1, s):
                e[:, i] += theta * (e[:, :i] @ A[i, :i])
            return e * (1 + ROUNDING)
        matrices = np.eye(s) - np.where(np.isfinite(theta), theta, 0.0)[:, None, None] * A
        e = np.empty((len(theta), s))
        for k, matrix in enumerate(matrices):
            try:
                e[k] = np.linalg.solve(matrix, np.ones(s)) * (1 + ROUNDING)
            except np.linalg.LinAlgError:
                e[k] = np.inf
        # A positive e with 1 + θ |A| e ≤ e is an upper bound, and θ |A| is then a contraction.
        needed = (1 + theta[:, None] * (e @ A.T)) * (1 + 1e-14)
        return np.where(((e > 0) & (needed <= e)).all(axis=1, keepdims=True), e, np.inf)


def _theta(layer):
    K = spectral_norm(layer.K)
    P = 1.0 if layer.P is None else spectral_norm(layer.P)
    return np.abs(layer.h) * K * P


def product_bounds(net):
    """The bound of each layer from norms, (layers, networks)."""
    return np.array([_product_bound(net, layer) for layer in net.layers])


def _product_bound(net, layer):
    theta = _theta(layer)
    weights = np.abs(net.tableau.b)
    with np.errstate(invalid="ignore"):
        grown = theta * (stage_bounds(net, layer) @ weights)
    return (abs(net.skip) + np.where(theta > 0, grown, 0.0)) * (1 + ROUNDING)


def log_norm_bounds(net):
    """The bound of all layers of each network, (networks,)."""
    products = product_bounds(net)
    return np.array([_of_network(net, k, products[:, k]) for k in range(len(net.weights))])


class Piece(NamedTuple):
    """Consecutive layers of a network, their bound, and the bound that the multipliers t show."""

    layers: list
    bound: float
    shown: float
    t: np.ndarray | None


def _of_network(net, k, products):
    """The product of the bounds of pieces, of which neighbours are joined while they are small."""
    if net.nu.shape[1] * net.tableau.n_stages > MOST:
        return float(np.prod(products))
    pairs = zip(net.layers, products, strict=True)
    pieces, before = [_of_layer(net, k, layer, product) for layer, product in pairs], None
    while before != len(pieces):
        before, joined = len(pieces), []
        for start in range(0, before, 2):
            joined += _joined(net, k, *pieces[start : start + 2])
        pieces = joined
    return float(np.prod([piece.bound for piece in pieces]))


def _joined(net, k, one, other=None):
    """Two neighbouring pieces as one, in a list; or both of them, where they are too large."""
    if other is None:
        return [one]
    if one.t is None or other.t is None or len(one.t) + len(other.t) > TOGETHER:
        return [one, other]
    # Added up, the inequalities are those of both pieces if the first is multiplied by the bound
    # that the second one shows.
    t = np.concatenate([one.t * other.shown**2 * (1 + 1e-6), other.t])
    layers = one.layers + other.layers
    parts = window(net, k, layers)
    t = improved(parts, t)
    shown = verified(parts, t)
    if not np.isfinite(shown):
        return [one, other]
    return [Piece(layers, min(one.bound * other.bound, shown), shown, t)]


def _of_layer(net, k, layer, product):
    """The piece of one layer of network k."""
    K, h = spectral_norm(layer.K[k]), abs(layer.h[k])
    P = 1.0 if layer.P is None else spectral_norm(layer.P[k])
    if not 0 < h * P * K < np.inf:
        return Piece([layer], float(product), np.inf, None)
    bounds = [product, _corners(net, k, layer)]
    if net.gradient_flow:
        bounds.append(_circle_bound(net, layer)[k])
        if net.tableau.n_stages == 1 and net.tableau.explicit:
            bounds.append(_symmetric_bound(net, layer)[k])
    parts, shown = window(net, k, [layer]), np.inf
    t = first_multipliers(parts, net, h * P / K)
    if t is not None:
        t = improved(parts, t)
        shown = verified(parts, t)
    return Piece([layer], float(min(*bounds, shown)), shown, t if np.isfinite(shown) else None)


def _corners(net, k, layer):
    """The largest norm of the derivative over all σ′ of zeros and ones; infinite where too many.

    The derivative of an explicit step is affine in every single σ′, so that its norm is convex in
    each and is largest at a corner of [0, 1]^(n s).
    """
    n, s = layer.b.shape[1], net.tableau.n_stages
    if n * s > CORNERS or not net.tableau.explicit:
        return np.inf
    D = (np.arange(2 ** (n * s))[:, None] >> np.arange(n * s)) & 1
    D = D.reshape(-1, s, n).astype(float)
    hP = layer.h[k] * (np.eye(n) if layer.P is None else layer.P[k])
    moved = []
    for i in range(s):
        Y = np.eye(n) + sum((net.coefficients[i, j] * moved[j] for j in range(i)), np.zeros((n, n)))
        moved.append(hP @ (D[:, i, :, None] * (layer.K[k] @ Y)))
    step = net.skip * np.eye(n)
    step = step + sum(w * part for w, part in zip(net.tableau.b, moved, strict=True))
    return spectral_norm(step).max() + ROUNDING * n * _product_bound(net, layer)[k]


def _symmetric_bound(net, layer):
    """Of Euler's step α I - h KᵀDK, whose eigenvalues lie between α and α - h ‖K‖²."""
    moved = net.skip - layer.h * spectral_norm(layer.K) ** 2
    return np.maximum(abs(net.skip), np.abs(moved) * (1 + ROUNDING))


def _circle_bound(net, layer):
    """The bound of a step of a gradient flow by the radius r of circle contractivity.

    It is 1 where 0 ≤ h ‖K‖² ≤ 2 r, and hardly more where that is exceeded by rounding only.
    """
    radius, K = contractivity_radius(net.tableau), spectral_norm(layer.K)
    stiffness = layer.h * K**2
    if not radius or net.skip != 1.0:
        return np.full(len(K), np.inf)
    eta = stiffness / (2 * radius) - 1
    with np.errstate(invalid="ignore", over="ignore"):
        grown = stage_bounds(net, layer) ** 2 @ np.abs(net.tableau.b)
        bound = np.sqrt(1 + 2 * np.maximum(eta, 0.0) * stiffness * grown) * (1 + ROUNDING)
    allowed = (layer.h >= 0) & (eta <= EXCESS)
    bound = np.where(eta <= 0, 1.0, bound)
    return np.where(allowed & np.isfinite(bound), bound, np.inf)


def _non_expansive(net):
    if not net.gradient_flow:
        raise ValueError(
            "method='non_expansive' is for networks with vector_field='gradient_flow'. Use "
            "method='log_norm', or fit such a network."
        )
    radius = contractivity_radius(net.tableau)
    if not radius:
        raise ValueError(
            f"No step of the scheme {net.tableau.name!r} is non-expansive, as one of its weights b "
            "is not positive. Use method='log_norm', or another scheme."
        )
    bounds = np.array([_circle_bound(net, layer) for layer in net.layers])
    if not np.isfinite(bounds).all():
        place, k = np.argwhere(~np.isfinite(bounds))[0]
        layer = net.layers[place]
        raise ValueError(
            f"Layer {place} of network {k} is not known to be non-expansive: h = {layer.h[k]:.3g} "
            f"and h ‖K‖² = {layer.h[k] * spectral_norm(layer.K[k]) ** 2:.3g}, but it takes h ≥ 0 "
            f"and h ‖K‖² ≤ {2 * radius:.3g}. Use method='log_norm'."
        )
    return np.prod(bounds, axis=0)
