"""Code shared by the timings: cases, turns, properties of the machine, tables and JSON.

Used by gradient.py, floor.py, scaling.py and time_to_accuracy.py; not run directly.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np

PACKAGES = (
    *("skode", "numpy", "scipy", "scikit-learn", "threadpoolctl"),
    *("torch", "torchdiffeq", "jax", "skorch"),
)


class Cell(NamedTuple):
    """One size of the problem: samples, channels, layers, precision, networks in the batch."""

    m: int
    n: int
    N: int
    dtype: str = "float64"
    members: int = 1

    def __str__(self):
        text = f"{self.m:>7}, {self.n:>2}, {self.N:>2}, {self.dtype}"
        return text if self.members == 1 else f"{text} × {self.members}"


SIZES = [(500, 2, 20), (10_000, 8, 20), (100_000, 16, 20), (10_000, 64, 20), (500_000, 8, 10)]
CELLS = [Cell(*size, dtype) for size in SIZES for dtype in ("float64", "float32")]
SMALLEST = SIZES[0]


def in_turn(calls, seconds=3.0, turns=3):
    """Return the seconds of every call, timed in turns A B A B, so that conditions are similar.

    `calls` maps names to functions; each gets `seconds` in total.  A turn is several calls in a
    row, as in training.  The first of them is not counted, since it finds cold caches.
    """
    for call in calls.values():
        call()
    times = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            call()
            end = time.perf_counter() + seconds / turns
            for done in itertools.count(1):
                start = time.perf_counter()
                call()
                now = time.perf_counter()
                times[name].append(now - start)
                if done >= 3 and now > end:
                    break
    return times


def medians(calls, seconds=3.0, turns=3):
    """Return the median seconds of each call, in turns."""
    times = in_turn(calls, seconds, turns)
    return {name: statistics.median(record) for name, record in times.items()}


def cpu():
    """Return the name of the processor, if the system provides it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def environment():
    """Return properties of the machine, and the versions."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "blas": {
            k: v
            for k, v in np.show_config(mode="dicts")["Build Dependencies"]["blas"].items()
            if k in {"name", "version"}
        },
        "openblas_environment": {k: v for k, v in os.environ.items() if k.startswith("OPENBLAS_")},
        **versions,
    }


def argument_parser(doc, seconds=3.0):
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE", help="write all results to FILE")
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="how long each row takes its turns"
    )
    return parser


class Report:
    """Rows of results, which are printed immediately and written to a JSON file."""

    def __init__(self, file=None):
        self.file = file
        self.content = {"environment": environment(), "rows": []}
        print(
            ", ".join(
                f"{name} {value}"
                for name, value in self.content["environment"].items()
                if isinstance(value, str | int) or value
            ),
            flush=True,
        )

    def add(self, line, **row):
        """Print the line and store the row."""
        print(line, flush=True)
        self.content["rows"].append(row)
        self.write()

    def write(self, **more):
        self.content.update(more)
        if self.file:
            Path(self.file).write_text(json.dumps(self.content, indent=1) + "\n")
