"""
Quick start: a noisy table
==========================

Many tables are small and noisy: the features say something about the answer, but far from
everything. A model should then know what it does not know. This example compares the probabilities
of :class:`~skode.ODENetClassifier` with those of six models of scikit-learn, all at their defaults.

The table is generated, so that we know the best possible answer. It has 500 rows and ten features,
five of which do nothing. Three of the others act in a nonlinear way. Much noise is added, and the
question is whether the result lies above its median.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.calibration import CalibrationDisplay
from sklearn.datasets import make_friedman1
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier

X, signal = make_friedman1(500, noise=0.0, random_state=0)
NOISE = 3.0
target = signal + NOISE * np.random.default_rng(0).normal(size=len(X))
y = (target > np.median(target)).astype(int)
# The probability of class 1 given the features: nobody can do better than this.
truth = norm.cdf((signal - np.median(target)) / NOISE)

# %%
# One model
# ---------
#
# Put a scaler in front of the network. That is all the preparation that numerical features need.
# ``fit`` trains several networks on different folds and averages them, and ``oof_score_`` is their
# accuracy on the samples that they did not see.

model = make_pipeline(StandardScaler(), ODENetClassifier(random_state=0)).fit(X, y)
print(f"accuracy on held-out folds: {model[-1].oof_score_:.3f}")
print(f"probabilities of the first samples: {model.predict_proba(X[:3])[:, 1].round(2)}")

# %%
# Seven models
# ------------
#
# All models are judged by the same five folds. Accuracy only asks whether a probability is above or
# below one half. Log-loss asks how good the probability is, and it punishes a model that is sure
# and wrong.

MODELS = {
    "ODENetClassifier": ODENetClassifier(random_state=0),
    "LogisticRegression": LogisticRegression(),
    "GaussianNB": GaussianNB(),
    "RandomForestClassifier": RandomForestClassifier(random_state=0),
    "ExtraTreesClassifier": ExtraTreesClassifier(random_state=0),
    "HistGradientBoostingClassifier": HistGradientBoostingClassifier(random_state=0),
    "MLPClassifier": MLPClassifier(max_iter=500, random_state=0),
}
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)
probabilities = {"the true probabilities": truth}
for name, model in MODELS.items():
    pipeline = make_pipeline(StandardScaler(), model)
    # MLPClassifier would train on, and its log-loss on new samples would rise further.
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        p = cross_val_predict(pipeline, X, y, cv=FOLDS, method="predict_proba")
    probabilities[name] = p[:, 1]


def by_fold(score, p):
    """Return the score of probabilities in each fold."""
    return np.array([score(y[test], p[test]) for _, test in FOLDS.split(X, y)])


losses = {name: by_fold(log_loss, p) for name, p in probabilities.items()}
print(f"{'':32}accuracy  log-loss")
for name, p in probabilities.items():
    accuracy = by_fold(accuracy_score, p > 0.5).mean()
    print(f"{name:32}{accuracy:8.3f}  {losses[name].mean():8.3f}")

# %%
# In log-loss the network comes closest to the true probabilities. The picture shows why. A curve on
# the diagonal means that of the samples with a probability of 0.8, say, 80 percent belong to class
# 1. Boosted trees and the feed-forward network are too sure of themselves: where they say almost 1,
# the class is often 0.

COLOURS = {
    "ODENetClassifier": "#0072B2",
    "LogisticRegression": "#009E73",
    "HistGradientBoostingClassifier": "#E69F00",
    "MLPClassifier": "#D55E00",
}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
losses = dict(sorted(losses.items(), key=lambda item: -item[1].mean()))
for row, (name, loss) in enumerate(losses.items()):
    style = {"color": COLOURS.get(name, "0.35"), "ms": 8, "capsize": 4}
    error = loss.std() / np.sqrt(len(loss))
    left.errorbar(loss.mean(), row, xerr=error, fmt="*" if "true" in name else "o", **style)
left.set_yticks(range(len(losses)), losses)
left.axvline(losses["the true probabilities"].mean(), color="0.6", ls=":", zorder=0)
left.set(
    xlabel="log-loss (lower is better), mean and standard error", title="Log-loss in five folds"
)
for marker, (name, colour) in zip("osD^", COLOURS.items(), strict=True):
    CalibrationDisplay.from_predictions(
        y,
        probabilities[name],
        n_bins=6,
        strategy="quantile",
        name=name,
        ax=right,
        color=colour,
        marker=marker,
    )
right.set(
    xlabel="predicted probability of class 1",
    ylabel="share of class 1",
    title="Calibration",
    aspect="equal",
)
right.legend(loc="upper left", fontsize="small", frameon=False)
plt.show()

# %%
# One generated table proves little. On 31 real tables the picture is much the same; see :doc:`the
# page on performance </performance>`. Where there is little noise, or where trees suit the data
# better, the ranking can differ: see :doc:`/user_guide/when_not`.
