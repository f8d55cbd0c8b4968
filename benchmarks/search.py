"""A grid search in batches, and scikit-learn's, over the same estimator.

Usage: python benchmarks/search.py [--channels 8] [--part 1] [--rounds 1] [--device cuda]

The grid has 4 values of h, 6 of alpha, 3 of N and 2 of learn_step, on five folds: 720 fits.  The
data are breast cancer, and 5000 samples of 20 features.  `skode.model_selection.GridSearchCV` is
timed in turns with scikit-learn's class, both with ``n_jobs=2`` and worker processes that have
started, and the largest difference of their scores is printed.  With `--device cuda`, the batches
are on the GPU, in one process, and scikit-learn's fits on the CPU; then results are equal up to
rounding errors only.  For comparison, scikit-learn's own time for each fit is printed, that of a
`DummyClassifier` in such a search in one process.

`--part 0.5` takes the first half of the values of each parameter.
"""

import argparse
import statistics
import time
import warnings

import numpy as np
from sklearn import model_selection
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier
from skode.model_selection import GridSearchCV

GRID = {
    "h": [0.1, 0.25, 0.5, 1.0],
    "alpha": [1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
    "N": [3, 5, 10],
    "learn_step": [False, True],
}


def data():
    """The data sets by name."""
    yield "breast cancer", load_breast_cancer(return_X_y=True)
    yield "5000 × 20", make_classification(5000, 20, n_informative=10, random_state=0)


def searched(cls, device, channels, part, X, y, **options):
    """Return the search and its seconds."""
    network = ODENetClassifier(cv=None, n_channels=channels, device=device, random_state=0)
    grid = {name: values[: max(1, round(len(values) * part))] for name, values in GRID.items()}
    grid = {f"odenetclassifier__{name}": values for name, values in grid.items()}
    pipeline = make_pipeline(StandardScaler(), network)
    search = cls(pipeline, grid, scoring="neg_log_loss", cv=5, refit=False, **options)
    start = time.perf_counter()
    search.fit(X, y)
    return search, time.perf_counter() - start


def own_seconds(X, y, n_candidates=48):
    """Return the seconds of a fit that does nothing, with a scaler, its scores and copies."""
    pipeline = make_pipeline(StandardScaler(), DummyClassifier(strategy="prior"))
    grid = {"dummyclassifier__random_state": range(n_candidates)}
    search = model_selection.GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=5, refit=False)
    start = time.perf_counter()
    search.fit(X, y)
    return (time.perf_counter() - start) / (5 * n_candidates)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--part", type=float, default=1.0, help="of the values of each parameter")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", choices=["cuda"])
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    shape = args.channels, args.part
    for name, (X, y) in data():
        ways = {
            "batches": (GridSearchCV, args.device, {"n_jobs": None if args.device else 2}),
            "scikit-learn": (model_selection.GridSearchCV, None, {"n_jobs": 2}),
        }
        for cls, device, options in ways.values():  # compiles, and starts the processes
            searched(cls, device, args.channels, 0.01, X, y, **options)
        seconds, found = {way: [] for way in ways}, {}
        for _ in range(args.rounds):
            for way, (cls, device, options) in ways.items():
                found[way], taken = searched(cls, device, *shape, X, y, **options)
                seconds[way].append(taken)
        one, other = (search.cv_results_ for search in found.values())
        error = np.abs(one["mean_test_score"] - other["mean_test_score"]).max()
        same = np.array_equal(one["rank_test_score"], other["rank_test_score"])
        batches, alone = (statistics.median(times) for times in seconds.values())
        print(
            f"{name}, {args.channels} channels, {5 * len(one['params'])} fits: "
            f"batches {batches:.1f} s, scikit-learn {alone:.1f} s, ratio {alone / batches:.1f}; "
            f"largest difference of scores {error:.1e}, same ranking: {same}; "
            f"scikit-learn's own {1e3 * own_seconds(X, y):.1f} ms per fit",
            flush=True,
        )


if __name__ == "__main__":
    main()
