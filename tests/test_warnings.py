"""What half of the networks share is warned of, and what fewer do is not."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skode._warnings import warn_unless_converged
from skode.engine.training import CONVERGED, EARLY, INTERRUPTED, MAX_ITER, SLOW, STALLED


def warn_of(reasons, best_iter=5, others=(), went_on=False, **held_out):
    estimator = SimpleNamespace(
        stop_reason_=np.array(reasons),
        best_iter_=np.broadcast_to(best_iter, len(reasons)),
        n_iter_=np.arange(10, 10 + len(reasons)),
        max_iter=200,
        tol=1e-4,
        _more_advice=lambda solver: f", or another {solver}",
        **held_out,
    )
    training = SimpleNamespace(reason=np.array([*reasons, *others]))
    warn_unless_converged(estimator, "solver", training, went_on)


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


def test_starts_that_are_kept_are_warned_of_where_samples_are_held_out():
    kept = {"best_iter": [0, 3, 0, 4], "validation_loss_": 0.7}
    with pytest.warns(ConvergenceWarning, match="lowest before training"):
        warn_of([EARLY] * 4, **kept)
    warn_of([EARLY] * 4, **{**kept, "best_iter": [0, 3, 1, 4]})
    warn_of([CONVERGED] * 4, best_iter=0)  # an objective that is lowest at the start
    warn_of([EARLY] * 4, went_on=True, **kept)  # after a fit that had converged


def test_an_interruption_is_all_that_is_said():
    with pytest.warns(UserWarning, match="interrupted") as caught:
        warn_of([MAX_ITER, MAX_ITER, INTERRUPTED], best_iter=0, validation_loss_=0.7)
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="interrupted"):  # before the race had an end
        warn_of([EARLY, EARLY], others=[INTERRUPTED, INTERRUPTED])
