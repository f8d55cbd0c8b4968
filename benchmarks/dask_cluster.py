"""Training on a Dask cluster on this machine: rounds, speed and memory.

Usage: python benchmarks/dask_cluster.py [rounds] [workers] [memory]

``rounds`` prints the time of a round of messages, and how much of it the slowest worker does not
compute, for several sizes of the networks.  ``workers`` trains on 2 million rows of 16 features
with one worker process and with two, each with one thread, in turns, and without Dask in one
thread.  ``memory`` writes ten million rows of 8 features in single precision to Parquet files,
trains on them with two workers, and prints the largest resident memory of each process.
"""

import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster
from sklearn.exceptions import ConvergenceWarning

from skode import ODENetClassifier
from skode.dask import DaskODENetClassifier, _store


def cluster(n_workers):
    """Return a client of a new cluster of processes with one thread each."""
    return Client(LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0"))


def table(m, n, n_parts):
    """Return rows, and the sign of a function of them, which the workers make themselves."""
    X = da.random.default_rng(0).normal(size=(m, n), chunks=(-(-m // n_parts), n))
    return X, (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(int)


def peak():
    """Return the largest resident memory that this process has had, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def resident():
    """Return the resident memory of this process now, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def record_computing():
    """Let the holders of this worker record how long they compute in each round."""
    from skode.dask._holder import Holder

    def timed(holder, *arguments):
        start = time.perf_counter()
        sums = add_up(holder, *arguments)
        Holder.seconds.append(time.perf_counter() - start)
        return sums

    add_up, Holder.add_up, Holder.seconds = Holder.add_up, timed, []


def recorded():
    """Return the seconds recorded in this worker, and begin anew."""
    from skode.dask._holder import Holder

    seconds, Holder.seconds = Holder.seconds, []
    return seconds


class Clock:
    """Collects the seconds of the rounds of a `Store`."""

    def __init__(self):
        self.seconds, self._call = [], _store.Store.call

    def __enter__(self):
        def call(store, method, arguments):
            start = time.perf_counter()
            answers = self._call(store, method, arguments)
            if method == "add_up":
                self.seconds.append(time.perf_counter() - start)
            return answers

        _store.Store.call = call
        return self

    def __exit__(self, *exception):
        _store.Store.call = self._call


def rounds():
    """Print the time of a round, and the part of it in which no worker computes."""
    X, y = table(2000, 16, n_parts=2)
    with cluster(2) as client:
        client.run(record_computing)
        for direct in (False, True):
            with Client(client.scheduler.address, direct_to_workers=direct):
                for channels, layers, restarts in (
                    (8, 4, 1),
                    (48, 10, 1),
                    (96, 10, 1),
                    (96, 10, 8),
                ):
                    options = {"n_channels": channels, "N": layers, "n_restarts": restarts}
                    options |= {"cv": None, "solver": "lbfgs", "max_iter": 60, "tol": 0.0}
                    one = DaskODENetClassifier(random_state=0, **options).fit(X, y)
                    client.run(recorded)
                    with Clock() as clock:
                        one.fit(X, y)
                    slowest = np.max(list(filter(None, client.run(recorded).values())), axis=0)
                    controls = one.K_.size + one.b_.size + one.W_.size + one.V_.size + one.nu_.size
                    print(
                        f"{channels} channels, {layers} layers, {restarts} networks, direct "
                        f"{direct}: {8 * controls / 1e6:.2f} MB each way, round "
                        f"{1e3 * statistics.median(clock.seconds):.1f} ms, without computing "
                        f"{1e3 * statistics.median(clock.seconds - slowest):.1f} ms",
                        flush=True,
                    )


def workers(turns=3):
    """Print how much faster two workers are than one."""
    X, y = table(2_000_000, 16, n_parts=8)
    options = {"n_channels": 16, "N": 5, "solver": "lbfgs", "max_iter": 10, "random_state": 0}
    here = dask.compute(X, y)
    seconds = {"one worker": [], "two workers": [], "one thread": [], "two threads": []}
    rounds, models = {"one worker": [], "two workers": []}, {}
    for _ in range(turns):
        for n_workers, name in ((1, "one worker"), (2, "two workers")):
            with cluster(n_workers):
                DaskODENetClassifier(**options).fit(X[:100_000], y[:100_000])  # loads the kernels
                with Clock() as clock:
                    models[name] = DaskODENetClassifier(**options).fit(X, y)
                seconds[name].append(sum(clock.seconds))
                rounds[name].append(statistics.median(clock.seconds))
        start = time.perf_counter()
        models["without Dask"] = ODENetClassifier(n_jobs=1, **options).fit(*here)
        seconds["one thread"].append(time.perf_counter() - start)
        start = time.perf_counter()
        ODENetClassifier(n_jobs=2, **options).fit(*here)
        seconds["two threads"].append(time.perf_counter() - start)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    error = max(np.abs(models[n].K_ - models["without Dask"].K_).max() for n in models)
    print(
        f"2000000 × 16: all rounds with one worker {median['one worker']:.1f} s, with two "
        f"{median['two workers']:.1f} s, ratio "
        f"{median['one worker'] / median['two workers']:.2f}; one round "
        f"{statistics.median(rounds['one worker']):.2f} s and "
        f"{statistics.median(rounds['two workers']):.2f} s; the whole fit without Dask "
        f"with one thread {median['one thread']:.1f} s, with two "
        f"{median['two threads']:.1f} s; largest difference of K {error:.1e}",
        flush=True,
    )


def memory(m=10_000_000):
    """Print the largest memory of the workers."""
    import pandas as pd

    with tempfile.TemporaryDirectory() as folder:
        names = [f"x{j}" for j in range(8)]
        for k in range(10):
            rng = np.random.default_rng(k)
            X = rng.normal(size=(m // 10, 8)).astype(np.float32)
            frame = pd.DataFrame(X, columns=names)
            frame["y"] = (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(np.int8)
            frame.to_parquet(Path(folder) / f"{k}.parquet", row_group_size=250_000)
        files = sorted(map(str, Path(folder).glob("*.parquet")))
        options = {"n_channels": 8, "N": 3, "max_iter": 10, "random_state": 0}
        with cluster(2) as client:
            before, here = client.run(peak), resident()
            start = time.perf_counter()
            model = DaskODENetClassifier(**options).fit(files, "y")
            taken = time.perf_counter() - start
            after = client.run(peak)
        print(
            f"{m} × 8 from Parquet: {taken:.1f} s, held-out accuracy {model.oof_score_:.3f}; "
            f"workers {[f'{size / 1e9:.2f} GB' for size in after.values()]}, before the fit "
            f"{[f'{size / 1e9:.2f} GB' for size in before.values()]}; this process "
            f"{(peak() - here) / m:.0f} bytes per row above {here / 1e9:.2f} GB",
            flush=True,
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    for name in sys.argv[1:] or ["rounds", "workers", "memory"]:
        {"rounds": rounds, "workers": workers, "memory": memory}[name]()
