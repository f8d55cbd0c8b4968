"""What half of the networks share is warned of, and what fewer do is not."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skode._warnings import warn_unless_converged
from skode.engine.training import CONVERGED, EARLY, INTERRUPTED, MAX_ITER, SLOW, STALLED


def warn_of(reasons, others=()):
    estimator = SimpleNamespace(
        stop_reason_=np.array(reasons),
        n_iter_=np.arange(10, 10 + len(reasons)),
        max_iter=200,
        tol=1e-4,
        _more_advice=lambda solver: f", or another {solver}",
    )
    training = SimpleNamespace(reason=np.array([*reasons, *others]))
    warn_unless_converged(estimator, "solver", training)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (MAX_ITER, r"max_iter=200 .*tol=0.0001"),
        (SLOW, r"after 11 iterations \(slow progress\).* or another solver\."),
        (STALLED, r"after 11 iterations \(no acceptable step\)"),
    ],
)
def test_what_half_of_the_networks_share_is_warned_of(reason, message):
    with pytest.warns(ConvergenceWarning, match=message):
        warn_of([CONVERGED, reason, reason, EARLY])
    warn_of([CONVERGED, reason, EARLY])  # warnings are errors


def test_an_interruption_is_all_that_is_said():
    with pytest.warns(UserWarning, match="interrupted") as caught:
        warn_of([MAX_ITER, MAX_ITER, INTERRUPTED])
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="interrupted"):  # before the race had an end
        warn_of([EARLY, EARLY], others=[INTERRUPTED, INTERRUPTED])
