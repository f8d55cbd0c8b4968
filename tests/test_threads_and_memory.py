"""Threads, and data that are not copied."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode import ODENetClassifier
from skode._inputs import Joined
from skode.engine.kernels import KERNELS, reference
from tests.estimators import blobs, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("kernels", [KERNELS, (reference,)], ids=["all kernels", "the reference"])
@pytest.mark.parametrize(
    ("solver", "scheme"),
    [("lbfgs", "rk4"), ("gd", "implicit_midpoint"), ("gd", "euler"), ("adam", "heun")],
)
def test_n_jobs_changes_no_bit(solver, scheme, kernels, monkeypatch):
    monkeypatch.setattr("skode.engine.kernels.KERNELS", kernels)
    monkeypatch.setattr("skode.engine.blocks.LEAST_WORK", 0)
    monkeypatch.setattr("skode.engine.kernels.reference.FEWEST_SAMPLES", 16)
    monkeypatch.setattr("skode.engine.kernels.reference.STATE_BYTES", 1024)
    X, y = blobs(3, 150)
    options = {
        "solver": solver,
        "scheme": scheme,
        "h": 0.5,
        "cv": 3,
        "n_restarts": 2,
        "max_iter": 6,
    }
    one, *others = (
        short(ODENetClassifier, n_jobs=n_jobs, **options).fit(X, y) for n_jobs in (1, 2, None, -1)
    )
    for other in others:
        for name in ("K_", "b_", "W_", "mu_", "loss_curve_", "validation_curve_"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_array_equal(one.decision_function(X), other.decision_function(X))


def test_n_jobs_sets_the_number_of_threads(monkeypatch):
    monkeypatch.setattr("skode._gathering.cpu_count", lambda: 8)
    monkeypatch.setattr("skode._gathering.blas_threads", lambda: 3)
    found = {}
    for n_jobs in (None, 1, 5, -1, -3, -9):
        with short(ODENetClassifier, n_jobs=n_jobs)._blocks() as blocks:
            found[n_jobs] = blocks.threads.number
    assert found == {None: 3, 1: 1, 5: 5, -1: 8, -3: 6, -9: 1}


class Watched:
    """Record the features of all calls of the reference, in blocks of 500 samples."""

    def __init__(self):
        self.pieces = []

    def __getattr__(self, name):
        return getattr(reference, name)

    def call_size(self, problem, n_members, n_samples, like):
        return n_members, 500

    def evaluate(self, problem, samples, flat, gradient, tolerance=None):
        self.pieces.append(samples.X)
        return reference.evaluate(problem, samples, flat, gradient, tolerance)

    def predict(self, problem, X, flat, weights):
        self.pieces.append(X)
        return reference.predict(problem, X, flat, weights)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_a_memory_map_is_never_copied_whole(solver, tmp_path, monkeypatch):
    X, y = blobs(2, 3000)
    X_val, y_val = blobs(2, 200, seed=1)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    kernel = Watched()
    monkeypatch.setattr("skode.engine.kernels.KERNELS", (kernel,))
    options = {"solver": solver, "max_iter": 2, "n_jobs": 1}
    joined = []
    plain = Joined.__init__

    def watched(self, one, two):
        joined.append(one)
        plain(self, one, two)

    monkeypatch.setattr(Joined, "__init__", watched)
    model = short(ODENetClassifier, **options).fit(mapped, y, X_val=X_val, y_val=y_val)
    model.predict(mapped)
    assert joined
    assert all(np.shares_memory(one, mapped) for one in joined)
    assert kernel.pieces
    assert all(len(piece) <= 500 for piece in kernel.pieces)
    in_memory = short(ODENetClassifier, **options).fit(X, y, X_val=X_val, y_val=y_val)
    np.testing.assert_array_equal(model.K_, in_memory.K_)
    # F-ordered data too, as in many tables.
    by_column = np.asfortranarray(X)
    kernel.pieces.clear()
    short(ODENetClassifier, **{**options, "solver": "lbfgs"}).fit(by_column, y)
    assert kernel.pieces
    assert all(np.shares_memory(piece, by_column) for piece in kernel.pieces)


@given(st.integers(0, 6), st.integers(1, 6), st.data())
def test_joined_rows_are_those_of_one_array(m, n, data):
    one, two = np.arange(2.0 * m).reshape(m, 2), -np.arange(2.0 * n).reshape(n, 2)
    joined, whole = Joined(one, two), np.concatenate([one, two])
    start, stop = sorted(data.draw(st.tuples(st.integers(0, m + n), st.integers(0, m + n))))
    np.testing.assert_array_equal(joined[start:stop, :], whole[start:stop])
    rows = np.array(data.draw(st.lists(st.integers(0, m + n - 1))), dtype=int)
    np.testing.assert_array_equal(joined[rows], whole[rows])
    np.testing.assert_array_equal(np.take(joined, rows, axis=0), whole[rows])
