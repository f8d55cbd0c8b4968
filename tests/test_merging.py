"""Jobs that cannot be evaluated together share a batch, with the results of training alone.

On the host they share rounds, and results are the same to the last bit.  On a device, jobs with
other samples or another number of layers are merged, and results are the same up to rounding
errors.
"""

from dataclasses import replace

import numpy as np
import pytest

from skode import _merging, _together
from skode._together import train_together
from skode.engine.constraints import spectral_ball
from skode.engine.networks import feed_forward, ode_net
from skode.engine.objective import ALL_BUT_STEPS
from skode.engine.schemes import TABLEAUX
from skode.engine.threads import Threads
from skode.engine.training import Race, Schedule, Stopping
from tests.engine.problems import folds_of
from tests.jobs import (
    BYTES,
    WITH_STEPS,
    assert_as_alone,
    assert_close,
    assert_nearly_as_alone,
    assert_same,
    job,
)

on_devices = pytest.mark.parametrize("xp", ["strict-device1", "torch", "cupy"], indirect=True)
on_one = pytest.mark.parametrize("xp", ["torch", "cupy"], indirect=True)


@pytest.mark.parametrize("solver", ["gd", "lbfgs"])
@pytest.mark.parametrize("kind", ["networks", "folds", "steps", "single"])
def test_jobs_on_the_host_share_rounds_but_not_samples(kind, solver):
    """Sizes of the tables differ, and some members end before others."""
    networks = [ode_net(TABLEAUX["heun"]), ode_net(TABLEAUX["rk4"], "relu"), feed_forward()]

    def make():
        jobs = []
        for k, table in enumerate([0, 3, 0, 5]):
            options = {
                "networks": {"network": networks[k % 3]},
                "folds": {"folds": folds_of(2, 40 + table), "race": Race(2, 1)},
                "steps": {"free": WITH_STEPS},
                "single": {"dtype": np.float32},
            }[kind]
            options |= {"alpha": 10.0**-k, "stopping": Stopping(30, tol=1e-2)}
            jobs.append(job(seed=k, table=table, solver=solver, **options))
        return jobs

    assert_as_alone(make)
    lengths = {len(each.run().curve[0]) for each in make()}
    assert len(lengths) > 1


def test_what_the_host_keeps_apart():
    """Each job may share rounds with the first of its network except for one thing."""
    gauss, three = ode_net(TABLEAUX["gauss4"]), folds_of(2, 43)
    rng = np.random.RandomState(0)
    adam = {"solver": "adam", "schedule": Schedule(10, 0.05, 0.0, rng)}
    for what, make in {
        "layers": lambda: [job(), job(N=4)],
        "equations": lambda: [job(network=gauss), job(network=gauss, table=3)],
        "held out": lambda: [job(), job(table=3, folds=three)],
        "precision": lambda: [job(), job(table=3, dtype=np.float32)],
        "solver": lambda: [job(), job(table=3, solver="gd")],
        "batches": lambda: [job(**adam), job(table=3, **adam)],
        "memory": lambda: [job(members=9), job(table=3, members=9)],
    }.items():
        most = job(members=9).size if what == "memory" else BYTES
        assert len(_together._batches(make(), most)) == 2, what


def test_an_error_at_the_start_is_that_of_one_job_that_shares_rounds():
    bad = job(seed=1, table=3)
    bad.start[0, 0] = np.nan
    with Threads() as threads:
        found = train_together([job(), bad, job(seed=2, table=5)], threads, BYTES)
    assert isinstance(found[1], ValueError)
    assert_same(found[0], job().run())
    assert_same(found[2], job(seed=2, table=5).run())


@on_devices
@pytest.mark.parametrize("solver", ["gd", "lbfgs"])
def test_samples_may_differ_on_a_device(xp, solver):
    def make():
        tables = 0, 3, 0, 7
        return [job(xp, k, table=table, solver=solver) for k, table in enumerate(tables)]

    assert_nearly_as_alone(make)


@on_devices
@pytest.mark.parametrize("solver", ["gd", "lbfgs"])
def test_the_number_of_layers_may_differ_on_a_device(xp, solver):
    def make():
        free = ALL_BUT_STEPS, WITH_STEPS
        return [job(xp, k, N=N, solver=solver, free=free[k % 2]) for k, N in enumerate((3, 5, 1))]

    assert_nearly_as_alone(make)


@on_one
@pytest.mark.parametrize("loss", ["logistic", "softmax", "squared", "quantile", "poisson"])
@pytest.mark.parametrize("lifted", [False, True])
def test_samples_layers_and_what_is_free_may_differ_on_a_device(xp, loss, lifted):
    free = {False: ("K", "b", "W", "mu"), True: ("K", "b", "W", "mu", "V", "nu")}[lifted]

    def make():
        kinds = [(0, 3, False), (3, 5, True), (3, 3, True), (0, 5, False), (5, 2, False)]
        return [
            job(xp, k, loss=loss, lifted=lifted, table=table, N=N, free=free + learned * ("h",))
            for k, (table, N, learned) in enumerate(kinds)
        ]

    assert_nearly_as_alone(make)


@on_one
def test_members_of_a_merged_batch_end_when_they_would_alone(xp):
    def make():
        stopping = Stopping(60, tol=1e-2, n_iter_no_change=2)
        kinds = [(0, 3), (3, 5), (5, 2)]
        return [
            job(xp, k, table=table, N=N, stopping=stopping) for k, (table, N) in enumerate(kinds)
        ]

    assert len({n for each in make() for n in each.run().n_iter}) > 1
    assert_nearly_as_alone(make)


@on_one
@pytest.mark.parametrize("raced", [False, True])
def test_folds_of_other_samples_on_a_device(xp, raced):
    def make():
        kinds = [(0, 3), (5, 4), (0, 3), (5, 3)]
        return [
            job(
                xp,
                k,
                members=4,
                table=table,
                N=N,
                folds=folds_of(2, 40 + table).of_members(np.array([0, 1, 0, 1])),
                race=Race(2, 2) if raced else None,
            )
            for k, (table, N) in enumerate(kinds)
        ]

    assert_nearly_as_alone(make)


@on_one
def test_single_precision_on_a_device(xp):
    def make():
        kinds = [(0, 3), (3, 5)]
        return [
            job(xp, k, table=table, N=N, dtype=np.float32, stopping=Stopping(4))
            for k, (table, N) in enumerate(kinds)
        ]

    assert_nearly_as_alone(make)


@on_one
@pytest.mark.parametrize("scheme", ["euler", "rk4"])
@pytest.mark.parametrize("activation", ["softplus", "relu"])
def test_layers_of_zeros_change_nothing_whatever_the_activation(xp, scheme, activation):
    network = ode_net(TABLEAUX[scheme], activation)
    assert_nearly_as_alone(lambda: [job(xp, k, N=N, network=network) for k, N in enumerate((3, 5))])


@on_one
def test_adam_shares_its_batches_whatever_the_number_of_layers(xp):
    def make(tables=(0, 0)):
        return [
            job(
                xp,
                table=table,
                N=N,
                solver="adam",
                schedule=Schedule(10, 0.05, 0.0, np.random.RandomState(0)),
            )
            for N, table in zip((3, 5), tables, strict=True)
        ]

    assert_nearly_as_alone(make)
    assert_nearly_as_alone(lambda: make((0, 3)), number=2)


def judge(problem, flat, split, loss):
    """Negative scores; here the held-out losses."""
    return loss


@on_one
def test_scores_are_of_certain_samples(xp):
    def make(kinds):
        jobs = [
            job(xp, k, table=table, N=N, folds=folds_of(2, 40 + table))
            for k, (table, N) in enumerate(kinds)
        ]
        for each in jobs:
            each.objective.judge = judge
        return jobs

    assert_nearly_as_alone(lambda: make([(0, 3), (0, 5)]))
    assert_nearly_as_alone(lambda: make([(0, 3), (3, 3)]), number=2)


@on_one
def test_what_is_not_merged(xp):
    """Each job may be merged with the first of its network but for one thing."""
    feed, relu, gauss = feed_forward(), ode_net(TABLEAUX["euler"], "relu"), TABLEAUX["gauss4"]
    implicit = ode_net(gauss)
    for number, make in {
        "layers that are not steps": lambda: [job(xp, network=feed), job(xp, network=feed, N=4)],
        "states without bounds": lambda: [job(xp, network=relu), job(xp, network=relu, table=3)],
        "equations": lambda: [job(xp, network=implicit), job(xp, network=implicit, N=4)],
        "smoothness": lambda: [job(xp, smooth=(0.3, 0.5)), job(xp, N=4)],
        "held out": lambda: [job(xp), job(xp, table=3, folds=folds_of(2, 43))],
        "precision": lambda: [job(xp), job(xp, N=4, dtype=np.float32)],
        "solver": lambda: [job(xp), job(xp, N=4, solver="gd")],
        "outputs": lambda: [job(xp, loss="squared"), job(xp, loss="softmax", N=4)],
    }.items():
        assert len(_together._batches(make(), BYTES)) == 2, number


@on_one
def test_constraints_keep_the_number_of_layers_apart(xp):
    def make(about):
        kinds = [(0, 3), (3, 3), (0, 4)]
        jobs = [job(xp, k, table=table, N=N) for k, (table, N) in enumerate(kinds)]
        return [
            replace(
                each,
                constraint=spectral_ball(each.objective.layout, 0.5),
                about_constraint=about * each.objective.layout.n_layers,
            )
            for each in jobs
        ]

    assert_nearly_as_alone(lambda: make(1), number=2)
    assert_nearly_as_alone(lambda: make(0), number=2)


@on_one
def test_arithmetic_and_memory_limit_what_is_merged(xp, monkeypatch):
    def make():
        return [job(xp, k, table=k) for k in range(3)]

    assert len(_together._batches(make(), BYTES)) == 1
    assert len(_together._batches(make(), 2 * job(xp).size)) == 2
    monkeypatch.setattr(_merging, "SPARED", {"cpu": 0, "device": 0})
    merged = 1 if repr(xp) == "cupy" else 3  # there, rows of other members are skipped
    assert len(_together._batches(make(), BYTES)) == merged


@on_one
def test_an_error_at_the_start_is_that_of_one_job_in_a_merged_batch(xp):
    bad = job(xp, 1, table=3)
    bad.start[0, 0] = np.nan
    jobs = [job(xp), bad, job(xp, 2, N=4)]
    with Threads() as threads:
        found = train_together(jobs, threads, BYTES)
    assert isinstance(found[1], ValueError)
    assert_close(found[0], job(xp).run())
    assert_close(found[2], job(xp, 2, N=4).run())
