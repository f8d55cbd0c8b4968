"""Networks with fewer layers than others in a batch, filled up with layers that change nothing.

A layer of an ODE network with K = 0, b = 0 and h = 0 leaves every state and every costate as it is,
to the last bit.  It stays like that in training, since the gradient of these controls is masked.
"""

from __future__ import annotations

from dataclasses import replace

from .engine.arrays import device, namespace


def padded(flat, layout, n_layers):
    """Return flat controls, or a mask of them, (members, controls), with further layers of zeros.

    `layout` is that of `flat`; the result has `n_layers` layers.
    """
    missing = n_layers - layout.n_layers
    if not missing:
        return flat
    xp, U = namespace(flat), layout.views(flat)

    def longer(part):
        shape = part.shape[0], missing, *part.shape[2:]
        return xp.concat([part, xp.zeros(shape, dtype=part.dtype, device=device(part))], axis=1)

    parts = {name: longer(getattr(U, name)) for name in ("K", "b", "h")}
    return replace(layout, n_layers=n_layers).flatten(U._replace(**parts))


def cut_back(flat, layout, n_layers):
    """Undo `padded`: return the controls, in the layout, of flat rows with `n_layers` layers."""
    N = layout.n_layers
    if n_layers == N:
        return flat
    U = replace(layout, n_layers=n_layers).views(flat)
    return layout.flatten(U._replace(K=U.K[:, :N, ...], b=U.b[:, :N, :], h=U.h[:, :N]))
