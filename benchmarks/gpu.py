"""All benchmarks on a GPU: correct results, speed, and the size from which a GPU is faster.

    pip install -e '.[test,bench,cuda12]'
    python benchmarks/gpu.py [--json FILE] [--seconds 3] [--no-tests] [--dry]

First come the tests that need a device.  Then one J and gradient are timed in milliseconds, as in
gradient.py: skode on the GPU and on the CPU; PyTorch on the GPU, eager and compiled with CUDA
graphs; and JAX if its GPU package is installed.  The results are compared first, and every call
includes the copy of its result to the host.  Then come batches of networks, per network; a default
fit, per iteration; and the number of samples from which the GPU is faster than the CPU.  --dry
tests the script on a machine without a GPU: PyTorch on the CPU replaces both at the smaller sizes,
and the times are meaningless.
"""

import importlib
import math
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from gradient import available_peers, compare, skode_call
from peers import jax_jit, problem, torch_compiled, torch_eager
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from timing import CELLS, Cell, Report, argument_parser, medians

from skode import ODENetClassifier
from skode.engine.threads import Threads, blas_threads

BATCHES = [(500, 2, 20), (10_000, 8, 20), (400, 24, 3)]
MEMBERS = (20, 200)
SAMPLES = (100, 1000, 10_000, 100_000, 1_000_000)
CHANNELS = (2, 8, 64)
ROOT = Path(__file__).parent.parent


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--no-tests", action="store_true", help="only measure")
    parser.add_argument("--dry", action="store_true", help="try the script without a GPU")
    args = parser.parse_args()
    put, device = place(args.dry)
    if not args.no_tests:
        command = [sys.executable, "-m", "pytest", "-q", "tests", "-k", "cupy or gpu"]
        subprocess.run(command, cwd=ROOT, check=True)
    report = Report(args.json)
    report.write(device=device)
    print(f"device: {device}")
    with Threads(blas_threads()) as threads:
        most = 10_000 if args.dry else math.inf
        cells = [cell for cell in CELLS if cell.m <= most]
        measure_cells(report, args.seconds, put, threads, cells, "cpu" if args.dry else "cuda")
        measure_members(report, args.seconds, put, threads)
        measure_fit(report, None if args.dry else "cuda")
        measure_sizes(report, args.seconds, put, threads, [m for m in SAMPLES if m <= most])


def place(dry):
    """Return a function that copies a NumPy array to the device, and the name of the device."""
    if dry:
        torch = importlib.import_module("torch")
        return lambda values: torch.from_numpy(np.array(values)), "none: a dry run on the CPU"
    cupy = importlib.import_module("cupy")
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    return cupy.asarray, f"{properties['name'].decode()}, CuPy {cupy.__version__}"


def measure_cells(report, seconds, put, threads, cells, device):
    """The cases of gradient.py."""
    names = ("GPU", "CPU", "PyTorch", "compiled", "JAX")
    print("\nms" + " " * 28 + "".join(f"{name:>10}" for name in names) + "   best peer/GPU")
    ratios = []
    peers = {
        "JAX": jax_jit,
        "PyTorch": partial(torch_eager, device=device),
        "compiled": partial(torch_compiled, device=device),
    }
    for cell in cells:
        calls = {
            "skode": skode_call(cell, put=put),
            "CPU": skode_call(cell, threads),
            **available_peers(problem(cell), peers),
        }
        compare(cell, calls)
        times = medians(calls, seconds)
        times["GPU"] = times.pop("skode")
        line = f"{cell!s:<30}" + "".join(f"{1e3 * times.get(name, np.nan):10.3f}" for name in names)
        best = min((times[name] for name in peers if name in times), default=np.nan)
        ratios.append(best / times["GPU"])
        report.add(f"{line}{ratios[-1]:14.2f}", cell=cell, **times)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(f"best peer / skode on the GPU: geometric mean {mean:.2f}, least {min(ratios):.2f}")
    report.write(geometric_mean=mean)


def measure_members(report, seconds, put, threads):
    """Time networks in one batch."""
    print("\nper network, ms" + " " * 25 + "GPU       CPU   CPU/GPU")
    for size in BATCHES:
        for members in MEMBERS:
            cell = Cell(*size, "float32", members)
            times = compared(cell, seconds, put, threads)
            each = {name: 1e3 * time / members for name, time in times.items()}
            line = f"{cell!s:<34}{each['GPU']:9.4f}{each['CPU']:10.4f}"
            report.add(f"{line}{each['CPU'] / each['GPU']:10.2f}", cell=cell, **times)


def measure_fit(report, device):
    """Time a fit with all defaults, per iteration of the whole batch of networks."""
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    times = []
    for seed in range(6):
        start = time.perf_counter()
        model = ODENetClassifier(device=device, random_state=seed).fit(X, y)
        times.append((time.perf_counter() - start) / model.n_iter_)
    each = statistics.median(times[1:])  # the first one compiles
    report.add(f"\ndefault fit on breast cancer: {1e3 * each:.2f} ms per iteration", fit=each)


def compared(cell, seconds, put, threads):
    """Return the times on GPU and CPU, after comparing the results."""
    calls = {"skode": skode_call(cell, put=put), "CPU": skode_call(cell, threads)}
    compare(cell, calls)
    times = medians(calls, seconds)
    return {"GPU": times["skode"], "CPU": times["CPU"]}


def measure_sizes(report, seconds, put, threads, samples):
    """Find the number of samples from which the GPU is faster."""
    print("\nCPU/GPU, 20 layers, samples" + "".join(f"{m:>10}" for m in samples) + "   faster from")
    for n in CHANNELS:
        for dtype in ("float64", "float32"):
            gains = []
            for m in samples:
                times = compared(Cell(m, n, 20, dtype), seconds / 3, put, threads)
                gains.append(times["CPU"] / times["GPU"])
            faster = next((m for m, gain in zip(samples, gains, strict=True) if gain > 1), None)
            line = f"{n:>3} channels, {dtype:<12}" + "".join(f"{gain:10.2f}" for gain in gains)
            report.add(f"{line}{faster or 'nowhere':>14}", n=n, dtype=dtype, gains=gains)


if __name__ == "__main__":
    main()
