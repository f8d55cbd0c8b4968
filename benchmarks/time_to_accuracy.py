"""Time to reach a test accuracy: skode, MLPClassifier, skorch and a PyTorch loop.

    pip install -e '.[bench]'
    python benchmarks/time_to_accuracy.py [--json FILE] [--repeats 3]

There are two problems of scikit-learn's generator.  Each model is trained with its defaults for an
increasing number of epochs or iterations, from 1 to 256, or to 64 if there are many samples.  The
table has the seconds of the shortest fit that reaches a given accuracy on fresh samples, as medians
over the seeds.  skorch and the loop train the network of MLPClassifier, 100 hidden units, with Adam
in batches of 200.  The last part is a grid search of 8 candidates × 5 folds on breast cancer, with
two jobs.
"""

import statistics
import time
import warnings
from importlib.util import find_spec

import numpy as np
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from timing import Report, argument_parser

from skode import FeedForwardClassifier, ODENetClassifier

LENGTHS = [2**k for k in range(9)]
MANY = 50_000  # samples; with at least this many, the longest fit is four times shorter
TARGETS = (0.90, 0.92, 0.94, 0.95)
FRESH = 20_000


class Loop:
    """A plain PyTorch loop."""

    def __init__(self, epochs, seed):
        self.epochs, self.seed = epochs, seed

    def fit(self, X, y):
        import torch

        torch.manual_seed(self.seed)
        X, y = torch.from_numpy(X), torch.from_numpy(y)
        self.net = network(X.shape[1], int(y.max()) + 1)
        optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3)
        loss = torch.nn.CrossEntropyLoss()
        for _ in range(self.epochs):
            for rows in torch.randperm(len(X)).split(200):
                optimizer.zero_grad()
                loss(self.net(X[rows]), y[rows]).backward()
                optimizer.step()
        return self

    def score(self, X, y):
        import torch

        with torch.no_grad():
            return float((self.net(torch.from_numpy(X)).argmax(1).numpy() == y).mean())


def network(n_features, n_classes):
    from torch import nn

    return nn.Sequential(nn.Linear(n_features, 100), nn.ReLU(), nn.Linear(100, n_classes))


def skorch(epochs, seed, n_features, n_classes):
    import torch
    from skorch import NeuralNetClassifier

    torch.manual_seed(seed)
    return NeuralNetClassifier(
        network(n_features, n_classes),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=200,
        max_epochs=epochs,
        train_split=None,
        verbose=0,
    )


def makers(n_features, n_classes):
    """Return functions, by name, that create a model for a length and a seed."""
    found = {
        "ODENet": lambda k, seed: ODENetClassifier(max_iter=k, random_state=seed),
        "FeedForward": lambda k, seed: FeedForwardClassifier(max_iter=k, random_state=seed),
        "MLP": lambda k, seed: MLPClassifier(max_iter=k, random_state=seed),
    }
    if find_spec("skorch") is None or find_spec("torch") is None:
        print("without skorch and the PyTorch loop: they are not installed")
    else:
        found["skorch"] = lambda k, seed: skorch(k, seed, n_features, n_classes)
        found["PyTorch loop"] = Loop
    return found


def measure(report, n_samples, n_classes, repeats):
    lengths = [k for k in LENGTHS if n_samples < MANY or 4 * k <= LENGTHS[-1]]
    X, y = make_classification(
        n_samples + FRESH,
        20,
        n_informative=10,
        n_classes=n_classes,
        n_clusters_per_class=2,
        random_state=0,
    )
    X, X_test, y, y_test = train_test_split(X, y, test_size=FRESH, random_state=0)
    scaler = StandardScaler().fit(X)
    X, X_test = (scaler.transform(part).astype(np.float32) for part in (X, X_test))
    models = makers(X.shape[1], n_classes)
    reached = {(name, target): [] for name in models for target in TARGETS}
    best = dict.fromkeys(models, 0.0)
    for seed in range(repeats):
        for length in lengths:
            for name, make in models.items():  # in turns
                if all(len(reached[name, target]) > seed for target in TARGETS):
                    continue
                model = make(length, seed)
                start = time.perf_counter()
                model.fit(X, y)
                seconds = time.perf_counter() - start
                accuracy = model.score(X_test, y_test)
                best[name] = max(best[name], accuracy)
                for target in TARGETS:
                    if accuracy >= target and len(reached[name, target]) == seed:
                        reached[name, target].append(seconds)
        for times in reached.values():
            if len(times) == seed:
                times.append(np.inf)
    print(
        f"\n{n_samples} × 20, {n_classes} classes: seconds to"
        + "".join(f"{t:9.2f}" for t in TARGETS)
    )
    for name in models:
        times = [statistics.median(reached[name, target]) for target in TARGETS]
        shown = "".join(f"{'–' if t == np.inf else f'{t:.2f}':>9}" for t in times)
        line = f"{name:<36}{shown}   best {best[name]:.3f}"
        report.add(
            line, samples=n_samples, model=name, seconds=[t if t < np.inf else None for t in times]
        )


def grid_search(report, repeats):
    """Search 8 candidates × 5 folds with two jobs, over width and penalty."""
    X, y = load_breast_cancer(return_X_y=True)
    searches = {
        "ODENet": (
            ODENetClassifier(random_state=0, cv=None),
            {"odenetclassifier__N": [1, 3], "odenetclassifier__alpha": [1e-3, 3e-3, 1e-2, 3e-2]},
        ),
        "ODENet, default cv": (
            ODENetClassifier(random_state=0),
            {"odenetclassifier__N": [1, 2, 3, 5], "odenetclassifier__h": [0.25, 0.5]},
        ),
        "MLP": (
            MLPClassifier(random_state=0, max_iter=500),
            {
                "mlpclassifier__hidden_layer_sizes": [(50,), (100,)],
                "mlpclassifier__alpha": [1e-4, 1e-3, 1e-2, 1e-1],
            },
        ),
    }
    times, scores = {name: [] for name in searches}, {}
    for _ in range(repeats):
        for name, (model, grid) in searches.items():
            search = GridSearchCV(make_pipeline(StandardScaler(), model), grid, cv=5, n_jobs=2)
            start = time.perf_counter()
            search.fit(X, y)
            times[name].append(time.perf_counter() - start)
            scores[name] = search.best_score_
    print("\nbreast cancer, 8 candidates × 5 folds, two at a time: seconds, accuracy of the best")
    for name in searches:
        seconds = statistics.median(times[name])
        report.add(
            f"{name:<36}{seconds:9.2f}{scores[name]:9.4f}",
            grid_search=name,
            seconds=seconds,
            accuracy=scores[name],
        )


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    report = Report(args.json)
    warnings.simplefilter("ignore", ConvergenceWarning)
    grid_search(report, args.repeats)
    measure(report, 2000, 2, args.repeats)
    measure(report, MANY, 5, args.repeats)


if __name__ == "__main__":
    main()
