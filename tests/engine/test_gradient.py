"""The adjoint gradient against complex steps, finite differences and Proposition 1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skode.engine.arrays import namespace, placed
from skode.engine.controls import Controls
from skode.engine.losses import LOSSES
from skode.engine.networks import Network, feed_forward, ode_net
from skode.engine.schemes import TABLEAUX, as_tableau
from tests import reference
from tests.engine.everywhere import everywhere, on
from tests.engine.problems import FREE, Placed, folds_of, problem

EXPLICIT = [name for name, tableau in TABLEAUX.items() if tableau.explicit]
IMPLICIT = [name for name, tableau in TABLEAUX.items() if not tableau.explicit]
SMOOTH = ["tanh", "softplus", "identity"]
EVERY = [*SMOOTH, "relu", "mixed"]  # no point in these tests is at a kink


def assert_exact(
    xp,
    network,
    scheme,
    activation,
    skip,
    loss,
    steps,
    tolerance=1e-12,
    smooth=(0.0, 1.0),
    folds=None,
    lift="identity",
    **sizes,
):
    layout, flat, *data = problem(loss, steps, **sizes)
    X, targets, weights, alpha = data
    free = FREE[steps]
    J, gradient, held_out, _ = Placed(
        xp, network, layout, loss, data, free, folds=folds, smooth=smooth
    ).evaluate(flat)
    assert (held_out is None) == (folds is None)
    for k, row in enumerate(flat):
        w = weights
        if folds is not None:
            w, judges = (
                reference.weights_of_member(weights, folds.group, table[k])
                for table in (folds.train, folds.held_out)
            )
            net = (scheme, activation, skip, loss, reference.member(layout, row))
            expected = reference.data_loss(*net, X, targets, judges, lift)
            np.testing.assert_allclose(held_out[k], expected, rtol=1e-13)

        def J_of(controls, k=k, w=w):
            net = (scheme, activation, skip, loss, controls)
            return reference.objective(*net, X, targets, w, alpha[k], smooth, lift)

        expected = reference.complex_step_gradient(J_of, layout, row)
        if "h" not in free:
            expected[layout.slices.h] = 0.0
        np.testing.assert_allclose(J[k], J_of(reference.member(layout, row)), rtol=1e-13)
        error = np.abs(gradient[k] - expected).max() / np.abs(expected).max()
        assert error <= tolerance


@everywhere(scheme=EXPLICIT, loss=LOSSES, activation=EVERY)
def test_ode_net_against_complex_steps(scheme, loss, activation, xp):
    tableau = TABLEAUX[scheme]
    network = ode_net(tableau, activation)
    assert_exact(xp, network, reference.triple(tableau), activation, 1.0, loss, "learned")


@everywhere(steps=FREE, scheme=TABLEAUX)
def test_steps_fixed_learned_and_on_the_simplex_against_complex_steps(steps, scheme, xp):
    tableau = TABLEAUX[scheme]
    net = ode_net(tableau, "softplus"), reference.triple(tableau), "softplus", 1.0
    tolerance = 1e-12 if tableau.explicit else 1e-11
    assert_exact(xp, *net, "logistic", steps, tolerance, spread=0.2)


@everywhere(scheme=IMPLICIT, loss=LOSSES, activation=EVERY)
def test_implicit_schemes_against_complex_steps(scheme, loss, activation, xp):
    tableau = TABLEAUX[scheme]
    network = ode_net(tableau, activation)
    # Learned steps of either sign, but short enough for a unique solution.
    assert_exact(
        xp, network, reference.triple(tableau), activation, 1.0, loss, "learned", 1e-11, spread=0.2
    )


@everywhere(loss=LOSSES, activation=EVERY)
def test_feed_forward_against_complex_steps(loss, activation, xp):
    euler = reference.triple(TABLEAUX["euler"])
    assert_exact(xp, feed_forward(activation), euler, activation, 0.0, loss, "learned")


@everywhere(scheme=[*EXPLICIT, "implicit_midpoint"], features=[2, 5])
def test_learned_lift_against_complex_steps(scheme, features, xp):
    # From two features up to three channels, and from five down to three.
    tableau = TABLEAUX[scheme]
    sizes = {"lifted": True, "n_features": features, "N": 2, "spread": 0.5}
    triple = reference.triple(tableau)
    assert_exact(xp, ode_net(tableau), triple, "tanh", 1.0, "softmax", "learned", **sizes)


@everywhere(lift=EVERY, scheme=["euler", "rk4", "gauss4"], features=[2, 5])
def test_nonlinear_lift_against_complex_steps(lift, scheme, features, xp):
    tableau, activation = TABLEAUX[scheme], "mixed"
    network = ode_net(tableau, activation, lift)
    sizes = {"lifted": True, "n_features": features, "N": 2, "spread": 0.2, "lift": lift}
    sizes |= {"folds": folds_of(members=2), "tolerance": 1e-12 if tableau.explicit else 1e-11}
    triple = reference.triple(tableau)
    assert_exact(xp, network, triple, activation, 1.0, "softmax", "learned", **sizes)


@everywhere(lift=EVERY, loss=LOSSES)
def test_feed_forward_with_a_nonlinear_lift_against_complex_steps(lift, loss, xp):
    euler = reference.triple(TABLEAUX["euler"])
    network, sizes = feed_forward("tanh", lift), {"lifted": True, "lift": lift}
    assert_exact(xp, network, euler, "tanh", 0.0, loss, "learned", **sizes)


@pytest.mark.parametrize("features", [2, 5])
def test_feed_forward_with_a_learned_lift_against_complex_steps(features, xp):
    euler = reference.triple(TABLEAUX["euler"])
    sizes = {"lifted": True, "n_features": features}
    assert_exact(xp, feed_forward(), euler, "tanh", 0.0, "logistic", "learned", **sizes)


@pytest.mark.parametrize("scheme", ["heun", "rk4"])
def test_without_the_state_a_scheme_of_many_stages_is_exact_too(scheme, xp):
    # Feed-forward layers have one stage; the formulas hold for any scheme with α = 0.
    network = Network(TABLEAUX[scheme], ode_net(TABLEAUX[scheme]).activation, skip=0.0)
    triple = reference.triple(TABLEAUX[scheme])
    assert_exact(xp, network, triple, "tanh", 0.0, "softmax", "learned")


@everywhere(steps=FREE, N=[1, 2, 4])
def test_smoothness_against_complex_steps(N, steps, xp):
    # A single layer has no smoothness penalty, which uses the nominal step, not the learned ones.
    heun = TABLEAUX["heun"]
    options = {"smooth": (0.7, 0.4), "N": N}
    assert_exact(
        xp, ode_net(heun), reference.triple(heun), "tanh", 1.0, "logistic", steps, **options
    )


@pytest.mark.parametrize("outputs", [2, 5])
def test_labels_against_complex_steps(outputs, xp):
    rk4 = TABLEAUX["rk4"]
    sizes = {"outputs": outputs, "lifted": True}
    assert_exact(
        xp, ode_net(rk4), reference.triple(rk4), "tanh", 1.0, "logistic", "learned", **sizes
    )


@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_regression_against_complex_steps(outputs, xp):
    rk4 = TABLEAUX["rk4"]
    sizes = {"outputs": outputs, "lifted": True}
    assert_exact(
        xp, ode_net(rk4), reference.triple(rk4), "tanh", 1.0, "squared", "learned", **sizes
    )


@everywhere(loss=LOSSES, scheme=["heun", "implicit_midpoint"])
def test_members_with_samples_of_their_own_against_complex_steps(scheme, loss, xp):
    tableau = TABLEAUX[scheme]
    options = {"folds": folds_of(members=3), "members": 3, "spread": 0.2}
    options |= {"lifted": True, "smooth": (0.3, 0.5)}
    assert_exact(
        xp, ode_net(tableau), reference.triple(tableau), "tanh", 1.0, loss, "learned", **options
    )


@settings(max_examples=12)
@given(reference.explicit_schemes(), st.integers(0, 1000))
def test_random_tableaux_with_zero_weights(xp, scheme, seed):
    network = ode_net(as_tableau(scheme), "tanh")
    assert_exact(xp, network, scheme, "tanh", 1.0, "softmax", "learned", N=2, seed=seed)


@settings(max_examples=12)
@given(reference.implicit_schemes(), st.integers(0, 1000))
def test_random_implicit_tableaux_with_zero_weights(xp, scheme, seed):
    network = ode_net(as_tableau(scheme), "tanh")
    sizes = {"N": 2, "seed": seed, "spread": 0.3}
    assert_exact(xp, network, scheme, "tanh", 1.0, "softmax", "learned", 1e-11, **sizes)


@pytest.mark.parametrize("scheme", ["implicit_midpoint", "gauss4", "lobatto_iiia4"])
def test_gradient_with_shared_and_decoupled_matrices(scheme, xp):
    # 14 channels are not small.  The samples differ so much that some need separate matrices.
    tableau = TABLEAUX[scheme]
    network = ode_net(tableau, "tanh")
    sizes = {"n_features": 14, "n_channels": 14, "N": 1, "members": 1}
    layout, flat, *data = problem("logistic", "fixed", **sizes)
    X, targets, weights, alpha = data
    X[::2] *= 10
    objective = Placed(xp, network, layout, "logistic", data, FREE["fixed"])
    _, gradient = objective.value_and_gradient(flat)
    direction = np.random.default_rng(1).normal(size=flat.shape)
    direction[:, layout.slices.h] = 0.0
    varied = reference.member(layout, flat[0] + 1e-40j * direction[0])
    scheme_ = reference.triple(tableau)
    J = reference.objective(scheme_, "tanh", 1.0, "logistic", varied, X, targets, weights, alpha[0])
    np.testing.assert_allclose((gradient * direction).sum(), J.imag / 1e-40, rtol=1e-11)


def pulled_back(network, U, x, p):
    """p⁰ and the gradient with respect to K and b, from pᴺ.

    With W = I the readout is the state itself, and ∂J/∂z is the costate pᴺ.
    """
    xp, n = namespace(p), p.shape[1]
    W = placed(np.eye(n)[None], p)
    U = U._replace(W=W, mu=xp.zeros_like(p[:, :, 0]))
    done = network.forward(U, x, record=True)
    gradient = network.backward(U, x, done, p)
    return network.costates(U, done, p)[0], gradient.K, gradient.b


def costates(xp, network, scheme, activation, seed):
    """Return p⁰, ∂K, ∂b from the engine and from Proposition 1, for the same random pᴺ."""
    spread = 0.2 if np.triu(scheme[0]).any() else 1.0
    layout, flat, X, *_ = problem("logistic", "learned", members=1, seed=seed, spread=spread)
    p = np.random.default_rng(seed).normal(size=(1, layout.n_channels, len(X)))
    expected = reference.proposition_1(
        scheme, activation, reference.member(layout, flat[0]), X, p[0].copy()
    )
    found = on(xp, pulled_back)(network, layout.views(flat), X.T, p)
    return [part[0] for part in found], expected


@given(
    st.one_of(
        reference.explicit_schemes(zero_weights=False),
        reference.implicit_schemes(zero_weights=False),
    ),
    st.integers(0, 1000),
)
def test_division_free_form_agrees_with_proposition_1(xp, scheme, seed):
    found, expected = costates(xp, ode_net(as_tableau(scheme), "tanh"), scheme, "tanh", seed)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12 * np.abs(other).max())


@everywhere(scheme=[name for name, t in TABLEAUX.items() if all(t.b)], activation=EVERY)
def test_named_schemes_agree_with_proposition_1(scheme, activation, xp):
    tableau = TABLEAUX[scheme]
    found, expected = costates(
        xp, ode_net(tableau, activation), reference.triple(tableau), activation, seed=1
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-13 * np.abs(other).max())


@everywhere(loss=LOSSES, activation=EVERY)
def test_float32_by_finite_differences(activation, loss, xp):
    # Along the gradient with step 1e-2: cancellation in float32 leaves 1e-7/1e-2 = 1e-5, and
    # truncation 1e-4 of the third derivative, so 5e-3 of the derivative distinguishes errors.
    layout, flat, *data = problem(loss, "learned", dtype=np.float32)
    network = ode_net(TABLEAUX["heun"], activation)
    objective = Placed(xp, network, layout, loss, data, FREE["learned"])
    J, gradient = objective.value_and_gradient(flat)
    assert (J.dtype, gradient.dtype) == (np.float64, np.float32)
    norm = np.linalg.norm(gradient, axis=1, keepdims=True)
    step = np.float32(1e-2) * gradient / norm
    ahead, _ = objective.value_and_gradient(flat + step)
    behind, _ = objective.value_and_gradient(flat - step)
    np.testing.assert_allclose((ahead - behind) / 2e-2, norm[:, 0], rtol=5e-3)


@settings(max_examples=15)
@given(reference.explicit_schemes(), st.integers(0, 100))
def test_costate_is_the_derivative_with_respect_to_the_input(xp, scheme, seed):
    layout, flat, X, *_ = problem("logistic", "learned", members=1, seed=seed)
    controls = reference.member(layout, flat[0])
    p = np.random.default_rng(seed).normal(size=(1, layout.n_channels, len(X)))
    network = ode_net(as_tableau(scheme), "tanh")
    p0, *_ = on(xp, pulled_back)(network, layout.views(flat), X.T, p)
    for k in range(X.shape[1]):
        varied = X.astype(complex)
        varied[:, k] += 1e-40j
        complex_controls = Controls(
            *(part.astype(complex) for part in controls if part is not None)
        )
        state = reference.forward(scheme, "tanh", 1.0, complex_controls, varied)[-1]
        derivative = (state.imag / 1e-40 * p[0]).sum(0)  # samples do not interact
        np.testing.assert_allclose(p0[0, k], derivative, atol=1e-12 * np.abs(p0).max())
