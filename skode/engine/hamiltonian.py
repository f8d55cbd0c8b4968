"""The second derivatives of the Hamiltonians with respect to the controls of their layers.

The Hamiltonian of a layer, times its step,

    Hℓ(U) = h Σi ⟨Γi, f(Yi, U)⟩,    f(y, U) = σ(K y + b),

is a sum over the samples and the stages of the scheme, whose values Yi and costates Γi are held
fixed.  Its gradient is that of the objective, ∂Hℓ/∂U = ∂J/∂U.  One row u of [K b] stands in one
component of f alone, so the Hessian has a block for each row r,

    ∂²Hℓ/∂u² = h Σi Γir σ″(u · Ŷi) Ŷi Ŷiᵀ,    Ŷ = (Y, 1).

Reference: Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as optimal control
problems" (2021), section 3, where this Hessian has to be invertible, as it may fail to be.
"""

from __future__ import annotations

from .arrays import Array, namespace, quiet
from .networks import Forward, Network
from .objective import Objective
from .steps import stage_costates


def control_hessian(objective: Objective, flat: Array) -> tuple[Array, Array]:
    """Return the blocks of the Hessian and the gradient of the data loss, for every layer.

    They are of shape (members, n_layers, n, n + 1, n + 1) and (members, n_layers, n, n + 1); rows
    of n + 1 controls are those of [K b].
    """
    xp, U = namespace(flat), objective.layout.views(flat)
    network = objective.problem.network

    def of_rows(rows: slice) -> tuple[Array, Array]:
        x, done, dz = objective.linearised(flat, rows)
        with quiet():
            gradient = network.backward(U, x, done, dz)
            gradient = xp.concat([gradient.K, gradient.b[..., None]], axis=-1)
            p = xp.matmul(xp.matrix_transpose(U.W), dz)
            return _hessian(network, done, p), gradient

    parts = objective.blocks.map(of_rows, objective.problem, flat, objective.samples.X.shape[0])
    hessian, gradient = (sum(part[1:], part[0]) for part in zip(*parts, strict=True))
    return hessian, gradient


def _hessian(network: Network, done: Forward, p: Array) -> Array:
    """The blocks of every layer, from pᴺ."""
    xp, sigma = namespace(p), network.activation
    found = []
    for layer, stages in zip(done.layers[::-1], done.stages[::-1], strict=True):
        blocks = 0.0
        costates = stage_costates(network.dynamics, layer, stages, p)
        for i, gamma in costates.gamma.items():
            Y, weights = stages.Y[i], gamma * sigma.second_derivative(xp, stages.S[i])
            Y = xp.concat([Y, xp.ones_like(Y[:, :1, :])], axis=1)
            # Row by row, since all at once they would not fit into memory.
            YT, n = xp.matrix_transpose(Y), p.shape[1]
            rows = [xp.matmul(weights[:, r : r + 1, :] * Y, YT) for r in range(n)]
            blocks = blocks + xp.stack(rows, axis=1)
        found.append(layer.h[..., None] * blocks)
        p = network.skip * p + sum(costates.V.values())
    return xp.stack(found[::-1], axis=1)
