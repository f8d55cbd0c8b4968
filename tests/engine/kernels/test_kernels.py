"""Comparison of every kernel with the reference, and the choice of the kernel.

A kernel that is added to `KERNELS` is tested here automatically.
"""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skode.engine.activations import ACTIVATIONS
from skode.engine.arrays import quiet, to_host
from skode.engine.kernels import KERNELS, Problem, Samples, kernel_for, reference
from skode.engine.losses import LOSSES, loss_named
from skode.engine.networks import Network, feed_forward, ode_net
from skode.engine.schemes import TABLEAUX, as_tableau
from tests.engine.everywhere import numpy_only, there
from tests.engine.problems import folds_of, objective_of, problem
from tests.namespaces import NAMESPACES
from tests.reference import QUANTILE, explicit_schemes

EXPLICIT = [name for name, tableau in TABLEAUX.items() if tableau.explicit]
IMPLICIT = [name for name, tableau in TABLEAUX.items() if not tableau.explicit]
# Largest differences from the reference in double precision, relative to the largest entry.
TOLERANCES = {np.float64: 1e-12, np.float32: 1e-5}
# Losses, and numbers of outputs for which their code differs.
WITH_OUTPUTS = [
    ("logistic", 1),
    ("logistic", 3),
    ("softmax", 3),
    ("logistic_squared", 1),
    ("logistic_squared", 3),
    ("squared", 1),
    ("squared", 2),
    ("huber", 1),
    ("huber", 2),
    ("quantile", 1),
    ("quantile", 2),
    ("poisson", 1),
    ("poisson", 2),
]


def test_all_losses_are_here():
    assert {loss for loss, _ in WITH_OUTPUTS} == set(LOSSES)


class On:
    """A kernel with arrays of a library, whose arguments and results are NumPy arrays."""

    def __init__(self, kernel, xp):
        self.kernel, self.xp = kernel, xp

    def serves(self, problem, dtype):
        return self.kernel.is_usable_for(problem, self.xp.asarray(np.zeros((1, 1), dtype)))

    def evaluate(self, problem, samples, flat, gradient=True):
        samples, flat = there(self.xp, (samples, flat))
        found = self.kernel.evaluate(problem, samples, flat, gradient)
        return [None if part is None else to_host(part) for part in found]

    def predict(self, problem, X, flat, weights=None):
        X, flat, weights = there(self.xp, (X, flat, weights))
        return to_host(self.kernel.predict(problem, X, flat, weights))

    def input_gradients(self, problem, X, flat, dz):
        X, flat, dz = there(self.xp, (X, flat, dz))
        return to_host(self.kernel.input_gradients(problem, X, flat, lambda z: dz))


def name_of(kernel):
    return kernel.__name__.rsplit(".", 1)[-1]


@pytest.fixture(
    params=list(product(KERNELS[:-1], ("numpy", "cupy"))),
    ids=lambda pair: f"{name_of(pair[0])} on {pair[1]}",
)
def kernel(request):
    """Every kernel except the reference, with every library that it may support."""
    kernel, library = request.param
    found = On(kernel, NAMESPACES[library]())
    layout, *_ = problem("softmax", "learned")
    heun = Problem(ode_net(TABLEAUX["heun"]), layout, LOSSES["softmax"], True)
    if not found.serves(heun, np.float64):
        pytest.skip(f"{name_of(kernel)} is not usable for {library} here")
    return found


def case(network, loss, dtype=np.float32, folds=False, seed=0, **sizes):
    """Return a problem, samples and controls, with numbers that single precision can represent."""
    sizes = {"members": 3, "samples": 37, "n_channels": 5, "n_features": 3, **sizes}
    layout, flat, X, targets, weights, _ = problem(
        loss, "learned", spread=0.5, dtype=np.float32, seed=seed, **sizes
    )
    folds = folds_of(sizes["members"], sizes["samples"]) if folds else None
    samples = Samples(X, targets, weights, folds)
    of = Problem(network, layout, loss_named(loss, QUANTILE), True)
    return of, *precise(dtype, samples, flat)


def precise(dtype, samples, flat):
    """Return the samples and controls in this precision."""
    folds = samples.folds
    if folds is not None:
        folds = folds._replace(
            train=folds.train.astype(dtype), held_out=folds.held_out.astype(dtype)
        )
    parts = (part.astype(dtype) for part in samples[:3])
    return Samples(*parts, folds), flat.astype(dtype)


def assert_close(found, expected, dtype, *what):
    """Check that values are equal up to rounding, relative to the largest entry."""
    if expected is None:
        assert found is None
        return
    assert found.shape == expected.shape, what
    error, scale = np.abs(found - expected).max(), np.abs(expected).max()
    assert error <= TOLERANCES[dtype] * scale, (*what, error / scale)


def assert_as_the_reference(kernel, of, samples, flat, *what):
    """Compare sums for three members and one, with fixed and learned steps, in both precisions."""
    expected = reference.evaluate(of, *precise(np.float64, samples, flat), gradient=True)
    weights = np.arange(1.0, len(flat) + 1) / np.arange(1.0, len(flat) + 1).sum()
    said, weighted = (
        reference.predict(of, samples.X.astype(float), flat.astype(float), w)
        for w in (None, weights)
    )
    fixed_gradient = expected.gradient.copy()
    fixed_gradient[:, of.layout.slices.h] = 0.0
    for dtype in TOLERANCES:
        samples, flat = precise(dtype, samples, flat)
        some = samples.of_members(slice(1, 2))
        found = kernel.evaluate(of, samples, flat)
        values = kernel.evaluate(of, samples, flat, gradient=False)
        one = kernel.evaluate(of, some, flat[1:2])
        fixed = kernel.evaluate(of._replace(learn_step=False), samples, flat)
        assert found[2].dtype == dtype
        assert found[0].dtype == np.float64
        for whole, part, single in zip(expected[:3], found[:3], one[:3], strict=True):
            assert_close(part, whole, dtype, dtype, *what)
            if whole is not None:  # a single member is as exact as one of several
                assert_close(single, part[1:2], dtype, dtype, *what)
        assert values[2] is None
        for with_gradient, without in zip(found[:2], values[:2], strict=True):
            np.testing.assert_array_equal(with_gradient, without)
        assert_close(fixed[2], fixed_gradient, dtype, dtype, *what)
        assert not fixed[2][:, of.layout.slices.h].any()
        assert_close(kernel.predict(of, samples.X, flat), said, dtype, dtype, *what)
        found = kernel.predict(of, samples.X, flat, weights.astype(dtype))
        assert_close(found, weighted, dtype, dtype, *what)


@pytest.mark.parametrize("scheme", EXPLICIT)
def test_every_kernel_computes_what_the_reference_does(scheme, kernel):
    names = list(ACTIVATIONS)
    choices = list(product(names, WITH_OUTPUTS, ("pad", "affine", "nonlinear"), (True, False)))
    if kernel.xp.name != "numpy":  # where every call waits for a device
        choices = choices[EXPLICIT.index(scheme) % 7 :: 7]
    for activation, (loss, outputs), lift, folds in choices:
        # With every activation, another one is used in the lift.
        of_lift = names[names.index(activation) - 1] if lift == "nonlinear" else "identity"
        network = ode_net(TABLEAUX[scheme], activation, of_lift)
        given = case(network, loss, outputs=outputs, folds=folds, lifted=lift != "pad")
        assert_as_the_reference(kernel, *given, activation, loss, outputs, lift, folds)


@pytest.mark.parametrize("lift", [None, *ACTIVATIONS])
def test_feed_forward_layers_and_every_lift(lift, kernel):
    for activation, (loss, outputs) in product(ACTIVATIONS, WITH_OUTPUTS):
        network = feed_forward(activation, lift or "identity")
        given = case(network, loss, outputs=outputs, folds=True, lifted=bool(lift))
        assert_as_the_reference(kernel, *given, activation, loss, outputs)


@pytest.mark.parametrize("scheme", ["euler", "rk4", "gauss4"])
def test_derivatives_for_the_features_are_those_of_the_reference(scheme, kernel):
    rng = np.random.default_rng(0)
    for lift, samples in product(("pad", "affine", *ACTIVATIONS), (1, 37, 600)):
        of_lift = lift if lift in ACTIVATIONS else "identity"
        network = ode_net(TABLEAUX[scheme], "mixed", of_lift)
        given = {"outputs": 3, "samples": samples, "lifted": lift != "pad"}
        of, of_case, flat = case(network, "softmax", **given)
        dz = rng.normal(size=(2, 3, 3, samples)).astype(np.float32)
        X, exact = of_case.X.astype(float), flat.astype(float)
        expected = reference.input_gradients(of, X, exact, lambda z, dz=dz: dz.astype(float))
        for dtype in TOLERANCES:
            values = (part.astype(dtype) for part in (of_case.X, flat, dz))
            assert_close(kernel.input_gradients(of, *values), expected, dtype, lift, samples)


def test_networks_and_blocks_of_any_size(kernel):
    rng = np.random.default_rng(0)
    for seed in range(40):
        sizes = {
            "samples": int(rng.choice([1, 2, 7, 31, 32, 33, 63, 64, 65, 127, 257, 600])),
            "n_channels": int(rng.choice([1, 2, 3, 4, 7, 8, 9, 16, 17, 24])),
            "members": int(rng.integers(2, 5)),
            "N": int(rng.choice([1, 2, 5, 9])),
            "outputs": int(rng.choice([1, 2, 3, 8, 11])),
            "lifted": bool(rng.integers(2)),
        }
        most = 30 if sizes["lifted"] else sizes["n_channels"]
        sizes["n_features"] = int(rng.integers(1, most + 1))
        loss = str(rng.choice(list(LOSSES)))
        if loss == "softmax":
            sizes["outputs"] = max(2, sizes["outputs"])
        network = ode_net(TABLEAUX[str(rng.choice(EXPLICIT))], "mixed", "softplus")
        of, samples, flat = case(network, loss, folds=bool(seed % 2), seed=seed, **sizes)
        # Wide networks of many layers are stiff; smaller controls keep rounding errors small.
        flat = (flat / sizes["n_channels"] ** 0.5).astype(np.float32)
        assert_as_the_reference(kernel, of, samples, flat, sizes, loss)


@settings(max_examples=15)
@given(explicit_schemes(), st.sampled_from([0.0, 1.0]))
def test_random_tableaux_with_zero_weights(kernel, scheme, skip):
    network = Network(as_tableau(scheme), ACTIVATIONS["tanh"], skip)
    assert_as_the_reference(kernel, *case(network, "softmax", n_channels=3, n_features=2), scheme)


@pytest.mark.parametrize("lifted", [False, True])
def test_features_of_any_dtype_and_memory_layout(lifted, kernel):
    of, samples, flat = case(ode_net(TABLEAUX["heun"]), "softmax", np.float64, lifted=lifted)
    for dtype in (np.float64, np.float32, np.int16, np.int64, bool):
        X = (3 * samples.X).astype(dtype)
        expected = kernel.evaluate(of, samples._replace(X=X.astype(float)), flat)
        said = kernel.predict(of, X.astype(float), flat)
        wide = np.zeros((2 * len(X), 2 * X.shape[1]), dtype)
        wide[::2, ::2] = X
        every = {
            "F": np.asfortranarray(X),
            "strided": wide[::2, ::2],
            "reversed": X[::-1, ::-1].copy()[::-1, ::-1],
            "read-only": X.copy(),
        }
        every["read-only"].flags.writeable = False
        for name, other in every.items():
            found = kernel.evaluate(of, samples._replace(X=other), flat)
            for one, whole in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, whole, err_msg=f"{name}, {dtype}")
            np.testing.assert_array_equal(kernel.predict(of, other, flat), said)


def test_slices_of_samples_and_members_are_taken_as_they_lie(kernel):
    of, samples, flat = case(ode_net(TABLEAUX["rk4"]), "softmax", np.float64, folds=True)
    part = samples.of(slice(5, 31)).of_members(np.array([2, 0]))
    expected = reference.evaluate(of, part, flat[[2, 0]], gradient=True)
    for one, other in zip(kernel.evaluate(of, part, flat[::-2]), expected, strict=True):
        assert_close(one, other, np.float64)


def test_what_is_given_stays_and_what_was_found_too(kernel):
    of, samples, flat = case(ode_net(TABLEAUX["rk4"]), "softmax", np.float64, folds=True)
    parts = [*samples[:3], *samples.folds, flat]
    before = [part.copy() for part in parts]
    for part in parts:
        part.flags.writeable = False
    first = kernel.evaluate(of, samples, flat)[:3]
    then = [part.copy() for part in first]
    kernel.evaluate(of, samples, -flat)
    said = kernel.predict(of, samples.X, flat)
    said_then = said.copy()
    kernel.predict(of, samples.X, -flat)
    for one, other in zip([*parts, *first, said], [*before, *then, said_then], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("loss", LOSSES)
def test_what_overflows_does_so_for_its_member_alone_and_silently(loss, dtype, kernel):
    network = ode_net(TABLEAUX["heun"], "relu")
    of, samples, flat = case(network, loss, dtype, folds=True)
    healthy = kernel.evaluate(of, samples, flat)
    of.layout.views(flat).K[1] *= 1e30
    found = kernel.evaluate(of, samples, flat)
    with quiet():
        expected = reference.evaluate(of, samples, flat, gradient=True)
    for one, before in zip(found[:3], healthy[:3], strict=True):
        np.testing.assert_array_equal(one[[0, 2]], before[[0, 2]])
    # Depending on the order of its sums, a gradient may overflow in only one of the kernels.
    for one, other in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_array_equal(np.isfinite(one), np.isfinite(other))
    assert not np.isnan(found[1]).any()


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_samples_without_weight_need_not_be_finite(dtype, kernel):
    of, samples, flat = case(ode_net(TABLEAUX["heun"]), "squared", dtype, folds=True)
    samples.weights[4:7] = 0.0
    expected = kernel.evaluate(of, samples, flat)
    samples.X[4], samples.targets[5], samples.targets[6] = 1e30, np.inf, np.nan
    for one, other in zip(kernel.evaluate(of, samples, flat), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_sample_that_only_judges_spoils_only_the_held_out_loss(kernel):
    of, samples, flat = case(ode_net(TABLEAUX["heun"]), "squared", np.float64, folds=True)
    folds, (member,) = samples.folds, (0,)
    judging = (folds.held_out[member] > 0) & (folds.train[member] == 0)
    row = np.flatnonzero(judging[folds.group])[0]
    expected = kernel.evaluate(of, samples, flat)
    for bad in (np.nan, 1e300):
        samples.targets[row] = bad
        found = kernel.evaluate(of, samples, flat)
        assert found[0][member] == expected[0][member]
        np.testing.assert_array_equal(found[2][member], expected[2][member])
        assert np.isposinf(found[1][member])


def test_no_probability_is_larger_than_one(kernel):
    # Where one class is nearly certain, rounding decides.
    of, samples, flat = case(ode_net(TABLEAUX["euler"]), "softmax", np.float64, members=24)
    flat[:, of.layout.slices.mu] += np.array([35.0, 0.0, 0.0])[: of.layout.n_outputs]
    for n_members in range(1, 25):
        assert (kernel.predict(of, samples.X, flat[:n_members]) <= 0).all()


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("loss", LOSSES)
def test_predictions_that_are_not_finite_are_not_a_number(loss, dtype, kernel):
    of, samples, flat = case(ode_net(TABLEAUX["heun"], "relu"), loss, dtype)
    of.layout.views(flat).W[1] = 1.0
    healthy = kernel.predict(of, samples.X, flat)
    samples.X[3] = np.finfo(dtype).max
    found = kernel.predict(of, samples.X, flat)
    assert np.isnan(found[:, 3]).all()
    rest = np.arange(len(samples.X)) != 3
    np.testing.assert_array_equal(found[:, rest], healthy[:, rest])


def test_the_number_of_samples_of_a_call_does_not_depend_on_that_of_the_members(kernel):
    of, _, flat = case(ode_net(TABLEAUX["rk4"]), "softmax", np.float64)
    like = kernel.xp.asarray(flat)
    sizes = {kernel.kernel.call_size(of, members, 10**6, like)[1] for members in (1, 2, 30, 1000)}
    assert min(sizes) >= 1
    if kernel.xp.name == "numpy":
        assert len(sizes) == 1


def test_a_whole_objective_by_the_first_kernel_and_by_the_reference(monkeypatch):
    layout, flat, *data = problem("softmax", "learned", members=3, lifted=True, samples=300)
    arguments = ode_net(TABLEAUX["rk4"], "mixed", "tanh"), layout, "softmax", data
    options = {"folds": folds_of(3, 300), "smooth": (0.1, 0.5), "free": ("K", "b", "h", "V")}
    found = objective_of(*arguments, **options).evaluate(flat)
    monkeypatch.setattr("skode.engine.kernels.KERNELS", (reference,))
    expected = objective_of(*arguments, **options).evaluate(flat)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, np.float64)


# --- the choice of the kernel


def of_scheme(scheme):
    layout, *_ = problem("softmax", "learned")
    return Problem(ode_net(TABLEAUX[scheme]), layout, LOSSES["softmax"], True)


def test_implicit_schemes_have_a_kernel_on_the_host_alone(xp):
    for scheme in IMPLICIT:
        for kernel in KERNELS[:-1]:
            serves = kernel.is_usable_for(of_scheme(scheme), xp.zeros((1, 1)))
            assert not serves or (name_of(kernel) == "cpu" and xp.name.startswith("numpy"))


@pytest.mark.parametrize("library", ["strict", "strict-device1", "torch"])
def test_other_libraries_are_left_to_the_reference(library):
    like = NAMESPACES[library]().zeros((1, 1))
    for scheme in EXPLICIT:
        assert kernel_for(of_scheme(scheme), like) is reference


def test_the_reference_is_the_last_and_serves_always(xp):
    assert KERNELS[-1] is reference
    assert KERNELS.count(reference) == 1
    for scheme in TABLEAUX:
        assert reference.is_usable_for(of_scheme(scheme), xp.zeros((1, 1)))


@numpy_only
def test_the_first_that_is_usable_serves(xp, monkeypatch):
    class Explicit:
        """A kernel for schemes with one stage, which records its calls."""

        asked = ()

        def is_usable_for(self, problem, like):
            return problem.network.tableau.n_stages == 1

        def evaluate(self, *arguments):
            self.asked += (arguments,)
            return reference.evaluate(*arguments)

        def __getattr__(self, name):
            return getattr(reference, name)

    other = Explicit()
    monkeypatch.setattr("skode.engine.kernels.KERNELS", (other, reference))
    layout, flat, *data = problem("softmax", "learned")
    for scheme, times in (("euler", 1), ("heun", 1), ("euler", 2)):
        objective_of(ode_net(TABLEAUX[scheme]), layout, "softmax", data).evaluate(flat)
        assert len(other.asked) == times
