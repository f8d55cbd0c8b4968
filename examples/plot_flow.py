"""
The flow of a donut and of two spirals
======================================

A network of skode carries each sample along a differential equation. With two features and two
channels we can watch it. Each sample starts at its features, the small dots, and its path becomes
darker on the way to the last layer. There a straight line has to separate the classes.
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.exceptions import ConvergenceWarning

from skode import ODENetClassifier
from skode.datasets import make_donut1d, make_spirals
from skode.plotting import TrajectoryDisplay

# %%
# These settings make a network that is good to look at, rather than the best one. ``lift="pad"``
# takes the features themselves as the first state. Many short steps of Heun's scheme and a little
# `smoothness` make the layers change slowly, so that the paths are curves.


def fit(X, y):
    """Train a single network in the plane."""
    model = ODENetClassifier(
        "heun",
        N=12,
        h=0.25,
        n_channels=2,
        lift="pad",
        activation="tanh",
        alpha=1e-4,
        smoothness=1e-3,
        cv=None,
        max_iter=400,
        random_state=0,
    )
    # More iterations would make the loss, but not the picture, a little better.
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return model.fit(X, y)


# %%
# The donut in one dimension is a disc between two clouds. The flow pushes the disc aside, between
# the clouds. The spirals are unrolled.

figure, axes = plt.subplots(1, 2, figsize=(11, 5.6), layout="constrained")
for ax, name, make in ((axes[0], "Donut", make_donut1d), (axes[1], "Spirals", make_spirals)):
    X, y = make(300, random_state=0)
    model = fit(X, y)
    display = TrajectoryDisplay.from_estimator(
        model,
        X,
        y,
        ax=ax,
        name=f"{name}: training accuracy {model.score(X, y):.2f}",
        legend=False,
        wrong_kw={"label": "on the wrong side"},
    )
    if ax is axes[0]:
        handles = [*display.points_, *filter(None, [display.wrong_])]
figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), title="class")
plt.show()

# %%
# The same function works for your own data: pass it two scaled features. With more features or
# channels the display projects the states onto a plane; see
# :class:`skode.plotting.TrajectoryDisplay`.
