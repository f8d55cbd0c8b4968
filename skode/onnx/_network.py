"""The networks of a fitted estimator as an ONNX graph: lift, layers and readout.

States are (networks, samples, channels), so that a product with a matrix is a MatMul whose second
factor is constant.  Everything else is as in `skode.engine.networks` and `skode.engine.steps`.
"""

from __future__ import annotations

import numpy as np

from ..engine.controls import Controls, without_idle_layers
from ..engine.partitioned import coefficients
from ._stages import Layer, activated, solved_stages


def network_outputs(g, model, X):
    """Add the outputs z of every network; return them with the weights of the networks.

    Parameters
    ----------
    g : Graph
    model : estimator of skode
        Fitted, with its arrays on the host.
    X : str
        The features, (samples, features).

    Returns
    -------
    z : str
        (networks, samples, outputs).
    weights : ndarray of shape (networks, 1, 1)
    """
    network = model._fitted_network()
    members = _by_view(model)
    order = np.concatenate(list(members.values()))
    U = model._controls(order)
    U = without_idle_layers(U) if network.skip else U
    U = Controls(*(part if part is None else np.asarray(part, np.float64) for part in U))
    y = _lifted(g, model, U, X, {view: len(numbers) for view, numbers in members.items()})
    activation = model._fitted_recipe["activation"]
    for n in range(U.K.shape[1]):
        layer = Layer(U.K[:, n], U.b[:, n, None, :], U.h[:, n, None, None])
        try:
            y = _step(g, network, activation, layer, y)
        except ValueError as error:
            raise ValueError(
                f"{type(model).__name__} cannot be converted to ONNX: {error}"
            ) from error
    z = g("Add", g("MatMul", y, np.swapaxes(U.W, 1, 2)), U.mu[:, None, :])
    return z, model.network_weights_[order, None, None]


def _by_view(model):
    """Return the indices of the networks that use each view of the features."""
    views = np.array(model.network_features_)
    found = {view: np.flatnonzero(views == view) for view in model.feature_map_.views}
    return {view: numbers for view, numbers in found.items() if len(numbers)}


def _lifted(g, model, U, X, counts):
    """Add the state y⁰ of every network; without V they are equal, (1, samples, channels)."""
    n_channels = U.b.shape[2]
    if U.V is None:
        (view,) = counts
        x = _inputs(g, model.feature_map_, view, X)
        missing = n_channels - model.feature_map_.n_inputs
        return g("Unsqueeze", g("Pad", x, np.array([0, 0, 0, missing])), np.array([0]))
    parts, first = [], 0
    for view, number in counts.items():
        mine, columns = slice(first, first + number), model.feature_map_.views[view]
        V = np.swapaxes(U.V[mine, :, columns], 1, 2)
        parts.append(g("MatMul", _inputs(g, model.feature_map_, view, X), V))
        first += number
    y = parts[0] if len(parts) == 1 else g("Concat", *parts, axis=0)
    y = g("Add", y, U.nu[:, None, :])
    return activated(g, model._fitted_recipe["lift"], y, n_channels)


def _inputs(g, feature_map, view, X):
    """Add the inputs of networks with a view of the features."""
    if feature_map.is_identity or view == "given":
        return X
    mine = feature_map.views[view]
    low, high, origin, mean, width = (
        part[None, mine]
        for part in (
            feature_map.low,
            feature_map.high,
            feature_map.origin,
            feature_map.mean,
            feature_map.width,
        )
    )
    x = g("Gather", X, feature_map.column[mine], axis=1)
    x = g("Min", g("Max", x, low), high)
    return g("Div", g("Sub", g("Sub", x, origin), mean), width)


def _step(g, network, activation, layer, y):
    """Add y⁺ = skip·y + h Σi bi Fi with Fi = M σ(Zi) and Zi = K (y + h Σj aij Fj) + b.

    M is I, or T Kᵀ; see `skode.engine.fields`.
    """
    scheme, field, n_channels = network.tableau, network.field, layer.b.shape[2]
    A, b = coefficients(scheme, np.zeros((1, n_channels, 1)))
    KT, F, within, MT = np.swapaxes(layer.K, 1, 2), [], layer, None
    if not field.plain:
        M = field.turned(np, KT)
        MT, within = np.swapaxes(M, 1, 2), layer._replace(K=layer.K @ M)
    for block in scheme.blocks:
        known = [_plus(g, y, layer.h, A[i][: len(F)], F) for i in block.stages]
        affine = {B: g("Add", g("MatMul", B, KT), layer.b) for B in dict.fromkeys(known)}
        Z = [affine[B] for B in known]  # the first stages have the same B
        if block.explicit:
            S = [activated(g, activation, Z[0], n_channels)]
        else:
            S = solved_stages(g, activation, within, block.A, [b[i] for i in block.stages], Z)
        F += S if MT is None else [g("MatMul", s, MT) for s in S]
    return _plus(g, y if network.skip else None, layer.h, b, F)


def _plus(g, y, h, weights, F):
    """Add y + h Σi wi Fi, with h (networks, 1, 1) and numbers wi, or one for every channel."""
    h = h.ravel()[0] if (h == h.ravel()[0]).all() else h
    weights = [np.swapaxes(w, 1, 2) if isinstance(w, np.ndarray) else w for w in weights]
    terms = [y] if y is not None else []
    for weight, f in zip(weights, F, strict=True):
        if np.any(weight):
            factor = weight * h
            terms.append(f if np.all(factor == 1.0) else g("Mul", f, factor))
    total = terms[0]
    for term in terms[1:]:
        total = g("Add", total, term)
    return total
