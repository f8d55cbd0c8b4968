"""A-stability against the stability function itself, evaluated where it may be large."""

import numpy as np
import pytest
from hypothesis import given

from skode.engine.schemes import TABLEAUX
from skode.engine.stability import a_stable
from tests.reference import implicit_schemes

IMAGINARY = 1j * np.concatenate([[0], np.logspace(-3, 5, 400)])
LEFT = -np.logspace(-4, 4, 40)[:, None] + 1j * np.linspace(-50, 50, 101)


def stability_function(A, b, z):
    """R(z) = 1 + z bᵀ (I - zA)⁻¹ 1."""
    A, b, z = np.array(A), np.array(b), np.asarray(z)
    stages = np.linalg.solve(np.eye(len(b)) - z[..., None, None] * A, np.ones((len(b), 1)))
    return 1 + z * (b @ stages)[..., 0]


@pytest.mark.parametrize("name", TABLEAUX)
def test_named_schemes(name):
    tableau = TABLEAUX[name]
    z = np.concatenate([IMAGINARY, LEFT.ravel()])
    largest = np.abs(stability_function(tableau.A, tableau.b, z)).max()
    assert tableau.a_stable == (largest <= 1 + 1e-9)


@given(implicit_schemes())
def test_random_schemes(scheme):
    A, b, _ = scheme
    R = np.abs(stability_function(A, b, IMAGINARY))
    if a_stable(A, b):
        assert R.max() <= 1 + 1e-9
        assert np.abs(stability_function(A, b, LEFT)).max() <= 1 + 1e-9
    elif R.max() <= 1 + 1e-9:
        # Otherwise the reason must be a pole in the left half-plane, or a narrow or slight excess.
        poles = 1 / np.linalg.eigvals(np.array(A) + 1e-300)
        fine = 1j * np.logspace(-4, 8, 200_000)
        assert (poles.real <= 0).any() or np.abs(stability_function(A, b, fine)).max() > 1


@pytest.mark.parametrize(
    ("A", "b", "expected"),
    [
        ([[1.0]], [1.0], True),  # R = 1/(1 - z)
        (
            [[-1.0]],
            [1.0],
            False,
        ),  # a pole at -1, although |R| ≤ 1 on the imaginary axis? no: 1 + 2z
        ([[0.4]], [1.0], False),  # the θ method below 1/2
        ([[0.5]], [1.0], True),
        ([[0.6]], [1.0], True),
        # A stage that is not used adds a pole that cancels.
        ([[0.5, 0.0], [0.0, -1.0]], [1.0, 0.0], True),
        # |R| = 1 on the imaginary axis, but with a pole at -2: the partner in time of the midpoint.
        ([[-0.5]], [1.0], False),
    ],
)
def test_by_hand(A, b, expected):
    assert a_stable(A, b) == expected
