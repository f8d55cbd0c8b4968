"""Lipschitz bounds of consecutive layers from incremental inequalities of the activations.

Between any two solutions of the layers, let Δ be the difference of the states in front, w those of
the activations, and v those of their arguments.  They obey v = C Δ + E w, and the states behind
differ by a Δ + B w.  Because 0 ≤ σ′ ≤ 1, each entry has w (v - w) ≥ 0.  So for all multipliers
t ≥ 0::

    ‖a Δ + B w‖² ≤ ‖a Δ + B w‖² + Σ t w (v - w) ≤ ρ ‖Δ‖²,

where ρ is the largest value of the middle for ‖Δ‖ = 1.  With T = diag(t) it is finite where::

    S = T - BᵀB - (T E + Eᵀ T)/2

is positive definite, and then ρ = λmax(a² I + R S⁻¹ Rᵀ) with R = a B + Cᵀ T/2.  Every such t gives
a bound √ρ.  Here t is chosen by descent, and then ρ is verified, rounding included: the matrix
[[(ρ - a²) I, -R], [-Rᵀ, S]] is positive semidefinite if Cholesky's method runs through after the
diagonal has been lowered by more than all rounding errors.

References
----------
Fazlyab, Robey, Hassani, Morari, Pappas, "Efficient and accurate estimation of Lipschitz constants
for deep neural networks" (NeurIPS 2019), for the inequality.
Burrage, Butcher, "Stability criteria for implicit Runge-Kutta methods" (1979), for the choice of t
in algebraically stable schemes.
Rump, "Verification of positive definiteness" (BIT 2006), for Cholesky's method as a proof.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, lapack
from scipy.optimize import minimize

EPS = np.finfo(np.float64).eps
MOST = 480  # activations: with more, the matrices are too large
TOGETHER = 288  # activations that consecutive layers are bounded together for
SHARPNESS = 40.0  # of the smooth maximum of eigenvalues that descent lowers
ITERATIONS = 80
SCALES = (2.0, 2.2, 2.5, 3.0, 4.0, 5.5, 8.0, 16.0, 64.0)  # of the multipliers that are tried first
GRADES = (1.0, 1.5, 2.5, 5.0, 12.0, 40.0)  # how much less those of later stages are
INFEASIBLE = 1e30


class Window(NamedTuple):
    """Consecutive layers of one network: v = C Δ + E w, and a Δ + B w."""

    C: np.ndarray
    E: np.ndarray
    a: float
    B: np.ndarray


def window(net, k, layers):
    """The window of some layers of network k."""
    n, s, weights = net.nu.shape[1], net.tableau.n_stages, net.tableau.b
    size = n * s * len(layers)
    C, E, a, B = np.zeros((size, n)), np.zeros((size, size)), 1.0, np.zeros((n, size))
    for start, layer in zip(range(0, size, n * s), layers, strict=True):
        own = [slice(start + n * i, start + n * (i + 1)) for i in range(s)]
        K, hP = layer.K[k], layer.h[k] * (np.eye(n) if layer.P is None else layer.P[k])
        for i in range(s):
            Y = B.copy()
            for j in range(s):
                Y[:, own[j]] += net.coefficients[i, j] * hP
            C[own[i]], E[own[i]] = a * K, K @ Y
        a, B = net.skip * a, net.skip * B
        for j in range(s):
            B[:, own[j]] += weights[j] * hP
    return Window(C, E, a, B)


def first_multipliers(parts, net, size):
    """Multipliers with a small bound out of a few of the form c gⁱ |bi|; None if none has one.

    `size` is the ratio |h| ‖P‖/‖K‖, which multipliers are proportional to.
    """
    n, b = net.nu.shape[1], np.maximum(np.abs(net.tableau.b), 0.05)
    stages, best, found = np.arange(len(b)), np.inf, None
    for scale in SCALES:
        for grade in GRADES[: 1 if len(b) == 1 else None]:
            t = np.repeat(scale * size * b * grade ** (stages[::-1].astype(float)), n)
            rho = _eigen(parts, t)
            if rho is not None and rho[0][-1] < best:
                best, found = rho[0][-1], t
    return found


def improved(parts, t):
    """Multipliers with a smaller bound, by descent from those given."""

    def objective(log_t):
        t = np.exp(np.clip(log_t, -300, 300))
        found = _eigen(parts, t)
        if found is None:
            return INFEASIBLE, np.zeros_like(t)
        values, Q, W = found
        values = np.maximum(values, np.finfo(float).tiny)
        powers = (values / values[-1]) ** SHARPNESS
        smooth = np.log(values[-1]) + np.log(powers.sum()) / SHARPNESS
        share = powers / powers.sum() / values
        slopes = W * (parts.C @ Q + parts.E @ W - W)
        return smooth, t * (slopes @ share)

    start = np.log(t)
    done = minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(x - 12, x + 12) for x in start],
        options={"maxiter": ITERATIONS if len(t) <= TOGETHER else ITERATIONS // 4},
    )
    return np.exp(done.x) if done.fun < INFEASIBLE else t


def _eigen(parts, t):
    """The eigenvalues and vectors q of a² I + R S⁻¹ Rᵀ, and S⁻¹ Rᵀ q; None where S is no good."""
    S, R = _curvature(parts, t), _coupling(parts, t)
    try:
        factor = cho_factor(S, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    solved = cho_solve(factor, R.T, check_finite=False)
    M = R @ solved
    if not np.isfinite(M).all():
        return None
    values, Q = np.linalg.eigh((M + M.T) / 2)
    return values + parts.a**2, Q, solved @ Q


def _curvature(parts, t):
    TE = t[:, None] * parts.E
    return np.diag(t) - parts.B.T @ parts.B - (TE + TE.T) / 2


def _coupling(parts, t):
    return parts.a * parts.B + parts.C.T * (t / 2)


def verified(parts, t):
    """A bound √ρ that holds for certain, rounding included; infinite where that is not shown."""
    found = _eigen(parts, t)
    if found is None:
        return np.inf
    for margin in (1e-10, 1e-8, 1e-6, 1e-4):
        rho = found[0][-1] * (1 + margin) + np.finfo(float).tiny
        if _is_bound(parts, t, rho):
            return np.sqrt(rho) * (1 + 2 * EPS)
    return np.inf


def _is_bound(parts, t, rho):
    """Whether [[(ρ - a²) I, -R], [-Rᵀ, S]] is positive semidefinite for certain."""
    (size, n), S, R = parts.C.shape, _curvature(parts, t), _coupling(parts, t)
    Q = np.block([[(rho - parts.a**2) * np.eye(n), -R], [-R.T, S]])
    diagonal = np.diag(Q)
    if not (diagonal > 0).all():
        return False
    # Each entry is a sum of at most `size` products, whose sizes add up to that in `sizes`.
    B, E = np.abs(parts.B), t[:, None] * np.abs(parts.E)
    R_size = abs(parts.a) * B + np.abs(parts.C).T * (t / 2)
    S_size = np.diag(t) + B.T @ B + (E + E.T) / 2
    sizes = np.block([[(rho + parts.a**2) * np.eye(n), R_size], [R_size.T, S_size]])
    root = 1 / np.sqrt(diagonal)
    scaled, sizes = root[:, None] * Q * root, root[:, None] * sizes * root
    total = size + n
    rounding = 2 * (total + 10) * EPS * (sizes.sum(axis=1).max() + 2 * total)
    np.fill_diagonal(scaled, 1.0 - rounding)
    return lapack.dpotrf(scaled, lower=1)[1] == 0
