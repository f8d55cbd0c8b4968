"""Tableaux as text, HTML and LaTeX."""

import re
from html.parser import HTMLParser

import pytest

from skode.engine.schemes import TABLEAUX
from skode.engine.tableaux import ButcherTableau

RK4 = """\
rk4: 4 stages, order 4, explicit
  0 |
1/2 | 1/2
1/2 |   0  1/2
  1 |   0    0    1
----+-------------------
    | 1/6  1/3  1/3  1/6"""
SDIRK2 = """\
sdirk2: 2 stages, order 2, diagonally implicit, A-stable, stiffly accurate
0.292893 | 0.292893         0
       1 | 0.707107  0.292893
---------+-------------------
         | 0.707107  0.292893"""
EULER = """\
euler: 1 stage, order 1, explicit
0 |
--+--
  | 1"""


@pytest.mark.parametrize("drawn", [RK4, SDIRK2, EULER])
def test_a_tableau_is_printed_as_in_books(drawn):
    assert str(TABLEAUX[drawn.split(":")[0]]) == drawn


class Cells(HTMLParser):
    """Return the text of the cells of a table, row by row, and of its caption."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.caption, self.open = [], "", []
        self.feed(text)
        assert not self.open  # every tag is closed

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] == "td":
            self.rows[-1][-1] += data
        else:
            assert self.open[-1] == "caption"
            self.caption += data


def values(entries, places):
    """Return the values of the entries; an empty entry is zero."""
    found = []
    for entry in entries:
        number, _, denominator = entry.partition("/")
        found.append(float(number or 0) / float(denominator or 1))
    return pytest.approx(found, rel=10.0**-places)


@pytest.mark.parametrize("name", TABLEAUX)
def test_the_table_of_html_holds_the_coefficients(name):
    tableau = TABLEAUX[name]
    *stages, weights = (table := Cells(tableau._repr_html_())).rows
    assert table.caption == str(tableau).split("\n")[0]
    for row, node, found in zip(tableau.A, tableau.c, stages, strict=True):
        assert [node, *row] == values(found, 5)
    assert [0.0, *tableau.b] == values(weights, 5)


@pytest.mark.parametrize("name", TABLEAUX)
def test_the_array_of_latex_holds_the_coefficients(name):
    tableau = TABLEAUX[name]
    s = tableau.n_stages
    found = re.fullmatch(
        r"\$\$\\begin\{array\}\{c\|(c+)\} (.*) \\\\ \\hline (.*) \\end\{array\}\$\$",
        tableau._repr_latex_(),
    )
    assert len(found[1]) == s
    rows = [
        re.sub(r"(-?)\\tfrac\{(\d+)\}\{(\d+)\}", r"\1\2/\3", row).split("&")
        for row in [*found[2].split(r"\\"), found[3]]
    ]
    rows = [[entry.strip() for entry in row] for row in rows]
    for row, node, entries in zip(tableau.A, tableau.c, rows[:-1], strict=True):
        assert [node, *row] == values(entries, 5)
    assert [0.0, *tableau.b] == values(rows[-1], 5)


def test_what_is_a_simple_fraction_and_what_is_not():
    tableau = ButcherTableau([[0, 0], [0.4, 0]], [-0.25, 1.25], name="<own & $>")
    assert "2/5" in str(tableau)
    assert "-1/4" in str(tableau)
    assert r"-\tfrac{1}{4}" in tableau._repr_latex_()
    assert "&lt;own &amp; $&gt;: 2 stages" in tableau._repr_html_()
    # Close to a third, but further than rounding errors.
    near = ButcherTableau([[0, 0], [0.3333333, 0]], [0.5, 0.5])
    assert "0.333333" in str(near)
    assert "1/3" not in str(near)
    small = ButcherTableau([[0, 0], [1.5e-9, 0]], [0.5, 0.5])
    assert "1.5e-09" in str(small)
    assert r"1.5 \cdot 10^{-9}" in small._repr_latex_()
    assert "1001/1000" not in str(ButcherTableau([[1.001]], [1]))
