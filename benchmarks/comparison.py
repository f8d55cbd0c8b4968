"""Code shared by the comparisons of estimators: cross-validation, timing, tables and JSON.

Used by tabular.py, regression.py, generated.py and large.py; not run directly.
"""

import argparse
import ast
import json
import os
import platform
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import sklearn
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

import skode

FOLDS = 5
NETWORK = "ODENet"  # its name in the tables, in which the others are compared with it


class DataSet(NamedTuple):
    """Samples, targets, the transformer before every model, and a description of the set."""

    X: np.ndarray
    y: np.ndarray
    prepare: Any
    about: str


class Metric(NamedTuple):
    """A key of the results, and its format."""

    key: str
    title: str
    unit: float = 1.0  # the size of one printed unit
    digits: int = 3


FIT_TIME = Metric("fit_seconds", "fit/s")
PREDICT_TIME = Metric("predict_seconds", "predict/ms", 1e-3, 2)


def parameters(text):
    """Parse "N=3,h=0.5" to {"N": 3, "h": 0.5}; values may contain commas."""
    try:
        call = ast.parse(f"dict({text})", mode="eval").body
    except SyntaxError as error:
        raise ValueError(text) from error
    if not isinstance(call, ast.Call) or call.args:
        raise ValueError(text)
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}


def argument_parser(doc, models, others=()):
    """The options of all comparisons; `others` are models that only take part if they are named."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    choices = [*models, *others]
    add("--models", nargs="+", choices=choices, default=list(models), help="only these models")
    add("--sets", nargs="+", metavar="SET", help="only these data sets")
    add("--repeats", type=int, default=1, metavar="R", help="cross-validations, of seeds 0..R-1")
    add(
        "--set-params",
        type=parameters,
        default={},
        metavar="N=3,h=0.5",
        help="parameters of the ODE network; strings in quotes",
    )
    add(
        "--jobs",
        type=int,
        default=1,
        help="folds at a time; times mean little unless it is 1, as folds compete for the machine",
    )
    add("--json", metavar="FILE", help="write all results to FILE, after every data set")
    return parser


def parse(parser, argv=None):
    args = parser.parse_args(argv)
    if args.set_params and NETWORK not in args.models:
        parser.error(f"--set-params is for {NETWORK}, which --models leaves out")
    if args.repeats < 1:
        parser.error("--repeats must be at least 1")
    return args


def chosen(names, table):
    """Return the entries of the table with these names; all for None."""
    unknown = sorted(set(names or ()) - set(table))
    if unknown:
        sys.exit(f"no data set {', '.join(unknown)}; there are {', '.join(table)}")
    return {name: table[name] for name in names or table}


def measure_fold(models, data, fold, seed, score):
    """Fit all models on one fold, directly one after the other, under similar conditions.

    `fold` is (number, training indices, test indices).
    """
    number, train, test = fold
    results = []
    # Here and not around all folds, since joblib may run this in another process.
    with warnings.catch_warnings(), threadpool_limits(limits=1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name, model in models.items():
            model = clone(model)
            if "random_state" in model.get_params():
                model.set_params(random_state=seed)
            model = make_pipeline(clone(data.prepare), model)
            start = time.perf_counter()
            model.fit(data.X[train], data.y[train])
            fitted = time.perf_counter()
            predicted = model.predict(data.X[test])
            end = time.perf_counter()
            results.append(
                {
                    "model": name,
                    "seed": seed,
                    "fold": number,
                    **score(model, data, test, predicted),
                    "fit_seconds": fitted - start,
                    "predict_seconds": end - fitted,
                }
            )
    return results


class Measured(NamedTuple):
    """The results of a classifier on fresh samples, and the cost of its fit."""

    accuracy: float
    log_loss: float
    fit_seconds: float
    n_iter: int


def measure_fresh(model, X, y, X_test, y_test):
    """Fit a classifier of the classes 0, 1, …, with one BLAS thread, and score it."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - start
        proba = model.predict_proba(X_test)
    accuracy = accuracy_score(y_test, proba.argmax(1))
    return Measured(accuracy, log_loss(y_test, proba), seconds, int(np.max(model.n_iter_)))


def measure_set(models, data, splitter, score, repeats, jobs):
    """Return the results of all models, seeds and folds on one data set."""
    tasks = []
    for seed in range(repeats):
        splits = splitter(FOLDS, shuffle=True, random_state=seed).split(data.X, data.y)
        tasks += [
            joblib.delayed(measure_fold)(models, data, (number, *split), seed, score)
            for number, split in enumerate(splits)
        ]
    folds = joblib.Parallel(n_jobs=jobs)(tasks)
    return [result for fold in folds for result in fold]


def means(results, sets, models, metric):
    """Return means over seeds and folds, (sets, models); NaN if a model has no such value."""
    values = {(name, model): [] for name in sets for model in models}
    for result in results:
        value = result[metric.key]
        values[result["set"], result["model"]].append(np.nan if value is None else value)
    table = [[np.mean(values[name, model]) for model in models] for name in sets]
    return np.array(table) / metric.unit


def shown(value, width, digits, sign=""):
    return f"{'–' if np.isnan(value) else f'{value:{sign}z.{digits}f}':>{width}}"


def print_sets(table, sets, models, metric):
    """Print one row per data set, one column per model."""
    print(f"\n{metric.title:<16}" + "".join(f"{model:>13}" for model in models))
    for name, row in zip(sets, table, strict=True):
        print(f"{name:<16}" + "".join(shown(value, 13, metric.digits) for value in row))


def summary(tables, models, metrics):
    """Return for each model: means over the sets, mean rank, and difference in the first metric.

    The difference is that to the network, or to the first model, with its standard error over the
    sets.
    """
    best = tables[0]
    n_sets = len(best)
    # Rounded, so that means that only differ by rounding have the same rank.
    ranks = rankdata(-best.round(10), axis=1).mean(axis=0)
    reference = models.index(NETWORK) if NETWORK in models else 0
    difference = best - best[:, [reference]]
    error = np.full(len(models), np.nan)
    if n_sets > 1:
        error = difference.std(axis=0, ddof=1) / n_sets**0.5
    return {
        model: {
            **{m.key: t[:, j].mean() * m.unit for t, m in zip(tables, metrics, strict=True)},
            "rank": ranks[j],
            "difference": difference[:, j].mean() * metrics[0].unit,
            "standard_error": error[j] * metrics[0].unit,
            "difference_to": models[reference],
        }
        for j, model in enumerate(models)
    }


def print_summary(rows, n_sets, metrics):
    """Print one row per model."""
    first = metrics[0]
    reference = next(iter(rows.values()))["difference_to"]
    print(f"\nmeans over {n_sets} sets; ± is the standard error over the sets")
    print(
        f"{'':<16}"
        + "".join(f"{m.title:>13}" for m in metrics)
        + f"{'rank':>7}   {first.title} less {reference}'s"
    )
    for model, row in rows.items():
        line = f"{model:<16}" + "".join(shown(row[m.key] / m.unit, 13, m.digits) for m in metrics)
        line += f"{row['rank']:7.2f}"
        if model != reference:
            difference, error = (row[key] / first.unit for key in ("difference", "standard_error"))
            line += (
                f"   {shown(difference, 8, first.digits, '+')} ± {shown(error, 1, first.digits)}"
            )
        print(line)


def environment():
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "skode": skode.__version__,
        "cpu_count": os.cpu_count(),
        "machine": platform.machine(),
    }


def compare(args, loaders, factories, splitter, score, metrics, parts=None):
    """Measure the chosen models on the chosen sets, print the tables and write the JSON.

    `loaders` and `factories` map names to functions that create a data set or a model.  `score`
    gets the fitted model, the data set, the test indices and the predictions, and returns a dict
    with the keys of `metrics`.  Models are ranked by the first metric, for which higher is better.
    `parts` names lists of sets, whose means are printed too.
    """
    loaders = chosen(args.sets, loaders)
    models = {name: factories[name]() for name in args.models}
    if args.set_params:
        models[NETWORK].set_params(**args.set_params)
    report = {
        "environment": environment(),
        "jobs": args.jobs,
        "folds": FOLDS,
        "repeats": args.repeats,
        "set_params": args.set_params,
        "models": {name: repr(model) for name, model in models.items()},
        "sets": {},
        "results": [],
    }
    print(", ".join(f"{name} {value}" for name, value in report["environment"].items()))
    print(f"{FOLDS} folds, seeds 0 to {args.repeats - 1}, {args.jobs} at a time")
    if args.set_params:
        print(f"{NETWORK} is {models[NETWORK]!r}")

    for name, load in loaders.items():
        data = load()
        start = time.perf_counter()
        results = measure_set(models, data, splitter, score, args.repeats, args.jobs)
        seconds = time.perf_counter() - start
        report["sets"][name] = data.about
        report["results"] += [{"set": name, **result} for result in results]
        print(f"{name}: {data.about}; {seconds:.0f} s", flush=True)
        if args.json:  # after each set, so that an interrupted run keeps its results
            Path(args.json).write_text(json.dumps(report, indent=1))

    names, metrics = list(models), [*metrics, FIT_TIME, PREDICT_TIME]
    tables = [means(report["results"], loaders, names, metric) for metric in metrics]
    for table, metric in zip(tables[:-1], metrics[:-1], strict=True):
        print_sets(table, loaders, names, metric)
    rows = summary(tables, names, metrics)
    print_summary(rows, len(loaders), metrics)
    for part, members in (parts or {}).items():
        which = np.isin(list(loaders), members)
        if 1 < which.sum() < len(loaders):
            print(f"\nof {part}:", end="")
            of_part = summary([table[which] for table in tables], names, metrics)
            print_summary(of_part, which.sum(), metrics)
    if args.json:  # JSON has no NaN
        report["summary"] = {
            model: {key: None if value != value else value for key, value in row.items()}
            for model, row in rows.items()
        }
        Path(args.json).write_text(json.dumps(report, indent=1))
