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
    states = np.swapaxes(trajectories(network, U, X), 2, 3)
    display = TrajectoryDisplay(
        states=states[0], labels=y, classes=np.unique(y), W=U.W[0], mu=U.mu[0]
    )
    display.plot(
        ax=on_flow,
        legend=False,
        arrows=5,
        scatter_kw={"s": 9, "linewidth": 0.2},
        wrong_kw={"s": 9, "linewidth": 0.7, "label": "wrong"},
        arrow_kw={"mutation_scale": 8},
    )

    middle, reach = (X.max(axis=0) + X.min(axis=0)) / 2, 0.55 * np.ptp(X, axis=0).max()
    grid = np.meshgrid(*np.linspace(middle - reach, middle + reach, 400).T)
    z = outputs(network, U, np.stack([g.ravel() for g in grid], axis=1))[0, 0].reshape(400, 400)
    tints = display.surface_.get_facecolor()
    on_features.contourf(*grid, z, levels=[-np.inf, 0, np.inf], colors=tints)
    on_features.contour(*grid, z, levels=[0], colors="#333333", linewidths=0.8)
    for k, points in enumerate(display.points_):
        marker, colour = "os"[k], points.get_facecolor()
        on_features.scatter(*X[y == k].T, s=9, marker=marker, c=colour, ec="white", lw=0.2)
    on_features.set(xlabel="feature 1", ylabel="feature 2", aspect="equal")
    return display


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a hundredth of the iterations")
    quick = parser.parse_args().quick
    begin = time.perf_counter()
    plt.rcParams.update({"font.size": 8, "axes.titlesize": 8.5})
    figure, axes = plt.subplots(4, 4, figsize=(10, 10.6), layout="constrained")
    for column, (problem, make) in zip(axes.T, PROBLEMS.items(), strict=True):
        X, y = make(POINTS, random_state=0)
        rows = iter(column)
        for name, (scheme, guard) in NETWORKS.items():
            max_iter = ITERATIONS // 100 if quick else ITERATIONS
            network, training, objective = fit(X, y, scheme, guard, max_iter)
            report(problem, name, network, training, objective)
            if name in DRAWN:
                features, flow = next(rows), next(rows)
                display = draw(features, flow, X[::4], y[::4], network, training)
                features.set_title(f"{problem}\n{DRAWN[name]}, J = {training.J[0]:.2f}")
                flow.set_title(f"{DRAWN[name]}: flow")
    handles = [*display.points_, *filter(None, [display.wrong_])]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), title="class")
    path = Path("skode-implicit-midpoint.png").resolve()
    figure.savefig(path, dpi=150)
    print(f"Figure: {path}\n{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
