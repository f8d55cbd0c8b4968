"""Jobs that are trained together get the results of training alone, on the host to the last bit."""

from dataclasses import replace

import numpy as np
import pytest

from skode import _together
from skode._together import train_together
from skode.engine.constraints import spectral_ball
from skode.engine.networks import ode_net
from skode.engine.objective import ALL_BUT_STEPS
from skode.engine.schemes import TABLEAUX
from skode.engine.threads import Threads
from skode.engine.training import Race, Schedule, Stopping
from tests.engine.everywhere import not_strict
from tests.engine.problems import folds_of
from tests.jobs import (
    BYTES,
    assert_as_alone,
    assert_same,
    job,
)


@pytest.mark.parametrize("solver", ["gd", "lbfgs"])
@not_strict
def test_starts_penalties_and_what_is_free_may_differ(xp, solver):
    def make():
        return [
            job(xp, solver=solver),
            job(xp, 1, alpha=0.1, members=3, solver=solver),
            job(xp, 2, free=(*ALL_BUT_STEPS, "h"), solver=solver),
            job(xp, 3, smooth=(0.3, 0.5), solver=solver),
        ]

    assert_as_alone(make)


def test_single_precision():
    assert_as_alone(
        lambda: [job(seed=k, smooth=(0.1 * k, 0.5), dtype=np.float32) for k in range(3)]
    )


@pytest.mark.parametrize("scheme", ["rk4", "implicit_midpoint", "gauss4"])
def test_schemes(scheme):
    network = ode_net(TABLEAUX[scheme])
    assert_as_alone(lambda: [job(seed=k, network=network, alpha=k + 1) for k in range(3)])


@pytest.mark.parametrize("same", [True, False])
def test_folds_may_differ(same):
    one, other = folds_of(2, 40), folds_of(3, 40)
    if same:
        other = one.of_members(np.array([1, 0, 1]))
    else:
        other = other._replace(group=other.group[::-1].copy())

    def make():
        return [job(folds=one), job(seed=1, members=3, folds=other), job(seed=2, folds=one)]

    assert_as_alone(make)


def test_races_are_among_the_members_of_a_job():
    folds = folds_of(2, 40)
    shared = folds.of_members(np.array([0, 1, 0, 1]))

    def make():
        return [
            job(seed=k, members=4, folds=shared, race=Race(2, 2), stopping=Stopping(60))
            for k in range(4)
        ]

    assert_as_alone(make)
    reasons = {reason for each in make() for reason in each.run().reason}
    assert "behind" in " ".join(reasons)  # some candidate loses


def test_adam_shares_its_batches():
    def make(seeds=(0, 0)):
        return [
            job(
                seed=k,
                solver="adam",
                schedule=Schedule(10, 0.05, 0.0, np.random.RandomState(seed)),
            )
            for k, seed in enumerate(seeds)
        ]

    assert_as_alone(make)
    assert_as_alone(lambda: make((0, 1)), number=2)


def test_jobs_of_different_kinds_are_trained_in_different_batches():
    def make():
        return [
            job(),
            job(N=4),
            job(stopping=Stopping(5)),
            job(solver="gd"),
            job(solver="gd", line_search="lipschitz"),
            job(folds=folds_of(2, 40)),
            job(seed=1),
        ]

    assert_as_alone(make, number=6)


def test_other_samples_are_another_batch():
    one, other = job(), job()
    samples = other.objective.samples
    for name in ("X", "targets", "weights"):
        changed = getattr(samples, name).copy()
        changed[3] += 1
        other.objective.samples = samples._replace(**{name: changed})
        assert not one.fits(other)
    other.objective.samples = samples
    assert one.fits(other)


def test_constraints_are_told_apart_by_what_is_said_about_them():
    def make(about=("a", "a", "b")):
        bound = {"a": 0.5, "b": 0.7}
        jobs = [job(seed=k) for k in range(3)]
        balls = [
            spectral_ball(each.objective.layout, bound[a])
            for each, a in zip(jobs, about, strict=True)
        ]
        return [
            replace(each, constraint=ball, about_constraint=a)
            for each, ball, a in zip(jobs, balls, about, strict=True)
        ]

    assert_as_alone(make, number=2)


def test_a_batch_is_no_larger_than_allowed():
    size = job().size
    assert_as_alone(lambda: [job(seed=k) for k in range(5)], number=3, most_bytes=2 * size)
    assert_as_alone(lambda: [job(seed=k) for k in range(3)], number=3, most_bytes=1)


def test_an_error_at_the_start_is_that_of_one_job():
    bad = job(seed=1)
    bad.start[0, 0] = np.nan
    with Threads() as threads:
        found = train_together([job(), bad, job(seed=2)], threads, BYTES)
    assert isinstance(found[1], ValueError)
    assert "not finite at the start" in str(found[1])
    assert_same(found[0], job().run())
    assert_same(found[2], job(seed=2).run())


def test_ctrl_c_ends_all_batches(monkeypatch):
    calls, train = [], _together.train

    def interrupted(*arguments, **options):
        training = train(*arguments, **options)
        training.reason[:] = _together.INTERRUPTED
        calls.append(training)
        return training

    monkeypatch.setattr(_together, "train", interrupted)
    with Threads() as threads, pytest.raises(KeyboardInterrupt):
        train_together([job(), job(seed=1), job(N=4), job(N=4)], threads, BYTES)
    assert len(calls) == 1
