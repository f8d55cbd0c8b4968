"""Many more features than samples: time, memory and accuracy of default fits.

    python benchmarks/wide.py

Every case is fitted in a separate process to measure its peak memory; the base is the memory of the
process before the fit.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
import warnings

import numpy as np
from scipy.sparse import csr_array
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfTransformer

from skode import ODENetClassifier

N_NEW = 1000  # fresh samples for the accuracy
WORDS, LENGTH = 50_000, 130  # of texts


def table(n_samples, n_features):
    """Samples with twenty informative features."""
    X, y = make_classification(
        n_samples + N_NEW,
        n_features,
        n_informative=20,
        n_redundant=0,
        n_clusters_per_class=1,
        class_sep=3.0,
        shuffle=False,
        random_state=0,
    )
    order = np.random.default_rng(0).permutation(len(X))
    return X[order], y[order]


def texts(n_samples):
    """Counts of words of two topics; a third of them belong to the topic; weighted by TF-IDF."""
    rng, m = np.random.default_rng(0), n_samples + N_NEW
    often = 1 / np.arange(1, WORDS + 1) ** 0.9
    topics = [often * np.exp(0.55 * rng.normal(size=WORDS)) for _ in range(2)]
    shares = [np.cumsum(topic / topic.sum()) for topic in (*topics, often)]
    y, of_topic = rng.integers(0, 2, m), int(0.35 * LENGTH)
    columns = [
        np.searchsorted(shares[which], rng.random(number))
        for label in y
        for which, number in ((label, of_topic), (2, LENGTH - of_topic))
    ]
    columns = np.minimum(np.concatenate(columns), WORDS - 1)
    rows = np.repeat(np.arange(m), LENGTH)
    counts = csr_array((np.ones(len(rows)), (rows, columns)), shape=(m, WORDS))
    return TfidfTransformer(sublinear_tf=True).fit_transform(counts), y


CASES = {
    "60 x 20 000": (lambda: table(60, 20_000), {}),
    "150 x 5, n_channels=200": (lambda: table(150, 40), {"n_channels": 200}),
    "2000 texts of 50 000 words, sparse": (lambda: texts(2000), {}),
}


def peak():
    """Return the peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def fit(name):
    """Fit one case, and print its results."""
    make, parameters = CASES[name]
    X, y = make()
    if "150" in name:
        X = X[:, :5]
    m = X.shape[0] - N_NEW
    base, start = peak(), time.perf_counter()
    model = ODENetClassifier(random_state=0, **parameters).fit(X[:m], y[:m])
    seconds, most = time.perf_counter() - start, peak()
    accuracy = np.mean(
        [model.score(X[k : k + 100], y[k : k + 100]) for k in range(m, m + N_NEW, 100)]
    )
    print(f"{name:36}{seconds:8.1f}{base:10.2f}{most:10.2f}{accuracy:10.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, help="this one alone, in this process")
    case = parser.parse_args().case
    if case is not None:
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit(case)
        return
    print(f"{'':36}{'fit, s':>8}{'base, GiB':>10}{'peak, GiB':>10}{'accuracy':>10}", flush=True)
    for name in CASES:
        subprocess.run([sys.executable, __file__, "--case", name], check=True)


if __name__ == "__main__":
    main()
