"""How often a round of training waits for a device."""

import importlib

import numpy as np
import pytest

from skode.engine.constraints import unconstrained
from skode.engine.training import LINE_SEARCHES, SOLVERS, Schedule, Stopping
from skode.engine.training.loop import _adam, _gd, _lbfgs
from skode.engine.training.state import State
from tests.engine.problems import Cliff, Judged, network_objective, quadratic, trained

MODULES = ("adam", "backtracking", "lbfgs", "line_search", "loop", "racing", "state", "stopping")


class Counter:
    """A replacement for `to_host` in all modules of training."""

    def __init__(self, monkeypatch):
        self.calls = 0
        for name in MODULES:
            module = importlib.import_module(f"skode.engine.training.{name}")
            if hasattr(module, "to_host"):
                monkeypatch.setattr(module, "to_host", self.counting(module.to_host))

    def counting(self, to_host):
        def call(array):
            self.calls += 1
            return to_host(array)

        return call

    def of(self, function):
        before = self.calls
        function()
        return self.calls - before


@pytest.fixture
def transfers(monkeypatch):
    return Counter(monkeypatch)


@pytest.mark.parametrize("judged", [False, True])
@pytest.mark.parametrize("begin", [_gd, _lbfgs])
@pytest.mark.parametrize("line_search", LINE_SEARCHES)
def test_a_round_waits_for_the_device_at_most_twice(transfers, begin, line_search, judged, xp):
    objective, start = quadratic(members=5, size=6)
    if judged:
        objective = Judged(objective.curvature, objective.centre, objective.centre + 1)
    state = State(objective, xp.asarray(start), unconstrained)
    phase = begin(state, line_search, None)
    seen, accepted = [], []
    for _ in range(40):
        before = state.n_iter.copy()
        seen.append(transfers.of(phase.round))
        accepted.append((state.n_iter - before).mean())
    assert max(seen) <= 2
    # A round in which no member moves waits once.
    assert all(n == 1 for n, moved in zip(seen, accepted, strict=True) if moved == 0)
    assert 0 < np.mean(accepted) < 1


def test_a_gradient_that_is_not_finite_is_not_asked_for_apart(transfers, xp):
    state = State(Cliff("gradient"), xp.asarray([[-3.0]]), unconstrained)
    phase = _gd(state, "lipschitz", None)
    for _ in range(30):
        assert transfers.of(phase.round) <= 2
        phase.acceptance = 0.0  # values first
    assert state.n_evaluations[0] > state.n_iter[0] + 1


@pytest.mark.parametrize("batch_size", [3, 100])
def test_an_epoch_of_adam_waits_for_the_device_once(transfers, batch_size, xp):
    _, flat, objective = network_objective(xp)
    state = State(objective, xp.asarray(flat), unconstrained)
    phase = _adam(state, "armijo", Schedule(batch_size, 0.05, 0.0, np.random.default_rng(0)))
    for _ in range(5):
        assert transfers.of(phase.round) == 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_stopping_and_leaving_wait_for_nothing(transfers, solver, xp):
    # Two for each evaluation of all members, including the start and the change to L-BFGS.
    objective, start = quadratic(members=5, size=6)
    evaluations = []

    class Watched:
        elsewhere, trained_rows = False, objective.trained_rows

        def evaluate(self, *args, **options):
            evaluations.append(1)
            return objective.evaluate(*args, **options)

    trained(
        xp,
        Watched(),
        start,
        solver,
        schedule=Schedule(1, 0.1, 0.0, None),
        stopping=Stopping(60, tol=1e-6),
    )
    assert transfers.calls <= 2 * len(evaluations)
