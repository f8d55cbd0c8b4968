"""Projection onto controls for which every stage equation has exactly one solution.

In the values F = σ(Z) the stage equations of a block of k implicit stages are

    Z = KB + b + h (A ⊗ K) F.

All activations have 0 ≤ σ′ ≤ 1, so two solutions obey ⟨ΔF, (D ⊗ I) ΔZ⟩ ≥ ⟨ΔF, (D ⊗ I) ΔF⟩ for every
positive diagonal D, while ΔZ = h (A ⊗ K) ΔF.  With à = D^½ A D^-½ and the symmetric and skew parts
K = S + W there is therefore exactly one solution, for every sample, where

    h λmax(sym(à ⊗ K)) ≤ h (max(α₊ λmax(S), α₋ λmin(S)) + ω ‖W‖₂) ≤ θ < 1

where α₋ and α₊ are the least and the largest eigenvalue of sym(Ã) and 0, and ω is the norm of its
skew part.  This bounds the logarithmic norm of h (A ⊗ I) diag(σ′)(I ⊗ K) by θ, in the norm weighted
with D diag(σ′)⁻¹, so that I - h (A ⊗ I) J is always invertible.  With one stage ω is zero, and only
λmax(S) = μ₂(K), the logarithmic norm of K, is bounded; rotations and contractions are not limited.

The set {λmin(S) ≥ -ρ₋, λmax(S) ≤ ρ, ‖W‖₂ ≤ ρ} has a simple orthogonal projection, since S and W are
orthogonal to each other: clip the eigenvalues of S and the singular values of W.

References: Hairer, Wanner, "Solving Ordinary Differential Equations II" (1996), section IV.14, for
the one-sided condition; Bauschke, Combettes, "Convex Analysis and Monotone Operator Theory in
Hilbert Spaces" (2017), for monotone operators that are inverse strongly monotone.
"""

from __future__ import annotations

import math
import operator
from functools import cache
from typing import NamedTuple

from .arrays import Array, host, namespace, positive_part
from .constraints import Constraint, changed_where, each_layer
from .controls import Layout
from .fields import MINUS, VectorField
from .newton import finite_matrices, norm_bound
from .rooted_trees import Matrix
from .tableaux import ButcherTableau

MARGIN = 0.9  # the bound θ of the projection
ROUNDING = 1e-12  # coefficients up to this size count as zero


class Bounds(NamedTuple):
    """λmax(S) ≤ `above`, λmin(S) ≥ -`below`, ‖W‖₂ ≤ `skew`; infinite if there is no bound.

    Also used for the coefficients (α₊, -α₋, ω) by which these parts of K are multiplied.
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
    """Return the constraint that stage equations have one solution, see `solvable_bounds`."""
    bounds = solvable_bounds(tableau, longest, either_sign)
    return each_layer(layout, lambda K: project_parts(K, bounds))


def solvable_bounds(tableau: ButcherTableau, longest: float, either_sign: bool = False) -> Bounds:
    """Return bounds that suffice for all implicit blocks of the scheme.

    Every stage equation then has one solution, for all steps from 0 to `longest`; with
    `either_sign`, from -`longest` to `longest`.
    """
    parts = _parts(tableau)
    every = [max(_block_bounds(part, longest) for part in candidates) for candidates in parts]
    bounds = Bounds(*map(min, zip(Bounds(math.inf, math.inf, math.inf), *every, strict=True)))
    if either_sign:  # -h S is h (-S)
        least = min(bounds.above, bounds.below)
        bounds = Bounds(least, least, bounds.skew)
    return bounds


def solvable_stiffness(tableau: ButcherTableau, field: VectorField) -> float:
    """Return the largest h ‖K‖₂² for which stage equations of a field T KᵀS have one solution.

    They are those of the field σ(Q x + c) with Q = K T Kᵀ: symmetric, with eigenvalues from -‖K‖₂²
    to 0, for T = -I, and skew, with a norm of at most ‖K‖₂², for T = Ω.
    """
    of_part = operator.attrgetter("below" if field.turn == MINUS else "skew")
    every = [min(map(of_part, candidates)) for candidates in _parts(tableau)]
    return min((MARGIN / part if part else math.inf for part in every), default=math.inf)


@cache
def _parts(tableau: ButcherTableau) -> tuple[tuple[Bounds, ...], ...]:
    """Return (α₊, -α₋, ω) of every implicit block, for each D that is tried: ones, and b.

    b is tried only if it is positive; it suits algebraically stable schemes.
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
    """Return ρ = θ/(h (α₊ + ω)), with -α₋ if α₊ = 0, and the ρ₋ with h (-α₋ ρ₋ + ω ρ) = θ."""
    above, below, skew = parts
    symmetric = above or below
    rho = MARGIN / (h * (symmetric + skew)) if symmetric + skew else math.inf
    return Bounds(
        rho if above else math.inf,
        rho * symmetric / below if below else math.inf,
        rho if skew else math.inf,
    )


def project_parts(K: Array, bounds: Bounds) -> Array:
    """Project K, (…, n, n), onto matrices whose symmetric and skew parts satisfy the bounds.

    An upper bound of the norms, which takes a few products, usually shows that a matrix satisfies
    the bounds.  Only the others are decomposed.
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
    """Project finite K; a K that satisfies the bounds is returned unchanged."""
    xp = namespace(K)
    S = (K + xp.matrix_transpose(K)) / 2
    W = K - S
    # The correction is exactly zero if nothing is out of bounds.
    if min(bounds.above, bounds.below) < math.inf:
        values, V = xp.linalg.eigh(S)
        excess = positive_part(xp, values - bounds.above)
        excess = excess - positive_part(xp, -bounds.below - values)
        K = K - xp.matmul(V * excess[..., None, :], xp.matrix_transpose(V))
    if bounds.skew < math.inf:
        U, values, Vt = xp.linalg.svd(W, full_matrices=False)
        K = K - xp.matmul(U * positive_part(xp, values - bounds.skew)[..., None, :], Vt)
    return K
