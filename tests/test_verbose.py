"""The output of `verbose`, and where it is shown."""

import io
import logging
import os
import re
import subprocess
import sys
import threading
from itertools import count
from types import SimpleNamespace
from uuid import uuid4

import numpy as np
import pytest
from sklearn.model_selection import TimeSeriesSplit

from skode import ODENetClassifier, ODENetRegressor, _verbose
from skode._course import Course
from skode._terminal import Line
from tests.estimators import blobs, curve, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


ITERATION = (
    r"ODENetClassifier iteration \d+/40: objective [\d.e-]+, [01]/1 networks running, "
    r"\d\.\d s, at most [\d.]+ s left"
)
NETWORK = r"ODENetClassifier network 0 ended \(max_iter\) after 40 iterations: objective [\d.e-]+"
END = (
    r"ODENetClassifier ended after \d\.\d s and 40 iterations \(networks: 1 max_iter\): "
    r"objective [\d.e-]+"
)


@pytest.mark.parametrize(("verbose", "lines"), [(0, 0), (1, 10 + 1), (2, 40 + 2)])
def test_verbose_reports_through_logging(verbose, lines, caplog):
    X, y = blobs(2)
    short(ODENetClassifier, verbose=verbose, max_iter=40, tol=0).fit(X, y)
    messages = [record.message for record in caplog.records]
    assert len(messages) == lines
    for message in messages[:-verbose]:
        assert re.fullmatch(ITERATION, message)
    for message, pattern in zip(messages[-verbose:], (NETWORK, END)[-verbose:], strict=False):
        assert re.fullmatch(pattern, message)


def test_the_losses_are_those_of_the_best_candidate_that_is_still_trained(caplog):
    X, y = blobs(2)
    # With Adam, all networks have the same number of iterations.
    options = {"cv": 2, "alpha": (1e-3, 1e-2, 1e3), "max_iter": 6, "tol": 0.0, "solver": "adam"}
    model = short(ODENetClassifier, verbose=2, **options).fit(X, y)
    lines = [record.message for record in caplog.records]
    assert len(lines) == 6 + 6 + 1
    held_out = model.validation_curve_[:, :, 0, 1:].mean(axis=1)  # no network ends before the last
    best = np.minimum.accumulate(model.validation_curve_[:, :, 0], axis=2).mean(axis=1).argmin(0)
    shown = [float(re.search("held-out loss ([^,]+),", line)[1]) for line in lines[:6]]
    assert shown == pytest.approx(held_out[best[1:], range(6)], rel=1e-3)
    assert all("6/6 networks running" in line for line in lines[:5])
    shown = [float(line.rsplit(" ", 1)[1]) for line in lines[6:-1]]
    assert shown == pytest.approx(model.validation_loss_.ravel(), rel=1e-3)
    lowest = model.validation_loss_.mean(axis=(1, 2)).min()
    assert float(lines[-1].rsplit(" ", 1)[1]) == pytest.approx(lowest, rel=1e-3)


def test_networks_that_have_ended_count_no_more():
    state = SimpleNamespace(
        J=np.array([1.0, 3.0, 5.0, 7.0]),
        held_out=np.array([0.1, 0.3, 0.5, 0.9]),
        best_held_out=np.array([0.1, 0.3, 0.4, 0.8]),
        judged=True,
        running=np.array([3]),
    )
    assert _verbose._best_running(state, 2) == pytest.approx((6.0, 0.7))
    state.running = np.array([], dtype=int)  # at the end, this is the best candidate of all
    assert _verbose._best_running(state, 2) == pytest.approx((2.0, 0.2))


def test_views_and_the_training_on_all_samples_have_their_names(caplog):
    X, y = curve()
    options = {"features": "both", "lift": "linear", "cv": TimeSeriesSplit(2), "max_iter": 10}
    short(ODENetRegressor, verbose=1, tol=0.0, **options).fit(X, y)
    names = [record.message.split(" iteration")[0] for record in caplog.records]
    name = "ODENetRegressor"
    assert names[:20] == 10 * [f"{name}, features given:"] + 10 * [f"{name}, features piecewise:"]
    assert names[20].startswith(f"{name} ended after")
    assert set(names[21:-1]) == {f"{name}, all samples:"}
    assert names[-1].startswith(f"{name}, all samples: ended after")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.6, "2 min"), (6000, "1.7 h")],
)
def test_durations(seconds, text):
    assert _verbose.duration(seconds) == text


def test_the_time_left_is_that_of_all_iterations_and_never_more_than_max_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("skode._course.monotonic", lambda: now[0])
    for max_time, expected in [(None, 2.0 * (6 + 10 + 20)), (50.0, 50.0 - 8.0)]:
        model, now[0] = short(ODENetClassifier, max_time=max_time), 0.0
        course = Course(model, None, None, None)
        course.begin(2)
        course.begin_training("", 20, n_turns=2)
        course.begin_turn()
        now[0] = 8.0  # four of ten iterations
        assert course._seconds_left(4, 10) == pytest.approx(expected)


def silent_logger(monkeypatch, name):
    """Return a logger without configuration, and its output on stderr."""
    logger, stream = logging.getLogger(f"skode.{name}"), io.StringIO()
    logger.propagate = False
    monkeypatch.setattr(_verbose, "logger", logger)
    monkeypatch.setattr("sys.stderr", stream)
    return logger, stream


def test_verbose_is_visible_without_any_configuration(monkeypatch):
    silent, stream = silent_logger(monkeypatch, "alone")
    X, y = blobs(2)
    for _ in range(2):  # the second fit must not write every line twice
        short(ODENetClassifier, verbose=1, max_iter=10, tol=0).fit(X, y)
    assert len(stream.getvalue().splitlines()) == 22
    assert not silent.handlers
    assert silent.level == logging.NOTSET


def test_fits_in_threads_lose_no_line(monkeypatch):
    silent, stream = silent_logger(monkeypatch, "in threads")
    X, y = blobs(2)
    begin = threading.Barrier(4)

    def fit(max_iter):
        begin.wait(60)
        short(ODENetClassifier, verbose=2, max_iter=max_iter, tol=0).fit(X, y)

    threads = [threading.Thread(target=fit, args=(n,)) for n in (5, 40, 80, 120)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stream.getvalue().splitlines()) == 5 + 40 + 80 + 120 + 2 * 4
    assert not silent.handlers
    assert silent.level == logging.NOTSET


SCRIPT = """
import logging
logging.basicConfig(format="mine: %(message)s")
from sklearn.datasets import make_moons
from skode import ODENetClassifier
X, y = make_moons(50, random_state=0)
ODENetClassifier(verbose=1, max_iter=10, cv=None).fit(X, y)
logging.getLogger("skode").info("not for everybody")
"""


def test_verbose_is_visible_beneath_the_level_of_an_application():
    options = {"capture_output": True, "text": True, "check": True}
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], **options)
    lines = found.stderr.splitlines()
    assert len(lines) == 11
    assert all(line.startswith("mine: ODENetClassifier") for line in lines)


# --- on a terminal


class Screen(io.StringIO):
    """A terminal with this many columns."""

    def isatty(self):
        return True

    def lines(self):
        """Return the visible text."""
        rows = []
        for row in self.getvalue().split("\n"):
            seen = ""
            for written in row.split("\r"):
                seen = written + seen[len(written) :]
            rows.append(seen.rstrip())
        return rows


def terminal(monkeypatch):
    """A terminal instead of stderr, without configured logging."""
    silent_logger(monkeypatch, str(uuid4()))  # unknown to pytest from earlier tests
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(_verbose, "PAUSE", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    return screen


def test_a_terminal_shows_one_line_and_at_last_how_training_ended(monkeypatch):
    screen = terminal(monkeypatch)
    X, y = blobs(2)
    short(ODENetClassifier, verbose=1, max_iter=40, tol=0).fit(X, y)
    assert screen.getvalue().count("\r") >= 40
    *_, last, after = screen.lines()
    assert re.fullmatch(END, last)
    assert after == ""
    assert len(screen.lines()) == 2
    for written in screen.getvalue().split("\n")[0].split("\r"):
        assert len(written) < 80 or written.startswith("ODENetClassifier ended")


def test_a_terminal_shows_every_iteration_as_a_line_with_verbose_2(monkeypatch):
    screen = terminal(monkeypatch)
    X, y = blobs(2)
    short(ODENetClassifier, verbose=2, max_iter=40, tol=0).fit(X, y)
    assert "\r" not in screen.getvalue()
    assert len(screen.lines()) == 40 + 2 + 1


def test_an_error_leaves_an_empty_line(monkeypatch):
    screen = terminal(monkeypatch)
    X, y = blobs(2)

    def unable(estimator, X, y):
        if len(screen.getvalue()) > 300:
            raise ArithmeticError
        return 0.0

    with pytest.raises(ArithmeticError):
        short(ODENetClassifier, verbose=1, cv=2, scoring=unable).fit(X, y)
    assert "2/2 running" in screen.getvalue()
    assert screen.lines() == [""]
    screen.seek(0)
    short(ODENetClassifier, verbose=1).fit(X, y)  # another fit uses the line now
    assert "\r" in screen.getvalue()


def test_messages_stand_above_the_line(monkeypatch):
    screen = terminal(monkeypatch)
    line = Line()
    line.show("iteration 1 of many")
    line.handle(logging.makeLogRecord({"msg": "hello"}))
    line.show("iteration 2")
    assert screen.lines() == ["hello", "iteration 2"]
    line.erase()
    assert screen.lines() == ["hello", ""]


def test_the_line_is_shorter_than_the_terminal(monkeypatch):
    screen = terminal(monkeypatch)
    line = Line()
    line.show("x" * 80, "y" * 79)
    assert screen.lines() == ["y" * 79]
    line.show("x" * 90, "z" * 80)
    assert screen.lines() == ["z" * 79]


def test_of_fits_in_threads_one_has_the_line_and_the_others_send_messages(monkeypatch):
    screen = terminal(monkeypatch)
    X, y = blobs(2)
    both, better, n_iters = threading.Barrier(2), count(0, 10), []
    waited = threading.local()

    def score(estimator, X, y):
        if not hasattr(waited, "done"):  # until both fits are running
            waited.done = both.wait(60)
        return float(next(better))

    def fit():
        # It converges, so that there are no warnings: warning filters are not thread-safe.
        options = {"cv": 2, "scoring": score, "max_iter": 19, "tol": 1.0, "n_iter_no_change": 5}
        model = short(ODENetClassifier, verbose=1, n_jobs=1, **options).fit(X, y)
        assert set(model.stop_reason_) == {"converged"}
        n_iters.append(model.network_n_iter_.max())

    threads = [threading.Thread(target=fit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = screen.lines()
    assert len([line for line in lines if " iteration " in line]) in n_iters
    assert len([line for line in lines if " ended after " in line]) == 2
    assert lines[-1] == ""


ON_TERMINAL = """
import logging, sys
from sklearn.datasets import make_moons
from skode import ODENetClassifier
if "configured" in sys.argv:
    logging.basicConfig(format="mine: %(message)s")
X, y = make_moons(50, random_state=0)
ODENetClassifier(verbose=1, max_iter=20, cv=None, tol=0).fit(X, y)
"""


@pytest.mark.parametrize("configured", [False, True])
def test_a_real_terminal(configured):
    pty, termios = map(pytest.importorskip, ("pty", "termios"))
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    command = [sys.executable, "-W", "ignore", "-c", ON_TERMINAL]
    command += ["configured"] if configured else []
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command, stderr=theirs, env=environment) as process:
        os.close(theirs)
        found = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # on Linux, the end
                break
            if not part:
                break
            found += part
    os.close(ours)
    assert process.returncode == 0
    lines = found.decode().split("\r\n")
    assert lines.pop() == ""
    if configured:
        assert len(lines) == 11
        assert all(line.startswith("mine: ODENetClassifier") for line in lines)
    else:
        assert len(lines) == 1
        assert "\rODENetClassifier iteration 1/20: objective" in lines[0]
        assert re.search(r"\r *\rODENetClassifier ended after .* 20 iterations", lines[0])
