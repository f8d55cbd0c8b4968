"""
Prediction intervals
====================

The noise of these samples grows with the distance from zero. How far from the prediction may a new
sample be? This example compares three kinds of intervals that are meant to hold 90 percent of all
new samples. Two of them come from `MAPIE <https://mapie.readthedocs.io>`_, a package for conformal
prediction, which works with any regressor::

    pip install mapie
"""

import matplotlib.pyplot as plt
import numpy as np
from mapie.regression import ConformalizedQuantileRegressor, CrossConformalRegressor

from skode import ODENetRegressor

LEVEL = 0.9


def make_samples(n_samples, seed):
    """Draw samples of a sine with normal noise of deviation 0.1 to 0.7."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, n_samples)
    return x[:, None], np.sin(2 * x) + (0.1 + 0.3 * np.abs(x)) * rng.normal(size=n_samples)


X, y = make_samples(1000, seed=0)
X_new, y_new = make_samples(2000, seed=1)
order = np.argsort(X_new[:, 0])
X_new, y_new = X_new[order], y_new[order]
intervals = {}

# %%
# Two quantile networks
# ---------------------
#
# A network with ``loss="quantile"`` predicts one quantile, here that of 5 or 95 percent. The
# interval between the two is narrow where there is little noise. But nothing guarantees that it
# holds the right share of new samples. The third network, for the median, is needed below.


def quantile_networks(X, y):
    """Train networks for the lower and the upper end of the interval, and for the median."""
    quantiles = (1 - LEVEL) / 2, (1 + LEVEL) / 2, 0.5
    return [
        ODENetRegressor(loss="quantile", quantile=q, random_state=0).fit(X, y) for q in quantiles
    ]


low, high, _ = quantile_networks(X, y)
intervals["two quantile networks"] = low.predict(X_new), high.predict(X_new)

# %%
# Cross-conformal prediction
# --------------------------
#
# This method [1]_ measures the errors of a network on held-out folds, and takes an interval that is
# wide enough for most of them. The share of new samples in it is right on average, whatever the
# network. But the interval has about the same width everywhere.

network = ODENetRegressor(random_state=0)
conformal = CrossConformalRegressor(network, confidence_level=LEVEL, cv=5, random_state=0)
_, ends = conformal.fit_conformalize(X, y).predict_interval(X_new)
intervals["cross-conformal (MAPIE)"] = ends[:, 0, 0], ends[:, 1, 0]

# %%
# Conformalised quantiles
# -----------------------
#
# This method [2]_ starts with the quantile networks, trained on one half of the samples. It moves
# the ends of their interval apart, or together, until the other half of the samples is covered as
# it should be. The interval is narrow where it may be, and holds the right share.

half = len(X) // 2
networks = quantile_networks(X[:half], y[:half])
conformal = ConformalizedQuantileRegressor(networks, confidence_level=LEVEL, prefit=True)
_, ends = conformal.conformalize(X[half:], y[half:]).predict_interval(X_new)
intervals["conformalised quantiles (MAPIE)"] = ends[:, 0, 0], ends[:, 1, 0]

# %%
# Which one?
# ----------
#
# Coverage is the share of new samples in the interval. It should be 90 percent, not only over all
# samples but also near zero, where there is little noise. There the cross-conformal interval is
# much too wide, which makes it too narrow elsewhere.

figure, axes = plt.subplots(1, 3, figsize=(10, 4), sharey=True, layout="constrained")
for ax, (name, (low, high)) in zip(axes, intervals.items(), strict=True):
    inside, narrow = (low <= y_new) & (y_new <= high), np.abs(X_new[:, 0]) < 0.5
    print(
        f"{name:32} coverage {inside.mean():.1%}, where |x| < 0.5 {inside[narrow].mean():.1%}, "
        f"mean width {np.mean(high - low):.2f}"
    )
    ax.scatter(X_new[::4, 0], y_new[::4], s=6, color="0.35", label="new samples")
    ax.fill_between(X_new[:, 0], low, high, color="#56B4E9", alpha=0.5, label="90 % interval")
    ax.set(title=f"{name}\n{inside.mean():.1%} of new samples inside", xlabel="x")
axes[0].set_ylabel("y")
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
plt.show()

# %%
# References
# ----------
#
# .. [1] R. F. Barber, E. J. Candès, A. Ramdas, R. J. Tibshirani, "Predictive inference with the
#    jackknife+", Annals of Statistics 49 (2021).
# .. [2] Y. Romano, E. Patterson, E. J. Candès, "Conformalized quantile regression", NeurIPS (2019).
