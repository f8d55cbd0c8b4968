"""Butcher tableaux in the usual layout: as plain text, HTML and LaTeX.

    c | A
    --+---
      | b

Coefficients that are simple fractions are written as fractions.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from fractions import Fraction

from .rooted_trees import Matrix, Vector

LARGEST_DENOMINATOR = 999
ROUNDING = 1e-12  # largest difference between a coefficient and the fraction that it is written as
DIGITS = 6  # of other coefficients

Rows = list[list[str]]
RULE = "border: none; border-right: 1px solid; padding: 0 0.6em; text-align: right"
PLAIN = "border: none; padding: 0 0.6em; text-align: right"


def as_text(A: Matrix, b: Vector, c: Vector) -> str:
    """Draw the tableau in plain text."""
    rows = _rows(A, b, c, _plain)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        node, *entries = (entry.rjust(width) for entry, width in zip(row, widths, strict=True))
        lines.append(f"{node} | {'  '.join(entries)}".rstrip())
    rule = "-" * (widths[0] + 1) + "+" + "-" * max(len(line) - widths[0] - 2 for line in lines)
    return "\n".join([*lines[:-1], rule, lines[-1]])


def as_html(A: Matrix, b: Vector, c: Vector, caption: str) -> str:
    """Draw the tableau as an HTML table."""
    *stages, weights = (
        "".join(f'<td style="{PLAIN if k else RULE}">{entry}</td>' for k, entry in enumerate(row))
        for row in _rows(A, b, c, _plain)
    )
    body = "".join(f'<tr style="background: none">{row}</tr>' for row in stages)
    return (
        '<table style="border-collapse: collapse; border: none">'
        f'<caption style="text-align: left; white-space: nowrap">{html.escape(caption)}</caption>'
        f'<tbody>{body}<tr style="background: none; border-top: 1px solid">{weights}</tr></tbody>'
        "</table>"
    )


def as_latex(A: Matrix, b: Vector, c: Vector) -> str:
    """Draw the tableau as a LaTeX array in display mode."""
    *stages, weights = (" & ".join(row) for row in _rows(A, b, c, _in_latex))
    body = r" \\ ".join(stages)
    return rf"$$\begin{{array}}{{c|{'c' * len(b)}}} {body} \\ \hline {weights} \end{{array}}$$"


def _rows(A: Matrix, b: Vector, c: Vector, written: Callable[[float], str]) -> Rows:
    """Return the entries row by row; for an explicit scheme, only those below the diagonal."""
    explicit = not any(a for i, row in enumerate(A) for a in row[i:])
    rows = [
        [written(node), *("" if explicit and j >= i else written(a) for j, a in enumerate(row))]
        for i, (node, row) in enumerate(zip(c, A, strict=True))
    ]
    return [*rows, ["", *map(written, b)]]


def _fraction(x: float) -> Fraction | None:
    """Return the simple fraction that equals a coefficient up to rounding, or None."""
    near = Fraction(x).limit_denominator(LARGEST_DENOMINATOR)
    return near if abs(x - near) <= ROUNDING * max(1.0, abs(x)) else None


def _plain(x: float) -> str:
    near = _fraction(x)
    return f"{x:.{DIGITS}g}" if near is None else str(near)


def _in_latex(x: float) -> str:
    near = _fraction(x)
    if near is None or near.denominator == 1:
        mantissa, _, exponent = _plain(x).partition("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa
    return rf"{'-' * (near < 0)}\tfrac{{{abs(near.numerator)}}}{{{near.denominator}}}"
