"""Constraints on the controls, kept by projecting every trial point."""

from __future__ import annotations

from collections.abc import Callable

from .arrays import Array, device, namespace, positive_part
from .controls import Layout


def unconstrained(flat: Array) -> Array:
    """No constraint."""
    return flat


def on_part(part: slice, project: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Return the projection that changes only some columns of the flat controls."""

    def project_part(flat: Array) -> Array:
        projected = project(flat[:, part])
        before, after = flat[:, : part.start], flat[:, part.stop :]
        return namespace(flat).concat([before, projected, after], axis=1)

    return project_part


def simplex_steps(layout: Layout, total: float) -> Callable[[Array], Array]:
    """Return the projection onto {h ≥ 0, Σ h = total}."""
    return on_part(layout.slices.h, lambda h: project_onto_simplex(h, total))


def project_onto_simplex(v: Array, total: float) -> Array:
    """Project each row of `v` onto {x ≥ 0, Σ x = total}, by sorting.

    x = max(v - θ, 0), where θ is fixed by the number ρ of positive entries: ρ is the number of
    j with (Σi≤j u_i - total)/j < u_j, u being v in descending order.

    Reference: Duchi, Shalev-Shwartz, Singer, Chandra, "Efficient projections onto the l1-ball for
    learning in high dimensions" (ICML 2008), figure 1.
    """
    xp = namespace(v)
    v = v - xp.max(v, axis=1, keepdims=True)  # only affects the rounding of large entries
    u = xp.flip(xp.sort(v, axis=1), axis=1)
    rank = xp.arange(1, v.shape[1] + 1, dtype=v.dtype, device=device(v))[None, :]
    thresholds = (xp.cumulative_sum(u, axis=1) - total) / rank
    positive = xp.astype(u > thresholds, v.dtype)
    # The thresholds of the first ρ entries increase up to θ, the largest of them.
    rho = xp.sum(positive, axis=1, keepdims=True)
    theta = xp.sum(xp.where(rank == rho, thresholds, 0.0 * thresholds), axis=1, keepdims=True)
    return positive_part(xp, v - theta)


def both(
    one: Callable[[Array], Array], other: Callable[[Array], Array]
) -> Callable[[Array], Array]:
    """Combine projections onto two constraints on different parts of the controls."""
    return lambda flat: other(one(flat))


def bounded_steps(layout: Layout, longest: float) -> Callable[[Array], Array]:
    """Return the projection onto steps of at most `longest`, of either sign."""

    def project(h: Array) -> Array:
        xp = namespace(h)
        return h - positive_part(xp, h - longest) + positive_part(xp, -longest - h)

    return on_part(layout.slices.h, project)
