"""Does it pay to train few layers first?

    python benchmarks/coarse_to_fine.py

Two ways to the same network of sixteen Euler layers: trained from a random start, and trained with
two layers of eight times the step, then four, eight and sixteen, each from the controls of the one
before, interpolated in time.  A stage goes on until the objective has fallen by less than `tol`
over ten iterations.  Same total time N·h, same L-BFGS, five starts each.  Reported are the time,
the objective, and the accuracy on fresh samples.
"""

import time

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skode.datasets import make_donut2d, make_spirals
from skode.engine.controls import Controls, Layout
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.objective import Objective
from skode.engine.prediction import outputs
from skode.engine.record import Stopping
from skode.engine.schemes import TABLEAUX
from skode.engine.training import train

STARTS, CHANNELS, TIME = 5, 16, 2.0
STAGES = {"from the start": [16], "coarse to fine": [2, 4, 8, 16]}
STOPPING = Stopping(max_iter=200, tol=1e-3)


def random_start(layout):
    rng = np.random.default_rng(0)
    M, N, n, q, d = STARTS, layout.n_layers, layout.n_channels, layout.n_outputs, layout.lifted
    return Controls(
        K=rng.normal(scale=n**-0.5, size=(M, N, n, n)),
        b=rng.normal(scale=n**-0.5, size=(M, N, n)),
        h=np.full((M, N), TIME / N),
        W=np.zeros((M, q, n)),
        mu=np.zeros((M, q)),
        V=rng.normal(scale=d**-0.5, size=(M, n, d)),
        nu=np.zeros((M, n)),
    )


def interpolated(U, N):
    """The controls at the midpoints of N layers: piecewise linear in time, constant at the ends."""
    old, new = ((np.arange(k) + 0.5) / k for k in (U.K.shape[1], N))
    right = np.clip(np.searchsorted(old, new), 1, len(old) - 1)
    share = np.clip((new - old[right - 1]) / (old[right] - old[right - 1]), 0, 1)

    def between(part):
        s = share.reshape(-1, *[1] * (part.ndim - 2))
        return (1 - s) * part[:, right - 1] + s * part[:, right]

    return U._replace(K=between(U.K), b=between(U.b), h=np.full((len(U.h), N), TIME / N))


def fit(stages, X, y):
    """Controls of the last stage, and the objective."""
    q = 1 if y.max() == 1 else y.max() + 1
    targets = y[:, None] == (1 if q == 1 else np.arange(q))
    network, U = ode_net(TABLEAUX["euler"]), None
    for N in stages:
        layout = Layout(N, CHANNELS, q, lifted=X.shape[1])
        U = random_start(layout) if U is None else interpolated(U, N)
        objective = Objective(
            network,
            layout,
            LOSSES["logistic" if q == 1 else "softmax"],
            X,
            targets,
            np.full(len(X), 1 / len(X)),
            np.full(STARTS, 1e-3),
        )
        training = train(objective, layout.flatten(U), stopping=STOPPING)
        U = layout.views(training.flat)
    return network, U, training.J


def problems():
    for make in (make_donut2d, make_spirals):
        yield make.__name__[5:], *make(1000, random_state=0), *make(5000, random_state=1)
    for load in (load_breast_cancer, load_digits):
        X, y = load(return_X_y=True)
        X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
        scaler = StandardScaler().fit(X)
        yield load.__name__[5:], scaler.transform(X), y, scaler.transform(X_test), y_test


def main():
    print(f"{'':16} {'':16} {'time/s':>8} {'J':>8} {'accuracy':>9}")
    for name, X, y, X_test, y_test in problems():
        for way, stages in STAGES.items():
            with threadpool_limits(1):
                start = time.perf_counter()
                network, U, J = fit(stages, X, y)
                seconds = time.perf_counter() - start
            z = outputs(network, U, X_test)
            label = z[:, 0] > 0 if z.shape[1] == 1 else z.argmax(axis=1)
            print(
                f"{name:16} {way:16} {seconds:8.2f} {np.mean(J):8.4f} "
                f"{(label == y_test).mean():9.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
