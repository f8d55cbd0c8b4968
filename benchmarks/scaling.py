"""Growth of the time of one objective and gradient, and memory of a fit from a memory map.

    python benchmarks/scaling.py [--json FILE] [--seconds 1.5] [--memory 10000000]

Samples m, channels n, layers N, members and threads are varied one by one.  For long networks, the
time of J alone is compared with the extra time for states that do not fit into the cache: the
former is the cost of computing the states again instead of storing them.  With --memory, networks
are trained on this many samples of eight features in single precision, in a read-only memory map.
The peak of the memory without the map, and its value before, are reported (Linux only).
"""

import os
import tempfile
import threading
import time
import warnings
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from gradient import skode_call, skode_objective
from sklearn.exceptions import ConvergenceWarning
from timing import CELLS, Cell, Report, argument_parser, medians

from skode import ODENetClassifier
from skode.engine.threads import Threads

BASE = Cell(100_000, 16, 10, "float32")


def vary(report, name, cells, unit, seconds, threads=None):
    """Print the times of the cases, per unit: they stay the same if growth is linear."""
    calls = {str(cell): skode_call(cell, threads) for cell in cells}
    times = medians(calls, seconds)
    print(f"\n{name}")
    first = None
    for cell in cells:
        each = times[str(cell)] / unit(cell)
        first = first or each
        report.add(
            f"{cell!s:<36}{1e3 * times[str(cell)]:11.3f} ms{each / first:8.2f}",
            vary=name,
            cell=cell,
            seconds=times[str(cell)],
        )


def keep_or_recompute(report, seconds):
    """Long networks: the cost of states that leave the cache, and of another forward pass."""
    cells = [BASE._replace(N=N, m=10_000) for N in (10, 50, 100, 200, 400)]
    calls = {}
    for cell in cells:
        objective, flat = skode_objective(cell)
        calls["J", cell.N] = partial(objective.evaluate, flat, gradient=False)
        calls["both", cell.N] = partial(objective.evaluate, flat)
    times = medians(calls, seconds)
    short = times["both", cells[0].N] / cells[0].N
    print("\nstates kept, per layer          J alone, of the first row   J and gradient")
    for cell in cells:
        forward, both = (times[part, cell.N] / cell.N / short for part in ("J", "both"))
        report.add(f"{cell!s:<36}{forward:19.2f}{both:17.2f}", cell=cell, J=forward, both=both)


def vary_threads(report, seconds):
    """Measure the speed-up of several threads, up to all cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    numbers = sorted({1, *(2**k for k in range(1, cores.bit_length())), cores})
    numbers = [number for number in numbers if number <= cores]
    print("\ntimes as fast as one thread" + "".join(f"{number:>9}" for number in numbers))
    for cell in CELLS:
        with ExitStack() as stack:
            calls = {n: skode_call(cell, stack.enter_context(Threads(n))) for n in numbers}
            times = medians(calls, seconds)
        gains = "".join(f"{times[1] / times[number]:9.2f}" for number in numbers)
        report.add(f"{cell!s:<27}{gains}", cell=cell, threads=times)


def resident():
    """Return the bytes of memory that belong to this process alone, without files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])
    raise OSError("/proc/self/status does not tell RssAnon")


def train_from_memory_map(report, m, **parameters):
    """Fit and predict, and measure the largest memory in addition to the data."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.npy"
        X = np.lib.format.open_memmap(path, "w+", np.float32, (m, 8))
        rng, part = np.random.default_rng(0), 10**6
        for start in range(0, m, part):
            X[start : start + part] = rng.normal(size=X[start : start + part].shape)
        X = np.load(path, mmap_mode="r")
        y = np.concatenate(
            [np.sum(X[s : s + part] ** 2, axis=1) > 7 for s in range(0, m, part)]
        ).astype(np.int8)
        before, most, done = resident(), [0], threading.Event()

        def watch():
            while not done.wait(0.002):
                most[0] = max(most[0], resident())

        watcher = threading.Thread(target=watch)
        watcher.start()
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = ODENetClassifier(random_state=0, **parameters).fit(X, y)
        fitted = time.perf_counter()
        accuracy = np.mean(model.predict(X) == y)
        predicted = time.perf_counter()
        done.set()
        watcher.join()
    shown = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    report.add(
        f"{m} × 8, {shown}: {(most[0] - before) / 1e6:.0f} MB, fit {fitted - start:.1f} s, "
        f"prediction {predicted - fitted:.1f} s, accuracy {accuracy:.3f}",
        memory=most[0] - before,
        samples=m,
        parameters=parameters,
        fit_seconds=fitted - start,
        predict_seconds=predicted - fitted,
    )


def main():
    parser = argument_parser(__doc__, seconds=1.5)
    parser.add_argument(
        "--memory", type=int, metavar="M", help="train on M samples of a memory map"
    )
    args = parser.parse_args()
    report = Report(args.json)
    if args.memory:
        print("\nmemory beyond the data")
        # Five passes of L-BFGS over all samples, and an epoch of the defaults.
        train_from_memory_map(report, args.memory, solver="lbfgs", n_channels=8, max_iter=4)
        train_from_memory_map(report, args.memory, max_iter=1)
        return
    cells = [Cell(10**k, 8, 5, "float32") for k in range(3, 8)]
    vary(report, "samples, per sample", cells, lambda cell: cell.m, args.seconds)
    cells = [Cell(10**k, 16, 10, "float64") for k in range(3, 7)]
    vary(report, "samples, per sample", cells, lambda cell: cell.m, args.seconds)
    cells = [BASE._replace(n=n) for n in (2, 4, 8, 16, 32, 64, 128)]
    vary(report, "channels, per channel", cells, lambda cell: cell.n, args.seconds)
    cells = [BASE._replace(N=N, m=10_000) for N in (1, 5, 10, 50, 100, 200)]
    vary(report, "layers, per layer", cells, lambda cell: cell.N, args.seconds)
    keep_or_recompute(report, args.seconds)
    cells = [Cell(500, 8, 10, "float64", members) for members in (1, 2, 5, 10, 20, 50, 100)]
    vary(report, "members, per member", cells, lambda cell: cell.members, args.seconds)
    vary_threads(report, args.seconds)


if __name__ == "__main__":
    main()
