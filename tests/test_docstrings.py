"""The docstrings of the four estimators agree with each other and with the signatures."""

import ast
import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
from numpydoc.docscrape import ClassDoc

from skode import (
    FeedForwardClassifier,
    FeedForwardRegressor,
    ODENetClassifier,
    ODENetRegressor,
)

ESTIMATORS = [ODENetClassifier, FeedForwardClassifier, ODENetRegressor, FeedForwardRegressor]
PUBLIC_MODULES = [
    "skode",
    "skode.dask",
    "skode.datasets",
    "skode.inspection",
    "skode.model_selection",
    "skode.onnx",
    "skode.plotting",
    "skode.robustness",
]
# The words that differ: layers or steps, classes or targets.
ODE_OR_NOT = {"N", "h", "learn_step", "n_channels", "activation", "h_"}
CLASSES_OR_TARGETS = {"n_channels", "cv", "loss", "scoring", "oof_score_", "n_outputs_"}
REFERENCES = re.compile(r"(, as in the paper)? \[\d\]_")  # these are numbered class by class


def entries(cls):
    """Return type and text of every parameter and attribute, by its name."""
    doc = ClassDoc(cls)
    return {
        part.name: (part.type, REFERENCES.sub("", " ".join(part.desc)))
        for section in ("Parameters", "Attributes")
        for part in doc[section]
    }


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_every_parameter_is_described(cls):
    described = [part.name for part in ClassDoc(cls)["Parameters"]]
    assert sorted(described) == sorted(inspect.signature(cls).parameters)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_parameters_are_listed_in_the_order_of_the_summary(cls):
    doc = ClassDoc(cls)
    summary = "\n".join(doc["Extended Summary"]).split("in this order:")[1]
    assert re.findall(r"`(\w+)`(?=[,.])", summary) == [part.name for part in doc["Parameters"]]


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_defaults_in_the_text_are_those_of_the_signature(cls):
    for part in ClassDoc(cls)["Parameters"]:
        default = inspect.signature(cls).parameters[part.name].default
        if "default=" in part.type:
            said = part.type.split("default=")[1]
            assert ast.literal_eval(said) == default


@pytest.mark.parametrize(
    ("one", "other", "differing"),
    [
        (ODENetClassifier, FeedForwardClassifier, ODE_OR_NOT),
        (ODENetRegressor, FeedForwardRegressor, ODE_OR_NOT),
        (ODENetClassifier, ODENetRegressor, CLASSES_OR_TARGETS),
        (FeedForwardClassifier, FeedForwardRegressor, CLASSES_OR_TARGETS),
    ],
)
def test_what_is_the_same_is_described_in_the_same_words(one, other, differing):
    first, second = entries(one), entries(other)
    same = first.keys() & second.keys() - differing
    assert len(same) > 40
    assert {name: first[name] for name in same} == {name: second[name] for name in same}


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_every_fitted_attribute_is_described(cls):
    X = [[0.0, 1.0], [1.0, 0.5], [2.0, 0.2], [3.0, 0.9]] * 5
    model = cls(max_iter=10, tol=1e3, solver="adam", cv=2, random_state=0).fit(X, [0, 1] * 10)
    described = ", ".join(part.name for part in ClassDoc(cls)["Attributes"]).split(", ")
    public = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    assert public <= {*described}
    assert all(hasattr(model, name) for name in described if name != "feature_names_in_")


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_everything_public_has_an_example_which_pytest_runs(name):
    module = importlib.import_module(name)
    for public in map(vars(module).get, module.__all__):
        assert inspect.isclass(public) or inspect.isfunction(public)
        examples = doctest.DocTestFinder(recurse=False).find(public)
        assert any(test.examples for test in examples), f"{name}.{public.__name__}"


def test_the_reference_has_a_page_for_everything_public():
    page = (Path(__file__).parent.parent / "docs" / "api" / "index.md").read_text()
    listed, module = set(), None
    for line in page.splitlines():
        if line.startswith(".. currentmodule::"):
            module = line.split()[-1]
        elif re.fullmatch(r"   \w+", line):
            listed.add(f"{module}.{line.strip()}")
    public = {f"{m}.{name}" for m in PUBLIC_MODULES for name in importlib.import_module(m).__all__}
    assert {name for name in listed if not name.startswith("skode._")} == public
