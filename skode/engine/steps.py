"""One step of a Runge-Kutta scheme, and its adjoint.

The step of a scheme (A, b, c) with the step length h and controls U = (K, b), and its adjoint
without any division, so that weights bi = 0 are allowed:

    Yi = y + h Σj aij Fj,   Fi = σ(K Yi + b)       Γi = bi p⁺ + Σj aji Vj,   Vi = h Kᵀ(σ′i∘Γi)
    y⁺ = α y + h Σi bi Fi                          p  = α p⁺ + Σi Vi

    ∂J/∂K = h Σi Gi Yiᵀ     ∂J/∂b = h Σi Gi 1     ∂J/∂h = Σi ⟨Fi, Γi⟩     with Gi = σ′i∘Γi

The skip α is 1 for a step of an ODE and 0 for a feed-forward layer.  For bi ≠ 0, Γi/bi is the
costate Pi of Proposition 1 in Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as
optimal control problems" (2021).

For a field T KᵀS with S = σ(K Y + b), see `fields`,

    Fi = T KᵀSi,   Gi = σ′i∘Di   with Di = K TᵀΓi,   ∂J/∂K = h Σi (Gi Yiᵀ + Si (TᵀΓi)ᵀ),

and the rest is as above; ⟨Fi, Γi⟩ is ⟨Si, Di⟩.

The stages are grouped into blocks that depend only on themselves and on earlier blocks.  A block
of an explicit scheme is one stage, which is evaluated; an implicit block has to be solved for.

For a field T KᵀS, a block has the equations of the field σ(Q x + c), Q = K T Kᵀ, ci = K Bi + b:
Si is σ(Q xi + ci) with xi = h Σj aij Sj, and Di = K Tᵀri + Σj aji Wj with Wi = h Qᵀ(σ′i∘Di).

States are (members, channels, samples).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import NamedTuple

from .activations import Activation
from .arrays import Array, namespace
from .fields import VectorField
from .implicit import CAREFUL, Effort, Layer, Solution, solve_costates, solve_stages
from .partitioned import Scheme, Weight, coefficients


class Stages(NamedTuple):
    """Data for the adjoint: Yi, Si, and the solutions of implicit blocks by their first stage."""

    Y: list[Array]
    S: list[Array]
    solved: dict[int, Solution]


class LayerGradient(NamedTuple):
    """∂J/∂K (members, n, n), ∂J/∂b (members, n, 1) and ∂J/∂h (members, 1, 1) of one layer."""

    K: Array
    b: Array
    h: Array


class Dynamics(NamedTuple):
    """What a step depends on except for its controls: the scheme, α, σ, and the field."""

    scheme: Scheme
    skip: float
    activation: Activation
    field: VectorField


def weighted_sum(weights: Iterable[Weight], arrays: Iterable[Array]) -> Array:
    """Return Σ wi xi over the nonzero weights; 0 if there are none."""
    terms = [
        x if _is(w, 1.0) else w * x for w, x in zip(weights, arrays, strict=True) if not _is(w, 0.0)
    ]
    return reduce(add, terms) if terms else 0.0


def _is(weight: Weight, number: float) -> bool:
    return isinstance(weight, float) and weight == number


def step(
    dynamics: Dynamics, layer: Layer, y: Array, effort: Effort = CAREFUL
) -> tuple[Array, Stages]:
    """Return y⁺ and the stages."""
    xp, (scheme, skip, activation, field) = namespace(y), dynamics
    (A, b_), (K, b, h) = coefficients(scheme, y), layer[:3]
    Y: list[Array] = []
    S: list[Array] = []
    F: list[Array] = []
    solved: dict[int, Solution] = {}
    for block in scheme.blocks:
        known = [y + h * weighted_sum(A[i][: len(F)], F) if F else y for i in block.stages]
        if block.explicit:
            Y += known
            S.append(activation.value(xp, xp.matmul(K, known[0]) + b))
            F.append(field.value(xp, K, S[-1]))
        elif field.plain:
            found = solved[block.start] = solve_stages(block.A, activation, known, layer, effort)
            Y += found.Y
            S += found.F
            F += found.F
        else:
            offsets = [xp.matmul(K, B) for B in known]
            nowhere = [xp.zeros_like(c) for c in offsets]
            around = turned_layer(field, layer)
            found = solve_stages(block.A, activation, nowhere, around, effort, offsets)
            solved[block.start] = found
            S += found.F
            new = [field.value(xp, K, s) for s in found.F]
            Y += [B + h * weighted_sum(row, new) for B, row in zip(known, block.A, strict=True)]
            F += new
    return skip * y + h * weighted_sum(b_, F), Stages(Y, S, solved)


class Costates(NamedTuple):
    """Γi, Di = ∂J/∂Si, Gi and Vi of the stages i, from the last block to the first."""

    gamma: dict[int, Array]
    D: dict[int, Array]
    G: dict[int, Array]
    V: dict[int, Array]


def stage_costates(dynamics: Dynamics, layer: Layer, stages: Stages, p: Array) -> Costates:
    """Return the costates of the stages from p⁺."""
    xp, (scheme, _, activation, field) = namespace(p), dynamics
    (A, b), (K, _, h) = coefficients(scheme, p), layer[:3]
    KT, found = xp.matrix_transpose(K), Costates({}, {}, {}, {})
    for block in reversed(scheme.blocks):
        V = found.V
        gamma = [b[i] * p + weighted_sum([A[j][i] for j in V], V.values()) for i in block.stages]
        derivative = [activation.derivative(xp, stages.S[i]) for i in block.stages]
        D = [field.adjoint(xp, K, g) for g in gamma]
        if not block.explicit:
            solution, around = stages.solved[block.start], turned_layer(field, layer)
            D = solve_costates(block.A, solution, derivative, D, around)
        for i, sigma, d in zip(block.stages, derivative, D, strict=True):
            found.D[i], found.G[i] = d, sigma * d
            V[i] = h * xp.matmul(KT, found.G[i])
        if not block.explicit and not field.plain:
            within, columns = [V[i] for i in block.stages], zip(*block.A, strict=True)
            gamma = [g + weighted_sum(a, within) for g, a in zip(gamma, columns, strict=True)]
        found.gamma.update(zip(block.stages, D if field.plain else gamma, strict=True))
    return found


def step_adjoint(
    dynamics: Dynamics, layer: Layer, stages: Stages, p: Array
) -> tuple[Array, LayerGradient]:
    """Return p from p⁺, and the gradient with respect to the controls of the layer."""
    xp, field, h = namespace(p), dynamics.field, layer.h
    gamma, D, G, V = stage_costates(dynamics, layer, stages, p)
    dK, db, dh = 0.0, 0.0, 0.0
    for i in D:
        dK = dK + xp.matmul(G[i], xp.matrix_transpose(stages.Y[i]))
        if not field.plain:
            turned = field.turned_back(xp, gamma[i])
            dK = dK + xp.matmul(stages.S[i], xp.matrix_transpose(turned))
        db = db + xp.sum(G[i], axis=2, keepdims=True)
        dh = dh + xp.sum(stages.S[i] * D[i], axis=(1, 2), keepdims=True)
    p = dynamics.skip * p + weighted_sum([1.0] * len(V), V.values())
    return p, LayerGradient(h * dK, h * db, dh)


def turned_layer(field: VectorField, layer: Layer) -> Layer:
    """Return the layer with Q = K T Kᵀ in the place of K; the same layer if there is no T."""
    if field.plain:
        return layer
    xp = namespace(layer.K)
    return layer._replace(K=xp.matmul(layer.K, field.turned(xp, xp.matrix_transpose(layer.K))))
