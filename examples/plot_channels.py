"""
What more channels change
=========================

The state of a network has `n_channels` numbers. This example trains one network for each width,
from 2 to 256 channels, on the four problems in the plane and on two tables. It looks at four
things: the accuracy and the loss on fresh samples, the accuracy under an attack, and how singular
the problem of training is.
"""

# %%
# The data
# --------
# All features have unit variance, so that sizes of perturbations are in standard deviations.
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier, datasets
from skode.inspection import control_hessian
from skode.robustness import robust_accuracy

WIDTHS = [2, 4, 8, 16, 32, 64, 128, 256]
WIDEST_HESSIAN = 64  # it has as many blocks as channels, each with as many rows and columns
EPS = 0.1  # no feature may change by more
ATTACK = {"max_iter": 10, "num_random_init": 1}  # of projected gradients; by default it is longer


def samples(name):
    """Return X and y for training, and for testing."""
    if hasattr(datasets, f"make_{name}"):
        X, y = getattr(datasets, f"make_{name}")(400, random_state=0)
    else:
        load = {"breast cancer": load_breast_cancer, "wine": load_wine}[name]
        X, y = load(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0, stratify=y)
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), y, scaler.transform(X_test), y_test


# %%
# One network for each width
# --------------------------
# `robust_accuracy` is the accuracy that an attack leaves; it needs the Adversarial Robustness
# Toolbox. `control_hessian` computes the second derivatives of the Hamiltonian with respect to the
# weights. Its share of eigenvalues near zero says how many directions of the weights hardly matter.
names = ["donut1d", "donut2d", "squares", "spirals", "breast cancer", "wine"]
found = {name: [] for name in names}
for name in names:
    X, y, X_test, y_test = samples(name)
    for n_channels in WIDTHS:
        model = ODENetClassifier(
            n_channels=n_channels,
            activation="tanh",
            alpha=1e-3,
            cv=None,
            solver="lbfgs",
            max_iter=100,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        near_zero = np.nan
        if n_channels <= WIDEST_HESSIAN:
            near_zero = control_hessian(model, X, y).near_zero.mean()
        found[name].append(
            [
                model.score(X_test, y_test),
                log_loss(y_test, model.predict_proba(X_test)),
                robust_accuracy(model, X_test, y_test, EPS, attack_params=ATTACK, random_state=0),
                near_zero,
            ]
        )

# %%
# What comes out
# --------------
# Two channels are too few for donut2d, squares and spirals. From four or eight channels on,
# accuracy, loss and robustness hardly change. What does change is the share of directions that do
# not matter: from 16 channels on it grows with the width, for all data alike.
titles = ["accuracy", "log-loss", f"accuracy, attacked by {EPS}", "eigenvalues near zero"]
styles = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1))]
markers = "os^Dvx"
fig, axes = plt.subplots(2, 2, figsize=(9, 6.5), sharex=True, layout="constrained")
for k, (ax, title) in enumerate(zip(axes.flat, titles, strict=True)):
    for name, style, marker in zip(names, styles, markers, strict=True):
        values = [row[k] for row in found[name]]
        ax.plot(WIDTHS, values, linestyle=style, marker=marker, markersize=4, label=name)
    ax.set_title(title)
    ax.set_xscale("log", base=2)
    ax.set_xticks(WIDTHS, WIDTHS)
    ax.grid(alpha=0.3)
for ax in axes[1]:
    ax.set_xlabel("n_channels")
axes[0, 1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
plt.show()
