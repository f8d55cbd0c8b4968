"""Jobs that are trained together get the results of training alone.

On the host they are the same to the last bit; on a device, where jobs with other samples or another
number of layers share a batch, up to rounding errors.
"""

from dataclasses import fields, replace

import numpy as np
import pytest

from skode import _merging, _together
from skode._together import Job, train_together
from skode.engine.arrays import to_host
from skode.engine.constraints import spectral_ball, unconstrained
from skode.engine.networks import feed_forward, ode_net
from skode.engine.objective import ALL_BUT_STEPS
from skode.engine.schemes import TABLEAUX
from skode.engine.threads import Threads
from skode.engine.training import Race, Schedule, Stopping, Training
from tests.engine.everywhere import not_strict
from tests.engine.problems import folds_of, objective_of, problem

BYTES = 2**30
WITH_STEPS = (*ALL_BUT_STEPS, "h")
on_devices = pytest.mark.parametrize("xp", ["strict-device1", "torch", "cupy"], indirect=True)
on_one = pytest.mark.parametrize("xp", ["torch", "cupy"], indirect=True)


def job(xp=np, seed=0, network=None, members=2, alpha=1.0, folds=None, **options):
    """A job on the same samples, those of a `table`, whatever its seed and its members."""
    network, loss = network or ode_net(TABLEAUX["heun"]), options.pop("loss", "logistic")
    table, about = options.pop("table", 0), {"lifted": options.pop("lifted", False)}
    N, dtype, smooth = options.pop("N", 3), options.pop("dtype", float), options.pop("smooth", ())
    free = options.pop("free", ALL_BUT_STEPS)
    about |= {"members": 1, "samples": 40 + table, "dtype": dtype, "seed": table}
    _, _, X, targets, weights, _ = problem(loss, "learned", **about)
    layout, flat, *_ = problem(loss, "learned", N=N, **about)
    noise = np.random.default_rng(seed).normal(size=(members, layout.size))
    start = (flat + 0.1 * noise).astype(dtype)
    alphas = alpha * np.linspace(0.1, 1, members, dtype=dtype)
    data = [xp.asarray(part) for part in (X, targets, weights, alphas)]
    folds = None if folds is None else folds.placed(data[0])
    objective = objective_of(network, layout, loss, data, free, folds, smooth)
    usual = {
        "solver": "lbfgs",
        "line_search": "armijo",
        "schedule": None,
        "constraint": unconstrained,
        "stopping": Stopping(12),
    }
    return Job(objective, xp.asarray(start), **{**usual, **options})


def assert_same(one, other):
    for field in fields(Training):
        mine, its = getattr(one, field.name), getattr(other, field.name)
        assert mine.shape == its.shape
        assert mine.dtype == its.dtype
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(its), err_msg=field.name)


def assert_close(one, other):
    """Compare two results up to rounding errors, which grow from iteration to iteration."""
    for field in fields(Training):
        mine, its = (to_host(getattr(each, field.name)) for each in (one, other))
        assert mine.shape == its.shape
        assert mine.dtype == its.dtype
        if mine.dtype.kind == "f":
            error = 1e-3 if to_host(one.flat).dtype == np.float32 else 1e-7
            np.testing.assert_allclose(mine, its, rtol=error, atol=error, err_msg=field.name)
        else:
            np.testing.assert_array_equal(mine, its, err_msg=field.name)


def assert_as_alone(make, number=1, most_bytes=BYTES, compare=assert_same):
    """Train the jobs that `make` gives, together and alone; `number` batches are expected."""
    jobs = make()
    assert len(_together._batches(jobs, most_bytes)) == number
    with Threads(2) as threads:
        found = train_together(jobs, threads, most_bytes)
    for each, training in zip(make(), found, strict=True):
        compare(training, each.run())


def assert_nearly_as_alone(make, number=1, **options):
    assert_as_alone(make, number, compare=assert_close, **options)


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
