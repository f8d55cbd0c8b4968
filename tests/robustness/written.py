"""Networks that are written down, and how fast functions change, for tests of certificates."""

import numpy as np

from skode.engine.activations import ACTIVATIONS
from skode.engine.controls import Controls
from skode.engine.networks import Network
from skode.engine.schemes import TABLEAUX
from skode.robustness._unrolled import Layer, Unrolled, outer_matrix

EXPLICIT = [name for name, tableau in TABLEAUX.items() if tableau.explicit]
IMPLICIT = [name for name, tableau in TABLEAUX.items() if not tableau.explicit]
FIELDS = ["standard", "antisymmetric", "gradient_flow", "hamiltonian"]


def draw(
    rng,
    scheme="euler",
    activation="tanh",
    lift="linear",
    field="standard",
    skip=1.0,
    n=4,
    N=3,
    d=2,
    members=1,
    size=1.0,
    h=None,
):
    """A random network; `size` is that of K."""
    V = rng.normal(size=(members, n, d)) / np.sqrt(d)
    nu = rng.normal(size=(members, n))
    if lift == "pad":
        V, nu = np.broadcast_to(np.eye(n, d), (members, n, d)), np.zeros((members, n))
    layers = []
    for _ in range(N):
        K = size * rng.normal(size=(members, n, n)) / np.sqrt(n)
        if field == "antisymmetric":
            K = K - np.swapaxes(K, 1, 2) - 0.01 * np.eye(n)
        if field == "hamiltonian":
            half = np.arange(n) < n // 2
            K = K * (half[:, None] == half)
        steps = rng.uniform(-0.5, 1.0, members) if h is None else np.full(members, h)
        layers.append(Layer(K, rng.normal(size=(members, n)), steps, outer_matrix(field, K)))
    return Unrolled(
        tableau=TABLEAUX[scheme],
        skip=skip,
        activation=ACTIVATIONS[activation],
        lift=ACTIVATIONS[activation if lift == "nonlinear" else "identity"],
        layers=layers,
        V=V,
        nu=nu,
        W=rng.normal(size=(members, 3, n)),
        mu=rng.normal(size=(members, 3)),
        weights=np.full(members, 1 / members),
        gradient_flow=field == "gradient_flow",
    )


def by_engine(net, u):
    """Last states and outputs, (networks, samples, ...), by the engine."""
    parts = zip(*((layer.K, layer.b, layer.h) for layer in net.layers), strict=True)
    K, b, h = (np.stack(part, axis=1) for part in parts)
    U = Controls(K, b, h, net.W, net.mu, np.array(net.V), net.nu)
    done = Network(net.tableau, net.activation, net.skip, net.lift).forward(U, u.T)
    assert all(status.converged.all() for status in done.statuses)
    return np.swapaxes(done.y[-1], 1, 2), np.swapaxes(done.z, 1, 2)


def in_ball(rng, shape, norm):
    """Points of the unit ball: most of them on its boundary, and in its corners."""
    delta = rng.normal(size=shape)
    if norm == 2:
        return (
            delta
            / np.linalg.norm(delta, axis=-1, keepdims=True)
            * rng.choice([1.0, 0.5], (*shape[:-1], 1))
        )
    return np.where(rng.random(shape[:-1])[..., None] < 0.7, np.sign(delta), np.tanh(delta))


def quotients(rng, function, x):
    """The largest of the difference quotients of points, and of points near them."""
    largest = 0.0
    for size in (1e-6, 0.1, 2.0):
        moved = x + size * rng.normal(size=x.shape)
        change = np.linalg.norm(function(moved) - function(x), axis=-1)
        largest = max(largest, (change / np.linalg.norm(moved - x, axis=-1)).max())
    return largest


def norms_of_jacobians(function, x):
    """‖∂f/∂x‖₂ at some points, by differences; `function` gives (networks, samples, n)."""
    columns = [(function(x + 1e-6 * e) - function(x - 1e-6 * e)) / 2e-6 for e in np.eye(x.shape[1])]
    return np.linalg.norm(np.stack(columns, axis=-1), 2, axis=(-2, -1))
