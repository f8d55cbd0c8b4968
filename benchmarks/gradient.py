"""Time of one objective and gradient, beside the floor of its matrix products and tanh alone.

    OPENBLAS_NUM_THREADS=1 python benchmarks/gradient.py

Both are timed in turn in the same run, so that the ratio holds on a noisy machine.
"""

import platform
import statistics
import time

import numpy as np

import skode
from skode.engine.blocks import block_size
from skode.engine.controls import Layout
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.objective import Objective
from skode.engine.schemes import TABLEAUX

CELLS = [(500, 2, 20), (10_000, 8, 20), (100_000, 16, 20), (10_000, 64, 20)]  # m, n, N


def gradient(m, n, N, dtype):
    """A call that evaluates J and its gradient once: Euler, tanh, log-loss."""
    rng = np.random.default_rng(0)
    layout = Layout(N, n, 1)
    X = rng.normal(size=(m, n)).astype(dtype)
    objective = Objective(
        ode_net(TABLEAUX["euler"]),
        layout,
        LOSSES["logistic"],
        X,
        X[:, :1] > 0,
        np.full(m, 1 / m, dtype=dtype),
        np.zeros(1, dtype=dtype),
    )
    flat = (0.3 * rng.normal(size=(1, layout.size))).astype(dtype)
    return lambda: objective.value_and_gradient(flat)


def floor(m, n, N, dtype):
    """A call that does the three matrix products and the tanh of every layer, and nothing else."""
    rng = np.random.default_rng(0)
    size = block_size(1, n, np.zeros(1, dtype=dtype))
    sizes = [min(size, m - start) for start in range(0, m, size)]
    K = (0.3 * rng.normal(size=(n, n))).astype(dtype)
    y = rng.normal(size=(n, min(size, m))).astype(dtype)
    z, back, dK = np.empty_like(y), np.empty_like(y), np.empty_like(K)

    def run():
        for samples in sizes:
            for _ in range(N):
                np.matmul(K, y[:, :samples], out=z[:, :samples])
                np.tanh(z[:, :samples], out=z[:, :samples])
                np.matmul(K.T, z[:, :samples], out=back[:, :samples])
                np.matmul(z[:, :samples], y[:, :samples].T, out=dK)

    return run


def median_times(*calls, seconds=3.0):
    """Median milliseconds of each call, timed A B A B."""
    times = [[] for _ in calls]
    for call in calls:
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for record, call in zip(times, calls, strict=True):
            start = time.perf_counter()
            call()
            record.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(record) for record in times]


def main():
    print(f"skode {skode.__version__}, numpy {np.__version__}, {platform.machine()}")
    print(f"{'m, n, N, dtype':>28} {'gradient/ms':>12} {'floor/ms':>10} {'ratio':>6}")
    for cell in CELLS:
        for dtype in (np.float64, np.float32):
            ours, lowest = median_times(gradient(*cell, dtype), floor(*cell, dtype))
            name = f"{', '.join(map(str, cell))}, {dtype.__name__}"
            print(f"{name:>28} {ours:12.2f} {lowest:10.2f} {ours / lowest:6.2f}", flush=True)


if __name__ == "__main__":
    main()
