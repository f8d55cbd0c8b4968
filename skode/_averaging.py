"""The weights of the candidates in the model: greedy selection with replacement.

Reference: Caruana, Niculescu-Mizil, Crew, Ksikes, "Ensemble selection from libraries of models"
(2004).
"""

from __future__ import annotations

import numpy as np

ROUNDS = 20  # the weights are multiples of 1/n for some n up to this
MOST = 2  # candidates, since the time of a prediction is proportional to the number of networks
GAIN = 1e-4  # a further round counts only if it lowers the loss by more than this fraction


def greedy_weights(loss, predictions):
    """Return weights of candidates, which add up to one, such that their average has a low loss.

    Candidates are added one by one, each time the one that lowers the loss of the average most; a
    candidate may be added several times.

    Parameters
    ----------
    loss : callable (ndarray) -> float
        The loss of averaged predictions.
    predictions : ndarray of shape (n_candidates, ...)
        The predictions of each candidate for samples that it was not trained on.

    Returns
    -------
    ndarray of shape (n_candidates,)
        At most `MOST` are positive; the best single candidate is always among them.
    """
    times, chosen = np.zeros(len(predictions)), None
    total, lowest = np.zeros_like(predictions[0]), np.inf
    for n in range(1, ROUNDS + 1):
        open_ = (times > 0) | (np.count_nonzero(times) < MOST)
        losses = np.full(len(predictions), np.inf)
        losses[open_] = [loss((total + prediction) / n) for prediction in predictions[open_]]
        best = int(np.argmin(losses))
        times[best] += 1
        total = total + predictions[best]
        if chosen is None or lowest - losses[best] > GAIN * abs(lowest):
            chosen, lowest = times / n, losses[best]
    return chosen
