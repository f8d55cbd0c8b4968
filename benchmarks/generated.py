"""Default fits and MLPClassifier on generated problems of some thousand samples.

    python benchmarks/generated.py [--samples 6000]

The problems are Breiman's twonorm, ringnorm and waveform, and four problems of make_classification.
The defaults were chosen on real tables, most of them smaller, and hardly on such data.  Accuracy
and log-loss are measured on 20 000 fresh samples.  One BLAS thread.

Reference: Breiman, "Bias, variance, and arcing classifiers" (technical report 460, University of
California, Berkeley, 1996), appendix.
"""

import argparse

import numpy as np
from comparison import measure_fresh
from sklearn.datasets import make_classification
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardClassifier, ODENetClassifier

FRESH = 20_000


def twonorm(m):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, m)
    centre = np.where(y == 1, 1, -1) * 2 / 20**0.5
    return rng.normal(size=(m, 20)) + centre[:, None], y


def ringnorm(m):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, m)
    z = rng.normal(size=(m, 20))
    return np.where(y[:, None] == 1, 2 * z, z + 1 / 20**0.5), y


def waveform(m):
    rng = np.random.default_rng(0)
    hills = np.maximum(6 - np.abs(np.arange(1, 22) - np.array([[11], [15], [7]])), 0)
    y = rng.integers(0, 3, m)
    share = rng.uniform(size=(m, 1))
    one, other = hills[np.array([0, 0, 1])[y]], hills[np.array([1, 2, 2])[y]]
    return share * one + (1 - share) * other + rng.normal(size=(m, 21)), y


def clusters(n_features, **options):
    return lambda m: make_classification(m, n_features, random_state=0, **options)


PROBLEMS = {
    "twonorm": twonorm,
    "ringnorm": ringnorm,
    "waveform": waveform,
    "five classes": clusters(20, n_informative=10, n_classes=5, n_clusters_per_class=2),
    "ten classes": clusters(
        30, n_informative=12, n_classes=10, n_clusters_per_class=1, class_sep=1.5
    ),
    "noisy": clusters(10, n_informative=6, n_clusters_per_class=4, flip_y=0.2),
    "imbalanced": clusters(15, n_informative=8, n_classes=3, weights=[0.85, 0.1, 0.05]),
}
MODELS = {
    "ODENet": ODENetClassifier(random_state=0),
    "FeedForward": FeedForwardClassifier(random_state=0),
    "MLP": MLPClassifier(max_iter=500, random_state=0),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=6000)
    m = parser.parse_args().samples
    print(f"{f'{m} samples':14} {'':12} {'accuracy':>9} {'log-loss':>9} {'fit/s':>7}")
    for problem, make in PROBLEMS.items():
        X, y = make(m + FRESH)
        X = StandardScaler().fit(X[:m]).transform(X)
        for name, model in MODELS.items():
            accuracy, loss, seconds, _ = measure_fresh(model, X[:m], y[:m], X[m:], y[m:])
            print(f"{problem:14} {name:12} {accuracy:9.4f} {loss:9.4f} {seconds:7.1f}", flush=True)


if __name__ == "__main__":
    main()
