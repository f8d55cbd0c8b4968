"""Vector fields: values and gradients against an independent computation, and their invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skode.engine.contractivity import contractivity_radius
from skode.engine.fields import FIELDS
from skode.engine.kernels import KERNELS, Problem, Samples, cpu, kernel_for
from skode.engine.kernels import reference as reference_kernel
from skode.engine.losses import LOSSES, loss_named
from skode.engine.networks import ode_net
from skode.engine.partitioned import PARTITIONED
from skode.engine.schemes import TABLEAUX, as_tableau
from tests import reference
from tests.engine.everywhere import everywhere, on
from tests.engine.problems import FREE, Placed, folds_of, problem

DAMPING = 0.3
SCHEMES = [(name, field) for name in TABLEAUX for field in FIELDS]
SCHEMES += [(name, "hamiltonian") for name in PARTITIONED]
TURNED = [(name, field) for name, field in SCHEMES if not FIELDS[field].plain]


# --- the mathematics once more: one member, explicit matrices, complex numbers welcome


def outer_matrix(field, K):
    """M of f(y) = M σ(K y + b), (…, n, n)."""
    n = K.shape[-1]
    KT = np.swapaxes(K, -1, -2)
    if field == "gradient_flow":
        return -KT
    if field == "hamiltonian":
        half = n // 2
        omega = np.block(
            [
                [np.zeros((half, half)), np.eye(half)],
                [-np.eye(half), np.zeros((half, half))],
            ]
        )
        return omega @ KT
    return np.eye(n)


def halves(scheme, n):
    """The coefficients for each channel: A (n, s, s) and b (n, s)."""
    if scheme in PARTITIONED:
        first, second = PARTITIONED[scheme].first, PARTITIONED[scheme].second
        parts = [first] * (n // 2) + [second] * (n - n // 2)
    else:
        parts = [as_tableau(scheme)] * n
    return np.array([part.A for part in parts]), np.array([part.b for part in parts])


def layer_step(scheme, field, activation, y, K, b, h):
    """y⁺, of (…, n, m), by Newton's method on all stages at once where they are implicit."""
    sigma, derivative = reference.ACTIVATIONS[activation]
    n = y.shape[-2]
    A, weights = halves(scheme, n)
    s, M = A.shape[1], outer_matrix(field, K)

    def f(Y):
        return M @ sigma(K @ Y + b[..., None])

    if not np.triu(A).any():
        F = []
        for i in range(s):
            F.append(f(y + h * sum((A[:, i, j, None] * F[j] for j in range(i)), 0 * y)))
    else:
        Y = np.stack([y] * s)
        for _ in range(60):
            residual = Y - y - h * np.einsum("cij,j...cm->i...cm", A, f(Y))
            slopes = derivative(K @ Y + b[..., None])
            J = np.einsum("...ce,j...em,...ed->j...mcd", M, slopes, K)
            hJ = np.einsum("cij,j...mcd->...micjd", A, h[..., None] * J)
            hJ = hJ.reshape(*hJ.shape[:-4], s * n, s * n)
            right = np.einsum("i...cm->...mic", residual)
            move = np.linalg.solve(np.eye(s * n) - hJ, right.reshape(*hJ.shape[:-1], 1))
            move = np.einsum("...mic->i...cm", move.reshape(right.shape))
            Y = Y - move
            if np.abs(move).max() <= 1e-14 * np.abs(Y).max():
                break
        else:
            raise AssertionError("the reference could not solve its stage equations")
        F = list(f(Y))
    return y + h * sum(weights[:, i, None] * F[i] for i in range(s))


def data_loss(scheme, field, activation, loss, U, X, targets, weights):
    *front, N, n, _ = U.K.shape
    y = np.zeros((*front, n, len(X)), dtype=U.K.dtype)
    y[..., : X.shape[1], :] = X.T
    for k in range(N):
        K, b, h = U.K[..., k, :, :], U.b[..., k, :], U.h[..., k, None, None]
        y = layer_step(scheme, field, activation, y, K, b, h)
    z = U.W @ y + U.mu[..., None]
    return (weights * reference.LOSSES[loss](z, targets.T)).sum(-1)


def structured(field, K, damping=0.0):
    """The nearest matrices with the structure."""
    n = K.shape[-1]
    if field == "antisymmetric":
        return (K - np.swapaxes(K, -1, -2)) / 2 - damping * np.eye(n)
    if field == "hamiltonian":
        mask = np.zeros((n, n))
        mask[: n // 2, : n // 2] = mask[n // 2 :, n // 2 :] = 1
        return mask * K
    return K


def of_structure(field, layout, gradient):
    """The gradient, without that for entries of K that the structure fixes; kernels may skip it."""
    found = gradient.copy()
    for row in found:
        dK = reference.member(layout, row).K
        dK[...] = structured(field, dK)
    return found


def field_problem(field, loss, steps, **sizes):
    """As `problem`, with four channels, and K that has the structure."""
    layout, flat, *data = problem(loss, steps, **{"n_channels": 4, "N": 2, **sizes})
    for row in flat:
        U = reference.member(layout, row)
        U.K[...] = structured(field, U.K, DAMPING)
    return layout, flat, data


def network_of(scheme, field, activation="tanh"):
    return ode_net(as_tableau(scheme), activation, field=field, damping=DAMPING)


@everywhere(case=SCHEMES, activation=["tanh", "softplus", "mixed"])
def test_gradients_against_complex_steps(case, activation, xp):
    scheme, field = case
    network = network_of(scheme, field, activation)
    explicit = network.tableau.explicit
    layout, flat, data = field_problem(field, "softmax", "learned", spread=0.5 if explicit else 0.2)
    X, targets, weights, alpha = data
    found = Placed(xp, network, layout, "softmax", data, FREE["learned"]).evaluate(flat)
    for k, row in enumerate(flat):

        def J(controls, k=k):
            loss = data_loss(scheme, field, activation, "softmax", controls, X, targets, weights)
            return loss + reference.penalties(controls, alpha[k])

        expected = reference.complex_step_gradient(J, layout, row)
        dK = reference.member(layout, expected).K
        dK[...] = structured(field, dK)
        np.testing.assert_allclose(found.J[k], J(reference.member(layout, row)), rtol=1e-13)
        error = np.abs(found.gradient[k] - expected).max() / np.abs(expected).max()
        assert error <= (1e-12 if explicit else 1e-11)


# --- the compiled kernel


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", TURNED, ids=str)
def test_kernels_compute_what_the_reference_does(case, dtype):
    scheme, field = case
    tolerance = {np.float64: 1e-12, np.float32: 1e-5}[dtype]
    for k, (loss, sizes) in enumerate(
        [
            ("softmax", {"lifted": True, "n_features": 3, "spread": 0.2}),
            ("squared", {"samples": 700, "n_channels": 10, "spread": 0.05}),
            ("logistic", {"n_channels": 2, "N": 3, "spread": 0.2}),
        ]
    ):
        # In single precision, rounding decides on which side of the kink of relu some samples are.
        second = "mixed" if dtype == np.float64 else "identity"
        network = network_of(scheme, field, ["tanh", second, "softplus"][k])
        layout, flat, (X, targets, weights, _) = field_problem(field, loss, "learned", **sizes)
        flat, X, targets, weights = (part.astype(dtype) for part in (flat, X, targets, weights))
        of = Problem(network, layout, loss_named(loss), True)
        samples = Samples(X, targets, weights, folds_of(2, len(X)))
        for kernel in KERNELS:
            if not kernel.is_usable_for(of, flat):
                continue
            found = [*kernel.evaluate(of, samples, flat, True)[:3], kernel.predict(of, X, flat)]
            expected = reference_kernel.evaluate(of, samples, flat, True)[:3]
            expected = [*expected, reference_kernel.predict(of, X, flat)]
            for name, one, other in zip("JhGp", found, expected, strict=True):
                if name == "G":
                    one, other = (of_structure(field, layout, part) for part in (one, other))
                assert np.abs(one - other).max() <= tolerance * np.abs(other).max()
            if kernel.members_are_independent(of):
                alone = kernel.evaluate(of, samples.of_members(np.array([1])), flat[1:], True)
                np.testing.assert_array_equal(alone.gradient[0], found[2][1])


@pytest.mark.parametrize("case", TURNED, ids=str)
def test_every_scheme_has_a_compiled_kernel(case):
    pytest.importorskip("numba")
    layout, flat, _ = field_problem(case[1], "squared", "fixed")
    assert kernel_for(Problem(network_of(*case), layout, LOSSES["squared"], False), flat) is cpu


# --- invariants


def flow(scheme, field, activation, K, b, h, y):
    """yᴺ by the engine, without a readout."""
    layout, flat, _ = field_problem(
        field, "squared", "fixed", n_channels=len(y), N=len(K), members=1, outputs=len(y)
    )
    U = layout.views(flat)
    U = U._replace(K=K[None], b=b[None], h=np.asarray(h, dtype=float)[None])
    return network_of(scheme, field, activation).forward(U, y).y[-1][0]


def controls(seed, N, n, size=1.0):
    rng = np.random.default_rng(seed)
    K, b = size * rng.normal(size=(N, n, n)), rng.normal(size=(N, n))
    return rng, K, b


@settings(max_examples=600)
@given(
    st.sampled_from([name for name, t in TABLEAUX.items() if contractivity_radius(t) > 0]),
    st.sampled_from(["tanh", "relu", "softplus", "identity", "mixed"]),
    st.integers(0, 10**6),
    st.integers(1, 6),
    st.floats(0.05, 1.0),
    st.floats(-3, 3),
)
def test_a_gradient_flow_brings_no_two_states_farther_apart(
    scheme, activation, seed, n, part, log_size
):
    # Steps up to h ‖K‖² = 2r, for 18 pairs of states each: 10 800 pairs.
    rng, K, b = controls(seed, 1, n, 10**log_size)
    radius = min(contractivity_radius(TABLEAUX[scheme]), 50.0)
    h = part * 2 * radius / np.linalg.norm(K[0], 2) ** 2
    y = rng.normal(size=(n, 36)) * 10 ** rng.uniform(-2, 2)
    after = flow(scheme, "gradient_flow", activation, K, b, [h], y)
    before, behind = (np.linalg.norm(s[:, ::2] - s[:, 1::2], axis=0) for s in (y, after))
    rounding = 1e-12 * (np.abs(y).max() + h * np.abs(K).max() * np.abs(b).max())
    assert (behind <= before + rounding).all()


@pytest.mark.parametrize(
    "scheme", [name for name, t in TABLEAUX.items() if 0 < contractivity_radius(t) < np.inf]
)
def test_beyond_the_radius_some_gradient_flow_does(scheme):
    # The eigenvalues of M + B/r tell which: F differs by a multiple of their vector.
    tableau = TABLEAUX[scheme]
    r = contractivity_radius(tableau)
    A, b = np.array(tableau.A), np.array(tableau.b)
    M = np.diag(b) @ A + A.T @ np.diag(b) - np.outer(b, b)
    assert np.linalg.eigvalsh(M + np.diag(b) / (1.001 * r))[0] < 0
    assert np.linalg.eigvalsh(M + np.diag(b) / (0.999 * r))[0] > 0


def test_euler_beyond_its_radius_drives_states_apart():
    y = np.array([[1.0, -1.0]])
    within, beyond = (
        flow("euler", "gradient_flow", "identity", np.ones((1, 1, 1)), np.zeros((1, 1)), [h], y)
        for h in (1.999, 2.001)
    )
    assert np.ptp(within) < 2 < np.ptp(beyond)


def jacobian(scheme, field, K, b, h, y, activation="tanh"):
    """∂yᴺ/∂y⁰ at one state, by central differences."""
    n, e = len(y), 1e-6
    around = np.concatenate([y[:, None] + e * np.eye(n), y[:, None] - e * np.eye(n)], axis=1)
    after = flow(scheme, field, activation, K, b, h, around)
    return (after[:, :n] - after[:, n:]) / (2 * e)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scheme", [*PARTITIONED, "implicit_midpoint", "gauss4"])
def test_hamiltonian_flows_are_symplectic(scheme, seed):
    rng, K, b = controls(seed, 3, 6, 0.5)
    K = structured("hamiltonian", K)
    omega = np.block([[np.zeros((3, 3)), np.eye(3)], [-np.eye(3), np.zeros((3, 3))]])
    J = jacobian(scheme, "hamiltonian", K, b, [0.3, 0.5, -0.4], rng.normal(size=6))
    np.testing.assert_allclose(J.T @ omega @ J, omega, atol=1e-8)
    assert np.abs(J - np.eye(6)).max() > 0.1
    np.testing.assert_allclose(np.linalg.det(J), 1.0, rtol=1e-8)


@pytest.mark.parametrize("scheme", ["euler", "heun"])
def test_other_schemes_are_not_symplectic(scheme):
    rng, K, b = controls(0, 3, 6, 0.5)
    J = jacobian(
        scheme, "hamiltonian", structured("hamiltonian", K), b, [0.5] * 3, rng.normal(size=6)
    )
    assert abs(np.linalg.det(J) - 1) > 1e-4


def test_stormer_verlet_is_its_own_inverse_backwards():
    rng, K, b = controls(1, 2, 4)
    K, y = structured("hamiltonian", K), rng.normal(size=(4, 5))
    there = flow("stormer_verlet", "hamiltonian", "tanh", K, b, [0.3, 0.2], y)
    back = flow("stormer_verlet", "hamiltonian", "tanh", K[::-1], b[::-1], [-0.2, -0.3], there)
    np.testing.assert_allclose(back, y, atol=1e-13)


@pytest.mark.parametrize(("scheme", "order"), [("symplectic_euler", 1), ("stormer_verlet", 2)])
def test_the_order_of_partitioned_schemes(scheme, order):
    rng, K, b = controls(2, 1, 4)
    K, y = structured("hamiltonian", K), rng.normal(size=(4, 3))

    def after(steps, name=scheme):
        h = np.full(steps, 1 / steps)
        return flow(
            name, "hamiltonian", "tanh", np.repeat(K, steps, 0), np.repeat(b, steps, 0), h, y
        )

    exact = after(64, "gauss6")
    errors = [np.abs(after(steps) - exact).max() for steps in (32, 64)]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.1
    assert PARTITIONED[scheme].order == order
    assert PARTITIONED[scheme].symplectic


@pytest.mark.parametrize("scheme", ["heun", "rk4", "implicit_midpoint"])
def test_an_antisymmetric_field_is_neutral_to_first_order(scheme):
    # With the identity for σ the flow is a rotation, up to the error of the scheme.
    _, K, _ = controls(3, 1, 5)
    K = structured("antisymmetric", K)
    J = jacobian(scheme, "antisymmetric", K, np.zeros((1, 5)), [1e-2], np.zeros(5), "identity")
    np.testing.assert_allclose(J.T @ J, np.eye(5), atol=1e-3)


@given(st.sampled_from(sorted(FIELDS)), st.integers(0, 1000), st.floats(0, 2))
def test_structures_are_kept_by_their_projection(xp, field, seed, damping):
    structure = FIELDS[field].structure
    K = np.random.default_rng(seed).normal(size=(2, 3, 4, 4))
    if structure is None:
        assert field in ("standard", "gradient_flow")
        return
    found = on(xp, structure)(xp, K, damping)
    np.testing.assert_allclose(found, structured(field, K, damping), atol=1e-15)
    again = on(xp, structure)(xp, found, damping)
    np.testing.assert_allclose(again, found, atol=1e-15)


# --- radii


def test_radii_of_circle_contractivity():
    radii = {name: contractivity_radius(tableau) for name, tableau in TABLEAUX.items()}
    for name in ("euler", "heun", "ssprk3", "rk4"):
        assert radii[name] == pytest.approx(1.0, abs=1e-12)
    assert radii["rk38"] == pytest.approx(2 * 3**0.5 - 3, abs=1e-12)
    assert radii["trapezoid"] == pytest.approx(2.0)
    assert radii["midpoint"] == 0
    stable = {name for name, r in radii.items() if r == np.inf}
    assert stable == {
        "implicit_euler",
        "implicit_midpoint",
        "gauss4",
        "gauss6",
        "radau_iia3",
        "radau_iia5",
        "lobatto_iiic4",
    }
