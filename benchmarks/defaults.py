"""What decided the defaults: one change at a time, on a folder of data sets, with repeated splits.

    python benchmarks/defaults.py --data FOLDER [--repeats 2] [--only NAME ...]

Every line is the mean over the sets of accuracy, log-loss and fit time, and what the change makes
of the accuracy and the log-loss of the defaults, with the standard error over the sets: differences
below two of them decide nothing.  Folds run side by side, so that times are only roughly
comparable.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from tabular import loaders
from threadpoolctl import threadpool_limits

from skode import FeedForwardClassifier, ODENetClassifier, _estimator, _folds


def candidates(*numbers):
    """These candidates for the penalty, whatever the number of samples."""
    return {"ALPHAS": ((np.inf, numbers),)}


CHANGES = {
    "defaults": {},
    "N=2, h=0.75": {"N": 2, "h": 0.75},
    "N=5, h=0.3": {"N": 5, "h": 0.3},
    "h=0.25": {"h": 0.25},
    "h=1": {"h": 1.0},
    "heun": {"scheme": "heun"},
    "learn_step=True": {"learn_step": True},
    "learn_step=simplex": {"learn_step": "simplex"},
    "n_channels=16": {"n_channels": 16},
    "n_channels=40": {"n_channels": 40},
    "tol=1e-5": {"tol": 1e-5},
    "lift=pad": {"lift": "pad"},
    "lift=linear": {"lift": "linear"},
    "softplus": {"activation": "softplus"},
    "relu": {"activation": "relu"},
    "alphas not scaled by the samples": {"alpha": (1e-4, 1e-3, 3e-3, 1e-2)},
    "four alphas for all": candidates(0.1, 0.5, 2.0, 8.0),
    "three alphas": candidates(0.3, 1.5, 8.0),
    "two alphas": candidates(0.5, 4.0),
    "alphas 0.03 to 3": candidates(0.03, 0.15, 0.6, 3.0),
    "alphas 0.3 to 30": candidates(0.3, 1.5, 6.0, 30.0),
    "smoothness=1e-3": {"smoothness": 1e-3},
    "smoothness=1e-2": {"smoothness": 1e-2},
    "n_restarts=2": {"n_restarts": 2},
    "5 folds": {"cv": 5},
    "10 folds": {"FOLDS": 10},
    "adam": {"solver": "adam"},
    "adam+lbfgs": {"solver": "adam+lbfgs"},
    "n_iter_no_change=10": {"n_iter_no_change": 10},
    "n_iter_no_change=30": {"n_iter_no_change": 30},
    "tol=1e-3": {"tol": 1e-3},
    "start 1": {"START": 1.0},
    "start 1, h=1": {"START": 1.0, "h": 1.0},
    "start 2, h=1": {"START": 2.0, "h": 1.0},
    "start 0.25": {"START": 0.25},
    "no folds": {"cv": None},
}

CONSTANTS = {"START": _estimator, "ALPHAS": _estimator, "FOLDS": _folds}  # which are no parameters


def score(X, y, prepare, change, cls, seed, fold):
    """Accuracy, log-loss and fit time of one fold."""
    train, test = list(StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y))[fold]
    parameters = {name: value for name, value in change.items() if name not in CONSTANTS}
    model = make_pipeline(prepare, cls(random_state=seed, **parameters))
    normal = {name: getattr(module, name) for name, module in CONSTANTS.items()}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name in CONSTANTS.keys() & change.keys():
            setattr(CONSTANTS[name], name, change[name])
        began = time.perf_counter()
        model.fit(X[train], y[train])
        seconds = time.perf_counter() - began
        for name, value in normal.items():
            setattr(CONSTANTS[name], name, value)
    proba = model.predict_proba(X[test])
    classes = model.classes_
    return (
        accuracy_score(y[test], classes[proba.argmax(1)]),
        log_loss(y[test], proba, labels=classes),
        seconds,
    )


def measure(sets, change, cls, repeats, jobs):
    """Means over folds and repeats, (sets, 3): accuracy, log-loss, fit time."""
    calls = [
        joblib.delayed(score)(data.X, data.y, data.prepare, change, cls, seed, fold)
        for data in sets.values()
        for seed in range(repeats)
        for fold in range(5)
    ]
    scores = np.array(joblib.Parallel(jobs)(calls))
    return scores.reshape(len(sets), -1, 3).mean(axis=1)


def report(name, scores, reference):
    accuracy, loss, seconds = scores.mean(axis=0)
    gains = [f"{name:32} {100 * accuracy:7.2f} {loss:8.4f} {seconds:7.2f}"]
    for column, unit, digits in ((0, 1e-2, 2), (1, 1.0, 4)):
        gain = (scores - reference)[:, column] / unit
        error = gain.std(ddof=1) / len(gain) ** 0.5
        gains.append(f"{gain.mean():+8.{digits}f} ± {error:.{digits}f}")
    print("  ".join(gains), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder of CSV files")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=CHANGES, default=list(CHANGES))
    parser.add_argument("--feed-forward", action="store_true", help="of FeedForwardClassifier")
    parser.add_argument("--json", help="write the results to this file")
    args = parser.parse_args()
    sets = {name: load() for name, load in loaders(Path(args.data)).items()}
    cls = FeedForwardClassifier if args.feed_forward else ODENetClassifier
    print(f"{'':32} {'acc./%':>7} {'log-loss':>8} {'fit/s':>7}  accuracy gained   log-loss added")
    found = {}
    for name in dict.fromkeys(["defaults", *args.only]):
        found[name] = measure(sets, CHANGES[name], cls, args.repeats, args.jobs)
        report(name, found[name], found["defaults"])
        if args.json:
            table = {key: scores.tolist() for key, scores in found.items()}
            Path(args.json).write_text(json.dumps({"sets": list(sets), "scores": table}))


if __name__ == "__main__":
    main()
