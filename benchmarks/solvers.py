"""Evaluations that the solvers need for the result of 10 000 iterations of gradient descent.

    python benchmarks/solvers.py [--quick]

The first part has the four toy problems with 1000 points each and three random starts, without a
penalty.  There are three settings: a network of three layers of tanh with h = 0.5 and 24 channels,
to which the features are padded, with log-loss; the same with half the squared error of the
logistic output; and, with this loss, the published network (two channels, N = 15 layers with
h = 0.1, K, b and W ~ N(0, 1), μ ~ U(0, 1)).  Reported are J after all iterations, the evaluations
up to the J of gradient descent from the same start, and test accuracy.

The second part compares L-BFGS with that of scipy.optimize, in the same settings and on tables with
a penalty, with eight starts each: the ratio of the lowest J among the first 25, 50, … evaluations
of both, above 1 if skode's is lower.
"""

import argparse

import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.preprocessing import StandardScaler

from skode.datasets import make_donut1d, make_donut2d, make_spirals, make_squares
from skode.engine.controls import Layout
from skode.engine.kernels import Samples
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.objective import Objective
from skode.engine.penalties import Penalties
from skode.engine.prediction import outputs
from skode.engine.schemes import TABLEAUX
from skode.engine.training import Schedule, Stopping, random_start, train

PROBLEMS = {
    "donut1d": make_donut1d,
    "donut2d": make_donut2d,
    "squares": make_squares,
    "spirals": make_spirals,
}
TABLES = {
    "breast_cancer": load_breast_cancer,
    "wine": load_wine,
    "digits": load_digits,
    "iris": load_iris,
}
START = 0.5  # √n_channels times the standard deviation of K and b
STARTS = 3, 8  # for the solvers, and for the comparison with scipy's L-BFGS
BUDGETS = 25, 50, 100, 200, 400
SOLVED = 1e-5  # a smaller objective counts as zero
TWENTY_FOUR = Layout(n_layers=3, n_channels=24, n_outputs=1)
PUBLISHED = Layout(n_layers=15, n_channels=2, n_outputs=1)
SETTINGS = {
    "24 channels, log-loss": (TWENTY_FOUR, "logistic"),
    "24 channels, squared error": (TWENTY_FOUR, "logistic_squared"),
    "published network, squared error": (PUBLISHED, "logistic_squared"),
}
NETWORK = ode_net(TABLEAUX["euler"])


class Watched(Objective):
    """An objective that records J at all points where it is evaluated, member by member."""

    def evaluate(self, flat, members=None, gradient=True, tolerance=None):
        """Evaluate as the objective does."""
        found = super().evaluate(flat, members, gradient, tolerance)
        for k, J in zip(members if members is not None else range(len(flat)), found.J, strict=True):
            seen = self.seen.setdefault(int(k), [])
            if not seen or seen[-1] != J:  # otherwise it is the gradient at an accepted trial
                seen.append(J)
        return found

    def watch(self):
        """Clear the records."""
        self.seen = {}
        return self

    def lowest(self):
        """Return the lowest J up to each evaluation, for each start."""
        return [np.fmin.accumulate(self.seen[k]) for k in sorted(self.seen)]


def starts(layout, n_starts):
    rng = np.random.default_rng(0)
    if layout != PUBLISHED:  # as in ODENetClassifier
        return layout.flatten(random_start(layout, n_starts, START, 0.5, rng))
    U = random_start(layout, n_starts, layout.n_channels**0.5, 0.1, rng)
    W, mu = rng.normal(size=U.W.shape), rng.uniform(size=U.mu.shape)
    return layout.flatten(U._replace(W=W, mu=mu))


def toy_objective(make, layout, loss, n_starts):
    X, y = make(1000, random_state=0)
    weights = np.full(len(X), 1 / len(X))
    samples, penalties = Samples(X, y[:, None], weights), Penalties(np.zeros(n_starts))
    return Watched(NETWORK, layout, LOSSES[loss], samples, penalties)


def table_objective(load, n_starts):
    X, y = load(return_X_y=True)
    X, n_outputs = StandardScaler().fit_transform(X), 1 if y.max() == 1 else y.max() + 1
    targets = (y[:, None] == 1) if n_outputs == 1 else (y[:, None] == np.arange(n_outputs))
    layout = Layout(3, 24, int(n_outputs), lifted=X.shape[1] if X.shape[1] > 24 else 0)
    loss = LOSSES["logistic" if n_outputs == 1 else "softmax"]
    samples = Samples(X, targets, np.full(len(X), 1 / len(X)))
    return Watched(NETWORK, layout, loss, samples, Penalties(np.full(n_starts, 1 / len(X))))


def test_accuracy(make, layout, flat):
    X, y = make(10_000, random_state=1)
    return ((outputs(NETWORK, layout.views(flat), X)[:, 0] > 0) == (y == 1)).mean(axis=1)


def evaluations_to(lowest, J):
    """Return the evaluations of each start until J is reached; infinite if it never is."""
    met = [curve <= goal for curve, goal in zip(lowest, J, strict=True)]
    return np.array([mask.argmax() + 1 if mask.any() else np.inf for mask in met])


def lowest_of_scipy(objective, flat):
    """Return the lowest J up to each evaluation of scipy's L-BFGS-B, for each start."""

    def value_and_gradient(u, k):
        J, gradient = objective.value_and_gradient(u[None], np.array([k]))
        return J[0], gradient[0]

    objective.watch()
    options = {"maxfun": BUDGETS[-1], "maxiter": BUDGETS[-1], "ftol": 0.0, "gtol": 0.0}
    for k, u in enumerate(flat):
        minimize(value_and_gradient, u, (k,), "L-BFGS-B", jac=True, options=options)
    return objective.lowest()


def print_solver(name, J, evaluations, accuracy):
    counts = " ".join(f"{count:7.0f}" for count in evaluations)
    print(
        f"{name:12} {1000 * np.median(J):9.3f} {1000 * J.min():9.3f}   {counts}   "
        f"{accuracy.mean():.3f} ({accuracy.min():.3f} … {accuracy.max():.3f})",
        flush=True,
    )


def compare_solvers(make, layout, loss, iterations):
    objective, flat = toy_objective(make, layout, loss, STARTS[0]), starts(layout, STARTS[0])

    def run(solver, iterations, goal=None):
        """Return J at the end, and the number of evaluations until the goal."""
        schedule = Schedule(1000, 0.01, 0.0, np.random.default_rng(0))
        stopping = Stopping(iterations)
        found = train(objective.watch(), flat, solver, schedule=schedule, stopping=stopping)
        needed = evaluations_to(objective.lowest(), found.J if goal is None else goal)
        print_solver(solver, found.J, needed, test_accuracy(make, layout, found.flat))
        return found.J, needed

    goal, needed_by_gd = run("gd", iterations)
    for solver in ("lbfgs", "adam+lbfgs"):
        _, needed = run(solver, iterations // 30, goal)
        if times := np.median(needed_by_gd / needed):
            print(f"{'':12} gd needs {times:.0f} times the evaluations (median of the starts)")


def compare_with_scipy(name, objective):
    flat = starts(objective.layout, STARTS[1])
    train(objective.watch(), flat, "lbfgs", stopping=Stopping(BUDGETS[-1]))
    pairs = list(zip(objective.lowest(), lowest_of_scipy(objective, flat), strict=True))
    ratios = []
    for budget in BUDGETS:
        J = np.array([[curve[min(budget, len(curve)) - 1] for curve in pair] for pair in pairs])
        own, other = np.maximum(J, SOLVED).T
        ratio = other / own
        ratios.append(f"{np.median(ratio):.3f} ({ratio.min():.2f} … {ratio.max():.2f})")
    print(f"{name:14} " + "".join(f"{text:>24}" for text in ratios), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a hundredth of the iterations")
    iterations = 100 if parser.parse_args().quick else 10_000
    print(
        "J of 1000 points, summed: median and lowest of three starts; evaluations; test accuracy."
    )
    for setting, (layout, loss) in SETTINGS.items():
        print(f"\n{setting}")
        for problem, make in PROBLEMS.items():
            print(f"\n{problem:12} {'median J':>9} {'lowest J':>9}   evaluations to the J of gd")
            compare_solvers(make, layout, loss, iterations)

    print(
        "\nscipy's J / J of lbfgs after as many evaluations: median (least … largest) of 8 starts"
    )
    print(f"{'':14} " + "".join(f"{budget:>24}" for budget in BUDGETS))
    for setting, (layout, loss) in SETTINGS.items():
        print(setting)
        for problem, make in PROBLEMS.items():
            compare_with_scipy(problem, toy_objective(make, layout, loss, STARTS[1]))
    print("tables, penalty 1/n_samples")
    for name, load in TABLES.items():
        compare_with_scipy(name, table_objective(load, STARTS[1]))


if __name__ == "__main__":
    main()
