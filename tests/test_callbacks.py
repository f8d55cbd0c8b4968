"""scikit-learn's callbacks: the information that they get, and how they end a fit."""

import os
import pickle
import runpy
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from skode import FeedForwardClassifier, ODENetClassifier, ODENetRegressor, _callbacks
from skode.engine.objective import Objective
from tests.estimators import BOTH, REGRESSORS, blobs, curve, short
from tests.test_wide import wide

OLD = parse_version(sklearn.__version__) < parse_version("1.9")
new_only = pytest.mark.skipif(OLD, reason="there are no callbacks")
ignore_max_iter = pytest.mark.filterwarnings("ignore:Training ended at max_iter")
VIEWS = {"features": "both", "lift": "linear", "cv": 3, "max_iter": 12}


class Recorder:
    """A callback that records the tasks, and may end the fit."""

    def __init__(self, until=None, look=False):
        self.until, self.look = until, look
        self.begun, self.ended, self.models, self.given = [], [], [], []
        self.set_up = self.torn_down = 0

    def setup(self, estimator, context):
        self.set_up += 1

    def teardown(self, estimator, context):
        self.torn_down += 1

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.begun.append(path(context))
        self.given.append((X, y, metadata))

    def on_fit_task_end(self, estimator, context):
        return self.ended_at(context)

    def ended_at(self, context):
        self.ended.append(path(context))
        return self.until is not None and self.ended[-1][1:] == self.until


class Observer(Recorder):
    """A callback that also requests the models."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.models.append(fitted_estimator)
        return self.ended_at(context)


def path(context):
    """Return names and numbers of a task and of the tasks above it."""
    here = (context.task_name, context.task_id)
    return (here,) if context.parent is None else (*path(context.parent), here)


def iterations(ended, name="train"):
    """Return the numbers of the iterations of a training."""
    return [tasks[-1][1] for tasks in ended if len(tasks) == 3 and tasks[1][0] == name]


@pytest.mark.skipif(not OLD, reason="callbacks work")
def test_an_older_version_gets_an_error_with_the_required_version():
    with pytest.raises(ImportError, match=r"ODENetClassifier.set_callbacks needs .* 1\.9 or newer"):
        ODENetClassifier().set_callbacks()


def test_without_the_module_of_scikit_learn_the_error_says_what_it_takes(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)  # cannot be imported
    older = runpy.run_path(_callbacks.__file__)["CallbackSupport"]
    with pytest.raises(ImportError, match=r"set_callbacks needs scikit-learn 1\.9 or newer"):
        older().set_callbacks()


@new_only
@ignore_max_iter
@pytest.mark.parametrize("cls", BOTH + REGRESSORS)
@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam", "adam+lbfgs"])
def test_the_tasks_are_the_iterations(cls, solver):
    X, y = blobs(2) if cls in BOTH else curve()
    recorder, weights = Recorder(), np.linspace(1, 2, len(X))
    options = {"max_iter": 9, "tol": 0.0, "solver": solver}
    model = short(cls, **options).set_callbacks(recorder)
    assert model.fit(X, y, sample_weight=weights) is model
    assert recorder.set_up == recorder.torn_down == 1
    assert sorted(recorder.begun) == sorted(recorder.ended)
    assert recorder.begun[:2] == [(("fit", 0),), (("fit", 0), ("train", 0))]
    assert iterations(recorder.ended) == list(range(model.network_n_iter_[0]))
    for given_X, given_y, metadata in recorder.given:
        assert given_X is X
        assert given_y is y
        assert metadata == {"sample_weight": weights}
    plain = short(cls, **options).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(model.K_, plain.K_)
    assert not hasattr(model, "_callback_fit_ctx")


@new_only
@ignore_max_iter
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_the_model_so_far_is_what_a_fit_that_ends_there_leaves(solver):
    X, y = blobs(3, 90)
    fresh, _ = blobs(3, 50, seed=1)
    options = {**VIEWS, "solver": solver, "alpha": (1e-3, 1e-1), "tol": 0.0}
    observer = Observer()
    whole = short(ODENetClassifier, **options).set_callbacks(observer).fit(X, y)
    np.testing.assert_array_equal(whole.K_, short(ODENetClassifier, **options).fit(X, y).K_)
    tasks = [tasks[1:] for tasks in observer.ended]
    for number in (0, 5, 11, 12, 13, 20):  # of the last two, in the second view
        model = short(ODENetClassifier, **options).set_callbacks(Recorder(until=tasks[number]))
        model.fit(X, y)
        found = observer.models[number]
        assert type(found) is ODENetClassifier
        for name, part in vars(model).items():
            if isinstance(part, np.ndarray):
                np.testing.assert_array_equal(getattr(found, name), part, err_msg=name)
        np.testing.assert_array_equal(found.predict_proba(fresh), model.predict_proba(fresh))
        assert model.oof_score_ == found.oof_score_
        given_only = number < 13
        assert ("piecewise" in model.candidates_["features"]) != given_only
        if number < 11:
            assert "callback" in model.stop_reason_
    last = observer.models[-1]
    np.testing.assert_array_equal(last.predict_proba(fresh), whole.predict_proba(fresh))


@new_only
@ignore_max_iter
def test_models_so_far_are_only_computed_on_request(monkeypatch):
    X, y = blobs(2)
    settled, settle = [], ODENetClassifier._settle

    def counted(self, *arguments):
        settled.append(1)
        return settle(self, *arguments)

    monkeypatch.setattr(ODENetClassifier, "_settle", counted)
    options = {"cv": 2, "max_iter": 5, "tol": 0.0}
    short(ODENetClassifier, **options).set_callbacks(Recorder()).fit(X, y)
    assert len(settled) == 1
    short(ODENetClassifier, **options).set_callbacks(Recorder(), Observer(), Observer()).fit(X, y)
    assert len(settled) == 1 + 1 + 5 + 1  # the fit, its iterations, its training


@new_only
@ignore_max_iter
def test_models_so_far_hold_nothing_of_an_earlier_fit():
    X, y = blobs(2)
    model = short(ODENetClassifier, lift="linear", cv=2, max_iter=3).fit(X, y)
    observer = Observer()
    model.set_params(lift="pad", cv=None, max_iter=4).set_callbacks(observer).fit(X, y)
    for found in observer.models:
        assert not hasattr(found, "V_")
        assert not hasattr(found, "oof_score_")
    assert observer.models[0].network_n_iter_ == [1]
    np.testing.assert_array_equal(observer.models[-1].predict_proba(X), model.predict_proba(X))


@new_only
@ignore_max_iter
def test_models_so_far_have_no_results_for_the_samples_of_x_val():
    X, y = curve()
    observer = Observer()
    model = short(ODENetRegressor, max_iter=3).set_callbacks(observer)
    model.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    for found in observer.models:
        assert found.oof_prediction_.shape == model.oof_prediction_.shape == (40,)


@new_only
@pytest.mark.parametrize("cls", BOTH + REGRESSORS)
def test_a_callback_ends_the_fit(cls):
    X, y = blobs(2) if cls in BOTH else curve()
    recorder = Recorder(until=(("train", 0), ("iteration", 6)))
    model = short(cls, max_iter=100, tol=0.0).set_callbacks(recorder).fit(X, y)
    assert model.stop_reason_ == ["callback"]
    assert model.network_n_iter_ == [7]
    assert recorder.ended[-2:] == [(("fit", 0), ("train", 0)), (("fit", 0),)]
    assert model.loss_[0] == np.nanmin(model.loss_curve_)
    same = short(cls, max_iter=7, tol=0.0)
    with pytest.warns(ConvergenceWarning):
        same.fit(X, y)
    np.testing.assert_array_equal(model.K_, same.K_)


@new_only
@ignore_max_iter
def test_networks_that_are_trained_in_turns_share_a_task(monkeypatch):
    monkeypatch.setattr("skode.engine.training.turns.MOST_BYTES", 1)
    X, y = wide(60, 6)
    options = {"lift": "linear", "cv": 3, "solver": "lbfgs", "max_iter": 5, "tol": 0.0}
    recorder = Recorder()
    short(ODENetClassifier, **options).set_callbacks(recorder).fit(X, y)
    assert iterations(recorder.ended) == list(range(15))
    observer = Observer(until=(("train", 0), ("iteration", 7)))
    model = short(ODENetClassifier, **options).set_callbacks(observer).fit(X, y)
    assert model.stop_reason_ == ["max_iter", "callback"]
    assert list(model.network_n_iter_) == [5, 3]
    sizes = [len(model.K_) for model in observer.models]
    assert sizes == [1] * 5 + [2] * 3 + [2, 2]


@new_only
@ignore_max_iter
@pytest.mark.parametrize("number", [None, 2])
def test_the_training_on_all_samples_is_a_task(number):
    X, y = curve()
    options = {"cv": TimeSeriesSplit(3), "max_iter": 6, "tol": 0.0, "alpha": (1e-3, 1e-2)}
    until = None if number is None else (("train, all samples", 1), ("iteration", number))
    observer = Observer(until=until)
    model = short(ODENetRegressor, **options).set_callbacks(observer).fit(X, y)
    assert sorted(observer.begun) == sorted(observer.ended)
    assert iterations(observer.ended) == list(range(6))
    seen = iterations(observer.ended, "train, all samples")
    n_kept = np.count_nonzero(model.candidates_["weight"])
    if number is None:
        assert len(seen) == sum(model.network_n_iter_.reshape(n_kept, -1)[:, 0])
        assert set(model.stop_reason_) == {"refit"}
    else:
        assert seen == [0, 1, 2]
        assert "refit" not in model.stop_reason_
    before = observer.models[6]  # at the end of the first training
    for found in observer.models[7 : 7 + len(seen)]:
        np.testing.assert_array_equal(found.K_, before.K_)
    np.testing.assert_array_equal(observer.models[-1].K_, model.K_)


@new_only
def test_callbacks_get_no_more_iterations_than_there_are():
    X, y = blobs(3, 90)
    limits = []

    class Limits(Recorder):
        def on_fit_task_begin(self, estimator, context):
            limits.append((context.task_name, context.max_subtasks))

    model = short(ODENetClassifier, **{**VIEWS, "max_iter": 300}).set_callbacks(Limits())
    model.fit(X, y)
    assert limits[0] == ("fit", 2)
    names = ["train, features given", "train, features piecewise"]
    assert [limit for limit in limits if "train" in limit[0]] == [(name, 300) for name in names]


@new_only
def test_callbacks_are_taken_leave_of_after_an_error_and_the_estimator_is_as_it_was():
    X, y = blobs(2)

    class Failing(Recorder):
        def on_fit_task_end(self, estimator, context):
            raise ArithmeticError

    failing = Failing()
    model = short(ODENetClassifier).set_callbacks(failing)
    before = vars(model).copy()
    with pytest.raises(ArithmeticError):
        model.fit(X, y)
    assert failing.set_up == failing.torn_down == 1
    assert vars(model) == before


@new_only
def test_objects_other_than_callbacks_are_refused():
    with pytest.raises(TypeError, match="FitCallback"):
        ODENetClassifier().set_callbacks("progress")


@new_only
@ignore_max_iter
def test_partial_fit_calls_no_callback():
    X, y = blobs(2)
    recorder = Recorder()
    model = short(FeedForwardClassifier, solver="adam").set_callbacks(recorder)
    model.partial_fit(X, y, classes=[0, 1])
    assert recorder.begun == []


@new_only
@ignore_max_iter
def test_clones_and_pickles_keep_their_callbacks():
    X, y = blobs(2)
    recorder = Recorder()
    model = short(ODENetClassifier, max_iter=4, tol=0.0).set_callbacks(recorder)
    clone(model).fit(X, y)
    assert iterations(recorder.ended) == list(range(4))
    fitted = pickle.loads(pickle.dumps(model.fit(X, y)))
    np.testing.assert_array_equal(fitted.predict(X), model.predict(X))
    model.set_callbacks().fit(X, y)  # without callbacks
    assert len(iterations(recorder.ended)) == 8


# --- those of scikit-learn


@new_only
@ignore_max_iter
@pytest.mark.parametrize("cls", BOTH + REGRESSORS)
def test_scoring_monitor(cls):
    from sklearn.callback import ScoringMonitor

    X, y = blobs(2) if cls in BOTH else curve()
    score, weights = "accuracy" if cls in BOTH else "r2", np.linspace(1, 2, len(X))
    monitor = ScoringMonitor(scoring=score)
    # With Adam all networks are at their last iteration in the last task.
    options = {"cv": 3, "max_iter": 8, "tol": 0.0, "solver": "adam"}
    model = short(cls, **options).set_callbacks(monitor).fit(X, y, sample_weight=weights)
    log = monitor.get_logs().data
    rows = [row for row in log if row["task_name"] == "iteration"]
    assert len(rows) == 8
    assert all(row["task_id_path"] == (0, 0, k) for k, row in enumerate(rows))
    (last,) = [row for row in log if row["task_name"] == "fit"]
    assert last[score] == model.score(X, y, sample_weight=weights)
    assert rows[-1][score] == last[score]
    assert rows[0][score] < last[score]


@new_only
@ignore_max_iter
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_callbacks_in_a_search_over_a_pipeline(n_jobs):
    from sklearn.callback import ScoringMonitor

    X, y = blobs(2)
    monitor = ScoringMonitor(scoring="accuracy")
    network = short(ODENetClassifier, max_iter=4, tol=0.0).set_callbacks(monitor)
    pipeline = make_pipeline(StandardScaler(), network)
    grid = {"odenetclassifier__h": [0.5, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs).fit(X, y)
    log = monitor.get_logs(select="all")
    rows = [row for run in log for row in run.data if row["task_name"] == "iteration"]
    assert len(rows) == (2 * 2 + 1) * 4
    assert len(log) == 1  # all in the tree of the search
    assert search.score(X, y) > 0.8


@new_only
@ignore_max_iter
@pytest.mark.parametrize("depth", ["alone", "pipeline", "search"])
def test_progress_bar(depth, capsys):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    X, y = blobs(3, 90)
    model = short(ODENetClassifier, **{**VIEWS, "max_iter": 4})
    if depth != "alone":
        model = make_pipeline(StandardScaler(), model)
    if depth == "search":
        model = GridSearchCV(model, {"odenetclassifier__h": [0.5, 1.0]}, cv=2)
    model.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
    shown = capsys.readouterr().out
    assert "ODENetClassifier - train, features given #0" in shown
    assert "ODENetClassifier - train, features piecewise #1" in shown
    assert "100%" in shown


# --- Ctrl-C


def interrupted_at(number, monkeypatch):
    """Simulate Ctrl-C during an evaluation of the objective."""
    evaluate, calls = Objective.evaluate, []

    def interrupted(self, *arguments, **options):
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return evaluate(self, *arguments, **options)

    monkeypatch.setattr(Objective, "evaluate", interrupted)
    return calls


def test_ctrl_c_ends_a_search(monkeypatch):
    X, y = blobs(2)
    calls, scored = interrupted_at(20, monkeypatch), []

    def score(estimator, X, y):
        scored.append(1)
        return 0.0

    search = GridSearchCV(short(ODENetClassifier), {"h": [0.5, 1.0]}, cv=2, scoring=score)
    with pytest.raises(KeyboardInterrupt, match="The estimator is fitted"):
        search.fit(X, y)
    assert len(calls) == 20  # no other fit has begun
    assert scored == []
    assert not hasattr(search, "cv_results_")


def test_ctrl_c_in_a_pipeline_leaves_it_fitted(monkeypatch):
    X, y = blobs(2)
    model = make_pipeline(StandardScaler(), short(ODENetClassifier))
    interrupted_at(20, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model[-1].stop_reason_ == ["interrupted"]
    assert model.score(X, y) > 0.8


def test_ctrl_c_before_the_first_iteration_leaves_the_estimator_as_it_was(monkeypatch):
    X, y = blobs(2)
    model = short(ODENetClassifier)
    before = vars(model).copy()
    interrupted_at(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert vars(model) == before


@pytest.mark.filterwarnings("ignore:Training ended at max_iter")
def test_ctrl_c_while_the_next_view_begins_keeps_the_first(monkeypatch):
    X, y = blobs(3, 90)
    model = short(ODENetClassifier, **VIEWS)
    of, calls = ODENetClassifier._batch_of, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return of(self, *arguments)

    monkeypatch.setattr(ODENetClassifier, "_batch_of", interrupted)
    with pytest.raises(KeyboardInterrupt, match="The estimator is fitted"):
        model.fit(X, y)
    assert list(model.candidates_["features"]) == ["given"]
    assert model.score(X, y) > 0.6


SEARCH = """
import pathlib, signal, sys
from sklearn.datasets import make_moons
from sklearn.model_selection import GridSearchCV
from skode import ODENetClassifier

signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored

def score(estimator, X, y):  # where a fit that is being trained says so
    pathlib.Path(sys.argv[1]).touch()
    return 0.0

X, y = make_moons(100, noise=0.2, random_state=0)
model = ODENetClassifier(
    features="given", alpha=1e-3, cv=2, solver="gd", scoring=score, tol=0.0,
    max_iter=10**8, n_iter_no_change=10**8,
)
GridSearchCV(model, {"h": [0.25, 0.5]}, cv=2, n_jobs=int(sys.argv[2])).fit(X, y)
print("searched")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("n_jobs", "to_all"), [(1, False), (2, False), (2, True)])
def test_a_real_ctrl_c_ends_a_search_and_its_workers(n_jobs, to_all, tmp_path):
    # In a terminal all processes get the signal; in a notebook, only the first.
    begun, script = tmp_path / "begun", tmp_path / "search.py"
    script.write_text(SEARCH)
    command = [sys.executable, str(script), str(begun), str(n_jobs)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options, start_new_session=True) as process:
        try:
            deadline = time.monotonic() + 120
            while not begun.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            assert begun.exists()
            (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    assert "searched" not in output


@new_only
def test_ctrl_c_takes_leave_of_callbacks(monkeypatch):
    X, y = blobs(2)
    recorder = Recorder()
    model = short(ODENetClassifier).set_callbacks(recorder)
    interrupted_at(20, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert recorder.set_up == recorder.torn_down == 1
    assert (("fit", 0),) not in recorder.ended
    assert model.stop_reason_ == ["interrupted"]
    assert not hasattr(model, "_callback_fit_ctx")
