"""The classifiers and those of scikit-learn on tables: accuracy, log-loss, Brier score and time.

    python benchmarks/tabular.py [--data FOLDER] [--sets iris wine] [--json FILE]

Every *.csv of FOLDER is a data set: a header, the classes in the last column, `target`; columns
that are not numbers are categories.  Without FOLDER, the sets are those of scikit-learn.  Every
model has its default parameters, except for max_iter=500 of MLPClassifier, and one thread.  If
pytabkit is installed, --models may name its RealMLP_TD and TabM_D.
"""

import csv
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from comparison import DataSet, Metric, argument_parser, compare, parse
from sklearn import datasets
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from skode import FeedForwardClassifier, ODENetClassifier

MODELS = {
    "ODENet": ODENetClassifier,
    "FeedForward": FeedForwardClassifier,
    "MLP": partial(MLPClassifier, max_iter=500),
    "SVC": SVC,
    "HistGB": HistGradientBoostingClassifier,
    "ExtraTrees": ExtraTreesClassifier,
    "Logistic": LogisticRegression,
}
PYTABKIT = {"RealMLP": "RealMLP_TD", "TabM": "TabM_D"}  # these take minutes per data set
# The halves of the development sets: choices are made on A and checked on B.
HALVES = {
    "A": [
        "australian",
        "banana",
        "vehicle",
        "led7digit",
        "mammographic",
        "sonar",
        "optdigits",
        "splice",
        "oj",
        "marketing",
        "movement_libras",
        "stackoverflow",
        "ring",
        "caravan",
        "hayes-roth",
        "wisconsin",
    ],
    "B": [
        "bupa",
        "phoneme",
        "vowel",
        "contraceptive",
        "german",
        "pima",
        "heart",
        "segment",
        "ionosphere",
        "satimage",
        "tic-tac-toe",
        "penbased",
        "lending_club",
        "spambase",
        "bands",
    ],
}
METRICS = [
    Metric("accuracy", "accuracy/%", 1e-2, 2),
    Metric("log_loss", "log-loss", digits=4),
    Metric("brier", "Brier", digits=4),
]


def numbers_or_categories(column):
    try:
        return np.array(column, dtype=float)
    except ValueError:
        return np.array(column, dtype=object)


def data_set(columns, y):
    """Standardise numbers and encode categories one-hot, in each fold."""
    kinds = {"numbers": [], "categories": []}
    for j, column in enumerate(columns):
        kinds["categories" if column.dtype == object else "numbers"].append(j)
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    prepare = ColumnTransformer(
        [("numbers", StandardScaler(), kinds["numbers"]), ("one_hot", one_hot, kinds["categories"])]
    )
    about = (
        f"{len(y)} samples, {len(kinds['numbers'])} numbers, {len(kinds['categories'])} categories,"
        f" {len(np.unique(y))} classes"
    )
    return DataSet(np.column_stack(columns), y, prepare, about)


def read(path):
    with path.open(newline="") as file:
        header, *rows = filter(None, csv.reader(file))
    if header[-1] != "target":
        raise ValueError(f"{path}: the last column is {header[-1]!r} and should be 'target'")
    *columns, target = zip(*rows, strict=True)
    return data_set([numbers_or_categories(column) for column in columns], np.array(target))


def bundled(load):
    X, y = load(return_X_y=True)
    return data_set(list(X.T), y)


def loaders(folder):
    """Return functions that load the data sets, by name."""
    if folder is None:
        names = ("iris", "wine", "breast_cancer", "digits")
        return {name: partial(bundled, getattr(datasets, f"load_{name}")) for name in names}
    return {path.stem: partial(read, path) for path in sorted(folder.glob("*.csv"))}


def score(model, data, test, predicted):
    """Return accuracy, log-loss and the Brier score, the mean of Σₖ (pₖ - [y = k])²."""
    scores = {"accuracy": accuracy_score(data.y[test], predicted), "log_loss": None, "brier": None}
    if hasattr(model, "predict_proba"):
        # A class with few members may be missing in the training folds: its probability is zero,
        # which log_loss replaces by the smallest positive number.
        classes = np.unique(data.y)
        P = np.zeros((len(test), len(classes)))
        P[:, np.searchsorted(classes, model.classes_)] = model.predict_proba(data.X[test])
        P /= P.sum(axis=1, keepdims=True)  # some models round in single precision
        scores["log_loss"] = log_loss(data.y[test], P, labels=classes)
        scores["brier"] = ((P - (data.y[test][:, None] == classes)) ** 2).sum(axis=1).mean()
    return scores


def pytabkit_models(task):
    """Return the networks of pytabkit on the CPU, if installed; `task` ends the class name."""
    if find_spec("pytabkit") is None:
        return {}
    import pytabkit

    classes = {name: getattr(pytabkit, f"{kind}_{task}") for name, kind in PYTABKIT.items()}
    return {
        name: partial(cls, device="cpu", n_threads=1, verbosity=0) for name, cls in classes.items()
    }


def main():
    others = pytabkit_models("Classifier")
    parser = argument_parser(__doc__, MODELS, others)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="a folder of CSV files")
    args = parse(parser)
    sets = loaders(args.data)
    if not sets:
        parser.error(f"no *.csv in {args.data}")
    compare(args, sets, MODELS | others, StratifiedKFold, score, METRICS, HALVES)


if __name__ == "__main__":
    main()
