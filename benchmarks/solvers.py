"""How many evaluations the solvers need for what 10 000 iterations of gradient descent reach.

    python benchmarks/solvers.py [--quick]

The four toy problems, 1000 points each, half the squared error of the logistic output, three random
starts, in two settings: the network and the start of the estimators' defaults, without a penalty,
and the published ones (two channels, N = 15 layers with h = 0.1, K, b and W ~ N(0, 1), μ ~ U(0,
1)). Reported are J after all iterations, the evaluations up to the J of gradient descent from the
same start, and test accuracy.  L-BFGS is also compared with that of scipy.optimize at equal
evaluations.
"""

import argparse

import numpy as np
from scipy.optimize import minimize

from skode._estimator import START
from skode.datasets import make_donut1d, make_donut2d, make_spirals, make_squares
from skode.engine.adam import Schedule
from skode.engine.controls import Controls, Layout
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.objective import Objective
from skode.engine.prediction import outputs
from skode.engine.record import Stopping
from skode.engine.schemes import TABLEAUX
from skode.engine.training import train

PROBLEMS = {
    "donut1d": make_donut1d,
    "donut2d": make_donut2d,
    "squares": make_squares,
    "spirals": make_spirals,
}
STARTS = 3
TINY = 1e-12  # an objective of zero is none to divide by
LAYOUTS = {
    "default network": Layout(n_layers=3, n_channels=24, n_outputs=1),
    "published network": Layout(n_layers=15, n_channels=2, n_outputs=1),
}
NETWORK = ode_net(TABLEAUX["euler"])


def starts(setting):
    rng, layout = np.random.default_rng(0), LAYOUTS[setting]
    K, b, h, W, mu = [(STARTS, *shape) for shape in layout.shapes if shape is not None]
    published = setting == "published network"
    scale = 1.0 if published else START * layout.n_channels**-0.5
    return layout.flatten(
        Controls(
            K=rng.normal(scale=scale, size=K),
            b=rng.normal(scale=scale, size=b),
            h=np.full(h, 0.1 if published else 0.5),
            W=rng.normal(size=W) if published else np.zeros(W),
            mu=rng.uniform(size=mu) if published else np.zeros(mu),
        )
    )


def objective_of(make, layout):
    X, y = make(1000, random_state=0)
    weights = np.full(len(X), 1 / len(X))
    loss = LOSSES["logistic_squared"]
    return Objective(NETWORK, layout, loss, X, y[:, None], weights, np.zeros(STARTS))


def test_accuracy(make, layout, flat):
    X, y = make(10_000, random_state=1)
    return ((outputs(NETWORK, layout.views(flat), X)[:, 0] > 0) == (y == 1)).mean(axis=1)


def evaluations_to(training, J):
    """Evaluations of each start up to an objective of at most J; infinite where it is not reached.

    An iteration is counted with the mean number of evaluations of an iteration.
    """
    reached = training.curve <= J[:, None]
    first = np.where(reached.any(axis=1), reached.argmax(axis=1), np.inf)
    return first * training.n_evaluations / training.n_iter


def lowest_of_scipy(objective, flat, evaluations):
    """J of scipy's L-BFGS-B after so many evaluations, start by start."""

    def value_and_gradient(u, k):
        J, gradient = objective.value_and_gradient(u[None], np.array([k]))
        return J[0], gradient[0]

    options = {"maxfun": evaluations, "maxiter": evaluations, "ftol": 0.0, "gtol": 0.0}
    runs = [
        minimize(value_and_gradient, u, (k,), "L-BFGS-B", jac=True, options=options)
        for k, u in enumerate(flat)
    ]
    return np.array([run.fun for run in runs])


def summary(name, J, evaluations, accuracy):
    counts = " ".join(f"{count:7.0f}" for count in evaluations)
    return (
        f"{name:22} {1000 * np.median(J):9.3f} {1000 * J.min():9.3f}   {counts}   "
        f"{accuracy.mean():.3f} ({accuracy.min():.3f} … {accuracy.max():.3f})"
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a hundredth of the iterations")
    iterations = 100 if parser.parse_args().quick else 10_000
    print("J is summed over the 1000 points: median and lowest of three starts.")
    for setting, layout in LAYOUTS.items():
        print(f"\n{setting}")
        for problem, make in PROBLEMS.items():
            objective, flat = objective_of(make, layout), starts(setting)
            print(f"\n{problem:22} {'median J':>9} {'lowest J':>9}   evaluations to the J of gd")
            slow = train(objective, flat, "gd", stopping=Stopping(iterations))
            print(summary("gd", slow.J, slow.n_evaluations, test_accuracy(make, layout, slow.flat)))
            for solver in ("lbfgs", "adam+lbfgs"):
                schedule = Schedule(1000, 0.01, 0.0, np.random.default_rng(0))
                fast = train(
                    objective, flat, solver, schedule=schedule, stopping=Stopping(iterations // 30)
                )
                needed = evaluations_to(fast, slow.J)
                print(summary(solver, fast.J, needed, test_accuracy(make, layout, fast.flat)))
                share = np.median(slow.n_evaluations / needed)
                word = f"gd needs {share:.0f} times the evaluations" if share else "not reached"
                print(f"{'':22} {word} (median of the starts)")
            for budget in (50, 200, iterations // 30):
                own = train(objective, flat, "lbfgs", stopping=Stopping(budget)).curve
                other = lowest_of_scipy(objective, flat, budget)
                ratio = np.median((other + TINY) / (np.nanmin(own, axis=1) + TINY))
                print(f"{f'scipy / lbfgs, {budget}':22} J ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
