"""Candidates that end early: which are clearly behind, when, and that others are not affected."""

from types import SimpleNamespace

import numpy as np
import pytest

from skode.engine.fold_weights import FoldWeights
from skode.engine.networks import ode_net
from skode.engine.schemes import TABLEAUX
from skode.engine.training import SOLVERS, train
from skode.engine.training.adam import Schedule
from skode.engine.training.racing import Race
from skode.engine.training.stopping import BEHIND, MAX_ITER, Stopping
from tests.engine.problems import FREE, objective_of, problem

FOLDS = 4


def state_of(best, n_iter=15, progress=0.0, running=None):
    """Return a state of candidates × folds with the best held-out losses `best`.

    Over the last five iterations all held-out losses have fallen by `progress`.
    """
    best = np.asarray(best, dtype=float)
    held_out = best.ravel()
    n_iter = np.broadcast_to(n_iter, held_out.shape).copy()
    curve = held_out[:, None] + progress * np.linspace(3, 0, 16)
    return SimpleNamespace(
        running=np.arange(held_out.size) if running is None else np.array(running),
        n_iter=n_iter,
        best_held_out=held_out,
        held_out=held_out,
        held_out_curve=curve,
        reason=np.full(held_out.size, "", dtype="<U20"),
    )


def behind(best, **options):
    """Return the candidates of which all running members end."""
    state = state_of(best, **options)
    shape = np.shape(best)  # candidates × folds, or candidates × folds × restarts
    candidate = np.repeat(np.arange(shape[0]), np.prod(shape[1:]))
    mask = Race(*shape[:2]).behind(state)
    np.testing.assert_array_equal(state.reason[state.running[mask]], BEHIND)
    assert (state.reason == BEHIND).sum() == mask.sum()
    gone = set(candidate[state.running[mask]])
    assert mask.sum() == sum(candidate[k] in gone for k in state.running)
    return gone


def test_a_candidate_that_is_worse_in_every_fold_is_behind():
    assert behind([[0.1, 0.2, 0.1, 0.2], [0.5, 0.5, 0.4, 0.7]]) == {1}


def test_differences_are_taken_fold_by_fold():
    # The folds differ much more than the candidates, but always in the same way.
    folds = np.array([0.1, 3.0, 1.0, 7.0])
    shift = np.array([0.1, 0.11, 0.09, 0.1])
    assert behind([folds + shift, folds, folds + 2 * shift]) == {0, 2}


@pytest.mark.parametrize("seed", range(5))
def test_candidates_within_noise_go_on(seed):
    # Means that differ by less than a standard error of the difference.
    rng = np.random.default_rng(seed)
    gap = rng.normal(size=8)
    gap = (gap - gap.mean()) / gap.std(ddof=1)
    leader = rng.random(8)
    error = 8**-0.5  # of the mean of `gap`
    assert behind([leader, leader + gap + 0.99 * error]) == set()
    assert behind([leader, leader + gap + 1.01 * error]) == {1}


def test_a_candidate_that_is_catching_up_goes_on():
    losses = [[0.1, 0.2, 0.1, 0.2], [0.4, 0.5, 0.4, 0.5]]  # 0.3 behind
    assert behind(losses, progress=0.31) == set()
    assert behind(losses, progress=0.29) == {1}


def test_one_fold_has_no_standard_error():
    assert behind([[0.1], [100.0]]) == set()
    # Nor for its restarts, which have the same held-out samples.
    assert behind([[[0.1, 0.1, 0.1]], [[100.0, 100.1, 100.2]]]) == set()


def test_the_restarts_of_a_fold_are_averaged():
    leader = np.full((3, 2), 0.3)
    gap = np.array([0.1, 0.2, 0.3])  # with a standard error of 0.058
    scatter = np.array([[5.0, -5.0]])  # between restarts; only their mean counts
    assert behind([leader, leader + gap[:, None] + scatter]) == {1}
    assert behind([leader, leader + (gap - 0.15)[:, None] + scatter]) == set()


def test_a_leader_that_has_ended_is_still_the_leader():
    losses = [[0.1, 0.2, 0.1, 0.2], [0.5, 0.5, 0.4, 0.7], [0.6, 0.5, 0.6, 0.7]]
    assert behind(losses, running=[4, 5, 7, 9]) == {1, 2}


def test_equal_candidates_go_on():
    assert behind([[0.3, 0.4]] * 3) == set()


def test_unsolved_held_out_samples_are_no_warning():
    # With infinite losses, the gap is unknown.
    inf = np.inf
    assert behind([[0.1, 0.2, 0.1], [inf, 0.2, inf], [0.5, 0.6, 0.5]]) == {2}
    assert behind([[inf, 0.2, 0.1], [inf, 0.2, 0.3]]) == set()


def test_looks_begin_late_and_are_rare():
    race = Race(2, FOLDS)
    losses = [[0.1, 0.2, 0.1, 0.2], [0.5, 0.5, 0.4, 0.7]]
    even = [[0.1, 0.2, 0.1, 0.2]] * 2

    def look(n_iter, losses):
        return race.behind(state_of(losses, n_iter=n_iter)).any()

    assert not look(9, losses)
    assert not look(10, even)
    assert not look(11, losses)
    # The member that is furthest behind counts.
    assert not look([40] * 7 + [11], losses)
    assert look(12, losses)


def candidates(alpha, loss="softmax"):
    """Candidates × folds of a network; 40 samples are one block for any number of members."""
    members = len(alpha) * FOLDS
    layout, flat, X, targets, _, _ = problem(loss, "learned", members=members, samples=40)
    flat = np.tile(flat[:FOLDS], (len(alpha), 1))  # so that only the penalties differ
    targets = np.eye(3)[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0.3)]
    held_out = np.tile(np.eye(FOLDS), (len(alpha), 1))
    folds = FoldWeights(
        np.resize(np.arange(FOLDS), 40), (1 - held_out) * 4 / 3, 4 * held_out, np.arange(members)
    )
    data = X, targets, np.full(40, 1 / 40), np.repeat(alpha, FOLDS)
    network = ode_net(TABLEAUX["heun"])
    return flat, objective_of(network, layout, loss, data, FREE["learned"], folds)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_survivors_do_not_notice(solver):
    alpha = [1e-3, 30.0, 1e-3]  # between equal candidates, none is behind
    flat, objective = candidates(alpha)

    def run(race):
        return train(
            objective,
            flat,
            solver,
            schedule=Schedule(10, 0.05, 0.0, np.random.default_rng(0)),
            stopping=Stopping(60, n_iter_no_change=60),
            race=race,
        )

    full, short = run(None), run(Race(3, FOLDS))
    gone = short.reason == BEHIND
    np.testing.assert_array_equal(gone, np.repeat([False, True, False], FOLDS))
    assert (short.n_iter[gone] < 40).all()
    assert (short.n_evaluations[gone] < full.n_evaluations[gone]).all()
    for name in ("flat", "J", "curve", "held_out", "held_out_curve", "n_iter", "n_evaluations"):
        one, other = getattr(short, name)[~gone], getattr(full, name)[~gone]
        np.testing.assert_array_equal(one, other)
    # Members that have ended are unchanged since.
    for k in np.flatnonzero(gone):
        n = short.n_iter[k]
        np.testing.assert_array_equal(short.curve[k, : n + 1], full.curve[k, : n + 1])
        assert short.held_out[k] == short.held_out_curve[k, : n + 1].min()


def test_candidates_that_hardly_differ_all_go_on():
    # Their gaps are small, but equal in every fold; their progress in five iterations is larger.
    flat, objective = candidates([1e-3, 1.0001e-3, 0.9999e-3])
    stopping = Stopping(20, n_iter_no_change=60)  # the held-out losses fall all the time
    training = train(objective, flat, "gd", race=Race(3, FOLDS), stopping=stopping)
    gap = training.held_out.reshape(3, FOLDS) - training.held_out[:FOLDS]
    assert (gap[1:] != 0).all()
    assert (training.reason == MAX_ITER).all()
