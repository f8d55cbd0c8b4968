"""ART's projected gradient descent on a network of skode, and on the same network in PyTorch.

Usage: OPENBLAS_NUM_THREADS=1 python benchmarks/robustness.py [--repeats 7] [--steps 40]

A is ART's attack with `skode.robustness.art_classifier`; B is the same attack as `robust_accuracy`
runs it, without ART's loop over samples; C is ART's attack with its PyTorchClassifier and the
network rebuilt in PyTorch, in double precision and one thread. ART itself computes in single
precision. They run in turns, A B C A B C. Printed are the medians, how many times as long C takes
as A and B, and the largest difference of the points of A and C, in units of the radius.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from art.attacks.evasion import ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning

from skode import ODENetClassifier, get_scheme
from skode.robustness import art_classifier
from skode.robustness._art_attacks import _ProjectedGradientDescent

EPS = 0.3
# Name, parameters and numbers of samples.
ONE = {"cv": None, "activation": "tanh", "alpha": 1e-3, "max_iter": 20}
CASES = [
    ("euler, N=10, 8 channels", {"scheme": "euler", "N": 10, "n_channels": 8, **ONE}),
    ("heun, N=10, 16 channels", {"scheme": "heun", "N": 10, "n_channels": 16, **ONE}),
    ("rk4, N=10, 16 channels", {"scheme": "rk4", "N": 10, "n_channels": 16, **ONE}),
    ("defaults, features given", {"max_iter": 20}),
]
SIZES = (100, 1000)


def activation_of(name):
    """An activation in PyTorch."""
    if name == "mixed":
        raise ValueError("The channels of this activation differ.")
    return {"tanh": torch.tanh, "relu": torch.relu}[name]


class Rebuilt(torch.nn.Module):
    """The networks of a fitted estimator with log-loss and a nonlinear lift, side by side."""

    def __init__(self, model):
        super().__init__()
        for name in ("K", "b", "h", "W", "mu", "V", "nu"):
            values = torch.tensor(getattr(model, f"{name}_"))
            setattr(self, name, torch.nn.Parameter(values, requires_grad=False))
        self.weights = torch.log(torch.tensor(model.network_weights_))[:, None, None]
        self.sigma = activation_of(model.activation)
        scheme = get_scheme(model.scheme)
        self.A, self.weight_of_stage = scheme.A, scheme.b

    def forward(self, x):
        """The logarithms of the probabilities, (n_samples, n_classes)."""
        x = x.double().expand(len(self.K), *x.shape)
        y = self.sigma(torch.baddbmm(self.nu[:, None], x, self.V.mT))
        for layer in range(self.K.shape[1]):
            K, b = self.K[:, layer].mT, self.b[:, layer, None]
            h, F = self.h[:, layer, None, None], []
            for row in self.A:
                terms = [a * f for a, f in zip(row, F, strict=False) if a]
                Y = y + h * sum(terms) if terms else y
                F.append(self.sigma(torch.baddbmm(b, Y, K)))
            y = y + h * sum(w * f for w, f in zip(self.weight_of_stage, F, strict=True) if w)
        z = torch.baddbmm(self.mu[:, None], y, self.W.mT)
        if len(z) == 1:
            return torch.log_softmax(z[0], dim=1)
        return torch.logsumexp(torch.log_softmax(z, dim=2) + self.weights, dim=0)


def attack_on(classifier, steps, size, cls=ProjectedGradientDescent):
    return cls(
        classifier,
        norm=np.inf,
        eps=EPS,
        eps_step=2.5 * EPS / steps,
        max_iter=steps,
        batch_size=size,
        verbose=False,
    )


def compare(model, X, y, repeats, steps):
    """Median seconds of A, B and C, and the largest difference of the points of A and C."""
    n_classes = len(model.classes_)
    in_torch = PyTorchClassifier(
        Rebuilt(model),
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=X.shape[1:],
        nb_classes=n_classes,
        preprocessing=None,
    )
    attacks = [
        attack_on(art_classifier(model), steps, len(X)),
        attack_on(art_classifier(model), steps, len(X), _ProjectedGradientDescent),
        attack_on(in_torch, steps, len(X)),
    ]
    X, one_hot = X.astype(np.float32), np.eye(n_classes)[y]
    found = [attack.generate(X, one_hot) for attack in attacks]  # and what is compiled
    seconds = np.empty((repeats, 3))
    for k in range(repeats):
        for j, attack in enumerate(attacks):
            start = time.perf_counter()
            attack.generate(X, one_hot)
            seconds[k, j] = time.perf_counter() - start
    return np.median(seconds, axis=0), np.abs(found[0] - found[2]).max() / EPS


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    X, y = make_classification(2000, 20, n_informative=8, n_classes=3, random_state=0)
    X = X / X.std(axis=0)
    print("network                   samples        A        B        C   C/A   C/B  difference")
    for name, parameters in CASES:
        model = ODENetClassifier(features="given", random_state=0, **parameters).fit(X, y)
        for size in SIZES:
            (a, b, c), gap = compare(model, X[:size], y[:size], options.repeats, options.steps)
            times = " ".join(f"{1e3 * t:5.0f} ms" for t in (a, b, c))
            print(f"{name:26} {size:6} {times} {c / a:5.2f} {c / b:5.2f}  {gap:.0e}", flush=True)


if __name__ == "__main__":
    main()
