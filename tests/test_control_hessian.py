"""The Hessian of the Hamiltonian against complex steps, and against curves on manifolds."""

import io

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skode import (
    FeedForwardClassifier,
    FeedForwardRegressor,
    ODENetClassifier,
    ODENetRegressor,
    load,
    save,
)
from skode.engine.controls import Layout
from skode.engine.manifolds import orthogonal_layers, rows_of_norm
from skode.inspection import ControlHessian, control_hessian, costates, trajectories
from tests import reference
from tests.estimators import blobs, curve, short

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = blobs(3)
SIGMA = reference.ACTIVATIONS  # σ and σ′


def fitted(cls=ODENetClassifier, data=(X, Y), **parameters):
    return short(cls, **{"solver": "lbfgs", "max_iter": 10, "N": 2, **parameters}).fit(*data)


class Layer:
    """h Σ ⟨Γi, σ(K Yi + b)⟩ of one layer, with its stages and their costates from the formulas."""

    def __init__(self, model, data, layer, scheme):
        (A, b), sigma = scheme, SIGMA[model.activation]
        self.value, self.slope = sigma
        states, p = trajectories(model, data[0])[0], costates(model, *data)[0]
        self.K, self.b, self.h = model.K_[0, layer], model.b_[0, layer], model.h_[0, layer]
        y, after = states[layer].T, p[layer + 1].T
        A, b, F = np.array(A), np.array(b), [None] * len(b)
        self.Y, self.gamma = [None] * len(b), [None] * len(b)
        for i in range(len(b)):
            self.Y[i] = y + self.h * sum((A[i, j] * F[j] for j in range(i)), 0 * y)
            F[i] = self.value(self.K @ self.Y[i] + self.b[:, None])
        V = [0 * y] * len(b)
        for i in reversed(range(len(b))):
            self.gamma[i] = b[i] * after + sum(A[j, i] * V[j] for j in range(i + 1, len(b)))
            G = self.slope(self.K @ self.Y[i] + self.b[:, None]) * self.gamma[i]
            V[i] = self.h * self.K.T @ G

    @property
    def U(self):
        return np.column_stack([self.K, self.b])

    def H(self, U, alpha=0.0):
        values = (self.value(U[:, :-1] @ Y + U[:, -1:]) for Y in self.Y)
        found = self.h * sum((g * f).sum() for g, f in zip(self.gamma, values, strict=True))
        return found + alpha / 2 * (U[:, :-1] ** 2).sum()

    def gradient(self, U, alpha=0.0):
        found = np.column_stack([alpha * U[:, :-1], 0 * U[:, -1:]])
        for Y, g in zip(self.Y, self.gamma, strict=True):
            G = self.h * g * self.slope(U[:, :-1] @ Y + U[:, -1:])
            found = found + G @ np.vstack([Y, np.ones_like(Y[:1])]).T
        return found

    def hessian(self, alpha=0.0):
        """By complex steps of the gradient."""
        size = self.U.size
        columns = []
        for direction in np.eye(size).reshape(size, *self.U.shape):
            step = self.U + 1e-30j * direction
            columns.append(self.gradient(step, alpha).imag.ravel() / 1e-30)
        return np.array(columns)


EULER, HEUN = ([[0.0]], [1.0]), ([[0, 0], [1, 0]], [0.5, 0.5])
RALSTON = ([[0, 0, 0], [0.5, 0, 0], [0, 0.75, 0]], [2 / 9, 1 / 3, 4 / 9])


@pytest.mark.parametrize("activation", SIGMA)
@pytest.mark.parametrize(
    ("cls", "parameters", "scheme"),
    [
        (ODENetClassifier, {"scheme": "euler"}, EULER),
        (ODENetClassifier, {"scheme": "heun", "learn_step": True}, HEUN),
        (ODENetClassifier, {"scheme": (*RALSTON, (0, 0.5, 0.75)), "lift": "linear"}, RALSTON),
        (FeedForwardClassifier, {}, EULER),
        (ODENetRegressor, {"scheme": "heun"}, HEUN),
        (FeedForwardRegressor, {"lift": "nonlinear"}, EULER),
    ],
)
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_blocks_are_the_second_derivatives(cls, parameters, scheme, activation, alpha):
    data = (X, Y) if "Classifier" in cls.__name__ else curve()
    model = fitted(cls, data, activation=activation, **parameters)
    found = control_hessian(model, *data, alpha=alpha)
    assert found.blocks.shape == (1, 2, 4, 5, 5)
    np.testing.assert_allclose(found.blocks, np.swapaxes(found.blocks, -1, -2), atol=1e-14)
    for k in range(2):
        layer = Layer(model, data, k, scheme)
        expected = layer.hessian(alpha)
        blocks = expected.reshape(4, 5, 4, 5)
        scale = np.abs(expected).max() + 1e-12
        for r in range(4):  # rows do not interact
            np.testing.assert_allclose(found.blocks[0, k, r], blocks[r, :, r], atol=1e-10 * scale)
            assert not np.delete(blocks[r], r, axis=1).any()
        values = np.linalg.eigvalsh(expected)
        np.testing.assert_allclose(found.eigenvalues[0, k], values, atol=1e-10 * scale)
    if activation in ("relu", "identity") and not alpha:
        assert not found.blocks.any()
        assert np.isinf(found.condition).all()


def test_the_midpoint_of_an_implicit_scheme():
    # Its stage is the mean of the states, and so is the costate of that.
    model = fitted(scheme="implicit_midpoint", h=0.5)
    layer = Layer(model, (X, Y), 1, EULER)
    states, p = trajectories(model, X)[0], costates(model, X, Y)[0]
    layer.Y, layer.gamma = [(states[1] + states[2]).T / 2], [(p[1] + p[2]).T / 2]
    found = control_hessian(model, X, Y)
    blocks = layer.hessian().reshape(4, 5, 4, 5)[range(4), :, range(4)]
    np.testing.assert_allclose(found.blocks[0, 1], blocks, atol=1e-10)


def second_difference(f, t=4e-3):
    """f''(0), of sixth order."""
    near = sum(w * (f(k * t) + f(-k * t)) for k, w in ((1, 1.5), (2, -0.15), (3, 1 / 90)))
    return (near - 49 / 18 * f(0)) / t**2


@pytest.mark.parametrize(("constraint", "dimension"), [("sphere", 16), ("orthogonal", 10)])
@pytest.mark.parametrize("alpha", [0.0, 0.2])
def test_on_a_manifold_it_is_the_second_derivative_along_retractions(constraint, dimension, alpha):
    model = fitted(constraint=constraint, constraint_norm=1.5, scheme="heun")
    found = control_hessian(model, X, Y, alpha=alpha)
    assert found.tangent_eigenvalues.shape == (1, 2, dimension)
    layout = Layout(1, 4, 1)
    manifold = {"sphere": rows_of_norm, "orthogonal": orthogonal_layers}[constraint](layout, 1.5)

    def flat(U):
        rest = np.zeros(layout.size - U.size)
        return np.concatenate([U[:, :-1].ravel(), U[:, -1], rest])[None]

    def rows(flat):
        return np.column_stack([flat[0, :16].reshape(4, 4), flat[0, 16:20]])

    layer = Layer(model, (X, Y), 1, HEUN)
    u = flat(layer.U)
    vectors = np.eye(layout.size)[:20]
    tangents = manifold.tangent(np.repeat(u, 20, axis=0), vectors)
    _, sizes, basis = np.linalg.svd(tangents)
    assert (sizes > 0.5).sum() == dimension
    basis = basis[:dimension]

    def curvature(d):
        return second_difference(lambda t: layer.H(rows(manifold.project(u + t * d)), alpha))

    alone = [curvature(d) for d in basis]
    hessian = np.diag(alone)
    for i in range(dimension):
        for j in range(i):
            mixed = curvature(basis[i] + basis[j]) - alone[i] - alone[j]
            hessian[i, j] = hessian[j, i] = mixed / 2
    values = np.linalg.eigvalsh(hessian)
    np.testing.assert_allclose(found.tangent_eigenvalues[0, 1], values, atol=2e-9)
    assert np.abs(values).max() > 1e-3
    # Without the multiplier it would be another one.
    plain = found.blocks[0, 1]
    full = np.zeros((4, 5, 4, 5))
    full[range(4), :, range(4)] = plain
    B = np.array([rows(d[None]).ravel() for d in basis])
    other = np.linalg.eigvalsh(B @ full.reshape(20, 20) @ B.T)
    assert np.abs(other - values).max() > 1e-3


def test_a_penalty_of_orthogonal_weights_is_a_constant():
    model = fitted(constraint="orthogonal")
    without, with_penalty = (control_hessian(model, X, Y, alpha=alpha) for alpha in (0.0, 1.0))
    assert np.abs(with_penalty.eigenvalues - without.eigenvalues).max() > 0.9
    np.testing.assert_allclose(
        with_penalty.tangent_eigenvalues, without.tangent_eigenvalues, atol=1e-12
    )


def test_all_networks_and_layers_of_a_pipeline():
    model = make_pipeline(StandardScaler(), short(ODENetClassifier, cv=3, solver="lbfgs"))
    found = control_hessian(model.fit(X, Y), X, Y)
    assert found.eigenvalues.shape == (3, 3, 20)
    assert found.condition.shape == found.near_zero.shape == (3, 3)
    assert found.tangent_eigenvalues is None
    assert found.spectrum is found.eigenvalues
    one = control_hessian(model[-1], model[0].transform(X), Y)
    np.testing.assert_allclose(one.blocks, found.blocks, atol=1e-15)
    sparse = control_hessian(model[-1], csr_array(model[0].transform(X)), Y)
    np.testing.assert_allclose(sparse.blocks, found.blocks, atol=1e-14)


def test_single_precision():
    options = {"constraint": "sphere"}
    single = fitted(data=(X.astype(np.float32), Y), **options)
    found = control_hessian(single, X.astype(np.float32), Y)
    assert found.blocks.dtype == found.tangent_eigenvalues.dtype == np.float64
    double = fitted(**options)
    expected = control_hessian(double, X, Y).blocks
    np.testing.assert_allclose(found.blocks, expected, atol=2e-3 * np.abs(expected).max())


def test_the_summary():
    values = np.array([[[-1e-9, 1e-3, 0.5, 1.0]] * 2] * 3)
    found = ControlHessian(np.zeros((3, 2, 1, 4, 4)), values, None, None)
    assert repr(found) == (
        "Hessian of the Hamiltonian, 3 networks with 2 layers of 4 controls\n"
        "  eigenvalues: from -1e-09 to 1, 25 % near zero, condition number 1e+09"
    )
    np.testing.assert_allclose(found.condition, np.full((3, 2), 1e9))
    np.testing.assert_array_equal(found.near_zero, np.full((3, 2), 0.25))


@pytest.mark.parametrize("constraint", [None, "spectral", "sphere", "orthogonal"])
@pytest.mark.parametrize("later", [None, "sphere", "orthogonal"])
def test_the_constraint_is_that_of_the_fit(constraint, later):
    model = fitted(constraint=constraint, constraint_norm=1.0 if constraint is None else 1.5)
    expected = control_hessian(model, X, Y)
    assert expected.constraint == constraint
    model.set_params(constraint=later, constraint_norm=2.0)
    for found in (control_hessian(model, X, Y), control_hessian(saved_and_loaded(model), X, Y)):
        assert found.constraint == constraint
        np.testing.assert_array_equal(found.spectrum, expected.spectrum)


def test_a_stream_keeps_its_constraint_too():
    model = short(ODENetClassifier, solver="adam", constraint="sphere")
    model.partial_fit(X, Y, classes=np.unique(Y))
    found = control_hessian(model.set_params(constraint=None), X, Y)
    assert found.constraint == "sphere"


def saved_and_loaded(model):
    file = io.BytesIO()
    save(model, file)
    return load(file)


def test_what_is_refused():
    model = fitted(constraint="sphere")
    for alpha in (-1.0, np.nan, np.inf, "1", None, [1.0], True):
        with pytest.raises(ValueError, match="alpha must be a number that is finite"):
            control_hessian(model, X, Y, alpha=alpha)
    model.K_ = 2 * model.K_
    with pytest.raises(
        ValueError, match=r"constraint='sphere' with constraint_norm=1\.0: they have"
    ):
        control_hessian(model, X, Y)
    with pytest.raises(TypeError, match="must be one of skode"):
        control_hessian(StandardScaler(), X, Y)
