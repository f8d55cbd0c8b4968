"""The table of named schemes in the guide, from the facts that the tableaux derive.

python docs/scheme_table.py            # writes it into docs/user_guide/schemes.md
"""

from pathlib import Path

from skode.engine.schemes import TABLEAUX

PAGE = Path(__file__).parent / "user_guide" / "schemes.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"


def table():
    """The rows of the table."""
    rows = [
        "| scheme | stages | order | kind | A-stable | symplectic | stiffly accurate |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, tableau in TABLEAUX.items():
        facts = (tableau.a_stable, tableau.symplectic, tableau.stiffly_accurate)
        yes = " | ".join("yes" if fact else "" for fact in facts)
        rows.append(
            f'| `"{name}"` | {tableau.n_stages} | {tableau.order} | {tableau.kind} | {yes} |'
        )
    return "\n".join(rows) + "\n"


def page():
    """The page with its table as it should be."""
    before, rest = PAGE.read_text().split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page())
