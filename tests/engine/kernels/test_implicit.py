"""The compiled loops for implicit schemes: comparison with the reference, and accuracy."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skode.engine.activations import ACTIVATIONS
from skode.engine.arrays import quiet
from skode.engine.implicit import ROUNDINGS
from skode.engine.kernels import Problem, Samples, cpu, reference
from skode.engine.losses import loss_named
from skode.engine.networks import Network, ode_net
from skode.engine.schemes import TABLEAUX, as_tableau
from skode.engine.solvability import project_parts, solvable_bounds
from skode.engine.unsolved import UnsolvedStagesError
from tests.engine.kernels.test_kernels import TOLERANCES, WITH_OUTPUTS, precise
from tests.engine.problems import folds_of, problem
from tests.reference import QUANTILE, implicit_schemes

pytest.importorskip("numba")

IMPLICIT = [name for name, tableau in TABLEAUX.items() if not tableau.explicit]


def case(network, loss="softmax", size=0.4, h=None, folds=True, seed=0, **sizes):
    """Return a problem, samples and controls, with numbers that single precision can represent."""
    sizes = {"members": 3, "samples": 37, "n_channels": 5, "n_features": 3, **sizes}
    layout, flat, X, targets, weights, _ = problem(
        loss, "learned", spread=0.5, dtype=np.float32, seed=seed, **sizes
    )
    flat = (size * flat).astype(np.float32)
    U = layout.views(flat)
    if h is not None:  # project K such that all stage equations have one solution
        U.h[...] = h
        scale = sizes["n_channels"] ** -0.5
        U.K[...] = project_parts(scale * U.K, solvable_bounds(network.tableau, h))
    of_folds = folds_of(sizes["members"], sizes["samples"]) if folds else None
    return (
        Problem(network, layout, loss_named(loss, QUANTILE), True),
        Samples(X, targets, weights, of_folds),
        flat,
    )


def assert_as_the_reference(of, samples, flat, factor=1.0, dtypes=tuple(TOLERANCES)):
    """Check that sums and predictions are equal up to rounding, relative to the largest entry."""
    double = precise(np.float64, samples, flat)
    with quiet():
        expected = [
            *reference.evaluate(of, *double, gradient=True)[:3],
            reference.predict(of, double[0].X, double[1]),
        ]
    for dtype in dtypes:
        some, U = precise(dtype, samples, flat)
        found = [*cpu.evaluate(of, some, U, True)[:3], cpu.predict(of, some.X, U)]
        values = cpu.evaluate(of, some, U, False)
        np.testing.assert_array_equal(values.loss, found[0])
        for one, other in zip(found, expected, strict=True):
            if other is None:
                assert one is None
                continue
            assert one.shape == other.shape
            error = np.abs(one - other).max() / np.abs(other).max()
            assert error <= factor * TOLERANCES[dtype], (dtype, error)


@pytest.mark.parametrize("scheme", IMPLICIT)
def test_every_scheme_activation_loss_and_lift(scheme):
    names = list(ACTIVATIONS)
    for activation, (loss, outputs), lift in product(names, WITH_OUTPUTS, ("pad", "affine", "n")):
        of_lift = names[names.index(activation) - 1] if lift == "n" else "identity"
        network = ode_net(TABLEAUX[scheme], activation, of_lift)
        assert_as_the_reference(*case(network, loss, outputs=outputs, lifted=lift != "pad"))


@settings(max_examples=30)
@given(implicit_schemes(), st.sampled_from(sorted(ACTIVATIONS)), st.sampled_from([0.0, 1.0]))
def test_random_tableaux(scheme, activation, skip):
    tableau = as_tableau(scheme)
    network = Network(tableau, ACTIVATIONS[activation], skip)
    assert_as_the_reference(*case(network, n_channels=3, n_features=2))
    if not tableau.explicit:  # more equations than Newton's method is used for
        assert_as_the_reference(*case(network, h=0.5, size=1.0, n_channels=12))


def test_networks_and_blocks_of_any_size():
    rng = np.random.default_rng(0)
    for seed in range(30):
        sizes = {
            "samples": int(rng.choice([1, 2, 7, 8, 9, 127, 128, 129, 255, 257, 700])),
            "n_channels": int(rng.choice([1, 2, 3, 4, 7, 8, 9, 16, 17, 40])),
            "members": int(rng.integers(2, 4)),
            "N": int(rng.choice([1, 2, 5])),
            "lifted": bool(rng.integers(2)),
        }
        sizes["n_features"] = int(rng.integers(1, sizes["n_channels"] + 1))
        network = ode_net(TABLEAUX[str(rng.choice(IMPLICIT))], "mixed", "softplus")
        h = float(rng.choice([0.1, 0.5, 1.0]))
        assert_as_the_reference(*case(network, h=h, size=1.0, seed=seed, **sizes), factor=4.0)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_samples_that_lag_behind_are_solved_for_by_newtons_method(activation):
    # So stiff that Anderson acceleration does not converge.
    network = ode_net(TABLEAUX["implicit_euler"], activation)
    of, samples, flat = case(network, h=0.5, size=8.0, n_channels=32, samples=40, N=1)
    assert np.linalg.norm(of.layout.views(flat).K[0, 0], 2) * 0.5 > 3
    of.layout.views(flat).W[...] /= 8
    assert_as_the_reference(of, samples, flat, factor=1e3, dtypes=[np.float64])


def unsolvable(scheme, n_channels, n_samples=120):
    """Controls for which some samples have no solution, or Newton's method does not find it."""
    of, samples, flat = case(ode_net(TABLEAUX[scheme]), n_channels=n_channels, samples=n_samples)
    U = of.layout.views(flat)
    U.K[...] *= 14 / n_channels**0.5
    U.h[...] = 0.7
    return of, *precise(np.float64, samples, flat)


@pytest.mark.parametrize("n_channels", [3, 9])
def test_members_with_samples_that_cannot_be_solved_for(n_channels):
    of, samples, flat = unsolvable("implicit_euler", n_channels)
    with quiet():
        expected = reference.evaluate(of, samples, flat, gradient=True)
        found = cpu.evaluate(of, samples, flat, True)
    unsolved = np.isinf(found.loss)
    assert unsolved.any()
    # The kernel may find solutions that the reference does not find.
    assert np.isinf(expected.loss[unsolved]).all()
    assert not found.gradient[unsolved].any()
    assert np.isfinite(found.gradient).all()


def test_predictions_that_cannot_be_solved_for_are_reported_as_the_reference_does():
    of, samples, flat = unsolvable("implicit_euler", 3)
    errors = []
    for kernel in (reference, cpu):
        with pytest.raises(UnsolvedStagesError) as caught:
            kernel.predict(of, samples.X, flat)
        errors.append((caught.value.samples, caught.value.layers))
    assert errors[0] == errors[1]


def test_unsolvable_samples_matter_only_with_a_weight():
    of, samples, flat = unsolvable("implicit_euler", 3)
    samples = samples._replace(folds=None)
    with pytest.raises(UnsolvedStagesError) as caught:
        cpu.predict(of, samples.X, flat)
    samples.weights[caught.value.samples] = 0.0
    found = cpu.evaluate(of, samples, flat, True)
    rest = np.setdiff1d(np.arange(len(samples.X)), caught.value.samples)
    expected = cpu.evaluate(of, samples.of(rest), flat, True)
    for one, other in zip(found[:1] + found[2:3], expected[:1] + expected[2:3], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("n_channels", [2, 24])
def test_a_sample_does_not_depend_on_the_others(n_channels):
    of, samples, flat = case(
        ode_net(TABLEAUX["implicit_midpoint"]), h=0.5, n_channels=n_channels, n_features=2
    )
    samples, flat = precise(np.float64, samples, flat)
    together = cpu.predict(of, samples.X, flat)
    for i in range(0, 37, 5):
        alone = cpu.predict(of, samples.X[[i]], flat)
        np.testing.assert_allclose(alone[:, 0], together[:, i], rtol=1e-13, atol=1e-14)


def test_features_that_overflow_do_so_for_their_member_alone():
    of, samples, flat = case(ode_net(TABLEAUX["implicit_midpoint"], "relu"), h=0.5, n_channels=12)
    samples, flat = precise(np.float64, samples, flat)
    healthy = cpu.evaluate(of, samples, flat, True)
    of.layout.views(flat).K[1] *= 1e300
    found = cpu.evaluate(of, samples, flat, True)
    assert not np.isfinite(found.loss[1])
    for one, before in zip(found, healthy, strict=True):
        np.testing.assert_array_equal(one[[0, 2]], before[[0, 2]])


@pytest.mark.parametrize("n_channels", [2, 24])
@pytest.mark.parametrize("scheme", ["implicit_midpoint", "trapezoid", "sdirk2", "gauss4"])
def test_errors_are_no_larger_than_the_tolerance_says(scheme, n_channels):
    network = ode_net(TABLEAUX[scheme])
    of, samples, flat = case(network, h=0.5, size=1.0, n_channels=n_channels, n_features=2)
    samples, flat = precise(np.float64, samples, flat)
    exact = cpu.evaluate(of, samples, flat, True)
    for tolerance in (1e-3, 1e-5, 1e-7, 1e-9):
        found = cpu.evaluate(of, samples, flat, True, np.full(3, tolerance))
        error = np.abs(found.loss - exact.loss)
        assert (error <= found.sensitivity * tolerance).all()
        assert (error > 0).any() or n_channels == 2 or tolerance < 1e-7  # the tolerance is used
        scale = np.abs(exact.gradient).max()
        assert np.abs(found.gradient - exact.gradient).max() <= 100 * tolerance * scale
        np.testing.assert_allclose(found.sensitivity, exact.sensitivity, rtol=20 * tolerance**0.5)
    # Each member has its own, and no tolerance is below rounding.
    each = np.array([1e-3, 0.0, 1e-9])
    found = cpu.evaluate(of, samples, flat, True, each)
    assert found.loss[1] == exact.loss[1]
    one = cpu.evaluate(of, samples.of_members(slice(2, 3)), flat[2:], True, each[2:])
    np.testing.assert_array_equal(one.gradient[0], found.gradient[2])


def test_the_sensitivity_is_the_sum_of_costates_and_sizes():
    # One linear layer y⁺ = y + h F with F = K Y + b, and one sample: V is known in closed form.
    K, b, h, x, W = 0.6, 0.3, 0.5, 0.8, 1.7
    network = ode_net(TABLEAUX["implicit_euler"], "identity")
    of, samples, _ = case(network, "squared", members=2, samples=1, n_channels=1, n_features=1,
                          N=1, outputs=1, folds=False)  # fmt: skip
    flat = np.tile([K, b, h, W, 0.0], (2, 1))
    samples = Samples(np.array([[x]]), np.array([[0.2]]), np.array([1.0]))
    found = cpu.evaluate(of, samples, flat, True)
    Y = (x + h * b) / (1 - h * K)
    p = W * (W * Y - 0.2)
    V = h * K * p / (1 - h * K)
    c = h * K
    scale = (1 + c) * (x + h * (K * x + b))
    np.testing.assert_allclose(found.sensitivity, abs(V) * scale, rtol=1e-12)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_residuals_are_roundings_by_default(dtype):
    of, samples, flat = case(ode_net(TABLEAUX["gauss4"]), h=0.5, size=1.0, n_channels=16)
    samples, flat = precise(dtype, samples, flat)
    rounding = ROUNDINGS * np.finfo(dtype).eps
    asked = cpu.evaluate(of, samples, flat, True, np.full(3, rounding))
    for one, other in zip(cpu.evaluate(of, samples, flat, True), asked, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_some_are_as_the_reference():
    """Run a little of everything, as fast as possible without compilation."""
    small = {"samples": 5, "N": 2, "n_features": 2, "members": 2}
    for scheme, activation, n in (("trapezoid", "mixed", 2), ("gauss4", "softplus", 5)):
        for lifted in (False, True):
            network = ode_net(TABLEAUX[scheme], activation)
            assert_as_the_reference(*case(network, h=0.5, n_channels=n, lifted=lifted, **small))
    for n_channels in (3, 9):
        of, samples, flat = unsolvable("implicit_euler", n_channels, n_samples=40)
        samples = samples._replace(folds=None)
        with quiet():
            found = cpu.evaluate(of, samples, flat, True)
            with pytest.raises(UnsolvedStagesError):
                cpu.predict(of, samples.X, flat)
        assert np.isinf(found.loss).any()


def test_some_are_as_the_reference():
    # Here they are compiled; `test_cpu` runs them without compilation.
    assert_some_are_as_the_reference()
