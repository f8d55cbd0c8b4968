"""How singular is the Hessian of the Hamiltonian, and what do constraints on the controls change?

    OPENBLAS_NUM_THREADS=1 python benchmarks/control_hessian.py > docs/constraints.txt

The first table is of the four problems in the plane, with 500 samples, of whose points the same
network is trained in five settings: ten layers with h = 0.1 and the scheme of Heun, eight channels,
tanh, L-BFGS, nothing held out, five starts.  "free" has neither penalty nor constraint, "L2" the
penalty with alpha=1e-3, and the others a constraint with constraint_norm=2.

Reported are medians: over starts and layers, of the share of eigenvalues below 1e-6 of the largest
one, and of the condition number; both of what training has ended with after 300 iterations, on the
manifold where there is one, and with the penalty of L2.  Over the starts, of the iterations to an
objective of 0.3 and of 0.1 ("-" if more than half of them do not get there), and of the last
objective.  The accuracy is that of the average of the networks on 2000 new samples.

The second table has the accuracy of the classifier in cross-validation with three folds, five times
with up to 200 samples, at its defaults except `constraint`, and the seconds of the fits in one
thread.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier
from skode.datasets import make_donut1d, make_donut2d, make_spirals, make_squares
from skode.inspection import control_hessian

PLANES = {
    "donut1d": make_donut1d,
    "donut2d": make_donut2d,
    "squares": make_squares,
    "spirals": make_spirals,
}
TABLES = {
    "iris": lambda: load_iris(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "breast cancer": lambda: load_breast_cancer(return_X_y=True),
    "digits": lambda: load_digits(return_X_y=True),
    "squares": lambda: make_squares(500, random_state=0),
    "spirals": lambda: make_spirals(500, random_state=0),
}
CONSTRAINTS = ("spectral", "sphere", "orthogonal")
SETTINGS = {
    "free": {},
    "L2": {"alpha": 1e-3},
    **{name: {"constraint": name, "constraint_norm": 2.0} for name in CONSTRAINTS},
}
NETWORK = {
    "scheme": "heun",
    "N": 10,
    "h": 0.1,
    "n_channels": 8,
    "activation": "tanh",
    "lift": "linear",
    "features": "given",
    "alpha": 0.0,
    "cv": None,
    "n_restarts": 5,
    "solver": "lbfgs",
    "max_iter": 300,
    "tol": 0.0,
    "n_jobs": 1,
    "random_state": 0,
}
GOALS = (0.3, 0.1)
SMALL, FEW_REPEATS, MANY_REPEATS = 200, 1, 5  # of cross-validation, by the number of samples


def iterations(curves, goal):
    """The median over the starts of the iterations to an objective, or "-"."""
    reached = np.nanmin(curves, axis=0) <= goal
    first = np.where(reached, np.argmax(curves <= goal, axis=0), np.inf)
    median = np.median(first)
    return f"{median:.0f}" if np.isfinite(median) else "-"


def hessians(names):
    heads = ("zero", "condition", *(f"to {goal}" for goal in GOALS), "loss", "accuracy", "s")
    print(f"{'':10} {'':10} " + " ".join(f"{head:>9}" for head in heads))
    for name in names:
        X, y = PLANES[name](500, random_state=0)
        new = PLANES[name](2000, random_state=1)
        for setting, parameters in SETTINGS.items():
            start = time.process_time()
            model = ODENetClassifier(**{**NETWORK, **parameters}).fit(X, y)
            seconds = time.process_time() - start
            found = control_hessian(model, X, y, alpha=model.alpha_)
            cells = [
                f"{100 * np.median(found.near_zero):.0f}%",
                f"{np.median(found.condition):.1e}",
                *(iterations(model.loss_curve_, goal) for goal in GOALS),
                f"{np.median(model.loss_):.3f}",
                f"{model.score(*new):.3f}",
                f"{seconds:.1f}",
            ]
            print(f"{name:10} {setting:10} " + " ".join(f"{cell:>9}" for cell in cells), flush=True)


def accuracies(names):
    print(f"\n{'accuracy':14} " + " ".join(f"{name:>10}" for name in ("free", *CONSTRAINTS)))
    total = dict.fromkeys((None, *CONSTRAINTS), 0.0)
    for name in names:
        X, y = TABLES[name]()
        cells = []
        for constraint in (None, *CONSTRAINTS):
            start, right = time.process_time(), []
            repeats = FEW_REPEATS if len(y) > SMALL else MANY_REPEATS
            folds = RepeatedStratifiedKFold(n_splits=3, n_repeats=repeats, random_state=0)
            for train, test in folds.split(X, y):
                model = ODENetClassifier(constraint=constraint, n_jobs=1, random_state=0)
                model = make_pipeline(StandardScaler(), model).fit(X[train], y[train])
                right += [*(model.predict(X[test]) == y[test])]
            total[constraint] += time.process_time() - start
            cells.append(f"{np.mean(right):.3f}")
        print(f"{name:14} " + " ".join(f"{cell:>10}" for cell in cells), flush=True)
    print(f"{'seconds':14} " + " ".join(f"{seconds:10.0f}" for seconds in total.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--planes", nargs="*", default=PLANES, choices=PLANES)
    parser.add_argument("--tables", nargs="*", default=TABLES, choices=TABLES)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # training ends at max_iter
    hessians(arguments.planes)
    accuracies(arguments.tables)


if __name__ == "__main__":
    main()
