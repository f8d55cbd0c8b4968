"""The time of one objective and gradient relative to its matrix products and tanh alone.

    python benchmarks/floor.py [--json FILE] [--seconds 3]

The floor consists of the necessary operations: for every layer the products K y, Kᵀ G and G yᵀ, and
tanh, with NumPy in blocks that fit into the cache, in one thread.  skode is timed with one thread
and with two, and the speed-up is reported.
"""

import numpy as np
from gradient import skode_call
from timing import CELLS, Report, argument_parser, medians

from skode.engine.threads import Threads

STATE_BYTES = 240 * 1024  # of a block, so that a layer stays in the cache


def floor(cell):
    """Return a function that computes the products and the tanh, and nothing else."""
    rng = np.random.default_rng(0)
    size = max(128, STATE_BYTES // (cell.n * np.dtype(cell.dtype).itemsize))
    sizes = [min(size, cell.m - start) for start in range(0, cell.m, size)]
    K = (0.3 * rng.normal(size=(cell.n, cell.n))).astype(cell.dtype)
    work = {
        size: [rng.normal(size=(cell.n, size)).astype(cell.dtype) for _ in range(3)]
        for size in set(sizes)
    }
    dK = np.empty_like(K)

    def call():
        for size in sizes:
            y, z, back = work[size]
            for layer in range(cell.N):
                np.matmul(K, y, out=z)
                np.tanh(z, out=z)
                if layer:  # the costate of the input is not needed
                    np.matmul(K.T, z, out=back)
                np.matmul(z, y.T, out=dK)

    return call


def main():
    args = argument_parser(__doc__).parse_args()
    report = Report(args.json)
    print(f"\nms{'':28}{'floor':>9}{'one':>9}{'one/floor':>11}{'two':>9}{'one/two':>9}")
    for cell in CELLS:
        with Threads(2) as two:
            calls = {"floor": floor(cell), "one": skode_call(cell), "two": skode_call(cell, two)}
            times = medians(calls, args.seconds)
        low, one, both = times.values()
        report.add(
            f"{cell!s:<30}{1e3 * low:9.2f}{1e3 * one:9.2f}{one / low:11.2f}"
            f"{1e3 * both:9.2f}{one / both:9.2f}",
            cell=cell,
            **times,
        )


if __name__ == "__main__":
    main()
