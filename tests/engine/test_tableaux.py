import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode.engine.partitioned import PARTITIONED
from skode.engine.schemes import TABLEAUX, as_tableau
from skode.engine.tableaux import ButcherTableau
from tests.reference import explicit_schemes, implicit_schemes

FACTS = {  # order, kind, and the letters of A-stable, symplectic, stiffly accurate
    "euler": (1, "explicit", ""),
    "heun": (2, "explicit", ""),
    "midpoint": (2, "explicit", ""),
    "ralston2": (2, "explicit", ""),
    "kutta3": (3, "explicit", ""),
    "ralston3": (3, "explicit", ""),
    "ssprk3": (3, "explicit", ""),
    "rk4": (4, "explicit", ""),
    "rk38": (4, "explicit", ""),
    "implicit_euler": (1, "diagonally implicit", "A stiff"),
    "implicit_midpoint": (2, "diagonally implicit", "A symplectic"),
    "trapezoid": (2, "diagonally implicit", "A stiff"),
    "sdirk2": (2, "diagonally implicit", "A stiff"),
    "gauss4": (4, "fully implicit", "A symplectic"),
    "gauss6": (6, "fully implicit", "A symplectic"),
    "radau_iia3": (3, "fully implicit", "A stiff"),
    "radau_iia5": (5, "fully implicit", "A stiff"),
    "lobatto_iiia4": (4, "fully implicit", "A stiff"),
    "lobatto_iiic4": (4, "fully implicit", "A stiff"),
}
ORDERS = {name: order for name, (order, *_) in FACTS.items()}


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
            t = (k + c) * h  # c is used here
            rate = np.diag(np.cos(t) - t / 2)
            F = np.linalg.solve(np.eye(len(b)) - h * rate @ A, rate @ np.full(len(b), y))
            y += h * b @ F
        return abs(y - np.exp(np.sin(1.0) - 1 / 4))

    # Schemes of high order soon reach rounding errors.
    steps = np.array([64, 128, 256] if tableau.order < 5 else [4, 8, 16])
    return -np.polyfit(np.log(steps), np.log([error(n) for n in steps]), 1)[0]


def test_the_table_has_exactly_the_documented_schemes():
    assert TABLEAUX.keys() == FACTS.keys()
    for name, tableau in TABLEAUX.items():
        letters = ["A"] * tableau.a_stable + ["symplectic"] * tableau.symplectic
        letters += ["stiff"] * tableau.stiffly_accurate
        assert (tableau.order, tableau.kind, " ".join(letters)) == FACTS[name]
        assert tableau.name == name
        assert tableau.explicit == (tableau.kind == "explicit")


def test_blocks_are_as_fine_as_can_be():
    sizes = {name: [len(block.A) for block in t.blocks] for name, t in TABLEAUX.items()}
    assert sizes["rk4"] == sizes["rk38"] == [1, 1, 1, 1]
    assert sizes["sdirk2"] == sizes["trapezoid"] == [1, 1]
    assert sizes["gauss6"] == [3]
    assert sizes["lobatto_iiia4"] == [1, 2]  # its first stage is explicit
    assert [block.explicit for block in TABLEAUX["lobatto_iiia4"].blocks] == [True, False]
    # A stage that neither uses nor serves an earlier one is a separate block.
    own = ButcherTableau([[0, 0, 0.5], [0, 0, 0], [0.5, 0, 0]], [0.5, 0.25, 0.25], [0.5, 0, 0.5])
    assert [block.stages for block in own.blocks] == [range(3)]
    assert own.blocks[0].A == own.A


@given(implicit_schemes())
def test_blocks_cover_all_that_is_not_zero(scheme):
    tableau = ButcherTableau(*scheme)
    A = np.array(tableau.A)
    rest = A.copy()
    for block in tableau.blocks:
        rows = slice(block.stages.start, block.stages.stop)
        np.testing.assert_array_equal(A[rows, rows], block.A)
        assert not A[rows, block.stages.stop :].any()
        rest[rows, rows] = 0
    assert not np.triu(rest).any()
    assert [i for block in tableau.blocks for i in block.stages] == list(range(len(A)))


@pytest.mark.parametrize("name", ORDERS)
def test_row_sums_and_order_conditions(name):
    tableau = TABLEAUX[name]
    np.testing.assert_allclose(np.sum(tableau.A, axis=1), tableau.c, atol=1e-15)
    assert any(tableau.order_defects(ORDERS[name] + 1))
    conditions = order_conditions(tableau.A, tableau.b)
    for p in range(1, min(ORDERS[name], 4) + 1):
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


def collocation(nodes):
    """Return the tableau that interpolates at the nodes: aij and bj are integrals of Lagrange's ℓj.

    Hairer, Nørsett, Wanner I, theorem II.7.7.
    """
    powers = np.arange(len(nodes))
    coefficients = np.linalg.inv(np.vander(nodes, increasing=True))  # of ℓj, in columns
    A = (nodes[:, None] ** (powers + 1) / (powers + 1)) @ coefficients
    return A, (1 / (powers + 1)) @ coefficients


LEGENDRE = {s: (np.polynomial.legendre.leggauss(s)[0] + 1) / 2 for s in (1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("implicit_euler", [1.0]),
        ("implicit_midpoint", LEGENDRE[1]),
        ("gauss4", LEGENDRE[2]),
        ("gauss6", LEGENDRE[3]),
        ("trapezoid", [0, 1]),
        ("lobatto_iiia4", [0, 1 / 2, 1]),
        ("radau_iia3", [1 / 3, 1]),
        ("radau_iia5", [(4 - 6**0.5) / 10, (4 + 6**0.5) / 10, 1]),
    ],
)
def test_collocation_schemes_from_their_nodes(name, nodes):
    A, b = collocation(np.array(nodes, dtype=float))
    np.testing.assert_allclose(TABLEAUX[name].A, A, atol=1e-15)
    np.testing.assert_allclose(TABLEAUX[name].b, b, atol=1e-15)
    np.testing.assert_allclose(TABLEAUX[name].c, nodes, atol=1e-15)


def test_order_of_a_scheme_of_order_eight():
    A, b = collocation(LEGENDRE[4])  # Gauss with s stages has order 2s
    tableau = ButcherTableau(A, b, A.sum(axis=1))
    assert tableau.order == 8
    assert "4 stages, order 8 or more, fully implicit" in repr(tableau)
    assert tableau.symplectic
    assert tableau.a_stable


@given(st.one_of(explicit_schemes(zero_weights=False), implicit_schemes(zero_weights=False)))
def test_partner_identity(scheme):
    tableau = ButcherTableau(*scheme)
    A, b = np.array(tableau.A), np.array(tableau.b)
    partner = tableau.partner()
    At, bt = np.array(partner.A), np.array(partner.b)
    np.testing.assert_array_equal(bt, b)
    identity = b[:, None] * At + bt[None, :] * A.T - np.outer(b, bt)
    np.testing.assert_allclose(identity, 0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, t in TABLEAUX.items() if all(t.b)])
def test_partners_of_named_schemes(name):
    tableau = TABLEAUX[name]
    A, b, partner = np.array(tableau.A), np.array(tableau.b), tableau.partner()
    identity = b[:, None] * np.array(partner.A) + b * A.T - np.outer(b, b)
    np.testing.assert_allclose(identity, 0, atol=1e-15)
    own = np.abs(np.array(partner.A) - A).max() < 1e-14
    assert own == tableau.symplectic


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
    without_nodes = as_tableau((heun.A, heun.b))
    assert (without_nodes.A, without_nodes.b, without_nodes.c) == (heun.A, heun.b, heun.c)
    for wrong in (3, None, (), (heun.A,), (*custom.A, 0, 1, 2), b"ab"):
        with pytest.raises(ValueError, match=r"tuple \(A, b\) or \(A, b, c\); got "):
            as_tableau(wrong)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("eulr", "euler"), ("RK4", "rk4"), ("implicit-midpoint", "implicit_midpoint")],
)
def test_an_unknown_name_is_answered_with_the_nearest_one(wrong, near):
    with pytest.raises(ValueError, match=f"no scheme '{wrong}'. Did you mean '{near}'") as caught:
        as_tableau(wrong)
    names = re.findall(r"'(\w+)'", str(caught.value).split("The names are")[1])
    assert names == sorted(TABLEAUX | PARTITIONED)


def test_an_unknown_name_that_is_near_to_none():
    with pytest.raises(ValueError, match=r"There is no scheme 'xyz'\. The names are 'euler'"):
        as_tableau("xyz")


@pytest.mark.parametrize("name", TABLEAUX)
def test_nodes_are_row_sums_by_default(name):
    tableau = TABLEAUX[name]
    assert ButcherTableau(tableau.A, tableau.b, name=name) == tableau


def test_a_tableau_is_a_value():
    tableau = TABLEAUX["rk4"]
    assert repr(tableau) == "ButcherTableau('rk4', 4 stages, order 4, explicit)"
    assert repr(TABLEAUX["gauss4"]) == (
        "ButcherTableau('gauss4', 2 stages, order 4, fully implicit, A-stable, symplectic)"
    )
    assert repr(TABLEAUX["radau_iia5"]) == (
        "ButcherTableau('radau_iia5', 3 stages, order 5, fully implicit, A-stable, "
        "stiffly accurate)"
    )
    assert pickle.loads(pickle.dumps(tableau)) == tableau
    assert hash(tableau) == hash(ButcherTableau(tableau.A, tableau.b, tableau.c, name="rk4"))
    with pytest.raises(AttributeError):
        tableau.b = (1.0,)
