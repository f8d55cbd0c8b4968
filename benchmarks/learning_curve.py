"""Default fits of ODENetClassifier around 10 000 samples, where the defaults change.

    python benchmarks/learning_curve.py [--repeats 3]

Accuracy and log-loss are measured on 10 000 fresh samples.  Reported are means over the seeds,
which also determine the problem.
"""

import argparse

import numpy as np
from comparison import measure_fresh
from sklearn.datasets import make_classification
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier

SIZES = 5000, 9900, 10_100, 20_000
FRESH = 10_000
PROBLEMS = {
    "ten classes": {"n_features": 50, "n_informative": 20, "n_classes": 10},
    "two classes": {"n_features": 20, "n_informative": 10, "n_clusters_per_class": 4},
    "five classes": {"n_features": 30, "n_informative": 15, "n_classes": 5},
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print(f"{'':14}{'samples':>8}{'accuracy':>10}{'log-loss':>10}{'fit/s':>8}")
    for name, parameters in PROBLEMS.items():
        for size in SIZES:
            found = []
            for seed in range(args.repeats):
                X, y = make_classification(FRESH + max(SIZES), random_state=seed, **parameters)
                X = StandardScaler().fit_transform(X)
                train = slice(FRESH, FRESH + size)
                model = ODENetClassifier(random_state=seed)
                found.append(measure_fresh(model, X[train], y[train], X[:FRESH], y[:FRESH]))
            accuracy, loss, seconds, _ = np.mean(found, axis=0)
            print(f"{name:14}{size:8}{accuracy:10.4f}{loss:10.4f}{seconds:8.1f}", flush=True)


if __name__ == "__main__":
    main()
