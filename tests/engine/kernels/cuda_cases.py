"""Problems for the comparison of the CUDA kernel, emulated or on a device, with the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skode.engine.activations import ACTIVATIONS
from skode.engine.controls import Layout
from skode.engine.fold_weights import FoldWeights
from skode.engine.kernels import Problem, Samples, reference
from skode.engine.losses import loss_named
from skode.engine.networks import Network
from skode.engine.schemes import TABLEAUX, as_tableau
from tests.engine.problems import REGRESSION
from tests.reference import QUANTILE

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}  # relative to the largest entry
EXPLICIT = [name for name, tableau in TABLEAUX.items() if tableau.explicit]
LIFTS = "padded", "affine", "nonlinear"
# Channels of a narrow and a wide network, not a multiple of the channels of a thread.
NARROW = 5
WIDE = {"float64": 26, "float32": 35}


@dataclass(frozen=True)
class Case:
    """A problem, and the sizes of samples and controls."""

    scheme: object = "heun"
    activation: str = "tanh"
    loss: str = "softmax"
    lift: str = "affine"
    dtype: str = "float64"
    skip: float = 1.0
    learn_step: bool = True
    folds: bool = True
    members: int = 3
    samples: int = 150  # of tiles of 128, or 32
    n_channels: int = NARROW
    n_features: int = 4
    n_outputs: int | None = None  # one for "logistic", three for others
    n_layers: int = 3

    @property
    def problem(self):
        activation = ACTIVATIONS[self.activation]
        lift = activation if self.lift == "nonlinear" else ACTIVATIONS["identity"]
        network = Network(as_tableau(self.scheme), activation, self.skip, lift)
        outputs = self.n_outputs or (1 if self.loss == "logistic" else 3)
        lifted = 0 if self.lift == "padded" else self.n_features
        layout = Layout(self.n_layers, self.n_channels, outputs, lifted)
        return Problem(network, layout, loss_named(self.loss, QUANTILE), self.learn_step)

    @property
    def flat(self):
        """Return controls of networks whose states neither vanish nor overflow."""
        rng, layout = np.random.default_rng(1), self.problem.layout
        flat = rng.normal(size=(self.members, layout.size)) / self.n_channels**0.5
        flat[:, layout.slices.h] = rng.normal(size=(self.members, self.n_layers)) / 2
        return flat.astype(self.dtype)

    @property
    def data(self):
        rng, m = np.random.default_rng(2), self.samples
        q = self.problem.layout.n_outputs
        targets = rng.normal(size=(m, q))
        if self.loss == "poisson":
            targets = np.abs(targets)
        elif self.loss not in REGRESSION:
            targets = np.eye(max(q, 2))[rng.integers(max(q, 2), size=m)][:, -q:]
        weights = rng.random(m) * (rng.random(m) < 0.9)
        folds = None
        if self.folds:
            tables = (rng.random((2, 2, 4)) * (rng.random((2, 2, 4)) < 0.8)).astype(self.dtype)
            split = rng.integers(2, size=self.members)
            folds = FoldWeights(rng.integers(4, size=m), *tables, split)
        X = rng.normal(size=(m, self.n_features))
        return Samples(X, targets.astype(self.dtype), weights.astype(self.dtype), folds)


def in_double(samples):
    """Return the same numbers in double precision."""
    folds = samples.folds
    if folds is not None:
        folds = folds._replace(
            train=folds.train.astype(np.float64), held_out=folds.held_out.astype(np.float64)
        )
    targets, weights = (part.astype(np.float64) for part in samples[1:3])
    return samples._replace(targets=targets, weights=weights, folds=folds)


def assert_equal_to_reference(case, sums, outputs=None):
    """Compare sums and gradient with the reference, which computes in double precision."""
    samples, flat, problem = case.data, case.flat.astype(np.float64), case.problem
    samples = samples._replace(X=samples.X.astype(case.dtype))
    expected = reference.evaluate(problem, in_double(samples), flat, True)
    for name, wanted in expected._asdict().items():
        found = getattr(sums, name)
        if wanted is None:
            assert found is None
            continue
        assert found.dtype == (case.dtype if name == "gradient" else np.float64), name
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(
            found, wanted, rtol=0, atol=TOLERANCE[case.dtype] * scale, err_msg=f"{name} of {case}"
        )
    if not case.learn_step:
        assert not sums.gradient[:, problem.layout.slices.h].any()
    if outputs is not None:
        x = reference.features(samples.X, flat)
        z = problem.network.forward(problem.layout.views(flat), x).z
        np.testing.assert_allclose(outputs, z, rtol=0, atol=TOLERANCE[case.dtype] * np.abs(z).max())
