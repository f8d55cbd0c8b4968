"""The names that `import skode` provides, and submodules that are imported later."""

import subprocess
import sys

import pytest

import skode
from skode import ButcherTableau, get_scheme, list_schemes
from skode.engine.partitioned import PARTITIONED
from skode.engine.schemes import TABLEAUX

LAZY = """
import sys
import skode
loaded = [name for name in sys.modules if name.startswith("skode.")]
later = ("dask", "datasets", "inspection", "model_selection", "plotting", "robustness")
assert not {f"skode.{name}" for name in later} & {*loaded}
assert {*later, "ODENetClassifier"} <= {*dir(skode)}
assert "matplotlib" not in sys.modules
assert skode.plotting.TrajectoryDisplay.__name__ == "TrajectoryDisplay"
assert skode.datasets.make_spirals(10)[0].shape == (10, 2)
assert skode.inspection.trajectories
assert skode.model_selection.batched_fits
assert skode.robustness.robust_accuracy
assert skode.robustness.lipschitz_bound
assert not {"art", "dask", "distributed", "matplotlib"} & {*sys.modules}
"""


def test_submodules_are_there_and_imported_when_they_are_asked_for():
    subprocess.run([sys.executable, "-W", "error", "-c", LAZY], check=True)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'skode' has no attribute 'plots'"):
        _ = skode.plots


def test_schemes_by_name():
    names = list_schemes()
    every = TABLEAUX | PARTITIONED
    assert names == sorted(every)
    assert all(get_scheme(name) is every[name] for name in names)
    names.clear()
    assert list_schemes()  # a new list each time
    own = ButcherTableau([[0.5]], [1])
    assert get_scheme(own) is own
    assert get_scheme(([[0.5]], [1])) == own
    with pytest.raises(ValueError, match=r"no scheme 'gaus4'\. Did you mean 'gauss4'"):
        get_scheme("gaus4")
