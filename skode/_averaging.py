"""How much each candidate counts in the model: greedy selection with replacement.

Reference: Caruana, Niculescu-Mizil, Crew, Ksikes, "Ensemble selection from libraries of models"
(2004).
"""

from __future__ import annotations

import numpy as np

ROUNDS = 20  # the weights are multiples of one over so many, or fewer
MOST = 2  # candidates, as prediction takes as long as there are networks
GAIN = 1e-4  # a further round counts where it lowers the loss by more than this part of it


def greedy_weights(loss, predictions):
    """The weights of candidates, which add up to one, that make the loss of their average low.

    Candidates are added one by one, each time the one that lowers the loss of the average most; one
    may be added repeatedly.

    Parameters
    ----------
    loss : callable (ndarray) -> float
        The loss of averaged predictions.
    predictions : ndarray of shape (n_candidates, ...)
        What each candidate says of samples that it was not trained on.

    Returns
    -------
    ndarray of shape (n_candidates,)
        At most `MOST` are positive: the one that is best alone is always among them.
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
