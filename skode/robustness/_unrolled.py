"""A fitted model written out as affine maps and activations, for bounds of what it computes.

A network, in the numbering of the layers of its scheme, is::

    u = features after `feature_map_`,      y⁰ = σ₀(V u + ν),
    Yi = y + h Σj aij P Fj,   Fi = σ(K Yi + b),   y⁺ = α y + h Σi bi P Fi,
    z = W yᴺ + μ,

where P makes a vector field of the activations: the field of a layer is P σ(K y + b).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from .._features import FeatureMap
from .._sparse import matrix
from ..engine.activations import Activation
from ..engine.fields import FIELDS
from ..engine.partitioned import PartitionedTableau
from ..engine.schemes import TABLEAUX
from ..engine.sparse_rows import SparseRows
from ..engine.tableaux import ButcherTableau
from ..inspection._chain_rule import through_steps
from ..inspection._pipelines import first_step, network_of, steps_before

AFFINE = (StandardScaler, RobustScaler, PCA, IncrementalPCA, TruncatedSVD)
CLIPPING = (MinMaxScaler, MaxAbsScaler)  # affine, unless they clip


class Layer(NamedTuple):
    """One step of the scheme, of every network.

    K is (networks, n, n), b (networks, n) and h (networks,).  P is like K; None is the identity.
    """

    K: np.ndarray
    b: np.ndarray
    h: np.ndarray
    P: np.ndarray | None = None


@dataclass(frozen=True)
class Unrolled:
    """All networks of a model, in float64.

    Parameters
    ----------
    tableau : ButcherTableau
        The scheme of all layers.
    skip : float
        α: 1 for an ODE network, 0 for a feed-forward network.
    activation, lift : Activation
        σ and σ₀.
    layers : list of Layer
    V, nu : ndarrays of shapes (networks, n_channels, n_inputs) and (networks, n_channels)
        The lift; where the features are padded with zeros, an identity above zeros.
    W, mu : ndarrays of shapes (networks, n_outputs, n_channels) and (networks, n_outputs)
    weights : ndarray of shape (networks,)
        How much each network counts in the average.
    feature_map : FeatureMap or None
        From the estimator's features to u; None is the identity.
    pull_back : callable or None
        From derivatives with respect to the estimator's features, on the last axis, to those with
        respect to the features that the pipeline is given; None is the identity.
    gradient_flow : bool
        Whether P = -Kᵀ.
    """

    tableau: ButcherTableau
    skip: float
    activation: Activation
    lift: Activation
    layers: list[Layer]
    V: np.ndarray
    nu: np.ndarray
    W: np.ndarray
    mu: np.ndarray
    weights: np.ndarray
    feature_map: FeatureMap | None = None
    pull_back: object = None
    gradient_flow: bool = False

    @property
    def in_pieces(self):
        """Whether the feature map is more than the identity."""
        return self.feature_map is not None and not self.feature_map.is_identity

    @property
    def coefficients(self):
        """The coefficients of the scheme, (stages, stages)."""
        return np.asarray(self.tableau.A)

    def through_pipeline(self, G):
        """What derivatives with respect to the estimator's features, (..., features), become."""
        return G if self.pull_back is None else self.pull_back(G)

    @staticmethod
    def dense(X):
        """Some rows of the features, (samples, n_features), as an array."""
        return matrix(X).toarray() if isinstance(X, SparseRows) else X

    def inputs(self, x):
        """u of some rows of the features, (samples, n_inputs)."""
        return self.feature_map.transform(x) if self.in_pieces else x

    def forward(self, u):
        """The last states and the outputs of every network, (networks, samples, ...).

        For explicit schemes.
        """
        y = np.einsum("kni,si->ksn", self.V, u) + self.nu[:, None]
        y = activated(self.lift, y)
        for layer in self.layers:
            F = []
            for row in self.coefficients:
                Z = self.advanced(layer, 1.0, y, row[: len(F)], F) @ _transposed(layer.K)
                F.append(activated(self.activation, Z + layer.b[:, None]))
            y = self.advanced(layer, self.skip, y, self.tableau.b, F)
        return y, y @ _transposed(self.W) + self.mu[:, None]

    def advanced(self, layer, skip, y, weights, F):
        """Compute skip·y + h Σ wi P Fi, each (networks, samples, n)."""
        total = skip * y
        for weight, values in zip(weights, F, strict=True):
            if weight:
                moved = values if layer.P is None else values @ _transposed(layer.P)
                total = total + weight * layer.h[:, None, None] * moved
        return total


def _transposed(M):
    return np.swapaxes(M, -1, -2)


def activated(activation, Z):
    """σ(Z), with the channels on the last axis."""
    # Activations take the channels on the second axis.
    values = activation.value(np, np.moveaxis(Z, -1, 0)[None])
    return np.moveaxis(values[0], 0, -1)


def outer_matrix(field, K):
    """P of a vector field P σ(K y + b), for matrices K (..., n, n); None is the identity.

    Raises
    ------
    ValueError
        If the field is unknown.
    """
    if field not in FIELDS:
        raise ValueError(f"There are no certificates for vector_field={field!r}.")
    field = FIELDS[field]
    if field.plain:
        return None
    KT = _transposed(K).reshape(-1, *K.shape[-2:])  # the rows have to be on the second axis
    return field.turned(np, KT).reshape(K.shape)


def unrolled(estimator):
    """The networks of a fitted estimator, or of a pipeline that ends in one.

    Returns
    -------
    network : estimator of skode
        A copy in float64 of the one that the estimator is, or ends in.
    found : Unrolled

    Raises
    ------
    NotFittedError
        If the estimator has not been fitted.
    TypeError
        If the estimator is none of skode, or if a step of the pipeline is not affine.
    """
    network = network_of(estimator)
    for name in ("K_", "b_", "h_", "W_", "mu_", "V_", "nu_"):
        if hasattr(network, name):
            setattr(network, name, np.asarray(getattr(network, name), np.float64))
    U = network._controls()
    fitted, recipe = network._fitted_network(), network._fitted_recipe
    field = recipe.get("vector_field", "standard")
    P = outer_matrix(field, U.K)
    layers = [
        Layer(U.K[:, k], U.b[:, k], U.h[:, k], None if P is None else P[:, k])
        for k in range(U.K.shape[1])
    ]
    tableau = fitted.tableau
    if isinstance(tableau, PartitionedTableau):
        layers, tableau = _as_euler_steps(tableau, layers), TABLEAUX["euler"]
    V, nu = U.V, U.nu
    if V is None:
        members, n, n_inputs = U.b.shape[0], U.b.shape[2], network.feature_map_.n_inputs
        V = np.broadcast_to(np.eye(n, n_inputs), (members, n, n_inputs))
        nu = np.zeros((members, n))
    found = Unrolled(
        tableau=tableau,
        skip=fitted.skip,
        activation=fitted.activation,
        lift=fitted.lift,
        layers=layers,
        V=V,
        nu=nu,
        W=U.W,
        mu=U.mu,
        weights=np.asarray(network.network_weights_, np.float64),
        feature_map=network.feature_map_,
        pull_back=_pull_back(estimator),
        gradient_flow=field == "gradient_flow",
    )
    return network, found


def _as_euler_steps(tableau, layers):
    """The steps of a partitioned scheme as steps of Euler's that move half of the channels."""
    found = []
    for layer in layers:
        first_half = np.arange(layer.K.shape[-1]) < layer.K.shape[-1] // 2
        for first, part in tableau.moves:
            P = np.where((first_half == first)[:, None], layer.P, 0.0)
            found.append(layer._replace(h=part * layer.h, P=P))
    return found


def _pull_back(estimator):
    """The chain rule through the steps before the network, or None where there are none."""
    steps = steps_before(estimator)
    if not steps:
        return None
    for _, step in steps:
        _require_affine(step)
    return through_steps(steps, _any_sample(first_step(estimator)))[1]


def _any_sample(step):
    """A sample as the first step takes it: affine maps have the same derivative everywhere."""
    x = np.zeros((1, step.n_features_in_))
    names = getattr(step, "feature_names_in_", None)
    if names is None:
        return x
    import pandas as pd  # as the pipeline has been fitted with names of columns

    return pd.DataFrame(x, columns=names)


def _require_affine(step):
    # A subclass may transform in another way.
    if step is None or (isinstance(step, str) and step in ("passthrough", "drop")):
        return
    if type(step) in AFFINE or (type(step) is FunctionTransformer and step.func is None):
        return
    if type(step) in CLIPPING and not getattr(step, "clip", False):
        return
    if type(step) is Pipeline:
        for _, part in step.steps:
            _require_affine(part)
    elif type(step) is ColumnTransformer:
        for _, part, _ in step.transformers_:
            _require_affine(part)
    else:
        raise TypeError(
            f"Certificates need steps that are affine maps, but the pipeline has {step!r}. Allowed "
            "are StandardScaler, MinMaxScaler and MaxAbsScaler that do not clip, RobustScaler, "
            "PCA, IncrementalPCA, TruncatedSVD, 'passthrough', and a Pipeline or ColumnTransformer "
            "of these. Or give the part of the pipeline that follows this step, such as "
            "pipeline[1:], and X as it is there, pipeline[:1].transform(X)."
        )
