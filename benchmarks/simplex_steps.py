"""When does learn_step="simplex" make steps exactly zero?

    OPENBLAS_NUM_THREADS=1 python benchmarks/simplex_steps.py

There are four settings.  "h=0.5" has the defaults of ODENetClassifier, but N layers instead of two.
"h=1/N" has the total time 1 instead of N/2, and "tanh" another activation as well.  "published" is
similar to the published experiments: two channels without a lift, tanh, squared error, gradient
descent, no penalty, nothing held out, five starts; unlike there, the readout is trained.

Reported are the share of steps that are exactly zero, the effective number of layers, 1/Σ (hℓ/T)²
with T = N·h, and the seconds of the fit in one thread; the first two are means over the networks.
The accuracy is `oof_score_`; for "published" it is measured on fresh samples.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier
from skode.datasets import make_donut2d, make_spirals

PLANES = {
    "moons": lambda seed: make_moons(500, noise=0.2, random_state=seed),
    "donut2d": lambda seed: make_donut2d(500, random_state=seed),
    "spirals": lambda seed: make_spirals(500, random_state=seed),
}
TABLES = {"breast cancer": load_breast_cancer, "digits": load_digits}
SETTINGS = ("h=0.5", "h=1/N", "h=1/N, tanh", "published")
PUBLISHED = {
    "lift": "pad",
    "n_channels": 2,
    "activation": "tanh",
    "loss": "squared_error",
    "alpha": 0.0,
    "cv": None,
    "n_restarts": 5,
    "solver": "gd",
    "line_search": "lipschitz",
    "max_iter": 5000,
    "tol": 0.0,
}


def parameters_of(setting, N):
    """Return the parameters of a setting with N layers."""
    parameters = {} if setting == "h=0.5" else {"h": 1 / N}
    if setting == "h=1/N, tanh":
        parameters["activation"] = "tanh"
    if setting == "published":
        parameters |= PUBLISHED
    return {"N": N, "learn_step": "simplex", **parameters}


def fit(X, y, **parameters):
    """Return a fitted classifier and the CPU seconds of this process."""
    start = time.process_time()
    with warnings.catch_warnings():  # the published setting ends at max_iter
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = ODENetClassifier(n_jobs=1, random_state=0, **parameters).fit(X, y)
    return model, time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=[*PLANES, *TABLES])
    parser.add_argument("--layers", nargs="+", type=int, default=[3, 6, 10, 20])
    parser.add_argument("--settings", nargs="+", default=SETTINGS, choices=SETTINGS)
    arguments = parser.parse_args()
    heads = ("N", "zero", "layers", "accuracy", "s")
    print(f"{'':14} {'':12} " + " ".join(f"{head:>8}" for head in heads))
    for name in arguments.sets:
        plane = name in PLANES
        X, y = PLANES[name](0) if plane else TABLES[name](return_X_y=True)
        scaler = StandardScaler().fit(X)
        X = scaler.transform(X)
        for N in arguments.layers:
            for setting in arguments.settings:
                if setting == "published" and not plane:
                    continue
                model, seconds = fit(X, y, **parameters_of(setting, N))
                if setting == "published":
                    X_new, y_new = PLANES[name](1)
                    accuracy = model.score(scaler.transform(X_new), y_new)
                else:
                    accuracy = model.oof_score_
                shares = model.h_ / model.h_.sum(axis=1, keepdims=True)
                print(
                    f"{name:14} {setting:12} {N:8} {(model.h_ == 0).mean():8.0%} "
                    f"{np.mean(1 / (shares**2).sum(axis=1)):8.1f} {accuracy:8.3f} "
                    f"{seconds:8.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
