"""
The flow as an animation
========================

Layer by layer, a network moves the samples until a line can separate the classes. This example
makes a film of it, with the states from :func:`skode.inspection.trajectories` and an animation of
matplotlib.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

from skode import ODENetClassifier
from skode.datasets import make_spirals
from skode.inspection import trajectories

# %%
# The network has many short steps of Heun's scheme, so its layers are good frames of a film. It has
# two channels, which are the two features at the start.

X, y = make_spirals(300, random_state=0)
model = ODENetClassifier(
    "heun",
    N=24,
    h=0.125,
    n_channels=2,
    lift="pad",
    activation="tanh",
    alpha=1e-4,
    smoothness=1e-3,
    cv=None,
    tol=1e-3,
    max_iter=500,
    random_state=0,
).fit(X, y)
states = trajectories(model, X)[0]
print(f"{states.shape[0]} frames of {states.shape[1]} samples, accuracy {model.score(X, y):.2f}")

# %%
# The line is where both classes have the same probability, W y + μ = 0. It separates the classes at
# the end of the flow. The film waits there for a second before it starts again.

figure, ax = plt.subplots(figsize=(5, 5.2), layout="constrained")
reach = 1.08 * np.abs(states).max()
(w1, w2), mu = model.W_[0, 0], model.mu_[0, 0]
point = -mu * np.array([w1, w2]) / (w1**2 + w2**2)
ax.axline(point, slope=-w1 / w2, color="0.5", ls="--", lw=1.2)
groups = []
for k, (marker, colour) in enumerate((("o", "#0072B2"), ("s", "#E69F00"))):
    trails = ax.plot([], [], color=colour, lw=0.5, alpha=0.3)[0]
    (points,) = ax.plot(
        [], [], marker, color=colour, ms=5, mec="white", mew=0.4, label=f"class {k}"
    )
    groups.append((y == k, trails, points))
ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
ax.set(xlabel="channel 1", ylabel="channel 2")
ax.legend(loc="upper left", frameon=False)
title = ax.set_title("")


def draw(frame):
    """Draw the states after a layer, and the way to them."""
    layer = min(frame, len(states) - 1)
    title.set_text(f"after layer {layer} of {len(states) - 1}")
    for mine, trails, points in groups:
        points.set_data(*states[layer, mine].T)
        ways = np.full((layer + 2, mine.sum(), 2), np.nan)  # a gap between samples
        ways[:-1] = states[: layer + 1, mine]
        trails.set_data(*np.swapaxes(ways, 0, 1).reshape(-1, 2).T)
    return [title, *(artist for _, *artists in groups for artist in artists)]


film = FuncAnimation(figure, draw, frames=len(states) + 10, interval=100)

# %%
# In a notebook, ``IPython.display.HTML(film.to_jshtml())`` shows the film. To keep it, call
# ``film.save("flow.gif", writer="pillow")``, or ``film.save("flow.mp4")`` if you have ffmpeg.
