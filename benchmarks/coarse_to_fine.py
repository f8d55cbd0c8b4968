"""Does it save time to train few layers first?

    python benchmarks/coarse_to_fine.py

A network of sixteen Euler layers is trained in two ways: from a random start; or first with two
layers of eight times the step, then with four, eight and sixteen layers, each from the previous
controls, interpolated in time.  The total time N·h, the penalty and L-BFGS are the same, with eight
networks each, in two settings.  "all samples": eight starts, all trained on all samples; a stage
ends when the objective has fallen by less than 1e-3 over ten iterations.  "folds", as in the
estimators: each network is trained without its own fold of the samples; a stage ends when the loss
on that fold has not fallen by 1e-4 for twenty iterations, and the best iterate continues.  Reported
are the time, the objective, and the accuracy of the eight networks' mean on fresh samples.
"""

import time

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skode.datasets import make_donut2d, make_spirals
from skode.engine.controls import Layout
from skode.engine.fold_weights import FoldWeights
from skode.engine.kernels import Samples
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.objective import Objective
from skode.engine.penalties import Penalties
from skode.engine.prediction import outputs
from skode.engine.schemes import TABLEAUX
from skode.engine.training import Stopping, random_start, train

NETWORKS, CHANNELS, TIME = 8, 16, 2.0
STAGES = {"from the start": [16], "coarse to fine": [2, 4, 8, 16]}
STOPPING = {
    "all samples": Stopping(max_iter=200, tol=1e-3, n_iter_no_change=10),
    "folds": Stopping(max_iter=200, tol=1e-4, n_iter_no_change=20),
}


def interpolated(U, N):
    """Return the controls at the midpoints of N layers: piecewise linear, constant at the ends."""
    old, new = ((np.arange(k) + 0.5) / k for k in (U.K.shape[1], N))
    right = np.clip(np.searchsorted(old, new), 1, len(old) - 1)
    share = np.clip((new - old[right - 1]) / (old[right] - old[right - 1]), 0, 1)

    def between(part):
        s = share.reshape(-1, *[1] * (part.ndim - 2))
        return (1 - s) * part[:, right - 1] + s * part[:, right]

    return U._replace(K=between(U.K), b=between(U.b), h=np.full((len(U.h), N), TIME / N))


def without_folds(X):
    """Hold out a different part of the samples for each network."""
    group = np.random.default_rng(0).permutation(len(X)) % NETWORKS
    own = np.eye(NETWORKS)
    size = np.bincount(group)
    train, held_out = (1 - own) / (len(X) - size)[:, None], own / size[:, None]
    return FoldWeights(group, train, held_out, np.arange(len(own)))


def fit(setting, stages, X, y):
    """Return the controls of the last stage, and the objective."""
    folds = without_folds(X) if setting == "folds" else None
    q = 1 if y.max() == 1 else y.max() + 1
    targets = y[:, None] == (1 if q == 1 else np.arange(q))
    network, U = ode_net(TABLEAUX["euler"]), None
    for N in stages:
        layout = Layout(N, CHANNELS, q, lifted=X.shape[1])
        if U is None:  # as in ODENetClassifier
            h = TIME / N
            U = random_start(layout, NETWORKS, (8 * h) ** -0.5, h, np.random.default_rng(0))
        else:
            U = interpolated(U, N)
        objective = Objective(
            network,
            layout,
            LOSSES["logistic" if q == 1 else "softmax"],
            Samples(X, targets, np.full(len(X), 1 / len(X) if folds is None else 1.0), folds),
            Penalties(np.full(NETWORKS, 1e-3)),
        )
        training = train(objective, layout.flatten(U), stopping=STOPPING[setting])
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
    print(f"{'':16} {'':12} {'':16} {'time/s':>8} {'J':>8} {'accuracy':>9}")
    for name, X, y, X_test, y_test in problems():
        for setting in STOPPING:
            for way, stages in STAGES.items():
                with threadpool_limits(1):
                    start = time.perf_counter()
                    network, U, J = fit(setting, stages, X, y)
                    seconds = time.perf_counter() - start
                z = outputs(network, U, X_test).mean(axis=0)
                label = z[0] > 0 if len(z) == 1 else z.argmax(axis=0)
                print(
                    f"{name:16} {setting:12} {way:16} {seconds:8.2f} {np.mean(J):8.4f} "
                    f"{(label == y_test).mean():9.4f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
