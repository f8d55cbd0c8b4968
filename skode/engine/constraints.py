"""Constraints on the controls, kept by projecting every trial point."""

from __future__ import annotations

from collections.abc import Callable

from .arrays import Array, device, host, namespace, placed, positive_part, to_host
from .controls import Layout
from .newton import finite_matrices, norm_bound


def unconstrained(flat: Array) -> Array:
    """No constraint."""
    return flat


def on_part(part: slice, project: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The projection of some columns of the flat controls; the others stay as they are."""

    def project_part(flat: Array) -> Array:
        projected = project(flat[:, part])
        before, after = flat[:, : part.start], flat[:, part.stop :]
        return namespace(flat).concat([before, projected, after], axis=1)

    return project_part


def simplex_steps(layout: Layout, total: float) -> Callable[[Array], Array]:
    """The projection onto {h ≥ 0, Σ h = total}."""
    return on_part(layout.slices.h, lambda h: project_onto_simplex(h, total))


def project_onto_simplex(v: Array, total: float) -> Array:
    """The nearest point of {x ≥ 0, Σ x = total} to each row of `v`, by sorting.

    x = max(v - θ, 0), where θ is fixed by the number ρ of positive entries: ρ is the number of
    j with (Σi≤j u_i - total)/j < u_j, u being v in descending order.

    Reference: Duchi, Shalev-Shwartz, Singer, Chandra, "Efficient projections onto the l1-ball for
    learning in high dimensions" (ICML 2008), figure 1.
    """
    xp = namespace(v)
    v = v - xp.max(v, axis=1, keepdims=True)  # changes nothing but the rounding of far-off points
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
    """The projection onto two constraints on different parts of the controls."""
    return lambda flat: other(one(flat))


def bounded_steps(layout: Layout, longest: float) -> Callable[[Array], Array]:
    """The projection onto steps of at most `longest`, of either sign."""

    def project(h: Array) -> Array:
        xp = namespace(h)
        return h - positive_part(xp, h - longest) + positive_part(xp, -longest - h)

    return on_part(layout.slices.h, project)


def spectral_ball(layout: Layout, bound: float) -> Callable[[Array], Array]:
    """The projection of the K of every layer onto ‖K‖₂ ≤ `bound`."""

    def project(flat_K: Array) -> Array:
        xp = namespace(flat_K)
        K = xp.reshape(flat_K, (flat_K.shape[0], *layout.shapes.K))
        return xp.reshape(clip_singular_values(K, bound), flat_K.shape)

    return on_part(layout.slices.K, project)


def clip_singular_values(K: Array, bound: float) -> Array:
    """The nearest matrices to K, (…, n, n), with singular values of at most `bound`.

    Those that keep the bound for certain are told by a bound of their norms, and stay as they are
    to the last bit.  So do matrices that are not finite.
    """
    xp = namespace(K)
    every = xp.reshape(K, (-1, *K.shape[-2:]))
    safe, _ = finite_matrices(xp, every)

    def clip(K: Array) -> Array:
        U, values, Vt = xp.linalg.svd(K, full_matrices=False)
        # What is subtracted is exactly zero where nothing is out of bounds.
        return K - xp.matmul(U * positive_part(xp, values - bound)[:, None, :], Vt)

    close = norm_bound(xp, safe) > bound
    return xp.reshape(changed_where(close, clip, every), K.shape)


def changed_where(which: Array, change: Callable[[Array], Array], matrices: Array) -> Array:
    """A stack of matrices, (k, n, n), of which `change` has made others where `which`, (k,), says.

    It is given only those, as a stack.
    """
    rows = host.nonzero(to_host(which))[0]
    if not rows.size:
        return matrices
    xp = namespace(matrices)
    changed = change(xp.take(matrices, placed(rows, matrices), axis=0))
    place = host.searchsorted(rows, host.arange(matrices.shape[0]))
    place = placed(host.clip(place, 0, rows.size - 1), matrices)
    return xp.where(which[:, None, None], xp.take(changed, place, axis=0), matrices)
