"""One objective and its gradient: skode, PyTorch, torch.compile, JAX and torchdiffeq.

    pip install -e '.[bench]'
    python benchmarks/gradient.py [--json FILE] [--seconds 3]

All use Euler, tanh, log-loss and the same numbers, and their results are compared first.  Times are
medians in milliseconds of calls in turns, with the default number of threads of each package.
Packages that are not installed are left out; so is torch.compile if there is no C++ compiler.  The
last rows are other schemes and batches of twenty networks.
"""

import math

import numpy as np
from peers import PEERS, STEP, problem
from timing import CELLS, SMALLEST, Report, argument_parser, medians

from skode.engine.arrays import to_host
from skode.engine.blocks import Blocks
from skode.engine.controls import Controls, Layout
from skode.engine.kernels import Samples
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.objective import Objective
from skode.engine.penalties import Penalties
from skode.engine.schemes import TABLEAUX
from skode.engine.threads import Threads, blas_threads


def skode_objective(cell, threads=None, scheme="euler", put=np.asarray):
    """Return the objective and the flat controls; `put` copies arrays to the device."""
    parts = problem(cell)
    layout = Layout(cell.N, cell.n, 1)
    controls = [part[None] for part in (parts.K, parts.b, np.full(cell.N, STEP), parts.W, parts.mu)]
    flat = layout.flatten(Controls(*controls)).astype(cell.dtype)
    flat = np.repeat(flat, cell.members, axis=0)
    objective = Objective(
        ode_net(TABLEAUX[scheme]),
        layout,
        LOSSES["logistic"],
        Samples(put(parts.X), put(parts.c[:, None]), put(np.full(cell.m, 1 / cell.m))),
        Penalties(put(np.zeros(cell.members, dtype=cell.dtype))),
        free=("K", "b", "W", "mu"),
        blocks=Blocks(threads),
    )
    return objective, put(flat)


def skode_call(cell, threads=None, scheme="euler", put=np.asarray):
    """Return a function that computes J and the gradient in NumPy, of the first member."""
    objective, flat = skode_objective(cell, threads, scheme, put)
    free = to_host(objective.layout.mask(("K", "b", "W", "mu"), flat))

    def call():
        J, gradient = objective.value_and_gradient(flat)
        return to_host(J)[0], to_host(gradient[:1, :])[0][free]

    return call


def available_peers(parts, peers=PEERS):
    calls = {}
    for name, peer in peers.items():
        try:
            calls[name] = peer(parts)
        except ImportError as error:
            print(f"without {name}: {error}")
    return calls


def compare(cell, calls):
    """Raise unless all results are equal."""
    J, gradient = calls["skode"]()
    tolerance = 1e3 * np.finfo(cell.dtype).eps
    for name, call in calls.items():
        other, theirs = call()
        error = np.abs(theirs - gradient).max() / np.abs(gradient).max()
        if not (abs(other - J) <= tolerance * abs(J) and error <= tolerance):
            raise AssertionError(f"{name} differs at {cell}: J {other} and {J}, gradient {error}")


def main():
    args = argument_parser(__doc__).parse_args()
    report = Report(args.json)
    number = blas_threads()
    with Threads(number) as threads:
        ratios = measure_peers(report, threads, args.seconds)
        if ratios:
            mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
            print(f"best peer / skode: geometric mean {mean:.2f}, least {min(ratios.values()):.2f}")
            report.write(threads=number, geometric_mean=mean)
        measure_members(report, threads, args.seconds, ratios)
        measure_schemes(report, threads, args.seconds)


def measure_peers(report, threads, seconds):
    """Return the ratio best peer / skode for each case."""
    ratios = {}
    print(f"\nms{'':28}{'skode':>9}" + "".join(f"{name:>13}" for name in PEERS) + "   best/skode")
    for cell in CELLS:
        calls = {"skode": skode_call(cell, threads), **available_peers(problem(cell))}
        compare(cell, calls)
        times = medians(calls, seconds)
        ours = times.pop("skode")
        line = f"{cell!s:<30}{1e3 * ours:9.2f}"
        line += "".join(f"{1e3 * times.get(name, np.nan):13.2f}" for name in PEERS)
        if times:
            ratios[cell] = min(times.values()) / ours
            line += f"{ratios[cell]:13.2f}"
        report.add(line, cell=cell, skode=ours, peers=times)
    return ratios


def measure_members(report, threads, seconds, ratios):
    """Time twenty networks in one batch for the smallest cases, per network."""
    print("\nper network, ms               alone  of twenty   best/skode, of twenty")
    for cell in (cell for cell in CELLS if cell[:3] == SMALLEST):
        batch = cell._replace(members=20)
        calls = {"alone": skode_call(cell, threads), "of twenty": skode_call(batch, threads)}
        times = medians(calls, seconds)
        each = times["of twenty"] / batch.members
        line = f"{cell!s:<26}{1e3 * times['alone']:9.3f}{1e3 * each:11.3f}"
        if cell in ratios:
            line += f"{ratios[cell] * times['alone'] / each:13.2f}"
        report.add(line, cell=batch, alone=times["alone"], of_twenty=each)


def measure_schemes(report, threads, seconds):
    """Time schemes with more stages, as multiples of Euler."""
    print("\ntimes Euler" + "".join(f"{scheme:>12}" for scheme in ("heun", "rk4")))
    for cell in CELLS:
        calls = {scheme: skode_call(cell, threads, scheme) for scheme in ("euler", "heun", "rk4")}
        times = medians(calls, seconds)
        euler = times["euler"]
        shown = "".join(f"{times[scheme] / euler:12.2f}" for scheme in ("heun", "rk4"))
        report.add(f"{cell!s:<30}{shown}", cell=cell, schemes=times)


if __name__ == "__main__":
    main()
