"""The radius of circle contractivity."""

import math

import numpy as np
import pytest

from skode.engine.contractivity import contractivity_radius
from skode.engine.schemes import TABLEAUX
from skode.engine.tableaux import ButcherTableau

KNOWN = {
    "euler": 1.0,
    "heun": 1.0,
    "ssprk3": 1.0,
    "rk4": 1.0,
    "kutta3": 0.5,
    "rk38": 2 * math.sqrt(3) - 3,
    "trapezoid": 2.0,
    "midpoint": 0.0,  # a weight of zero
    # Algebraically stable.
    "implicit_euler": math.inf,
    "implicit_midpoint": math.inf,
    "gauss4": math.inf,
    "gauss6": math.inf,
    "radau_iia3": math.inf,
    "radau_iia5": math.inf,
    "lobatto_iiic4": math.inf,
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_values(name):
    assert contractivity_radius(TABLEAUX[name]) == pytest.approx(KNOWN[name], rel=1e-12)


def test_negative_weights_have_none():
    assert contractivity_radius(ButcherTableau([[0, 0], [1, 0]], [-1, 2])) == 0.0


def growth(tableau, radius, angles):
    """|1 + bᵀ Z (I - A Z)⁻¹ 1| for diagonal Z on the circle |z + r| = r.

    A step of y′ = λ(t) y with hλ in Z multiplies y by that.
    """
    A, b = np.asarray(tableau.A), np.asarray(tableau.b)
    Z = radius * np.expm1(1j * angles)
    matrices = np.eye(len(b)) - A * Z[:, None, :]
    solved = np.linalg.solve(matrices, np.ones((len(Z), len(b), 1)))[..., 0]
    return np.abs(1 + (b * Z * solved).sum(axis=1))


def worst_direction(tableau):
    """The angles near 0 that grow first."""
    b = np.maximum(tableau.b, 1e-3)
    BA = np.diag(tableau.b) @ np.asarray(tableau.A)
    M = (BA + BA.T - np.outer(tableau.b, tableau.b)) / np.sqrt(np.outer(b, b))
    return np.linalg.eigh(M)[1][:, 0] / np.sqrt(b)


@pytest.mark.parametrize("name", [name for name, tableau in TABLEAUX.items() if tableau.explicit])
def test_it_is_the_largest_disk_of_contractivity(name):
    tableau, rng = TABLEAUX[name], np.random.default_rng(0)
    radius = contractivity_radius(tableau)
    direction = worst_direction(tableau)
    direction /= np.abs(direction).max()
    near = np.array([1e-3, 1e-2, 1e-1])[:, None] * direction
    if radius:
        everywhere = rng.uniform(-np.pi, np.pi, (20_000, tableau.n_stages))
        assert growth(tableau, radius, everywhere).max() <= 1 + 1e-12
        assert growth(tableau, radius, near).max() <= 1 + 1e-12
    assert growth(tableau, max(1.05 * radius, 0.05), near).max() > 1 + 1e-9
