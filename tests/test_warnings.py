"""Warnings about at least half of the networks, and none about fewer."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skode._warnings import warn_unless_converged
from skode.engine.training import CONVERGED, EARLY, MAX_ITER, MAX_TIME, SLOW, STALLED


def warn_of(reasons, n_left_out=0):
    estimator = SimpleNamespace(
        stop_reason_=np.array(reasons),
        network_n_iter_=np.arange(10, 10 + len(reasons)),
        max_iter=200,
        max_time=5.0,
        tol=1e-4,
        _more_advice=lambda solver: f", or another {solver}",
    )
    warn_unless_converged(estimator, "solver", n_left_out)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (MAX_ITER, r"max_iter=200 .*tol=0.0001"),
        (MAX_TIME, r"max_time=5.0 .*tol=0.0001.*best iterate.* kept"),
        (SLOW, r"after 11 iterations \(slow progress\).* or another solver\."),
        (STALLED, r"after 11 iterations \(no acceptable step\)"),
    ],
)
def test_what_half_of_the_networks_share_is_warned_of(reason, message):
    with pytest.warns(ConvergenceWarning, match=message):
        warn_of([CONVERGED, reason, reason, EARLY])
    warn_of([CONVERGED, reason, EARLY])  # warnings are errors


def test_networks_without_a_turn_are_all_that_is_said_of_the_time():
    with pytest.warns(ConvergenceWarning, match=r"max_time=5.0 .* 3 networks had begun") as caught:
        warn_of([MAX_TIME, MAX_TIME], 3)
    assert len(caught) == 1
