"""Checks of the files around the package, and of the structure of the code."""

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
ENGINE = ROOT / "skode" / "engine"
ENGINE_SOURCES = [path for path in SOURCES if path.is_relative_to(ENGINE)]
# The modules among the kernels that support arrays of any library.
OF_EVERY_LIBRARY = ("__init__.py", "interface.py", "reference.py")


def bounds(requirements):
    """Return the least version of every requirement; some are for some versions of Python only."""
    pattern = r"([\w-]+)>=([\d.]+)(?:; .*)?"
    return dict(re.fullmatch(pattern, line).groups() for line in requirements)


def test_the_readme_has_two_commands_and_ci_runs_them_unchanged():
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
        "load",
        "save",
        "to_onnx",
        "get_scheme",
        "list_schemes",
    }
    assert all(getattr(skode, name).__name__ == name for name in skode.__all__)
    assert (ROOT / "skode" / "py.typed").exists()


def imports(path):
    """Yield the top-level packages that a file imports, and its relative imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_autograd_library_anywhere(path):
    assert not {"torch", "jax", "tensorflow", "autograd"} & set(imports(path))


def module_of(path):
    """Return the name of the module, or package, in a file of the engine."""
    parts = path.relative_to(ENGINE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


ENGINE_MODULES = {module_of(path) for path in ENGINE_SOURCES}


def engine_imports(path):
    """Yield the modules of the engine that a file of the engine imports, by their names within it.

    Names of modules outside the engine begin with "..".
    """
    package = path.relative_to(ENGINE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        depth = len(package) - node.level + 1
        if depth < 0:
            yield "../" + (node.module or "")
            continue
        base = [*package[:depth], *(node.module.split(".") if node.module else [])]
        names = {".".join([*base, alias.name]) for alias in node.names}
        modules = names & ENGINE_MODULES
        yield from modules
        if names - modules:
            yield ".".join(base)


def readable(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", ENGINE_SOURCES, ids=readable)
def test_the_engine_imports_neither_scikit_learn_nor_an_array_library(path):
    found = set(imports(path))
    assert "sklearn" not in found
    assert not any(name.startswith("../") for name in engine_imports(path))
    # A compiled kernel is for one library, and the losses use SciPy for NumPy's arrays.
    compiled = path.parent.name == "kernels" and path.name not in OF_EVERY_LIBRARY
    if path.name != "arrays.py" and not compiled:
        assert not {"numpy", "array_api_compat", "numba", "cupy"} & found
        assert path.name == "losses.py" or "scipy" not in found


def test_no_import_cycles_in_the_engine():
    graph = {module_of(p): set(engine_imports(p)) - {module_of(p)} for p in ENGINE_SOURCES}
    assert {"steps", "networks", "kernels.reference", "training.loop"} <= graph.keys()
    assert "arrays" in graph["steps"]
    while graph:
        leaves = {name for name, needs in graph.items() if not needs & graph.keys()}
        assert leaves, f"a cycle among {sorted(graph)}"
        graph = {name: needs for name, needs in graph.items() if name not in leaves}


def test_only_blocks_and_predictions_choose_a_kernel():
    # The tests of the kernels use it too.
    asking = [
        path.name
        for path in SOURCES
        if path.parent.name != "kernels" and re.search(r"\bkernel_for\b", path.read_text())
    ]
    assert sorted(asking) == ["blocks.py", "prediction.py"]


# --- sizes


def functions(path):
    """Yield the functions and methods of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def n_lines(path):
    return len(path.read_text().splitlines())


@pytest.mark.parametrize("path", ENGINE_SOURCES, ids=readable)
def test_functions_of_the_engine_are_short_and_have_few_arguments(path):
    for function in functions(path):
        assert function.end_lineno - function.lineno < 60, function.name
        arguments = function.args
        names = [a.arg for a in arguments.posonlyargs + arguments.args + arguments.kwonlyargs]
        given = [name for name in names if name not in ("self", "cls")]
        if function.name.startswith("_"):  # constructors and private functions
            assert len(given) <= 8, function.name


@pytest.mark.parametrize("path", ENGINE_SOURCES, ids=readable)
def test_files_of_the_engine_are_short(path):
    assert n_lines(path) <= 450


def test_the_engine_without_its_kernels_stays_small():
    assert sum(n_lines(path) for path in ENGINE_SOURCES if path.parent.name != "kernels") <= 5540


def test_the_table_of_schemes_in_the_documentation_is_that_of_the_code():
    page = runpy.run_path(str(ROOT / "docs" / "scheme_table.py"))["page"]
    assert (ROOT / "docs" / "user_guide" / "schemes.md").read_text() == page()
