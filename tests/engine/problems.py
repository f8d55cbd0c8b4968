"""Problems for the tests of the engine: small networks, and objectives in closed form."""

from dataclasses import replace

import numpy as np

from skode.engine.arrays import namespace, on_host, placed
from skode.engine.blocks import Blocks
from skode.engine.controls import Controls, Layout
from skode.engine.fold_weights import FoldWeights
from skode.engine.kernels import Samples
from skode.engine.losses import loss_named
from skode.engine.networks import ode_net
from skode.engine.objective import ALL_BUT_STEPS, Evaluation, Objective
from skode.engine.penalties import Penalties
from skode.engine.schemes import TABLEAUX
from skode.engine.training import train
from tests.engine.everywhere import home, there
from tests.reference import QUANTILE

REGRESSION = ["squared", "huber", "quantile", "poisson"]  # losses whose targets are numbers
LIFT = ("V", "nu")
FREE = {
    "fixed": ("K", "b", "W", "mu", *LIFT),
    "learned": ("K", "b", "h", "W", "mu", *LIFT),
    "simplex": ("K", "b", "h", "W", "mu", *LIFT),
}


def problem(
    loss,
    steps,
    n_features=2,
    n_channels=3,
    N=3,
    members=2,
    seed=0,
    dtype=float,
    spread=1.0,
    lifted=False,
    outputs=None,
    samples=7,
):
    """Return a layout, random controls, data, targets, weights and penalties."""
    rng = np.random.default_rng(seed)
    q = outputs or (1 if loss == "logistic" else 3)
    layout = Layout(N, n_channels, q, lifted=n_features if lifted else 0)
    h = {
        "fixed": np.full((members, N), 0.3),
        "learned": spread * rng.normal(size=(members, N)),  # some are negative
        "simplex": rng.dirichlet(np.ones(N), size=members),
    }[steps]
    if steps == "simplex":
        h[:, 0], h[:, -1] = 0.0, h[:, -1] + h[:, 0]  # and some are zero
    U = Controls(
        K=rng.normal(size=(members, N, n_channels, n_channels)),
        b=rng.normal(size=(members, N, n_channels)),
        h=h,
        W=rng.normal(size=(members, q, n_channels)),
        mu=rng.normal(size=(members, q)),
    )
    m = samples
    X = rng.normal(size=(m, n_features))
    label = rng.integers(0, 2 if q == 1 else q, m)
    targets = (label[:, None] == 1) if q == 1 else (label[:, None] == np.arange(q))
    weights = rng.uniform(size=m) / m
    alpha = rng.uniform(size=members)
    if loss == "logistic" and q > 1:
        targets = rng.integers(0, 2, size=(m, q))
    if loss in REGRESSION:
        targets = 2 * rng.normal(size=(m, q))
    if loss == "poisson":
        targets, U = np.abs(targets), U._replace(W=0.2 * U.W)  # so that exp z is moderate
    if lifted:
        U = U._replace(
            V=rng.normal(size=(members, n_channels, n_features)),
            nu=rng.normal(size=(members, n_channels)),
        )
    return layout, *(a.astype(dtype) for a in (layout.flatten(U), X, targets, weights, alpha))


def folds_of(members, samples=7):
    """Five groups: for training or validation with multiplicities, on both sides, or on neither."""
    rng = np.random.default_rng(1)
    group = np.resize([0, 1, 2, 3, 4], samples)
    rng.shuffle(group)
    train = np.array([[1.0, 2.0, 0.0, 0.0, 3.0]])
    held_out = np.array([[0.0, 0.0, 2.0, 0.0, 0.5]])
    shift = [np.roll(np.arange(5), k) for k in range(members)]
    split = np.arange(members)
    return FoldWeights(group, train[0][np.array(shift)], held_out[0][np.array(shift)], split)


def objective_of(
    network, layout, loss, data, free=ALL_BUT_STEPS, folds=None, smooth=(0.0, 1.0), blocks=None
):
    """Return the objective for X, targets, weights and alpha."""
    X, targets, weights, alpha = data
    samples, penalties = Samples(X, targets, weights, folds), Penalties(alpha, *smooth)
    return Objective(network, layout, loss_named(loss, QUANTILE), samples, penalties, free, blocks)


class Placed:
    """An objective whose data are in a namespace; the arguments are those of `objective_of`.

    It can be evaluated with arrays of the namespace, as `train` does, or with host arrays; the
    results are then host arrays too.  Internally all arrays have to be in the namespace.
    """

    def __init__(self, xp, *arguments, size=None, **options):
        self.xp = xp
        blocks = Blocks(size=size)
        self.inner = objective_of(*there(xp, arguments), blocks=blocks, **there(xp, options))

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def evaluate(self, flat, members=None, gradient=True, tolerance=None):
        found = self.inner.evaluate(*there(self.xp, (flat, members)), gradient, tolerance)
        brought = home(self.xp, found)
        return brought if on_host(flat) else found

    def value_and_gradient(self, flat, members=None):
        return self.evaluate(flat, members)[:2]

    def costates(self, flat):
        return home(self.xp, self.inner.costates(there(self.xp, flat)))

    def sample(self, rows):
        part = object.__new__(Placed)
        part.xp, part.inner = self.xp, self.inner.sample(there(self.xp, rows))
        return part


def trained(xp, objective, start, *arguments, **options):
    """Call `train` with NumPy controls in a namespace, and convert the results to NumPy."""
    training = train(objective, xp.asarray(start), *arguments, **options)
    return replace(training, flat=home(xp, training.flat))


def network_objective(xp, steps="learned", members=3, **options):
    """Return a small softmax network with Heun's method, with random start and targets."""
    layout, flat, *data = problem("softmax", steps, members=members)
    network = ode_net(TABLEAUX["heun"])
    objective = Placed(xp, network, layout, "softmax", data, FREE[steps], **options)
    return layout, flat, objective


class Quadratic:
    """J = ½ Σ curvature (u - centre)² per member, evaluated like an `Objective`.

    Its numbers are NumPy arrays, which are copied to the device of the controls.  It has one
    sample, so that every batch of Adam is complete.
    """

    elsewhere = False

    def __init__(self, curvature, centre):
        self.curvature, self.centre = curvature, centre
        self.trained_rows = np.zeros(1, dtype=int)

    def value_and_gradient(self, flat, members=None):
        xp = namespace(flat)
        miss = flat - rows_of(self.centre, flat, members)
        g = rows_of(self.curvature, flat, members) * miss
        return 0.5 * xp.sum(miss * g, axis=1), g

    def held_out(self, flat, members):
        """Return no held-out loss."""
        return

    def evaluate(self, flat, members=None, gradient=True):
        if members is None:
            members = placed(np.arange(flat.shape[0]), flat)
        J, g = self.value_and_gradient(flat, members)
        return Evaluation(J, g if gradient else None, self.held_out(flat, members))


def rows_of(values, flat, members):
    """Return the rows of some members, or all, of a NumPy array, on the device of the controls."""
    values = placed(values, flat)
    return values if members is None else namespace(flat).take(values, members, axis=0)


def quadratic(members=3, size=4, seed=0):
    rng = np.random.default_rng(seed)
    curvature = rng.uniform(0.5, 5.0, (members, size))
    return Quadratic(curvature, rng.normal(size=(members, size))), rng.normal(size=(members, size))


class Judged(Quadratic):
    """A quadratic whose held-out loss ½ scale Σ (u - other)² has its minimum elsewhere."""

    def __init__(self, curvature, centre, other, scale=1.0):
        super().__init__(curvature, centre)
        self.other, self.scale = other, scale

    def held_out(self, flat, members):
        miss = flat - rows_of(self.other, flat, members)
        return 0.5 * self.scale * namespace(flat).sum(miss * miss, axis=1)


class Cliff(Quadratic):
    """A function that is NaN, infinite, or of infinite gradient beyond a wall at u = 1."""

    def __init__(self, beyond):
        super().__init__(np.ones((1, 1)), np.array([[0.9]]))
        self.beyond = beyond

    def inside(self, flat, members):
        """Return J and its gradient on this side of the wall."""
        return super().value_and_gradient(flat, members)

    def value_and_gradient(self, flat, members=None):
        xp = namespace(flat)
        J, g = self.inside(flat, members)
        over = flat[:, 0] > 1
        if self.beyond == "gradient":
            return xp.where(over, -1.0, J), xp.where(over[:, None], xp.inf, g)
        return xp.where(over, self.beyond, J), g


class Wrong(Quadratic):
    """A gradient with the wrong sign."""

    def value_and_gradient(self, flat, members=None):
        J, g = super().value_and_gradient(flat, members)
        return J, -g
