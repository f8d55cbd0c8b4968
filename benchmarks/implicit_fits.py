"""Time of default fits with implicit schemes, relative to the explicit Euler scheme.

    OPENBLAS_NUM_THREADS=1 python benchmarks/implicit_fits.py

Every fit has the default parameters, except for the scheme and one thread; the features are
standardised.  Fits with Euler and with other schemes take turns, so that ratios are valid on a
noisy machine; each number is the median of the rounds.  The accuracy is `oof_score_`.
"""

import argparse
import platform
import time

import numpy as np
from sklearn.datasets import load_breast_cancer, make_circles, make_moons
from sklearn.preprocessing import StandardScaler

import skode
from skode import ODENetClassifier
from skode.engine.schemes import TABLEAUX

SCHEMES = [name for name, tableau in TABLEAUX.items() if not tableau.explicit]


def data():
    """Return the data by name; moons and circles have 400 noisy samples."""
    sets = {
        "moons": make_moons(400, noise=0.2, random_state=0),
        "circles": make_circles(400, noise=0.1, factor=0.5, random_state=0),
        "breast cancer": load_breast_cancer(return_X_y=True),
    }
    return {name: (StandardScaler().fit_transform(X), y) for name, (X, y) in sets.items()}


def fit(scheme, X, y):
    """Return the seconds of a fit, and its out-of-fold accuracy."""
    start = time.perf_counter()
    model = ODENetClassifier(scheme=scheme, n_jobs=1, random_state=0).fit(X, y)
    return time.perf_counter() - start, model.oof_score_


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(
        f"skode {skode.__version__}, NumPy {np.__version__}, {platform.machine()}; {rounds} rounds"
    )
    sets = data()
    print(f"{'':18}" + "".join(f"{name:>30}" for name in sets))
    print(f"{'scheme':18}" + f"{'s':>12}{'× Euler':>10}{'oof':>8}" * len(sets))
    X, y = sets["moons"]
    for scheme in ("euler", "implicit_midpoint"):  # compile and load everything first
        fit(scheme, X[:60], y[:60])
    for scheme in SCHEMES:
        line = f"{scheme:18}"
        for X, y in sets.values():
            times = {"euler": [], scheme: []}
            for _ in range(rounds):
                for each, seconds in times.items():
                    taken, score = fit(each, X, y)
                    seconds.append(taken)
            ratio = np.median(np.array(times[scheme]) / times["euler"])
            line += f"{np.median(times[scheme]):12.2f}{ratio:10.1f}{score:8.3f}"
        print(line, flush=True)
    line = f"{'euler':18}"
    for X, y in sets.values():
        taken, score = zip(*(fit("euler", X, y) for _ in range(rounds)), strict=True)
        line += f"{np.median(taken):12.2f}{1.0:10.1f}{score[0]:8.3f}"
    print(line)


if __name__ == "__main__":
    main()
