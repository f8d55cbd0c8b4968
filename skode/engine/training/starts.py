"""The random initial controls.

K and b are normally distributed.  With b = 0 and an odd activation, the network would be an odd
function, and training on a task that is symmetric about the origin would start from a saddle.
Because the readout W, μ is zero, no class is preferred: renaming or reordering the classes does not
change the fit.
"""

from __future__ import annotations

from typing import Any

from ..arrays import host
from ..controls import Controls, Layout


def random_start(layout: Layout, members: int, spread: float, h: float, rng: Any) -> Controls:
    """Draw controls, as host arrays in float64.

    `spread` is √n_channels times the standard deviation of K and b, and all steps are `h`.  The
    method ``normal(scale=…, size=…)`` of `rng`, a RandomState or Generator, is called for K, b and
    V, in this order.
    """
    K, b, steps, W, mu, V, nu = (shape and (members, *shape) for shape in layout.shapes)
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
    # This gives the channels unit variance if the features have it.
    return start._replace(V=rng.normal(scale=layout.lifted**-0.5, size=V), nu=host.zeros(nu))
