"""
Why a third channel helps
=========================

A flow moves points along curves that never cross. So it can stretch and bend the plane, but it cannot
tear it or fold it. That has a consequence: if one class surrounds the other, no flow in the plane can
bring them to different sides of a line. With one more channel there is a way out, into space.

This example shows it for a disc inside a ring. The flow is that of a network with two channels, and
with three.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skode import ODENetClassifier
from skode.datasets import make_donut2d
from skode.inspection import trajectories
from skode.plotting import TrajectoryDisplay

X, y = make_donut2d(400, noise=0.02, random_state=0)

# %%
# Two networks
# ------------
#
# ``lift="pad"`` starts with the features, and with zeros in further channels. The activation tanh,
# many short steps and a scheme of order four keep the network close to a true flow. A residual
# network with a few long steps is not bound by this rule: a long step can jump over a gap.


def fit(n_channels):
    """Train a single network that is close to a flow."""
    model = ODENetClassifier(
        "rk4",
        N=10,
        h=0.3,
        n_channels=n_channels,
        lift="pad",
        activation="tanh",
        alpha=1e-3,
        smoothness=1e-3,
        cv=None,
        max_iter=500,
        random_state=0,
    )
    # A flow in the plane never settles: it pushes on against what it cannot do.
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return model.fit(X, y)


plane, space = fit(2), fit(3)
for name, model in (("two channels", plane), ("three channels", space)):
    print(f"{name:15} training accuracy {model.score(X, y):.3f}, loss {model.loss_[0]:.3f}")

# %%
# The picture
# -----------
#
# On the left, the flow in the plane squeezes the disc towards the line, but part of the ring is still
# in its way. On the right, the flow lifts the disc out of the ring. A plane, in grey, then passes
# between them.

figure = plt.figure(figsize=(11, 5), layout="constrained")
left = figure.add_subplot(1, 2, 1)
right = figure.add_subplot(1, 2, 2, projection="3d")
title = f"Two channels: accuracy {plane.score(X, y):.2f}"
display = TrajectoryDisplay.from_estimator(plane, X, y, ax=left, name=title, legend=False)

states = trajectories(space, X)[0]  # (layer, sample, channel)
colours = [points.get_facecolor()[0] for points in display.points_]
for k, marker in enumerate("os"):
    mine = states[:, y == k]
    for path in np.swapaxes(mine, 0, 1):
        right.plot(*path.T, color=colours[k], lw=0.5, alpha=0.35)
    right.scatter(*mine[-1].T, color=colours[k], marker=marker, s=12, ec="white", lw=0.3)
    right.scatter(*mine[0].T, color=colours[k], s=1.5)

# The plane on which both classes have the same probability: W y + μ = 0.
W, mu = space.W_[0, 0], space.mu_[0, 0]
centre = states[-1].mean(axis=0)
centre = centre - (W @ centre + mu) / (W @ W) * W
across = np.linalg.svd(W[None])[2][1:]
reach = 0.5 * np.ptp(states[-1], axis=0).max() * np.linspace(-1, 1, 2)
grid = centre + reach[:, None, None] * across[0] + reach[None, :, None] * across[1]
right.plot_surface(*np.moveaxis(grid, -1, 0), color="0.5", alpha=0.25)
right.set(xlabel="channel 1", ylabel="channel 2", zlabel="channel 3")
right.set_title(f"Three channels: accuracy {space.score(X, y):.2f}", fontsize="medium")
plt.show()

# %%
# That is why `n_channels` is larger than the number of features by default, and why the default lift
# maps the features to all channels. The idea of extra channels is known as augmented neural ODEs [1]_.
#
# .. [1] E. Dupont, A. Doucet, Y. W. Teh, "Augmented Neural ODEs", NeurIPS (2019).
