"""Butcher tableaux: validated coefficients and properties derived from them.

A scheme (A, b, c) with s stages takes the step

    Yi = y + h Σj aij f(Yj),   i = 1..s,        y⁺ = y + h Σi bi f(Yi).

References: Hairer, Nørsett, Wanner, "Solving Ordinary Differential Equations I" (1993), chapter II;
Hairer, Wanner, "Solving Ordinary Differential Equations II" (1996), chapter IV; Sanz-Serna,
"Symplectic Runge-Kutta schemes for adjoint equations, automatic differentiation, optimal control,
and more", SIAM Review 58 (2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

from .drawing import as_html, as_latex, as_text
from .rooted_trees import Matrix, Vector, density, rooted_trees, stage_weights
from .stability import a_stable

ROUNDING = 1e-12  # largest deviation from an identity that counts as rounding
HIGHEST_ORDER_CHECKED = 8


class Block(NamedTuple):
    """Consecutive stages that have to be solved for together, and their part of A.

    The first stage is `start`.  The block is `explicit` if it is one stage that does not depend on
    itself.
    """

    stages: range
    A: Matrix
    start: int
    explicit: bool


@dataclass(frozen=True)
class ButcherTableau:
    """A Runge-Kutta scheme, given by its coefficients.

    The coefficients are checked when the tableau is made. ``print`` draws the tableau, and a
    notebook shows it as a table.

    Parameters
    ----------
    A : array-like of shape (n_stages, n_stages)
        Coefficients aij of the stages.
    b : array-like of shape (n_stages,)
        Weights of the stages. They sum to one. Single weights may be zero.
    c : array-like of shape (n_stages,), default=None
        Nodes. None means the row sums of `A`; other values are refused.
    name : str, default="custom"
        Name of the scheme in messages and in the repr.

    Raises
    ------
    ValueError
        If the sizes differ, if an entry is not finite, if `c` is not the row sums of `A`, or if `b`
        does not sum to one.

    See Also
    --------
    skode.get_scheme : The tableau of a scheme by its name.

    Examples
    --------
    >>> from skode import ButcherTableau
    >>> ralston = ButcherTableau([[0, 0], [2 / 3, 0]], [1 / 4, 3 / 4], name="ralston")
    >>> ralston
    ButcherTableau('ralston', 2 stages, order 2, explicit)
    >>> print(ralston)
    ralston: 2 stages, order 2, explicit
      0 |
    2/3 | 2/3
    ----+---------
        | 1/4  3/4
    """

    A: Matrix
    b: Vector
    c: Vector = None  # type: ignore[assignment]  # None becomes the row sums
    name: str = "custom"

    def __post_init__(self) -> None:
        A = tuple(_floats(row, f"a row of A, {row!r},") for row in _rows(self.A))
        b = _floats(self.b, f"b={self.b!r}")
        c = tuple(map(math.fsum, A)) if self.c is None else _floats(self.c, f"c={self.c!r}")
        for field, value in (("A", A), ("b", b), ("c", c)):
            object.__setattr__(self, field, value)
        self._refuse_inconsistency()

    def __getstate__(self) -> dict[str, Any]:
        """Return only the fields: derived values need not be pickled."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _refuse_inconsistency(self) -> None:
        s = len(self.b)
        if s == 0 or len(self.c) != s or len(self.A) != s or any(len(row) != s for row in self.A):
            raise ValueError(
                f"Scheme {self.name!r}: A must be square, with as many rows as b and c have "
                f"entries, and at least one; got rows of {[len(row) for row in self.A]} in A, "
                f"{len(self.b)} entries in b and {len(self.c)} in c."
            )
        if not all(math.isfinite(x) for x in (*self.b, *self.c, *(a for r in self.A for a in r))):
            raise ValueError(f"Scheme {self.name!r}: A, b and c must be finite numbers.")
        for i, (row, node) in enumerate(zip(self.A, self.c, strict=True)):
            if not math.isclose(math.fsum(row), node, rel_tol=ROUNDING, abs_tol=ROUNDING):
                raise ValueError(
                    f"Scheme {self.name!r}: every c[i] must be the sum of row i of A; row {i} sums "
                    f"to {math.fsum(row)!r}, but c[{i}] is {node!r}."
                )
        if not math.isclose(math.fsum(self.b), 1.0, rel_tol=ROUNDING, abs_tol=ROUNDING):
            raise ValueError(
                f"Scheme {self.name!r}: b must sum to 1 (otherwise the scheme does not converge); "
                f"it sums to {math.fsum(self.b)!r}."
            )

    @property
    def n_stages(self) -> int:
        """Number s of stages."""
        return len(self.b)

    @property
    def explicit(self) -> bool:
        """Whether A is strictly lower triangular, so that no stage equation has to be solved."""
        return all(block.explicit for block in self.blocks)

    @property
    def diagonally_implicit(self) -> bool:
        """Whether A is lower triangular, so that stages can be solved for one by one."""
        return all(len(block.A) == 1 for block in self.blocks)

    @property
    def kind(self) -> str:
        """One of "explicit", "diagonally implicit" and "fully implicit"."""
        if self.explicit:
            return "explicit"
        return "diagonally implicit" if self.diagonally_implicit else "fully implicit"

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The stages in blocks, each of which depends only on itself and on earlier blocks."""
        s = self.n_stages
        cuts = [
            i for i in range(1, s) if not any(self.A[j][k] for j in range(i) for k in range(i, s))
        ]
        blocks = []
        for i, j in zip([0, *cuts], [*cuts, s], strict=True):
            A = tuple(row[i:j] for row in self.A[i:j])
            blocks.append(Block(range(i, j), A, i, explicit=A == ((0.0,),)))
        return tuple(blocks)

    @property
    def symplectic(self) -> bool:
        """Whether bi aij + bj aji = bi bj: quadratic invariants are conserved.

        Without weights of zero the scheme is then its own partner: the costates follow the scheme
        itself.
        """
        A, b = self.A, self.b
        return all(
            abs(b[i] * A[i][j] + b[j] * A[j][i] - b[i] * b[j]) < ROUNDING
            for i in range(self.n_stages)
            for j in range(i + 1)
        )

    @property
    def stiffly_accurate(self) -> bool:
        """Whether the last row of A is b: the last stage is the new state."""
        return all(abs(a - bj) < ROUNDING for a, bj in zip(self.A[-1], self.b, strict=True))

    @cached_property
    def a_stable(self) -> bool:
        """Whether no step of any length lets a decaying mode y′ = λ y, Re λ ≤ 0, grow."""
        return a_stable(self.A, self.b)

    @cached_property
    def order(self) -> int:
        """Largest p up to 8 with Φ(t) = 1/γ(t) for every rooted tree t of at most p nodes."""
        p = 1
        while p < HIGHEST_ORDER_CHECKED and not any(self.order_defects(p + 1)):
            p += 1
        return p

    def order_defects(self, p: int) -> list[float]:
        """Return Φ(t) - 1/γ(t) for every rooted tree t with `p` nodes, without rounding errors."""
        defects = []
        for tree in rooted_trees(p):
            weight = math.fsum(
                bi * ui for bi, ui in zip(self.b, stage_weights(self.A, tree), strict=True)
            )
            defect = weight - 1.0 / density(tree)
            defects.append(0.0 if abs(defect) < ROUNDING else defect)
        return defects

    def partner(self) -> ButcherTableau:
        """The symplectic partner, the scheme that the costate follows.

        It has b̃ = b and bi ãij + bj aji - bi bj = 0: Hager (2000), Sanz-Serna (2016).

        Raises
        ------
        ValueError
            If a weight bi is zero.  There is no partner then, but the division-free form of the
            adjoint step, which skode uses, still works.
        """
        if not all(self.b):
            raise ValueError(f"Scheme {self.name!r} has a weight of zero, hence no partner.")
        stages = range(self.n_stages)
        A = tuple(
            tuple(self.b[j] - self.b[j] * self.A[j][i] / self.b[i] for j in stages) for i in stages
        )
        return ButcherTableau(A, self.b, name=f"partner of {self.name}")

    @property
    def _facts(self) -> str:
        stages = f"{self.n_stages} stage{'s' if self.n_stages > 1 else ''}"
        more = " or more" * (self.order == HIGHEST_ORDER_CHECKED)
        facts = [stages, f"order {self.order}{more}", self.kind]
        facts += ["A-stable"] * self.a_stable + ["symplectic"] * self.symplectic
        facts += ["stiffly accurate"] * (self.stiffly_accurate and not self.explicit)
        return ", ".join(facts)

    def __repr__(self) -> str:
        return f"ButcherTableau({self.name!r}, {self._facts})"

    def __str__(self) -> str:
        return f"{self.name}: {self._facts}\n{as_text(self.A, self.b, self.c)}"

    def _repr_html_(self) -> str:
        return as_html(self.A, self.b, self.c, f"{self.name}: {self._facts}")

    def _repr_latex_(self) -> str:
        return as_latex(self.A, self.b, self.c)


def _rows(A: Any) -> list[Any]:
    try:
        return list(A)
    except TypeError:
        raise ValueError(f"A must be a square matrix of numbers; got {A!r}.") from None


def _floats(values: Any, what: str) -> Vector:
    try:
        return tuple(float(x) for x in values)
    except (TypeError, ValueError):
        raise ValueError(f"{what} must be a sequence of numbers.") from None
