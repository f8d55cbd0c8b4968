"""How tight the certificates of `skode.robustness` are, and how long they take.

    python benchmarks/certificates.py

Three tables: certified accuracy on fresh spirals by each method, next to the accuracy under an
attack in the 2-norm, and under an exhaustive grid of changes up to 0.1 in the maximum norm; the
ratio of the product bound to the bound by multipliers, for random networks of twenty layers; and
the time of each certificate as networks grow.

There is no comparison with auto_LiRPA: its release 0.3 needs PyTorch below 1.13, which has no
version for Python 3.11.
"""

import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skode import ODENetClassifier
from skode.datasets import make_spirals
from skode.engine.activations import ACTIVATIONS
from skode.engine.contractivity import contractivity_radius
from skode.engine.schemes import TABLEAUX
from skode.robustness import certified_accuracy, lipschitz_bound, robust_accuracy
from skode.robustness._lipschitz import flow_bound
from skode.robustness._unrolled import Layer, Unrolled, outer_matrix

EPS = 0.05
METHODS = ("lipschitz", "interval", "linear", "auto")
DEEP = {"cv": None, "N": 10, "n_channels": 8, "features": "given"}
SMOOTH = {**DEEP, "h": 0.2, "activation": "tanh", "lift": "linear"}
CONTRACTING = {"N": 10, "vector_field": "gradient_flow"}
NETWORKS = {
    "defaults": {},
    "one network of 10 layers": DEEP,
    "the same, h=0.2, tanh": SMOOTH,
    "the same, rk4": {**SMOOTH, "scheme": "rk4"},
    "gradient flow, N=10": {**CONTRACTING, "cv": None, "max_iter": 400},
    "gradient flow, average": CONTRACTING,
}


def spirals():
    X, y = make_spirals(400, random_state=0)
    X_new, y_new = make_spirals(400, random_state=1)
    print(f"Fresh spirals, 2-norm, eps={EPS}")
    print(
        f"{'':26} accuracy  attacked  grid 0.1  " + "  ".join(f"{name:>9}" for name in METHODS),
        end="",
    )
    print("   product  log_norm")
    for name, parameters in NETWORKS.items():
        model = ODENetClassifier(random_state=0, **parameters).fit(X, y)
        found = [certified_accuracy(model, X_new, y_new, EPS, method=m) for m in METHODS]
        attacked = robust_accuracy(model, X_new, y_new, EPS, norm=2, random_state=0)
        grid = robust_accuracy(model, X_new, y_new, 0.1, norm="inf", attack="grid")
        bounds = [np.mean(lipschitz_bound(model, m, of="states")) for m in ("product", "log_norm")]
        print(f"{name:26} {model.score(X_new, y_new):8.3f}  {attacked:8.3f}  {grid:8.3f}  ", end="")
        print("  ".join(f"{share:9.3f}" for share in found), end="  ")
        print("  ".join(f"{bound:8.3g}" for bound in bounds))


def random_network(rng, field, scheme, n, N=20, h=1.0):
    """Random controls of the size that training starts from; gradient flows with short steps."""
    layers = []
    for _ in range(N):
        K = rng.normal(size=(1, n, n)) / np.sqrt(2 * h * n)
        if field == "antisymmetric":
            K = K - np.swapaxes(K, 1, 2) - 0.01 * np.eye(n)
        if field == "gradient_flow":
            longest = np.sqrt(2 * min(contractivity_radius(TABLEAUX[scheme]), 1.0) / h)
            K = K * min(1, longest / np.linalg.norm(K[0], 2))
        layers.append(Layer(K, np.zeros((1, n)), np.full(1, h), outer_matrix(field, K)))
    eye, none = np.eye(n)[None], np.zeros((1, n))
    return Unrolled(
        TABLEAUX[scheme],
        1.0,
        ACTIVATIONS["tanh"],
        ACTIVATIONS["identity"],
        layers,
        eye,
        none,
        eye,
        none,
        np.ones(1),
        gradient_flow=field == "gradient_flow",
    )


def ratios():
    print("\nTwenty random layers, h=1: product bound / log_norm bound, medians of 5")
    for field in ("standard", "antisymmetric", "gradient_flow"):
        for scheme in ("euler", "heun", "rk4", "implicit_midpoint"):
            for n in (8, 16, 48):
                if n * TABLEAUX[scheme].n_stages > 100:
                    continue
                found, seconds = [], []
                for seed in range(5):
                    net = random_network(np.random.default_rng(seed), field, scheme, n)
                    start = time.perf_counter()
                    log_norm = flow_bound(net, "log_norm")[0]
                    seconds.append(time.perf_counter() - start)
                    found.append((flow_bound(net, "product")[0], log_norm))
                product, log_norm = np.median(found, axis=0)
                ratio = np.median([p / q for p, q in found])
                print(
                    f"{field:14} {scheme:18} n={n:<3} product {product:8.2g}  log_norm "
                    f"{log_norm:8.2g}  ratio {ratio:8.2g}  {np.median(seconds):5.1f} s"
                )


def times():
    X, y = make_spirals(400, random_state=0)
    print("\nSeconds for 400 spirals, one network of tanh by rk4, 2-norm")
    for N in (2, 5, 10):
        for n in (8, 16, 48):
            model = ODENetClassifier(
                "rk4", N=N, n_channels=n, cv=None, max_iter=5, activation="tanh", random_state=0
            ).fit(X, y)
            seconds = {}
            for method in METHODS[:3]:
                start = time.perf_counter()
                certified_accuracy(model, X, y, EPS, method=method)
                seconds[method] = time.perf_counter() - start
            print(f"N={N:<3} n={n:<3} " + "  ".join(f"{m} {s:7.2f}" for m, s in seconds.items()))


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    spirals()
    ratios()
    times()
