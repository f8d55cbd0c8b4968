"""Controls for which every stage equation has exactly one solution, kept by projection.

In the values F = σ(Z) the stage equations of a block of k implicit stages are

    Z = KB + b + h (A ⊗ K) F.

All activations have 0 ≤ σ′ ≤ 1, so two solutions obey ⟨ΔF, (D ⊗ I) ΔZ⟩ ≥ ⟨ΔF, (D ⊗ I) ΔF⟩ for every
positive diagonal D, while ΔZ = h (A ⊗ K) ΔF.  With à = D^½ A D^-½ and the symmetric and skew parts
K = S + W there is therefore exactly one solution, for every sample, where

    h λmax(sym(à ⊗ K)) ≤ h (max(α₊ λmax(S), α₋ λmin(S)) + ω ‖W‖₂) ≤ θ < 1

α₋ and α₊ being the least and the largest eigenvalue of sym(Ã) and 0, ω the norm of its skew part.
This bounds the logarithmic norm of h (A ⊗ I) diag(σ′)(I ⊗ K), in the norm that D diag(σ′)⁻¹
weights, by θ, so that I - h (A ⊗ I) J is regular everywhere.  With one stage ω is zero, and only
λmax(S) = μ₂(K), the logarithmic norm of K, is bounded: K may rotate and contract as it likes.

The set {λmin(S) ≥ -ρ₋, λmax(S) ≤ ρ, ‖W‖₂ ≤ ρ} has a simple orthogonal projection, since S and W are
orthogonal to each other: clip the eigenvalues of S and the singular values of W.

References: Hairer, Wanner, "Solving Ordinary Differential Equations II" (1996), section IV.14, for
the one-sided condition; Bauschke, Combettes, "Convex Analysis and Monotone Operator Theory in
Hilbert Spaces" (2017), for monotone operators that are inverse strongly monotone.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

from .arrays import Array, host, namespace, positive_part
from .constraints import Constraint, changed_where, each_layer
from .controls import Layout
from .newton import finite_matrices, norm_bound
from .rooted_trees import Matrix
from .tableaux import ButcherTableau

MARGIN = 0.9  # θ that the projection keeps
ROUNDING = 1e-12  # what counts as zero among the coefficients


class Bounds(NamedTuple):
    """λmax(S) ≤ `above`, λmin(S) ≥ -`below`, ‖W‖₂ ≤ `skew`; infinite where there is no bound.

    Also the coefficients (α₊, -α₋, ω) that these parts of K are multiplied by.
    """

    above: float
    below: float
    skew: float

    @property
    def of_norm(self) -> float:
        """The bound of ‖K‖₂ that implies all three."""
        return min(self)


def solvable_stages(
    layout: Layout, tableau: ButcherTableau, longest: float, either_sign: bool = False
) -> Constraint:
    """The layers whose stage equations have one solution, see `solvable_bounds`."""
    bounds = solvable_bounds(tableau, longest, either_sign)
    return each_layer(layout, lambda K: project_parts(K, bounds))


def solvable_bounds(tableau: ButcherTableau, longest: float, either_sign: bool = False) -> Bounds:
    """The bounds that all implicit blocks of the scheme need together.

    Every stage equation then has one solution, for all steps from 0 to `longest`, and with
    `either_sign` from -`longest` on.
    """
    parts = _parts(tableau)
    every = [max(_block_bounds(part, longest) for part in candidates) for candidates in parts]
    bounds = Bounds(*map(min, zip(Bounds(math.inf, math.inf, math.inf), *every, strict=True)))
    if either_sign:  # -h S is h (-S)
        least = min(bounds.above, bounds.below)
        bounds = Bounds(least, least, bounds.skew)
    return bounds


@cache
def _parts(tableau: ButcherTableau) -> tuple[tuple[Bounds, ...], ...]:
    """(α₊, -α₋, ω) of every implicit block, for all that is tried as D: ones, and b.

    b is tried where it is positive, which suits algebraically stable schemes.
    """
    parts = []
    for block in tableau.blocks:
        if not block.explicit:
            b = [tableau.b[i] for i in block.stages]
            weights = [[1.0] * len(b), b] if min(b) > 0 else [[1.0] * len(b)]
            parts.append(tuple(_coefficient_parts(block.A, D) for D in weights))
    return tuple(parts)


def _coefficient_parts(A: Matrix, D: list[float]) -> Bounds:
    """(α₊, -α₋, ω) of Ã."""
    root = host.sqrt(host.asarray(D))
    A_ = root[:, None] * host.asarray(A) / root[None, :]
    alpha = host.linalg.eigvalsh((A_ + A_.T) / 2)
    parts = float(alpha[-1]), -float(alpha[0]), float(host.linalg.norm((A_ - A_.T) / 2, 2))
    return Bounds(*(part if part > ROUNDING else 0.0 for part in parts))


def _block_bounds(parts: Bounds, h: float) -> Bounds:
    """ρ = θ/(h (α₊ + ω)), or with -α₋ where α₊ = 0, and the ρ₋ with h (-α₋ ρ₋ + ω ρ) = θ."""
    above, below, skew = parts
    symmetric = above or below
    rho = MARGIN / (h * (symmetric + skew)) if symmetric + skew else math.inf
    return Bounds(
        rho if above else math.inf,
        rho * symmetric / below if below else math.inf,
        rho if skew else math.inf,
    )


def project_parts(K: Array, bounds: Bounds) -> Array:
    """The nearest matrices to K, (…, n, n), whose symmetric and skew parts keep the bounds.

    Those that keep them for certain are told by a bound of their norms, which costs a few products,
    and only the others are decomposed.
    """
    xp = namespace(K)
    every = xp.reshape(K, (-1, *K.shape[-2:]))
    safe, _ = finite_matrices(xp, every)
    S = (safe + xp.matrix_transpose(safe)) / 2
    close = norm_bound(xp, S) > min(bounds.above, bounds.below)
    if bounds.skew < math.inf:
        close = close | (norm_bound(xp, safe - S) > bounds.skew)
    return xp.reshape(changed_where(close, lambda K: _project(K, bounds), every), K.shape)


def _project(K: Array, bounds: Bounds) -> Array:
    """The projection of K; K itself where it keeps the bounds."""
    xp = namespace(K)
    safe, _ = finite_matrices(xp, K)
    S = (safe + xp.matrix_transpose(safe)) / 2
    W = safe - S
    # What is added is exactly zero where nothing is out of bounds.
    if min(bounds.above, bounds.below) < math.inf:
        values, V = xp.linalg.eigh(S)
        excess = positive_part(xp, values - bounds.above)
        excess = excess - positive_part(xp, -bounds.below - values)
        K = K - xp.matmul(V * excess[..., None, :], xp.matrix_transpose(V))
    if bounds.skew < math.inf:
        U, values, Vt = xp.linalg.svd(W, full_matrices=False)
        K = K - xp.matmul(U * positive_part(xp, values - bounds.skew)[..., None, :], Vt)
    return K
