"""One step of a Runge-Kutta scheme, and its adjoint.

The step of a scheme (A, b, c) with the step length h and controls U = (K, b), and its adjoint
without any division, so that weights bi = 0 are allowed:

    Yi = y + h Σj aij Fj,   Fi = σ(K Yi + b)       Γi = bi p⁺ + Σj aji Vj,   Vi = h Kᵀ(σ′i∘Γi)
    y⁺ = α y + h Σi bi Fi                          p  = α p⁺ + Σi Vi

    ∂J/∂K = h Σi Gi Yiᵀ     ∂J/∂b = h Σi Gi 1     ∂J/∂h = Σi ⟨Fi, Γi⟩     with Gi = σ′i∘Γi

The skip α is 1 for a step of an ODE and 0 for a feed-forward layer.  For bi ≠ 0, Γi/bi is the
costate Pi of Proposition 1 in Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as
optimal control problems" (2021).

The stages fall into blocks that need only themselves and the blocks before them.  A block of an
explicit scheme is one stage, which is evaluated; an implicit block is solved for.

States are (members, channels, samples).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import NamedTuple

from .activations import Activation
from .arrays import Array, namespace
from .implicit import CAREFUL, Effort, Layer, Solution, solve_costates, solve_stages
from .tableaux import ButcherTableau


class Stages(NamedTuple):
    """What the adjoint needs: Yi, Fi, and the solutions of implicit blocks by their first stage."""

    Y: list[Array]
    F: list[Array]
    solved: dict[int, Solution]


class LayerGradient(NamedTuple):
    """∂J/∂K (members, n, n), ∂J/∂b (members, n, 1) and ∂J/∂h (members, 1, 1) of one layer."""

    K: Array
    b: Array
    h: Array


def weighted_sum(weights: Iterable[float], arrays: Iterable[Array]) -> Array:
    """Σ wi xi over the weights that are not zero; 0 if all are."""
    terms = [x if w == 1.0 else w * x for w, x in zip(weights, arrays, strict=True) if w]
    return reduce(add, terms) if terms else 0.0


def step(
    scheme: ButcherTableau,
    skip: float,
    activation: Activation,
    layer: Layer,
    y: Array,
    effort: Effort = CAREFUL,
) -> tuple[Array, Stages]:
    """Return y⁺ and the stages."""
    xp = namespace(y)
    K, b, h = layer.K, layer.b, layer.h
    Y: list[Array] = []
    F: list[Array] = []
    solved: dict[int, Solution] = {}
    for block in scheme.blocks:
        known = [y + h * weighted_sum(scheme.A[i][: len(F)], F) if F else y for i in block.stages]
        if block.explicit:
            Y += known
            F.append(activation.value(xp, xp.matmul(K, known[0]) + b))
        else:
            found = solved[block.start] = solve_stages(block.A, activation, known, layer, effort)
            Y += found.Y
            F += found.F
    return skip * y + h * weighted_sum(scheme.b, F), Stages(Y, F, solved)


class Costates(NamedTuple):
    """Γi, Gi and Vi of the stages i, from the last block to the first."""

    gamma: dict[int, Array]
    G: dict[int, Array]
    V: dict[int, Array]


def stage_costates(
    scheme: ButcherTableau, activation: Activation, layer: Layer, stages: Stages, p: Array
) -> Costates:
    """Return the costates of the stages from p⁺."""
    xp, A, b, h = namespace(p), scheme.A, scheme.b, layer.h
    KT = xp.matrix_transpose(layer.K)
    found = Costates({}, {}, {})
    for block in reversed(scheme.blocks):
        V = found.V
        gamma = [b[i] * p + weighted_sum([A[j][i] for j in V], V.values()) for i in block.stages]
        derivative = [activation.derivative(xp, stages.F[i]) for i in block.stages]
        if not block.explicit:
            gamma = solve_costates(block.A, stages.solved[block.start], derivative, gamma, layer)
        for i, sigma, g in zip(block.stages, derivative, gamma, strict=True):
            found.gamma[i], found.G[i] = g, sigma * g
            found.V[i] = h * xp.matmul(KT, found.G[i])
    return found


def step_adjoint(
    scheme: ButcherTableau,
    skip: float,
    activation: Activation,
    layer: Layer,
    stages: Stages,
    p: Array,
) -> tuple[Array, LayerGradient]:
    """Return p from p⁺, and the gradient with respect to the controls of the layer."""
    xp, h = namespace(p), layer.h
    gamma, G, V = stage_costates(scheme, activation, layer, stages, p)
    dK, db, dh = 0.0, 0.0, 0.0
    for i in gamma:
        dK = dK + xp.matmul(G[i], xp.matrix_transpose(stages.Y[i]))
        db = db + xp.sum(G[i], axis=2, keepdims=True)
        dh = dh + xp.sum(stages.F[i] * gamma[i], axis=(1, 2), keepdims=True)
    p = skip * p + weighted_sum([1.0] * len(V), V.values())
    return p, LayerGradient(h * dK, h * db, dh)
