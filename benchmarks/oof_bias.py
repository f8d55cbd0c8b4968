"""Is `oof_score_` honest?  It beside the accuracy on fresh samples, on data of known Bayes
accuracy.

    python benchmarks/oof_bias.py

Twenty draws of each problem.  The difference is reported with its standard error, and in units of
it. There are two reasons for one: held-out folds also choose alpha and the stopping point, which
flatters; and a fold's network alone is judged, while the model averages all, which is better.
"""

import numpy as np
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier
from skode.datasets import make_donut2d, make_squares

REPETITIONS = 20
FRESH = 20_000


def make_gaussians(n_samples, random_state):
    """Two normal classes in ten dimensions, 2 apart: the Bayes accuracy is Φ(1) = 0.841."""
    rng = np.random.default_rng(random_state)
    y = rng.integers(2, size=n_samples)
    X = rng.normal(size=(n_samples, 10))
    X[:, 0] += 2.0 * y
    return X, y


def make_noise(n_samples, random_state):
    """Classes that have nothing to do with the features, in equal shares: Bayes accuracy ½."""
    rng = np.random.default_rng(random_state)
    return rng.normal(size=(n_samples, 8)), rng.permutation(np.arange(n_samples) % 2)


PROBLEMS = {
    "gaussians, Bayes 0.841": (make_gaussians, 300),
    "donut2d, Bayes 0.931": (make_donut2d, 400),
    "squares, Bayes 0.894": (make_squares, 400),
    "noise, Bayes 0.5": (make_noise, 400),
    "noise, 120 samples": (make_noise, 120),
    "noise, 40 samples": (make_noise, 40),
}


def main():
    print(f"{'':26} {'oof_score_':>10} {'fresh':>8} {'difference':>20} {'in errors':>10}")
    for name, (make, m) in PROBLEMS.items():
        pairs = []
        for seed in range(REPETITIONS):
            X, y = make(m, random_state=seed)
            X_test, y_test = make(FRESH, random_state=1000 + seed)
            scaler = StandardScaler().fit(X)
            model = ODENetClassifier(random_state=seed).fit(scaler.transform(X), y)
            pairs.append((model.oof_score_, model.score(scaler.transform(X_test), y_test)))
        oof, fresh = np.array(pairs).T
        difference = oof - fresh
        error = difference.std(ddof=1) / REPETITIONS**0.5
        print(
            f"{name:26} {oof.mean():10.4f} {fresh.mean():8.4f} "
            f"{difference.mean():+10.4f} ± {error:.4f} {difference.mean() / error:+10.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
