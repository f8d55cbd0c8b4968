"""
Prediction intervals by quantiles and by conformal prediction
=============================================================

The noise of these samples grows with the distance from zero.  Three kinds of intervals are meant to
hold 90 % of new samples:

- two networks with ``loss="quantile"``, for the quantiles 0.05 and 0.95.  The interval is narrow
  where the noise is weak.  Nothing guarantees its coverage.
- cross-conformal prediction around a network that predicts the mean.  It has the right coverage on
  the average over all samples, whatever the network, but the same width everywhere.
- conformalised quantile regression: the quantile networks again, moved apart or together by what a
  further set of samples says.  It is narrow where it may be, and has the right coverage.

References: R. F. Barber, E. J. Candès, A. Ramdas, R. J. Tibshirani, "Predictive inference with the
jackknife+", Annals of Statistics 49 (2021); Y. Romano, E. Patterson, E. J. Candès, "Conformalized
quantile regression", NeurIPS (2019).

Run it with::

    pip install mapie
    python examples/plot_prediction_intervals.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from mapie.regression import ConformalizedQuantileRegressor, CrossConformalRegressor

from skode import ODENetRegressor

LEVEL = 0.9
QUANTILES = (1 - LEVEL) / 2, (1 + LEVEL) / 2, 0.5


def make_samples(n_samples, seed):
    """A sine with normal noise of deviation 0.1 to 0.7."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, n_samples)
    return x[:, None], np.sin(2 * x) + (0.1 + 0.3 * np.abs(x)) * rng.normal(size=n_samples)


def quantile_networks(X, y):
    """Networks for the lower and the upper end of the interval, and for the median."""
    return [
        ODENetRegressor(loss="quantile", quantile=q, random_state=0).fit(X, y) for q in QUANTILES
    ]


def intervals(X, y, X_new):
    """The ends of every interval, by the name of the method."""
    low, high, _ = quantile_networks(X, y)
    yield "two quantile networks", low.predict(X_new), high.predict(X_new)

    network = ODENetRegressor(random_state=0)
    conformal = CrossConformalRegressor(network, confidence_level=LEVEL, cv=5, random_state=0)
    _, ends = conformal.fit_conformalize(X, y).predict_interval(X_new)
    yield "cross-conformal (MAPIE)", ends[:, 0, 0], ends[:, 1, 0]

    half = len(X) // 2  # the other samples are for the conformal step
    networks = quantile_networks(X[:half], y[:half])
    conformal = ConformalizedQuantileRegressor(networks, confidence_level=LEVEL, prefit=True)
    _, ends = conformal.conformalize(X[half:], y[half:]).predict_interval(X_new)
    yield "conformalised quantiles (MAPIE)", ends[:, 0, 0], ends[:, 1, 0]


def main():
    X, y = make_samples(1000, seed=0)
    X_new, y_new = make_samples(2000, seed=1)
    order = np.argsort(X_new[:, 0])
    X_new, y_new = X_new[order], y_new[order]
    figure, axes = plt.subplots(1, 3, figsize=(10, 4), sharey=True, layout="constrained")
    for ax, (name, low, high) in zip(axes, intervals(X, y, X_new), strict=True):
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
    path = Path("skode-prediction-intervals.png").resolve()
    figure.savefig(path, dpi=150)
    print(f"Figure: {path}")


if __name__ == "__main__":
    main()
