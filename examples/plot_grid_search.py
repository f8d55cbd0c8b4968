"""
A grid search over scheme, depth and steps
==========================================

The parameters of skode can be searched like those of any estimator. At the defaults there is little
need for it: ``fit`` compares penalties by itself, and schemes hardly make a difference on tables.
For a *small* network the choice matters. Here the networks have two channels, no more than there
are features, and must unroll two spirals.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import ODENetClassifier
from skode.datasets import make_spirals

X, y = make_spirals(200, noise=0.1, random_state=0)

# %%
# The search
# ----------
#
# Names of parameters begin with the name of the step in the pipeline. A single penalty and
# ``cv=None`` make a fit a single network, so that the whole search is a matter of seconds.

network = ODENetClassifier(
    n_channels=2,
    lift="pad",
    activation="tanh",
    alpha=3e-3,
    cv=None,
    max_iter=300,
    tol=1e-3,
    random_state=0,
)
grid = {
    "scheme": ["euler", "heun", "rk4"],
    "N": [2, 4, 8],
    "learn_step": [False, True, "simplex"],
}
search = GridSearchCV(
    make_pipeline(StandardScaler(), network),
    {f"odenetclassifier__{name}": values for name, values in grid.items()},
    scoring="neg_log_loss",
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
)
# Some combinations are hard to train, and their fits warn of slow progress.
with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
    search.fit(X, y)
best = {name.split("__")[1]: value for name, value in search.best_params_.items()}
print(f"{len(search.cv_results_['params'])} combinations; best: {best}")
print(f"log-loss {-search.best_score_:.3f}")

# %%
# The picture
# -----------
#
# ``cv_results_`` has one row for each combination. The number in a cell is the mean log-loss of the
# three folds; behind ± is its standard error.

results = search.cv_results_
shape = tuple(len(values) for values in grid.values())
place = {name: results[f"param_odenetclassifier__{name}"] for name in grid}
mean, error = np.empty(shape), np.empty(shape)
for row in range(len(results["params"])):
    cell = tuple(values.index(place[name][row]) for name, values in grid.items())
    mean[cell] = -results["mean_test_score"][row]
    error[cell] = results["std_test_score"][row] / np.sqrt(search.n_splits_)

figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
for k, (ax, learn_step) in enumerate(zip(axes, grid["learn_step"], strict=True)):
    image = ax.imshow(mean[..., k], cmap="cividis_r", vmin=mean.min(), vmax=mean.max())
    for (row, column), value in np.ndenumerate(mean[..., k]):
        dark = value > mean.min() + 0.5 * np.ptp(mean)
        text = f"{value:.2f}\n± {error[row, column, k]:.2f}"
        style = {"color": "white" if dark else "black", "ha": "center", "va": "center"}
        weight = "bold" if value == mean.min() else "normal"
        ax.text(column, row, text, fontsize="small", weight=weight, **style)
    ax.set_xticks(range(len(grid["N"])), grid["N"])
    ax.set_yticks(range(len(grid["scheme"])), grid["scheme"])
    ax.set(xlabel="N, number of layers", title=f"learn_step={learn_step!r}")
axes[0].set_ylabel("scheme")
figure.colorbar(image, ax=axes, label="log-loss (lower is better)")
plt.show()

# %%
# Two layers are too few to unroll the spirals. Free steps, with ``learn_step=True``, over-fit:
# their log-loss is high, and differs much between folds. With fixed steps or steps on the simplex,
# the schemes differ by little more than their standard errors.
