"""Is `oof_score_` unbiased? It is compared with the score on fresh samples, on data whose best
possible score is known: accuracy for classes, R² for numbers.

    python benchmarks/oof_bias.py

There are twenty draws of each problem.  The difference is reported with its standard error, and in
units of it.  There are two possible causes of a bias: held-out folds also determine the stopping
point, which makes the score too high; and the score is that of a single fold's network, while the
model averages all networks, which is better.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier, ODENetRegressor
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
    """Classes that do not depend on the features, in equal shares: the Bayes accuracy is ½."""
    rng = np.random.default_rng(random_state)
    return rng.normal(size=(n_samples, 8)), rng.permutation(np.arange(n_samples) % 2)


def make_unrelated(n_samples, random_state):
    """A target that does not depend on the features: the best R² is 0."""
    rng = np.random.default_rng(random_state)
    return rng.normal(size=(n_samples, 8)), rng.normal(size=n_samples)


def make_sum(n_samples, random_state):
    """A linear target with equal variances of signal and noise: the best R² is ½."""
    X, noise = make_unrelated(n_samples, random_state)
    return X, X.sum(axis=1) / 8**0.5 + noise


PROBLEMS = {
    "gaussians, Bayes 0.841": (ODENetClassifier, make_gaussians, 300),
    "donut2d, Bayes 0.931": (ODENetClassifier, make_donut2d, 400),
    "squares, Bayes 0.894": (ODENetClassifier, make_squares, 400),
    "noise, Bayes 0.5": (ODENetClassifier, make_noise, 400),
    "noise, 120 samples": (ODENetClassifier, make_noise, 120),
    "noise, 40 samples": (ODENetClassifier, make_noise, 40),
    "R², sum, best 0.5": (ODENetRegressor, make_sum, 300),
    "R², noise, 400 samples": (ODENetRegressor, make_unrelated, 400),
    "R², noise, 120 samples": (ODENetRegressor, make_unrelated, 120),
    "R², noise, 40 samples": (ODENetRegressor, make_unrelated, 40),
}


def main():
    print(f"{'':26} {'oof_score_':>10} {'fresh':>8} {'difference':>20} {'in errors':>10}")
    for name, (cls, make, m) in PROBLEMS.items():
        pairs = []
        for seed in range(REPETITIONS):
            X, y = make(m, random_state=seed)
            X_test, y_test = make(FRESH, random_state=1000 + seed)
            scaler = StandardScaler().fit(X)
            with warnings.catch_warnings():  # nothing can be learned from noise
                warnings.simplefilter("ignore", ConvergenceWarning)
                model = cls(random_state=seed).fit(scaler.transform(X), y)
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
