"""
The implicit midpoint rule and the residual network
===================================================

Figure 2 of Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as optimal control
problems" (2021): N = 5 layers with step h = 0.1, 5000 iterations of gradient descent with
backtracking.  K, b, W ~ N(0, 1), μ ~ U(0, 1), all trained; J = ½ Σ (logistic - label)², summed over
1000 points.  Five random starts are five members of one batch; each is judged on a fresh test set
of its own, and the first one is drawn.

Training pushes (h/2) ‖K‖₂ beyond 1, where fixed-point iteration no longer solves the stage equation
and where the equation may have no nearby solution at all.  Both guards against that are shown:
such a trial step is rejected ("reject"), or K is kept by projection where every stage equation has
exactly one solution ("bound").  Run it with::

    python examples/plot_implicit_midpoint.py            # some four minutes on one core
    python examples/plot_implicit_midpoint.py --quick    # a hundredth of the iterations
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skode import datasets
from skode.engine.constraints import unconstrained
from skode.engine.controls import Controls, Layout
from skode.engine.kernels import Samples
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.objective import Objective
from skode.engine.penalties import Penalties
from skode.engine.prediction import outputs, trajectories
from skode.engine.schemes import TABLEAUX
from skode.engine.solvability import solvable_stages
from skode.engine.training import Stopping, train
from skode.plotting import TrajectoryDisplay

PROBLEMS = {
    "donut1d": datasets.make_donut1d,
    "donut2d": datasets.make_donut2d,
    "spirals": datasets.make_spirals,
    "squares": datasets.make_squares,
}
NETWORKS = {  # name: (scheme, guard)
    "ResNet": ("euler", None),
    "midpoint, reject": ("implicit_midpoint", None),
    "midpoint, bound": ("implicit_midpoint", "bound"),
}
DRAWN = {"ResNet": "ResNet", "midpoint, bound": "implicit midpoint"}
SEEDS, N, H, POINTS, ITERATIONS = 5, 5, 0.1, 1000, 5000
LAYOUT = Layout(N, n_channels=2, n_outputs=1)


class Watched(Objective):
    """The objective, with a record of unsolved trials and of trials in a row without progress."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.unsolved = np.zeros(SEEDS, dtype=int)
        self.best = np.full(SEEDS, np.inf)
        self.row, self.longest_row = np.zeros(SEEDS, dtype=int), np.zeros(SEEDS, dtype=int)

    def evaluate(self, flat, members=None, gradient=True, tolerance=None):
        """As the objective's, and recorded."""
        evaluation = super().evaluate(flat, members, gradient, tolerance)
        J = evaluation.J
        rows = np.arange(SEEDS) if members is None else members
        self.unsolved[rows] += np.isinf(J)
        # A trial that is accepted may be evaluated again, for its gradient.
        progress = self.best[rows] >= J
        self.row[rows] = np.where(progress, 0, self.row[rows] + 1)
        self.longest_row = np.maximum(self.longest_row, self.row)
        self.best[rows] = np.minimum(J, self.best[rows])
        return evaluation


def fit(X, y, scheme, guard, max_iter):
    rng = np.random.default_rng(0)
    start = LAYOUT.flatten(
        Controls(
            K=rng.normal(size=(SEEDS, N, 2, 2)),
            b=rng.normal(size=(SEEDS, N, 2)),
            h=np.full((SEEDS, N), H),
            W=rng.normal(size=(SEEDS, 1, 2)),
            mu=rng.uniform(size=(SEEDS, 1)),
        )
    )
    tableau = TABLEAUX[scheme]
    objective = Watched(
        ode_net(tableau),
        LAYOUT,
        LOSSES["logistic_squared"],
        Samples(X, y[:, None], np.ones(len(X))),
        Penalties(np.zeros(SEEDS)),
        free=("K", "b", "W", "mu"),
    )
    project = solvable_stages(LAYOUT, tableau, H) if guard == "bound" else unconstrained
    training = train(
        objective,
        start,
        "gd",
        project=project,
        stopping=Stopping(max_iter, tol=0.0),
        exact_stages=guard is None,
    )
    return ode_net(tableau), training, objective


def test_accuracy(network, training, make):
    """Share of right answers of every member, each on a fresh test set of its own."""
    shares = []
    for seed in range(SEEDS):
        X, y = make(POINTS, random_state=1 + seed)
        z = outputs(network, LAYOUT.views(training.flat[seed : seed + 1]), X)[0, 0]
        shares.append(((z > 0) == y).mean())
    return np.array(shares)


def report(problem, name, network, training, objective):
    test = test_accuracy(network, training, PROBLEMS[problem])
    J, U = training.J, LAYOUT.views(training.flat)
    stiffness = H / 2 * np.linalg.norm(U.K, ord=2, axis=(2, 3)).max(axis=1)
    falls = all((np.diff(curve[~np.isnan(curve)]) <= 0).all() for curve in training.curve)
    print(
        f"{problem:8} {name:16} J {J.mean():6.2f} ({J.min():6.2f} … {J.max():6.2f})  "
        f"test {test.mean():.3f} ({test.min():.3f} … {test.max():.3f})  "
        f"(h/2)‖K‖₂ {stiffness.min():.2f} … {stiffness.max():.2f}  "
        f"unsolved trials {' '.join(map(str, objective.unsolved))}  "
        f"longest line search {objective.longest_row.max()}  "
        f"iterations {training.n_iter.min()}  J falls {'always' if falls else 'NOT ALWAYS'}  "
        f"ended by {', '.join(sorted(set(training.reason)))}",
        flush=True,
    )


def draw(on_features, on_flow, X, y, network, training):
    """The first network: its classes in the plane of the features, and the flow of the points."""
    U = LAYOUT.views(training.flat[:1])
    low, high = X.min(axis=0) - 0.2, X.max(axis=0) + 0.2
    grid = np.meshgrid(*np.linspace(low, high, 200).T)
    z = outputs(network, U, np.stack([g.ravel() for g in grid], axis=1))[0, 0]
    colours = ["tab:blue", "tab:orange"]
    on_features.contourf(
        *grid, z.reshape(200, 200) > 0, levels=[-0.5, 0.5, 1.5], colors=colours, alpha=0.2
    )
    on_features.scatter(*X.T, s=6, c=np.array(colours)[y])
    on_features.set(xlabel="feature 1", ylabel="feature 2")

    states = np.swapaxes(trajectories(network, U, X), 2, 3)
    display = TrajectoryDisplay(
        states=states[0], labels=y, classes=np.unique(y), W=U.W[0], mu=U.mu[0]
    )
    display.plot(ax=on_flow)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a hundredth of the iterations")
    quick = parser.parse_args().quick
    begin = time.perf_counter()
    figure, axes = plt.subplots(4, 4, figsize=(16, 16), layout="constrained")
    for column, (problem, make) in zip(axes.T, PROBLEMS.items(), strict=True):
        X, y = make(POINTS, random_state=0)
        rows = iter(column)
        for name, (scheme, guard) in NETWORKS.items():
            max_iter = ITERATIONS // 100 if quick else ITERATIONS
            network, training, objective = fit(X, y, scheme, guard, max_iter)
            report(problem, name, network, training, objective)
            if name in DRAWN:
                features, flow = next(rows), next(rows)
                draw(features, flow, X[::4], y[::4], network, training)
                features.set_title(f"{problem}: {DRAWN[name]}, J = {training.J[0]:.2f}")
                flow.set_title(f"{problem}: flow, {DRAWN[name]}")
    path = Path("skode-implicit-midpoint.png").resolve()
    figure.savefig(path, dpi=60)
    print(f"Figure: {path}\n{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
