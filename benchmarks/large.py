"""Many samples: default fits and scikit-learn's estimators on make_classification, 100 000 × 20,
five classes.

    python benchmarks/large.py [--samples 100000] [--repeats 3]

Accuracy and log-loss are measured on 50 000 fresh samples.  The models take turns, for each seed,
with one BLAS thread; means over the seeds and the iterations of each model are reported.
"""

import argparse

import numpy as np
from comparison import measure_fresh
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from skode import FeedForwardClassifier, ODENetClassifier

FRESH = 50_000


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    X, y = make_classification(
        args.samples + FRESH,
        20,
        n_informative=10,
        n_classes=5,
        n_clusters_per_class=2,
        random_state=0,
    )
    X, X_test, y, y_test = train_test_split(X, y, test_size=FRESH, random_state=0)
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    models = {
        "ODENet": ODENetClassifier(),
        "FeedForward": FeedForwardClassifier(),
        "MLP": MLPClassifier(),
        "MLP, max_iter=500": MLPClassifier(max_iter=500),
        "HistGB": HistGradientBoostingClassifier(),
    }
    found = {name: [] for name in models}
    for seed in range(args.repeats):
        for name, model in models.items():
            model = clone(model).set_params(random_state=seed)
            found[name].append(measure_fresh(model, X, y, X_test, y_test))
    print(f"{args.samples} samples{'':12} {'accuracy':>9} {'log-loss':>9} {'fit/s':>7}  iterations")
    for name, results in found.items():
        accuracy, loss, seconds, _ = np.mean(results, axis=0)
        counts = ", ".join(str(n_iter) for *_, n_iter in results)
        print(f"{name:24} {accuracy:9.4f} {loss:9.4f} {seconds:7.1f}  {counts}")


if __name__ == "__main__":
    main()
