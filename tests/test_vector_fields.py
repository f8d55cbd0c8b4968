"""The vector fields of estimators: what they compute, what they keep, and what they refuse."""

import pickle

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skode
from skode import ODENetClassifier, ODENetRegressor
from skode.engine.contractivity import contractivity_radius
from skode.engine.fields import FIELDS
from skode.engine.schemes import TABLEAUX
from skode.inspection import control_hessian, costates, input_gradients, trajectories
from skode.robustness import certified_accuracy, lipschitz_bound
from tests.estimators import blobs

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = blobs(3)
SIGMA = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}
CASES = [
    ("antisymmetric", "heun"),
    ("antisymmetric", "implicit_midpoint"),
    ("gradient_flow", "euler"),
    ("gradient_flow", "rk4"),
    ("gradient_flow", "trapezoid"),
    ("hamiltonian", "symplectic_euler"),
    ("hamiltonian", "stormer_verlet"),
    ("hamiltonian", "implicit_midpoint"),
    ("hamiltonian", "heun"),
]
STEPS = [False, True, "simplex"]


def net(field, scheme, cls=ODENetClassifier, **parameters):
    options = {"N": 3, "n_channels": 6, "max_iter": 15, "cv": None, "alpha": 1e-3}
    options |= {"vector_field": field, "scheme": scheme, "random_state": 0, "solver": "lbfgs"}
    return cls(**options | parameters)


def field_of(name, K, b, y, sigma):
    """f(y) for one layer, with samples in columns."""
    s = sigma(K @ y + b[:, None])
    if name == "gradient_flow":
        return -K.T @ s
    if name == "hamiltonian":
        up, down = np.split(K.T @ s, 2)
        return np.concatenate([down, -up])
    return s


@pytest.mark.parametrize("field", FIELDS)
def test_trajectories_from_the_fitted_arrays(field):
    model = net(field, "euler", activation="tanh").fit(X, Y)
    states = trajectories(model, X)[0]
    for k in range(model.N):
        y = states[k].T
        expected = y + model.h_[0, k] * field_of(field, model.K_[0, k], model.b_[0, k], y, np.tanh)
        np.testing.assert_allclose(states[k + 1], expected.T, atol=1e-12)


@pytest.mark.parametrize("scheme", ["symplectic_euler", "stormer_verlet"])
def test_partitioned_schemes_from_the_fitted_arrays(scheme):
    model = net("hamiltonian", scheme, activation="tanh").fit(X, Y)
    states = trajectories(model, X)[0]
    for k in range(model.N):
        K, b, h = model.K_[0, k], model.b_[0, k], model.h_[0, k]
        q, p = np.split(states[k].T, 2)

        def of(q, p, K=K, b=b):
            return np.split(field_of("hamiltonian", K, b, np.concatenate([q, p]), np.tanh), 2)

        if scheme == "symplectic_euler":
            q = q + h * of(q, p)[0]
            p = p + h * of(q, p)[1]
        else:
            p = p + h / 2 * of(q, p)[1]
            q = q + h * of(q, p)[0]
            p = p + h / 2 * of(q, p)[1]
        np.testing.assert_allclose(states[k + 1], np.concatenate([q, p]).T, atol=1e-12)


def excess(model):
    """How far the weights are from what their field needs."""
    K, n, field = model.K_, model.K_.shape[-1], model.vector_field
    if field == "antisymmetric":
        return np.abs(K + np.swapaxes(K, -1, -2) + 2 * model.damping * np.eye(n)).max()
    if field == "hamiltonian":
        return np.abs(K[..., : n // 2, n // 2 :]).max() + np.abs(K[..., n // 2 :, : n // 2]).max()
    radius = contractivity_radius(TABLEAUX[model.scheme])
    stiffness = np.abs(model.h_) * np.linalg.norm(K, 2, axis=(-2, -1)) ** 2
    return max(0.0, (stiffness - 2 * radius).max(), -model.h_.min())


@pytest.mark.parametrize("solver", ["lbfgs", "adam", "gd", "adam+lbfgs"])
@pytest.mark.parametrize("learn_step", STEPS)
@pytest.mark.parametrize(("field", "scheme"), [case for case in CASES if case[1] != "heun"])
def test_training_keeps_what_a_field_needs(field, scheme, learn_step, solver):
    model = net(field, scheme, solver=solver, learn_step=learn_step, max_iter=8)
    if field == "antisymmetric":
        model.set_params(damping=0.2)
    assert excess(model.fit(X, Y)) < 1e-12


def test_a_gradient_flow_brings_fitted_states_closer():
    model = net("gradient_flow", "euler", N=10, learn_step=True, max_iter=60).fit(X, Y)
    states = trajectories(model, 3 * X)[0]
    gaps = np.linalg.norm(states[:, ::2] - states[:, 1::2], axis=2)
    assert (np.diff(gaps, axis=0) <= 1e-12).all()
    assert gaps[-1].mean() < 0.97 * gaps[0].mean()


@pytest.mark.parametrize(("field", "scheme"), CASES)
def test_copies_files_and_streams(field, scheme, tmp_path):
    model = net(field, scheme, solver="adam", batch_size=20)
    model.partial_fit(X, Y, classes=np.unique(Y))
    model.partial_fit(X, Y)
    expected = model.predict_proba(X)
    skode.save(model, tmp_path / "model.npz")
    for again in (pickle.loads(pickle.dumps(model)), skode.load(tmp_path / "model.npz")):
        np.testing.assert_array_equal(again.predict_proba(X), expected)
        again.partial_fit(X, Y)


@pytest.mark.parametrize(("field", "scheme"), CASES)
def test_regression(field, scheme):
    model = net(field, scheme, ODENetRegressor, max_iter=80).fit(X, X[:, 0] - X[:, 1])
    assert model.score(X, X[:, 0] - X[:, 1]) > 0.8


@pytest.mark.parametrize("lift", ["pad", "linear", "nonlinear"])
@pytest.mark.parametrize(("field", "scheme"), CASES)
def test_input_gradients_against_differences(field, scheme, lift):
    model = make_pipeline(StandardScaler(), net(field, scheme, activation="tanh", lift=lift))
    model.fit(X, Y)
    found, step = input_gradients(model, X[:5]), 1e-5
    for k in range(X.shape[1]):
        e = step * np.eye(X.shape[1])[k]
        ahead, behind = (model.decision_function(X[:5] + d) for d in (e, -e))
        np.testing.assert_allclose(found[..., k], (ahead - behind) / (2 * step), atol=1e-6)


@pytest.mark.parametrize(("field", "scheme"), CASES)
def test_costates_are_there(field, scheme):
    model = net(field, scheme, activation="tanh").fit(X, Y)
    assert costates(model, X, Y).shape == (1, 4, len(X), 6)


@pytest.mark.parametrize(("field", "scheme"), [case for case in CASES if case[1] != "trapezoid"])
def test_certificates_hold(field, scheme):
    model = net(field, scheme, activation="tanh", max_iter=60).fit(X, Y)
    bound = lipschitz_bound(model, of="states")[0]
    last = trajectories(model, X)[0, -1]
    near = trajectories(model, X + 1e-4 * np.random.default_rng(0).normal(size=X.shape))[0, -1]
    moved = np.linalg.norm(near - last, axis=1).max()
    assert moved <= bound * 1e-4 * 6
    clean = model.score(X, Y)
    assert certified_accuracy(model, X, Y, 0.0, method="lipschitz") == pytest.approx(clean)
    assert certified_accuracy(model, X, Y, 1e-3, method="lipschitz") <= clean


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("field", "scheme"), CASES)
def test_onnx(field, scheme, dtype):
    pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    data = X.astype(dtype)
    model = net(field, scheme, activation="tanh").fit(data, Y)
    graph = skode.to_onnx(model, data, zipmap=False)
    session = runtime.InferenceSession(graph.SerializeToString())
    _, found = session.run(None, {session.get_inputs()[0].name: data})
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, model.predict_proba(data), atol=tolerance)


# --- parameters


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"vector_field": "rotation"}, "'vector_field' parameter"),
        ({"vector_field": "antisymmetric", "damping": -0.1}, "'damping' parameter"),
        ({"scheme": "stormer_verlet"}, "is for vector_field='hamiltonian' alone"),
        (
            {"scheme": "stormer_verlet", "vector_field": "gradient_flow"},
            "is for vector_field='hamiltonian' alone",
        ),
        ({"vector_field": "gradient_flow", "scheme": "midpoint"}, "positive weights b"),
        (
            {"vector_field": "gradient_flow", "scheme": ([[0, 0], [0.4, 0]], [-0.25, 1.25])},
            "positive weights b",
        ),
        ({"vector_field": "hamiltonian", "n_channels": 5}, "even number of channels"),
        ({"vector_field": "hamiltonian", "constraint": "orthogonal"}, "a structure of their own"),
        (
            {"vector_field": "antisymmetric", "damping": 0.1, "constraint": "spectral"},
            "a structure of their own",
        ),
    ],
)
def test_what_does_not_go_together(parameters, message):
    with pytest.raises(ValueError, match=message):
        ODENetClassifier(**parameters).fit(X, Y)


def test_a_constraint_beyond_the_bound_of_a_gradient_flow():
    model = net("gradient_flow", "euler", constraint="orthogonal", constraint_norm=3.0)
    with pytest.raises(ValueError, match=r"'gradient_flow' needs norms of at most 2"):
        model.fit(X, Y)
    model.set_params(constraint_norm=1.5).fit(X, Y)
    norms = np.linalg.norm(model.K_, 2, axis=(-2, -1))
    np.testing.assert_allclose(norms, 1.5)


@pytest.mark.parametrize("field", ["antisymmetric", "gradient_flow", "hamiltonian"])
def test_a_spectral_constraint_keeps_the_structure(field):
    model = net(field, "euler", constraint="spectral", constraint_norm=0.7).fit(X, Y)
    assert excess(model) < 1e-12
    assert np.linalg.norm(model.K_, 2, axis=(-2, -1)).max() <= 0.7 * (1 + 1e-12)


def test_damping_without_its_field_is_idle():
    with pytest.warns(UserWarning, match="damping=0.1"):
        net("gradient_flow", "euler", damping=0.1).fit(X, Y)


def test_the_default_width_of_a_hamiltonian_is_even():
    model = net("hamiltonian", "euler", n_channels="auto", lift="pad", max_iter=2)
    wide = np.random.default_rng(0).normal(size=(30, 51))
    assert model.fit(wide, np.arange(30) % 2).n_channels_ == 52


def test_the_hessian_of_other_fields_is_refused():
    model = net("gradient_flow", "euler", activation="tanh").fit(X, Y)
    with pytest.raises(ValueError, match="vector_field='gradient_flow'"):
        control_hessian(model, X, Y)
    assert control_hessian(net("antisymmetric", "euler").fit(X, Y), X, Y).blocks.shape[1] == 3
