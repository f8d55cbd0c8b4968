import pickle
import re

import numpy as np
import pytest
from hypothesis import given

from skode.engine.schemes import TABLEAUX, as_tableau
from skode.engine.tableaux import ButcherTableau
from tests.reference import explicit_schemes

ORDERS = {
    "euler": 1,
    "heun": 2,
    "midpoint": 2,
    "ralston2": 2,
    "kutta3": 3,
    "ralston3": 3,
    "ssprk3": 3,
    "rk4": 4,
    "rk38": 4,
}


def order_conditions(A, b):
    """The conditions up to order four as printed in Hairer, Nørsett, Wanner I, table II.2.1."""
    A, b = np.array(A), np.array(b)
    c = A.sum(1)
    return {
        1: [b.sum() - 1],
        2: [b @ c - 1 / 2],
        3: [b @ c**2 - 1 / 3, b @ A @ c - 1 / 6],
        4: [
            b @ c**3 - 1 / 4,
            (b * c) @ A @ c - 1 / 8,
            b @ A @ c**2 - 1 / 12,
            b @ A @ A @ c - 1 / 24,
        ],
    }


def measured_order(tableau):
    """Order from errors on y′ = (cos t - t/2) y, y(0) = 1, up to t = 1."""
    A, b, c = np.array(tableau.A), np.array(tableau.b), np.array(tableau.c)

    def error(steps):
        y, h = 1.0, 1.0 / steps
        for k in range(steps):
            F = []
            for i in range(len(b)):
                t = (k + c[i]) * h  # where c enters
                Y = y + h * sum(A[i, j] * F[j] for j in range(i))
                F.append((np.cos(t) - t / 2) * Y)
            y += h * b @ F
        return abs(y - np.exp(np.sin(1.0) - 1 / 4))

    steps = np.array([64, 128, 256])
    return -np.polyfit(np.log(steps), np.log([error(n) for n in steps]), 1)[0]


def test_the_table_has_exactly_the_documented_schemes():
    assert {name: t.order for name, t in TABLEAUX.items()} == ORDERS
    assert all(t.explicit and t.name == name for name, t in TABLEAUX.items())


@pytest.mark.parametrize("name", ORDERS)
def test_row_sums_and_order_conditions(name):
    tableau = TABLEAUX[name]
    np.testing.assert_allclose(np.sum(tableau.A, axis=1), tableau.c, atol=1e-15)
    conditions = order_conditions(tableau.A, tableau.b)
    for p in range(1, ORDERS[name] + 1):
        np.testing.assert_allclose(conditions[p], 0, atol=1e-15)
    if ORDERS[name] < 4:
        assert max(map(abs, conditions[ORDERS[name] + 1])) > 1e-3


@pytest.mark.parametrize("name", ORDERS)
def test_measured_order_on_a_time_dependent_problem(name):
    assert measured_order(TABLEAUX[name]) == pytest.approx(ORDERS[name], abs=0.1)


@given(explicit_schemes())
def test_order_defects_agree_with_the_printed_conditions(scheme):
    tableau = ButcherTableau(*scheme)
    conditions = order_conditions(*scheme[:2])
    for p in range(1, 5):
        # Each defect is a printed condition divided by the symmetry of its tree: a multiset of the
        # same numbers, since these trees all appear with the form printed.
        np.testing.assert_allclose(
            np.sort(tableau.order_defects(p)), np.sort(conditions[p]), atol=1e-11
        )


@pytest.mark.parametrize(("order", "trees"), [(1, 1), (2, 1), (3, 2), (4, 4), (5, 9), (6, 20)])
def test_number_of_rooted_trees(order, trees):
    assert len(TABLEAUX["euler"].order_defects(order)) == trees


def test_order_of_high_order_schemes():
    # Gauss-Legendre with s stages has order 2s: the general trees beyond order four.
    r = 3**0.5 / 6
    gauss4 = [[1 / 4, 1 / 4 - r], [1 / 4 + r, 1 / 4]]
    assert ButcherTableau(gauss4, [1 / 2, 1 / 2], np.sum(gauss4, axis=1)).order == 4
    q = 15**0.5
    gauss6 = [
        [5 / 36, 2 / 9 - q / 15, 5 / 36 - q / 30],
        [5 / 36 + q / 24, 2 / 9, 5 / 36 - q / 24],
        [5 / 36 + q / 30, 2 / 9 + q / 15, 5 / 36],
    ]
    tableau = ButcherTableau(gauss6, [5 / 18, 4 / 9, 5 / 18], np.sum(gauss6, axis=1))
    assert tableau.order == 6
    assert not tableau.explicit


@given(explicit_schemes(zero_weights=False))
def test_partner_identity(scheme):
    tableau = ButcherTableau(*scheme)
    A, b = np.array(tableau.A), np.array(tableau.b)
    partner = tableau.partner()
    At, bt = np.array(partner.A), np.array(partner.b)
    np.testing.assert_array_equal(bt, b)
    identity = b[:, None] * At + bt[None, :] * A.T - np.outer(b, bt)
    np.testing.assert_allclose(identity, 0, atol=1e-12)


def test_a_zero_weight_has_no_partner():
    with pytest.raises(ValueError, match=r"'midpoint' has a weight of zero"):
        TABLEAUX["midpoint"].partner()


@pytest.mark.parametrize(
    ("A", "b", "c", "message"),
    [
        ([[0, 0]], [1], [0], "A must be square"),
        ([[0]], [0.5, 0.5], [0, 0], "A must be square"),
        ([], [], [], "at least one"),
        ([[0, 0], [1, 0]], [0.5, 0.5], [0, 0.5], "row 1 sums to 1.0, but c[1] is 0.5"),
        ([[0]], [0.9], [0], "b must sum to 1"),
        ([[np.nan]], [1], [np.nan], "finite"),
        ([["x"]], [1], [0], "sequence of numbers"),
        (0, [1], [0], "square matrix"),
        ([0], [1], [0], "sequence of numbers"),
        ([[0]], 1, [0], "sequence of numbers"),
    ],
)
def test_inconsistent_tableaux_are_refused(A, b, c, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ButcherTableau(A, b, c)


def test_as_tableau():
    heun = TABLEAUX["heun"]
    assert as_tableau("heun") is heun
    assert as_tableau(heun) is heun
    custom = as_tableau((np.array(heun.A), np.array(heun.b), np.array(heun.c)))
    assert (custom.A, custom.b, custom.c, custom.name) == (heun.A, heun.b, heun.c, "custom")
    with pytest.raises(ValueError, match=r"one of 'euler', .*; got 'eulr'"):
        as_tableau("eulr")
    with pytest.raises(ValueError, match=r"triple \(A, b, c\); got 3"):
        as_tableau(3)


def test_a_tableau_is_a_value():
    tableau = TABLEAUX["rk4"]
    assert repr(tableau) == "ButcherTableau('rk4', 4 stages, order 4, explicit)"
    assert pickle.loads(pickle.dumps(tableau)) == tableau
    assert hash(tableau) == hash(ButcherTableau(tableau.A, tableau.b, tableau.c, name="rk4"))
    with pytest.raises(AttributeError):
        tableau.b = (1.0,)
