"""The experiments behind the defaults: one change at a time, on a folder of data sets.

    python benchmarks/defaults.py --data FOLDER [--sets SET ...] [--rows 1000] [--only NAME ...]

The splits are repeated.  Every line has the means of accuracy and log-loss over each half of the
sets, and of the fit time over all sets.  It also has the changes of accuracy and log-loss relative
to the defaults, with standard errors over the sets: differences below two of them are not
significant.  Folds run in parallel, so times are only roughly comparable.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
from comparison import chosen
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from tabular import HALVES, loaders
from threadpoolctl import threadpool_limits

from skode import (
    FeedForwardClassifier,
    ODENetClassifier,
    _averaging,
    _candidates,
    _estimator,
    _features,
    _folds,
)
from skode.engine.training import adam


def candidates(*numbers):
    """Return these candidates for the penalty, for any number of samples."""
    return {"ALPHAS": dict.fromkeys(_candidates.ALPHAS, ((np.inf, numbers),))}


FIRST_ROUND = {
    "N": 3,
    "n_channels": 24,
    "activation": "tanh",
    "features": "given",
    "solver": "lbfgs",
    "START": 0.5,
}

CHANGES = {
    "defaults": {},
    "lift=linear, tanh, N=3, 24 channels": {**FIRST_ROUND, "lift": "linear"},
    "tanh, N=3, 24 channels": FIRST_ROUND,
    "tanh": {"activation": "tanh"},
    "mixed": {"activation": "mixed"},
    "softplus": {"activation": "softplus"},
    "lift=linear": {"lift": "linear"},
    "N=1, h=1": {"N": 1, "h": 1.0},
    "N=3": {"N": 3},
    "h=1": {"h": 1.0},
    "heun": {"scheme": "heun"},
    "learn_step=True": {"learn_step": True},
    "n_channels=24": {"n_channels": 24},
    "n_channels=96": {"n_channels": 96},
    "start 0.5": {"START": 0.5},
    "start 2": {"START": 2.0},
    "features=given": {"features": "given"},
    "features=piecewise": {"features": "piecewise"},
    "five pieces": {"PIECES": 5},
    "pieces to the ends": {"OUTER": 0.0},
    "pieces within 5 to 95 %": {"OUTER": 0.05 * _features.PIECES},
    "lbfgs": {"solver": "lbfgs"},
    "adam above 300 samples": {"FEW": 300},
    "adam": {"solver": "adam"},
    "adam keeps its last iterate": {"FADING": 1e12},
    "10 epochs": {"EPOCHS": 10},
    "25 batches": {"BATCHES": 25},
    "learning_rate_init=0.02": {"learning_rate_init": 0.02},
    "n_iter_no_change=12": {"n_iter_no_change": 12},
    "5 folds": {"FOLDS": 5},
    "splits of 16 000 samples": {"SAMPLES": 16_000},
    "tol=1e-3": {"tol": 1e-3},
    "tol=1e-5": {"tol": 1e-5},
    "the best candidate alone": {"MOST": 1},
    "four candidates may count": {"MOST": 4},
    "one alpha per view": candidates(2.0),
    "two alphas per view": candidates(0.5, 4.0),
    "four alphas per view": candidates(0.1, 0.5, 2.0, 8.0),
    "n_restarts=2": {"n_restarts": 2},
    "adam+lbfgs": {"solver": "adam+lbfgs"},
}

# Names that are not parameters.
CONSTANTS = {
    "ALPHAS": _candidates,
    "BATCHES": _estimator,
    "EPOCHS": _estimator,
    "FADING": adam,
    "FEW": _estimator,
    "FOLDS": _folds,
    "MOST": _averaging,
    "OUTER": _features,
    "PIECES": _features,
    "SAMPLES": _folds,
    "START": _estimator,
}


def score(X, y, prepare, change, cls, seed, fold):
    """Return accuracy, log-loss and fit time of one fold."""
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
    """Return means over folds and repeats, (sets, 3): accuracy, log-loss, fit time."""
    calls = [
        joblib.delayed(score)(data.X, data.y, data.prepare, change, cls, seed, fold)
        for data in sets.values()
        for seed in range(repeats)
        for fold in range(5)
    ]
    scores = np.array(joblib.Parallel(jobs)(calls))
    return scores.reshape(len(sets), -1, 3).mean(axis=1)


def some_rows(data, number):
    """Return at most this many samples of a set, with classes in proportion."""
    if number is None or len(data.y) <= number:
        return data
    rows = np.arange(len(data.y))
    rows, _ = train_test_split(rows, train_size=number, random_state=0, stratify=data.y)
    return data._replace(X=data.X[rows], y=data.y[rows])


def report(name, names, scores, reference):
    gains = [f"{name:35}"]
    for half in HALVES.values():
        here = scores[np.isin(names, half)]
        accuracy, loss, _ = here.mean(axis=0) if len(here) else np.full(3, np.nan)
        gains.append(f"{100 * accuracy:6.2f} {loss:7.4f}")
    gains.append(f"{scores[:, 2].mean():6.2f}")
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
    parser.add_argument("--sets", nargs="+", metavar="SET", help="only these data sets")
    parser.add_argument("--rows", type=int, help="take at most so many of each set")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=CHANGES, default=list(CHANGES))
    parser.add_argument("--feed-forward", action="store_true", help="of FeedForwardClassifier")
    parser.add_argument("--json", help="write the results to this file")
    args = parser.parse_args()
    table = chosen(args.sets, loaders(Path(args.data)))
    sets = {name: some_rows(load(), args.rows) for name, load in table.items()}
    cls = FeedForwardClassifier if args.feed_forward else ODENetClassifier
    titles = "".join(f"  {'acc./%':>6} {'loss':>7}" for _ in HALVES)
    print(f"{'':35}{titles}  {'fit/s':>6}  accuracy gained   log-loss added")
    found = {}
    for name in dict.fromkeys(["defaults", *args.only]):
        found[name] = measure(sets, CHANGES[name], cls, args.repeats, args.jobs)
        report(name, list(sets), found[name], found["defaults"])
        if args.json:
            table = {key: scores.tolist() for key, scores in found.items()}
            Path(args.json).write_text(json.dumps({"sets": list(sets), "scores": table}))


if __name__ == "__main__":
    main()
