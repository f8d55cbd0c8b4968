"""Time of one gradient with implicit schemes, relative to the explicit midpoint rule.

    OPENBLAS_NUM_THREADS=1 python benchmarks/implicit.py

The schemes of a row are timed in turns in the same run, so that ratios are valid on a noisy
machine.  Stage equations are solved to rounding, or with the most common tolerance in training.
K is normal with variance size²/n, so that ‖K‖₂ is about 2 · size for large n, and is projected
onto the set on which all stage equations have one solution, as the estimators do by default.
"""

import platform

import numpy as np
from timing import medians

import skode
from skode.engine.controls import Layout
from skode.engine.kernels import Samples
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.objective import Objective
from skode.engine.penalties import Penalties
from skode.engine.schemes import TABLEAUX
from skode.engine.solvability import project_parts, solvable_bounds
from skode.engine.training.exactness import LOOSEST

M, N = 1000, 5
ROWS = [  # n, h, size
    (2, 0.1, 1.0),
    (2, 0.1, 10.0),
    (2, 1.0, 1.0),
    (8, 0.1, 1.0),
    (8, 1.0, 1.0),
    (24, 0.1, 1.0),
    (24, 0.5, 1.0),
    (24, 1.0, 1.0),
    (64, 0.1, 1.0),
    (64, 0.5, 1.0),
    (64, 1.0, 1.0),
]
SCHEMES = (
    "implicit_euler",
    "implicit_midpoint",
    "trapezoid",
    "sdirk2",
    "gauss4",
    "gauss6",
    "radau_iia3",
    "radau_iia5",
    "lobatto_iiia4",
    "lobatto_iiic4",
)


def gradient(scheme, n, h, size, tolerance=None):
    """Return a function that evaluates J and its gradient once: tanh, log-loss, fixed steps."""
    rng = np.random.default_rng(0)
    layout = Layout(N, n, 1)
    X = rng.normal(size=(M, n))
    objective = Objective(
        ode_net(TABLEAUX[scheme]),
        layout,
        LOSSES["logistic"],
        Samples(X, X[:, :1] > 0, np.full(M, 1 / M)),
        Penalties(np.zeros(1)),
    )
    flat = rng.normal(size=(1, layout.size))
    U = layout.views(flat)
    U.K[...] *= size / n**0.5
    U.K[...] = project_parts(U.K, solvable_bounds(TABLEAUX[scheme], h))
    U.h[...] = h
    assert np.isfinite(objective.value_and_gradient(flat)[0])
    each = None if tolerance is None else np.full(1, tolerance)
    return lambda: objective.evaluate(flat, tolerance=each)


def main():
    print(f"skode {skode.__version__}, NumPy {np.__version__}, {platform.machine()}; m={M}, N={N}")
    titles = " ".join(f"{scheme:>17}" for scheme in SCHEMES)
    print(f"{'n':>3} {'h':>4} {'size':>5} {'tolerance':>10} {'explicit':>11} {titles}")
    for n, h, size in ROWS:
        for tolerance in (None, LOOSEST):
            calls = {
                scheme: gradient(scheme, n, h, size, tolerance) for scheme in ("midpoint", *SCHEMES)
            }
            explicit, *implicit = (1e3 * seconds for seconds in medians(calls, 0.5).values())
            ratios = " ".join(f"{t / explicit:17.1f}" for t in implicit)
            name = "rounding" if tolerance is None else f"{tolerance:.0e}"
            print(f"{n:3} {h:4} {size:5} {name:>10} {explicit:8.2f} ms {ratios}", flush=True)


if __name__ == "__main__":
    main()
