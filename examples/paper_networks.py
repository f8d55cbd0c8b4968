"""The two published studies, run again: four networks, and four Runge-Kutta methods.

Benning, Celledoni, Ehrhardt, Owren, Schönlieb, "Deep learning as optimal control problems: models
and numerical methods" (Journal of Computational Dynamics, 2019) compare a feed-forward network
(Net), a residual network (ResNet), an ODE network with learned steps (ODENet) and one with steps on
the simplex; then Euler, Heun, Kutta3 and the classical rk4 as schemes of an ODE network.

The settings are theirs.  Their readout of the first study is fixed and their objective of the
second one is a sum, so this example works with skode's engine, one floor below the estimators.
Five random starts are five members of one batch; they share the training data, and each is judged
on an equally large fresh test set of its own.

    python examples/paper_networks.py            # some forty minutes on one core
    python examples/paper_networks.py --quick    # a few iterations of each, to see it run
"""

import argparse
import time

import numpy as np

from skode import datasets
from skode.engine.constraints import simplex_steps, unconstrained
from skode.engine.controls import Controls, Layout
from skode.engine.kernels import Samples
from skode.engine.losses import LOSSES
from skode.engine.networks import feed_forward, ode_net
from skode.engine.objective import Objective
from skode.engine.penalties import Penalties
from skode.engine.prediction import outputs
from skode.engine.schemes import TABLEAUX
from skode.engine.training import Stopping, train

SEEDS = 5
NETWORKS = ("Net", "ResNet", "ODENet", "simplex")
SCHEMES = ("euler", "heun", "kutta3", "rk4")

# name: (maker, points of the first study, its iterations)
PROBLEMS = {
    "donut1d": (datasets.make_donut1d, 500, 5_000),
    "donut2d": (datasets.make_donut2d, 1000, 8_000),
    "squares": (datasets.make_squares, 1000, 8_000),
    "spirals": (datasets.make_spirals, 1000, 20_000),
}


def test_accuracy(network, layout, training, make, n_samples):
    """Share of right answers of every member, each on a fresh test set of its own."""
    shares = []
    for seed in range(SEEDS):
        X, y = make(n_samples, random_state=1 + seed)
        z = outputs(network, layout.views(training.flat[seed : seed + 1]), X)[0, 0]
        shares.append(((z > 0) == y).mean())
    return np.array(shares)


def fit(network, layout, X, y, start, weights, rule, max_iter, free, constraint=unconstrained):
    objective = Objective(
        network,
        layout,
        LOSSES["logistic_squared"],
        Samples(X, y[:, None], weights),
        Penalties(np.zeros(SEEDS)),
        free,
    )
    stopping = Stopping(max_iter, tol=0.0)
    return train(objective, start, "gd", line_search=rule, constraint=constraint, stopping=stopping)


def four_networks(problem, quick):
    """N = 20, K ~ N(0, 1), b = 0, mean loss, Lipschitz rule; W = (10, 10), μ = 0 never trained."""
    make, n_samples, max_iter = PROBLEMS[problem]
    X, y = make(n_samples, random_state=0)
    N = 20
    layout = Layout(N, n_channels=2, n_outputs=1)
    rng = np.random.default_rng(0)
    K = rng.normal(size=(SEEDS, N, 2, 2))

    for name in NETWORKS:
        h0 = 1.0 if name == "Net" else 1 / N
        start = layout.flatten(
            Controls(
                K,
                b=np.zeros((SEEDS, N, 2)),
                h=np.full((SEEDS, N), h0),
                W=np.full((SEEDS, 1, 2), 10.0),
                mu=np.zeros((SEEDS, 1)),
            )
        )
        network = feed_forward() if name == "Net" else ode_net(TABLEAUX["euler"])
        training = fit(
            network,
            layout,
            X,
            y,
            start,
            weights=np.full(n_samples, 1 / n_samples),
            rule="lipschitz",
            max_iter=max_iter // 100 if quick else max_iter,
            free=("K", "b", "h") if name in ("ODENet", "simplex") else ("K", "b"),
            constraint=simplex_steps(layout, 1.0) if name == "simplex" else unconstrained,
        )
        test = test_accuracy(network, layout, training, make, n_samples)
        U = layout.views(training.flat)
        alpha = 0.0 if name == "Net" else 1.0
        norms = np.linalg.norm(U.K, ord=2, axis=(2, 3))
        bound = np.prod(alpha + np.abs(U.h) * norms, axis=1)
        zeros = "  zero steps " + " ".join(map(str, (U.h == 0).sum(axis=1)))
        lowest = f"  lowest step {U.h.min():6.2f}"
        print(
            f"{problem:8} {name:8} test {test.mean():.3f} ({test.min():.3f} … {test.max():.3f})  "
            f"J {training.J.mean():.4f}  bound {np.median(bound):8.1e}"
            + (zeros if name == "simplex" else lowest if name == "ODENet" else ""),
            flush=True,
        )


def runge_kutta_methods(problem, quick):
    """N = 15, h = 0.1, K, b, W ~ N(0, 1), μ ~ U(0, 1), summed loss, Armijo rule."""
    make, n_samples, N = PROBLEMS[problem][0], 1000, 15
    X, y = make(n_samples, random_state=0)
    layout = Layout(N, n_channels=2, n_outputs=1)
    rng = np.random.default_rng(0)
    start = layout.flatten(
        Controls(
            K=rng.normal(size=(SEEDS, N, 2, 2)),
            b=rng.normal(size=(SEEDS, N, 2)),
            h=np.full((SEEDS, N), 0.1),
            W=rng.normal(size=(SEEDS, 1, 2)),
            mu=rng.uniform(size=(SEEDS, 1)),
        )
    )
    for scheme in SCHEMES:
        network = ode_net(TABLEAUX[scheme])
        training = fit(
            network,
            layout,
            X,
            y,
            start,
            weights=np.ones(n_samples),
            rule="armijo",
            max_iter=100 if quick else 10_000,
            free=("K", "b", "W", "mu"),
        )
        test = test_accuracy(network, layout, training, make, n_samples)
        J = training.J
        print(
            f"{problem:8} {scheme:8} J {J.mean():8.4f} ({J.min():8.4f} … {J.max():8.4f})  "
            f"test {test.mean():.3f} ({test.min():.3f} … {test.max():.3f})  "
            f"evaluations per step {training.n_evaluations.sum() / training.n_iter.sum():.2f}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a hundredth of the iterations")
    quick = parser.parse_args().quick
    for title, study in (
        ("Four networks: mean test accuracy (lowest … highest) of five starts", four_networks),
        ("Four Runge-Kutta methods: summed loss and test accuracy", runge_kutta_methods),
    ):
        print(title)
        begin = time.perf_counter()
        for problem in PROBLEMS:
            study(problem, quick)
        print(f"{time.perf_counter() - begin:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
