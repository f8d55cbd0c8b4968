"""Constraints on the controls, which every trial point is projected onto."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .arrays import Array, device, host, namespace, placed, positive_part, spread, to_host
from .controls import Layout
from .fields import VectorField
from .newton import finite_matrices, norm_bound

Projection = Callable[[Array], Array]


@dataclass(frozen=True)
class Manifold:
    """A manifold that some columns of the flat controls lie on; see `manifolds`.

    Parameters
    ----------
    columns : slice
    project : callable (u) -> array
        The nearest points of it, from and to (members, columns).
    tangent : callable (u, v) -> array
        The orthogonal projection of v onto the tangent spaces at the points u, whose leading axes
        broadcast with those of v.
    """

    columns: slice
    project: Projection
    tangent: Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Constraint:
    """What controls have to obey: a convex set, a manifold of other columns, both, or nothing.

    Parameters
    ----------
    convex : callable (flat) -> array, optional
        The projection of flat controls onto the convex set.
    manifold : Manifold, optional
    """

    convex: Projection | None = None
    manifold: Manifold | None = None

    @property
    def nothing(self) -> bool:
        """Whether all controls obey."""
        return self.convex is None and self.manifold is None

    def project(self, flat: Array) -> Array:
        """Return the nearest controls that obey; `flat` itself without a constraint."""
        if self.convex is not None:
            flat = self.convex(flat)
        if self.manifold is not None:
            flat = on_part(self.manifold.columns, self.manifold.project)(flat)
        return flat

    def tangent(self, u: Array, v: Array) -> Array:
        """Return the part of v, (members, …, controls), along the manifold; v itself without one.

        Of the derivative of J it is the gradient on the manifold, and of a tangent vector elsewhere
        the vector transported to u.
        """
        manifold = self.manifold
        if manifold is None:
            return v
        at = u[:, manifold.columns]
        at = namespace(u).reshape(at, (at.shape[0], *(v.ndim - 2) * (1,), at.shape[1]))
        return on_part(manifold.columns, lambda part: manifold.tangent(at, part))(v)

    def projected_gradient(self, u: Array, g: Array) -> Array:
        """Return r = u - project(u - g), which is g, to the last bit, without a convex set.

        In the columns of the manifold, r is the gradient g along it.
        """
        if self.convex is None:
            return g
        goal = u - g
        return g + (goal - self.convex(goal))

    def step(self, u: Array, d: Array, trial: Array) -> Array:
        """Return the step from u to project(u + d), `trial`, as a tangent vector at u.

        This is the difference, but d itself in the columns of the manifold.
        """
        if self.manifold is None:
            return trial - u
        columns = self.manifold.columns
        return on_part(columns, lambda _: d[:, columns])(trial - u)


unconstrained = Constraint()


def on_part(part: slice, change: Projection) -> Projection:
    """Return the change of some columns of the flat controls; the others stay unchanged."""

    def change_part(flat: Array) -> Array:
        changed = change(flat[..., part])
        before, after = flat[..., : part.start], flat[..., part.stop :]
        return namespace(flat).concat([before, changed, after], axis=-1)

    return change_part


def both(one: Constraint, other: Constraint) -> Constraint:
    """Combine two constraints on different parts of the controls."""
    assert one.manifold is None or other.manifold is None, "there is one manifold at most"
    first, second = one.convex, other.convex

    def convex(flat: Array) -> Array:
        return second(first(flat))  # type: ignore[misc]

    chosen = convex if first and second else first or second
    return Constraint(chosen, one.manifold or other.manifold)


def structured(layout: Layout, field: VectorField, damping: float) -> Constraint:
    """Return the constraint that K has the structure that a vector field needs."""
    structure = field.structure
    if structure is None:
        return unconstrained
    return each_layer(layout, lambda K: structure(namespace(K), K, damping))


def simplex_steps(layout: Layout, total: float) -> Constraint:
    """Return the constraint h ≥ 0, Σ h = total on the steps."""
    return Constraint(on_part(layout.slices.h, lambda h: project_onto_simplex(h, total)))


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


def bounded_steps(layout: Layout, least: float, most: float) -> Constraint:
    """Return the constraint that steps lie between `least` and `most`."""

    def project(h: Array) -> Array:
        xp = namespace(h)
        return h - positive_part(xp, h - most) + positive_part(xp, least - h)

    return Constraint(on_part(layout.slices.h, project))


def spectral_ball(layout: Layout, bound: float) -> Constraint:
    """Return the constraint ‖K‖₂ ≤ `bound` on every layer."""
    return each_layer(layout, lambda K: clip_singular_values(K, bound))


def each_layer(layout: Layout, project: Projection) -> Constraint:
    """Return the constraint whose projection is that of the K of all layers, (…, n, n)."""

    def project_flat(flat_K: Array) -> Array:
        xp = namespace(flat_K)
        K = xp.reshape(flat_K, (flat_K.shape[0], *layout.shapes.K))
        return xp.reshape(project(K), flat_K.shape)

    return Constraint(on_part(layout.slices.K, project_flat))


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
        over = values > bound
        clipped = xp.where(over, xp.full_like(values, bound), values)
        # With the new values alone, rounding errors are of the size of the bound, not of K.
        product = xp.matmul(U * clipped[:, None, :], Vt)
        return xp.where(xp.any(over, axis=1)[:, None, None], product, K)

    close = norm_bound(xp, safe) > bound
    return xp.reshape(changed_where(close, clip, every), K.shape)


def changed_where(which: Array, change: Projection, matrices: Array) -> Array:
    """A stack of matrices, (k, n, n), of which `change` has made others where `which`, (k,), says.

    It is given only those, as a stack.
    """
    rows = host.nonzero(to_host(which))[0]
    if not rows.size:
        return matrices
    xp = namespace(matrices)
    changed = change(xp.take(matrices, placed(rows, matrices), axis=0))
    return xp.where(which[:, None, None], spread(changed, rows, matrices.shape[0]), matrices)
