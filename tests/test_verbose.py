"""What `verbose` shows, and to whom."""

import io
import logging
import re
import subprocess
import sys
import threading

import pytest

from skode import ODENetClassifier, _verbose
from tests.estimators import blobs, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize(("verbose", "lines"), [(0, 0), (1, 11), (2, 41)])
def test_verbose_reports_through_logging(verbose, lines, caplog):
    X, y = blobs(2)
    short(ODENetClassifier, verbose=verbose, max_iter=40, tol=0).fit(X, y)
    assert len(caplog.records) == lines
    for record in caplog.records[:-1]:
        assert re.fullmatch(r"ODENetClassifier iteration \d+: objective [\d.e-]+", record.message)
    if verbose:
        expected = r"ODENetClassifier ended \(max_iter\) after 40 iterations: objective [\d.e-]+"
        assert re.fullmatch(expected, caplog.records[-1].message)


def test_the_held_out_loss_is_shown_where_there_is_one(caplog):
    X, y = blobs(2)
    model = short(ODENetClassifier, cv=2, verbose=2, max_iter=3, tol=0).fit(X, y)
    shown = [float(record.message.rsplit(" ", 1)[1]) for record in caplog.records]
    assert len(shown) == 3 + 2
    assert all("held-out loss" in record.message for record in caplog.records)
    lowest = model.validation_curve_[0, :, 0, 1:].min(axis=0)
    assert shown[:3] == pytest.approx(lowest, rel=1e-5)
    assert shown[3:] == pytest.approx(model.validation_loss_.ravel(), rel=1e-5)


def silent_logger(monkeypatch, name):
    """A logger that nobody has configured, and what is written to stderr."""
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
    assert len(stream.getvalue().splitlines()) == 5 + 40 + 80 + 120 + 4
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
