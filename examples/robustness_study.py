"""Which scheme and which vector field make a network robust?

Every combination of a Runge-Kutta scheme and a vector field is trained with the same settings on
the four problems in the plane and on four tables of scikit-learn, and so are a feed-forward
network, scikit-learn's MLPClassifier and a support vector machine.  These accuracies are measured
on fresh samples:

- clean;
- attacked, in the maximum norm: in the plane by an exhaustive grid, which finds every adversarial
  point up to the width of the grid, and on tables by 20 steps of projected gradient descent (PGD),
  with the exact gradient of each model;
- on tables also under AutoAttack, which adapts its steps, follows two losses, and then looks for
  the nearest boundary; for skode's models only;
- certified, in the 2-norm, by margins and Lipschitz bounds; this exists for skode's models only.

Features have unit variance, so that sizes of perturbations are in standard deviations.

    python examples/robustness_study.py            # some hours on one core; --jobs for more
    python examples/robustness_study.py --quick    # a small part, to see it run
"""

import argparse
import itertools
import warnings

import numpy as np
from joblib import Parallel, delayed
from sklearn import datasets as tables
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skode import FeedForwardClassifier, ODENetClassifier, datasets
from skode.inspection import input_gradients
from skode.robustness import certified_accuracy, robust_accuracy

SCHEMES = ("euler", "heun", "rk4", "implicit_midpoint", "gauss4")
FIELDS = ("standard", "antisymmetric", "gradient_flow", "hamiltonian")
PLANE = ("donut1d", "donut2d", "squares", "spirals")
TABLES = ("iris", "wine", "breast_cancer", "digits")
SIZES = (0.05, 0.1, 0.2)  # of perturbations
N_SAMPLES = 400  # for training, and as many for testing, at most
SETTINGS = {"N": 10, "h": 0.3, "n_channels": 16, "cv": None, "alpha": 1e-3, "max_iter": 300}
GRID = 21  # points of the grid along each axis
STEPS = 20  # of PGD and of AutoAttack
STRONGER = 0.1  # the size for AutoAttack, which takes much longer


def models(seed):
    """Return names and unfitted classifiers."""
    for field, scheme in itertools.product(FIELDS, SCHEMES):
        damping = 0.1 if field == "antisymmetric" else 0.0
        field_of = {"vector_field": field, "damping": damping, "scheme": scheme}
        yield f"{field} {scheme}", ODENetClassifier(random_state=seed, **field_of, **SETTINGS)
    for scheme in ("symplectic_euler", "stormer_verlet"):
        field_of = {"vector_field": "hamiltonian", "scheme": scheme}
        yield f"hamiltonian {scheme}", ODENetClassifier(random_state=seed, **field_of, **SETTINGS)
    without_ode = {**SETTINGS, "N": 2, "h": 1.0}
    yield "FeedForwardClassifier", FeedForwardClassifier(random_state=seed, **without_ode)
    yield "MLPClassifier", MLPClassifier(max_iter=1000, random_state=seed)
    yield "SVC", SVC()


def data(name, seed):
    """Return X and y for training, and for testing, in standard deviations."""
    if name in PLANE:
        make = getattr(datasets, f"make_{name}")
        (X, y), (X_test, y_test) = (make(N_SAMPLES, random_state=2 * seed + k) for k in range(2))
    else:
        X, y = getattr(tables, f"load_{name}")(return_X_y=True)
        X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=seed, stratify=y)
        X, y, X_test, y_test = (part[:N_SAMPLES] for part in (X, y, X_test, y_test))
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), y, scaler.transform(X_test), y_test


def gradients(model, X, y):
    """Return the gradient of the loss with respect to X; for the SVC, that of minus the margin."""
    if isinstance(model, MLPClassifier):
        return of_mlp(model, X, y)
    if isinstance(model, SVC):
        return of_svc(model, X, y)
    return input_gradients(model, X, y)


def of_mlp(model, X, y):
    """Return the gradient of the log-loss of an MLPClassifier with relu."""
    values = [X]
    for W, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        values.append(np.maximum(values[-1] @ W + b, 0))
    true = (model.classes_ == y[:, None]).astype(float)
    G = model.predict_proba(X) - true
    G = G[:, 1:] if len(model.classes_) == 2 else G
    for W, value in zip(model.coefs_[::-1], values[::-1], strict=True):
        G = G @ W.T
        if value is not X:
            G = G * (value > 0)
    return G


def of_svc(model, X, y):
    """Return the gradient of the sum over pairs of classes of how far y loses; RBF kernel."""
    gamma, support = model._gamma, model.support_vectors_
    of_class = np.repeat(np.arange(len(model.classes_)), model.n_support_)
    k = np.exp(-gamma * ((X[:, None] - support[None]) ** 2).sum(2))
    G, true = np.zeros_like(X), np.searchsorted(model.classes_, y)
    for i, j in itertools.combinations(range(len(model.classes_)), 2):
        # The dual coefficients of a pair: row j - 1 for the vectors of class i, row i for class j.
        w = np.where(of_class == i, model.dual_coef_[j - 1], 0.0)
        w = w + np.where(of_class == j, model.dual_coef_[i], 0.0)
        of_margin = -2 * gamma * ((k * w) @ np.ones_like(support) * X - (k * w) @ support)
        # libsvm's decision is positive for class i, if there are several, and for j of two.
        sign = np.where(true == i, -1.0, np.where(true == j, 1.0, 0.0))
        G += (-sign if len(model.classes_) == 2 else sign)[:, None] * of_margin
    return G


def attacked_by_grid(model, X, y, eps):
    """Return which samples are still right at every point of a grid around them."""
    offsets = np.linspace(-eps, eps, GRID)
    right = np.ones(len(X), bool)
    for offset in itertools.product(offsets, offsets):
        standing = np.flatnonzero(right)
        if standing.size:
            right[standing] = model.predict(X[standing] + offset) == y[standing]
    return right


def attacked_by_gradients(model, X, y, eps):
    """Return which samples are still right along PGD in the maximum norm, from their centre."""
    right, moved = model.predict(X) == y, X.copy()
    for _ in range(STEPS):
        moved = moved + 2.5 * eps / STEPS * np.sign(gradients(model, moved, y))
        moved = np.clip(moved, X - eps, X + eps)
        right &= model.predict(moved) == y
    return right


def attacked_by_auto_attack(model, X, y):
    """Return the accuracy under AutoAttack of size `STRONGER`, from one start."""
    options = {"attack": "autoattack", "attack_params": {"max_iter": STEPS, "nb_random_init": 1}}
    return robust_accuracy(model, X, y, [STRONGER], norm="inf", random_state=0, **options)[0]


def measure(name, seed, quick):
    """Return rows of model, name of the data, and accuracies, for one data set and seed."""
    X, y, X_test, y_test = data(name, seed)
    attack = attacked_by_grid if name in PLANE else attacked_by_gradients
    rows = []
    for model_name, model in models(seed):
        if quick:
            if model_name.split()[-1] not in ("euler", "stormer_verlet", "MLPClassifier", "SVC"):
                continue
            X_test, y_test = X_test[:50], y_test[:50]
            if "max_iter" in model.get_params() and not isinstance(model, MLPClassifier):
                model.set_params(max_iter=10)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        clean = np.mean(model.predict(X_test) == y_test)
        attacked = [attack(model, X_test, y_test, eps).mean() for eps in SIZES]
        certified, stronger = [np.nan] * len(SIZES), np.nan
        if hasattr(model, "K_"):
            if name in TABLES:
                stronger = attacked_by_auto_attack(model, X_test, y_test)
            certified = certified_accuracy(
                model, X_test, y_test, np.array(SIZES), method="lipschitz"
            )
        rows.append((model_name, name, [clean, *attacked, stronger, *certified]))
    return rows


def report(rows, names, n_seeds):
    """Print the means over the seeds, with their standard errors, and means over data sets."""
    columns = ["clean", *(f"attacked {e}" for e in SIZES), f"AutoAttack {STRONGER}"]
    columns += [f"certified {e}" for e in SIZES]
    every = {}
    for model, name, values in rows:
        every.setdefault((name, model), []).append(values)
    order = list(dict.fromkeys(model for model, _, _ in rows))
    for name in names:
        print(f"\n{name:32s}" + "".join(f"{c:>17s}" for c in columns))
        for model in order:
            values = np.array(every[name, model])
            errors = values.std(axis=0, ddof=1) / n_seeds**0.5 if n_seeds > 1 else 0 * values[0]
            cells = (f"{m:.3f} ± {e:.3f}" for m, e in zip(values.mean(0), errors, strict=True))
            print(f"{model:32s}" + "".join(f"{'–' if 'nan' in c else c:>17s}" for c in cells))
    print(f"\n{'mean over the data sets':32s}" + "".join(f"{c:>17s}" for c in columns))
    for model in order:
        means = np.array([np.mean(every[name, model], axis=0) for name in names])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing is NaN
            means = np.nanmean(means, axis=0)  # AutoAttack is for tables only
        cells = ("–" if np.isnan(m) else f"{m:.3f}" for m in means)
        print(f"{model:32s}" + "".join(f"{c:>17s}" for c in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="a small part, to see it run")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    names = ("spirals", "iris") if options.quick else (*PLANE, *TABLES)
    n_seeds = 1 if options.quick else options.seeds
    jobs = (delayed(measure)(name, s, options.quick) for name in names for s in range(n_seeds))
    found = Parallel(n_jobs=options.jobs)(jobs)
    report([row for rows in found for row in rows], names, n_seeds)


if __name__ == "__main__":
    main()
