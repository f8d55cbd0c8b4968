"""Many samples: default fits beside MLPClassifier on make_classification, 100 000 × 20, five
classes.

    python benchmarks/large.py [--samples 100000]

Accuracy and log-loss are those of 50 000 fresh samples.  One BLAS thread for both.
"""

import argparse
import time
import warnings

from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skode import FeedForwardClassifier, ODENetClassifier

FRESH = 50_000


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    m = parser.parse_args().samples
    X, y = make_classification(
        m + FRESH, 20, n_informative=10, n_classes=5, n_clusters_per_class=2, random_state=0
    )
    X, X_test, y, y_test = train_test_split(X, y, test_size=FRESH, random_state=0)
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    models = {
        "ODENet": ODENetClassifier(random_state=0),
        "FeedForward": FeedForwardClassifier(random_state=0),
        "MLP": MLPClassifier(random_state=0),
        "MLP, max_iter=500": MLPClassifier(max_iter=500, random_state=0),
    }
    print(f"{m} samples{'':12} {'accuracy':>9} {'log-loss':>9} {'fit/s':>7} {'iterations':>11}")
    for name, model in models.items():
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = time.perf_counter()
            model.fit(X, y)
            seconds = time.perf_counter() - start
            proba = model.predict_proba(X_test)
        print(
            f"{name:24} {accuracy_score(y_test, proba.argmax(1)):9.4f} "
            f"{log_loss(y_test, proba):9.4f} {seconds:7.1f} {model.n_iter_!s:>11}",
            flush=True,
        )


if __name__ == "__main__":
    main()
