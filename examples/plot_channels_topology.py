"""
Why a third channel helps
=========================

A flow moves points along curves that never cross. So it can stretch and bend the plane, but it
cannot tear it or fold it. That has a consequence: if one class surrounds the other, no flow in the
plane can bring them to different sides of a line. With one more channel there is a way out, into
space.

This example shows it for a disc inside a ring. The flow is that of a network with two channels, and
with three.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import DecisionBoundaryDisplay

from skode import ODENetClassifier
from skode.datasets import make_donut2d
from skode.inspection import trajectories
from skode.plotting import TrajectoryDisplay

X, y = make_donut2d(1000, noise=0.02, random_state=0)

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
# On the left are the decisions of the flow in the plane. The region of the disc must be connected
# to the outside, so the flow cuts the ring open, where this gets the fewest samples wrong. In the
# middle is the flow that does this: it pulls the disc out through the cut. On the right, the flow
# in space lifts the disc out of the ring, and the grey plane passes between them.

figure = plt.figure(figsize=(12, 4.4), layout="constrained")
left, middle = (figure.add_subplot(1, 3, k) for k in (1, 2))
right = figure.add_subplot(1, 3, 3, projection="3d")

title = f"Two channels, flow: accuracy {plane.score(X, y):.3f}"
display = TrajectoryDisplay.from_estimator(plane, X, y, ax=middle, name=title, legend=False)
colours = [points.get_facecolor()[0] for points in display.points_]
DecisionBoundaryDisplay.from_estimator(
    plane,
    X,
    response_method="predict",
    grid_resolution=300,
    eps=0.3,
    ax=left,
    cmap=ListedColormap(display.surface_.get_facecolor()),
)
for k, marker in enumerate("os"):
    left.scatter(*X[y == k][:200].T, color=colours[k], marker=marker, s=9, ec="white", lw=0.2)
left.set(xlabel="feature 1", ylabel="feature 2", aspect="equal")
left.set_title("Two channels, decision", loc="left", fontsize="medium")

states = trajectories(space, X[:400])[0]  # (layer, sample, channel)
for k, marker in enumerate("os"):
    mine = states[:, y[:400] == k]
    for path in np.swapaxes(mine, 0, 1):
        right.plot(*path.T, color=colours[k], lw=0.5, alpha=0.35)
    right.scatter(*mine[-1].T, color=colours[k], marker=marker, s=10, ec="white", lw=0.2)

# The plane on which both classes have the same probability, W y + μ = 0, seen almost edge-on.
W, mu = space.W_[0, 0], space.mu_[0, 0]
normal, across = W / np.linalg.norm(W), np.linalg.svd(W[None])[2][1:]
centre = states[-1].mean(axis=0)
centre = centre - (W @ centre + mu) / (W @ W) * W
reach = 0.4 * np.ptp(states[-1], axis=0).max() * np.linspace(-1, 1, 2)
grid = centre + reach[:, None, None] * across[0] + reach[None, :, None] * across[1]
right.plot_surface(*np.moveaxis(grid, -1, 0), color="0.5", alpha=0.25)
view = across[0] + 0.3 * normal + 0.3 * across[1]
azimuth, elevation = np.arctan2(view[1], view[0]), np.arctan2(view[2], np.hypot(*view[:2]))
right.view_init(elev=np.degrees(elevation), azim=np.degrees(azimuth))
right.set_box_aspect(None, zoom=0.85)
right.set(xlabel="channel 1", ylabel="channel 2", zlabel="channel 3")
right.set_title(f"Three channels, flow: accuracy {space.score(X, y):.3f}", fontsize="medium")
plt.show()

# %%
# That is why `n_channels` is larger than the number of features by default, and why the default
# lift maps the features to all channels. The idea of extra channels is known as augmented neural
# ODEs [1]_.
#
# .. [1] E. Dupont, A. Doucet, Y. W. Teh, "Augmented Neural ODEs", NeurIPS (2019).
