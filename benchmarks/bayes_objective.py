"""The summed loss ½ Σ (p - label)² of the best possible rule on the two donuts, for several draws.

    python benchmarks/bayes_objective.py

p is the probability of class 1 at the point, computed from the densities of the points.  The
results show how much a training loss depends on the draw: docs/paper_networks.md.
"""

import numpy as np

from skode.datasets import make_donut1d, make_donut2d

LINE = np.linspace(-1, 1, 100)
PROBLEMS = {
    "donut1d": (make_donut1d, np.column_stack([LINE, 0 * LINE]), 1 / 3),
    "donut2d": (make_donut2d, np.stack(np.meshgrid(LINE, LINE), axis=-1).reshape(-1, 2), 1 / 2),
}


def probability(X, grid, share):
    """P(class 1 | X): positions on the grid, blurred by the noise, weighted by the class shares."""
    noise = np.exp(-((X[:, None] - grid) ** 2).sum(axis=2) / (2 * 0.1**2))
    r = np.hypot(*grid.T)
    ring, centre = (np.exp(-((r - radius) ** 2) / (2 * 0.1**2)) for radius in (0.5, 0.0))
    zero = (1 - share) * noise @ (ring / ring.sum())
    one = share * noise @ (centre / centre.sum())
    return one / (zero + one)


def main(n_samples=1000, draws=20):
    for name, (make, grid, share) in PROBLEMS.items():
        J, right = np.empty(draws), np.empty(draws)
        for seed in range(draws):
            X, y = make(n_samples, random_state=seed)
            p = probability(X, grid, share)
            J[seed], right[seed] = 0.5 * ((p - y) ** 2).sum(), ((p > 0.5) == y).mean()
        print(
            f"{name}: {draws} draws of {n_samples} points: J {J.mean():.1f} ± {J.std():.1f} "
            f"({J.min():.1f} … {J.max():.1f}), draw 0 {J[0]:.1f}; accuracy {right.mean():.3f}"
        )


if __name__ == "__main__":
    main()
