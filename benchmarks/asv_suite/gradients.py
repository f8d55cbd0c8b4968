"""The main cases of ../gradient.py, and a fit and a prediction, for asv.

    cd benchmarks && asv run HEAD~1..HEAD      # or: asv run --python=same --quick

One thread, so that the figures depend on the arithmetic and not on the load of the machine.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from skode import ODENetClassifier
from skode.engine.controls import Layout
from skode.engine.kernels import Samples
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.objective import Objective
from skode.engine.penalties import Penalties
from skode.engine.schemes import TABLEAUX

CELLS = [
    (500, 2, 20, "float64", "euler", 1),
    (500, 2, 20, "float64", "euler", 20),
    (10_000, 8, 20, "float64", "euler", 1),
    (10_000, 64, 20, "float64", "euler", 1),
    (100_000, 16, 20, "float64", "euler", 1),
    (100_000, 16, 20, "float32", "euler", 1),
    (100_000, 16, 20, "float64", "rk4", 1),
    (500_000, 8, 10, "float32", "euler", 1),
]


class Gradient:
    """One objective and its gradient; m, n, N, precision, scheme, members."""

    params = [CELLS]  # one parameter, which takes these values
    param_names = ["cell"]

    def setup(self, cell):
        m, n, N, dtype, scheme, members = cell
        rng = np.random.default_rng(0)
        layout = Layout(N, n, 1)
        X = rng.normal(size=(m, n)).astype(dtype)
        self.objective = Objective(
            ode_net(TABLEAUX[scheme]),
            layout,
            LOSSES["logistic"],
            Samples(X, X[:, :1] > 0, np.full(m, 1 / m)),
            Penalties(np.zeros(members, dtype=dtype)),
            free=("K", "b", "W", "mu"),
        )
        self.flat = (0.3 * rng.normal(size=(members, layout.size))).astype(dtype)
        self.limits = threadpool_limits(1)
        self.objective.value_and_gradient(self.flat)  # which allocates the work arrays

    def teardown(self, cell):
        self.limits.restore_original_limits()

    def time_value_and_gradient(self, cell):
        self.objective.value_and_gradient(self.flat)

    def time_value(self, cell):
        self.objective.evaluate(self.flat, gradient=False)


class Estimator:
    """Twenty iterations of the default estimator, and its prediction."""

    def setup(self):
        rng = np.random.default_rng(0)
        self.X = rng.normal(size=(2000, 10))
        self.y = np.sum(self.X[:, :3] ** 2, axis=1) > 2.4
        self.model = ODENetClassifier(max_iter=20, tol=0, n_jobs=1, random_state=0)
        self.fit()

    def fit(self):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model.fit(self.X, self.y)

    def time_fit(self):
        self.fit()

    def time_predict(self):
        self.model.predict(self.X)

    def peakmem_fit(self):
        self.fit()
