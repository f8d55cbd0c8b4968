"""The random controls that training starts from.

K and b are normal.  Without b the network of an odd activation would be an odd function, and
training on a task that is symmetric about the origin would start from a saddle.  Because the
readout W, μ is zero, no class is favoured: renaming the classes, in whatever order, does not change
the fit.
"""

from __future__ import annotations

from typing import Any

from ..arrays import host
from ..controls import Controls, Layout


def random_start(layout: Layout, members: int, spread: float, h: float, rng: Any) -> Controls:
    """Draw controls: host arrays in float64.

    Parameters
    ----------
    layout : Layout
    members : int
    spread : float
        √n_channels times the standard deviation of K and b.
    h : float
        All steps.
    rng : RandomState or Generator
        Its method ``normal(scale=…, size=…)`` is called for K, b and V, in this order.
    """
    shapes = [shape and (members, *shape) for shape in layout.shapes]
    K, b, steps, W, mu, V, nu = shapes
    scale = spread * layout.n_channels**-0.5
    start = Controls(
        K=rng.normal(scale=scale, size=K),
        b=rng.normal(scale=scale, size=b),
        h=host.full(steps, float(h)),
        W=host.zeros(W),
        mu=host.zeros(mu),
    )
    if V is None:
        return start
    # So that the channels are of unit variance where the features are.
    return start._replace(
        V=rng.normal(scale=layout.lifted**-0.5, size=V),
        nu=host.zeros(nu),
    )
