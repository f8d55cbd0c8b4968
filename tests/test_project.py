"""What the files around the package promise."""

import ast
import re
import runpy
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import skode

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCES = sorted((ROOT / "skode").rglob("*.py"))


def bounds(requirements):
    return dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups() for line in requirements)


def test_the_readme_has_two_commands_and_ci_runs_them_as_they_stand():
    commands = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(commands) == 2
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    for command in commands:
        (line,) = command.splitlines()
        assert line in ci
        assert line.startswith("python3.11 -m venv ")
    assert commands[0].rstrip().endswith("examples/quickstart.py")
    assert "pytest" in commands[1]


def test_the_oldest_supported_versions_are_tested():
    pins = re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / ".ci" / "oldest.txt").read_text(), re.M)
    lowest = bounds(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"])

    def numbers(text):
        return tuple(map(int, text.split(".")))

    assert dict(pins).keys() == lowest.keys()
    for name, pin in pins:
        wanted = numbers(lowest[name])
        assert numbers(pin)[: len(wanted)] == wanted
        assert not any(numbers(pin)[len(wanted) :])


def test_the_version_stands_in_one_place():
    assert skode.__version__ == version("skode") == PROJECT["version"]
    pattern = re.compile(re.escape(PROJECT["version"]))
    assert not [path for path in SOURCES if pattern.search(path.read_text())]


def test_the_public_names():
    assert set(skode.__all__) == {
        "ButcherTableau",
        "FeedForwardClassifier",
        "FeedForwardRegressor",
        "ODENetClassifier",
        "ODENetRegressor",
    }
    assert all(getattr(skode, name).__name__ == name for name in skode.__all__)
    assert (ROOT / "skode" / "py.typed").exists()


def imports(path):
    """The top-level packages that a file imports, and its relative imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_autograd_library_anywhere(path):
    assert not {"torch", "jax", "tensorflow", "autograd"} & set(imports(path))


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if p.parent.name == "engine"], ids=lambda path: path.name
)
def test_the_engine_knows_neither_scikit_learn_nor_its_array_library(path):
    found = set(imports(path))
    assert not {"sklearn", "scipy"} & found
    assert not any(name.startswith("..") for name in found)
    if path.name != "arrays.py":
        assert not {"numpy", "array_api_compat"} & found


def test_no_import_cycles_in_the_engine():
    graph = {
        p.stem: {name[1:] for name in imports(p) if name.startswith(".")}
        for p in SOURCES
        if p.parent.name == "engine"
    }
    while graph:
        leaves = {name for name, needs in graph.items() if not needs & graph.keys()}
        assert leaves, f"a cycle among {sorted(graph)}"
        graph = {name: needs for name, needs in graph.items() if name not in leaves}


def test_the_table_of_schemes_in_the_documentation_is_that_of_the_code():
    page = runpy.run_path(str(ROOT / "docs" / "scheme_table.py"))["page"]
    assert (ROOT / "docs" / "schemes.md").read_text() == page()
