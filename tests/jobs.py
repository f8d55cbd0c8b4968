"""Jobs of training, and the comparison of their results together and alone."""

from dataclasses import fields

import numpy as np

from skode import _together
from skode._together import Job, train_together
from skode.engine.arrays import to_host
from skode.engine.constraints import unconstrained
from skode.engine.networks import ode_net
from skode.engine.objective import ALL_BUT_STEPS
from skode.engine.schemes import TABLEAUX
from skode.engine.threads import Threads
from skode.engine.training import Stopping, Training
from tests.engine.problems import objective_of, problem

BYTES = 2**30
WITH_STEPS = (*ALL_BUT_STEPS, "h")


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
