import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skode.engine.blocks import Blocks
from skode.engine.controls import Controls
from skode.engine.fold_weights import FoldWeights
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.schemes import TABLEAUX
from tests import reference
from tests.engine.everywhere import NOT_STRICT, everywhere, not_strict
from tests.engine.problems import FREE, Placed, folds_of, objective_of, problem

HEUN = ode_net(TABLEAUX["heun"])


def gradient_of(xp, flat, layout, data, **options):
    return Placed(xp, HEUN, layout, "softmax", data, **options).value_and_gradient(flat)


@settings(max_examples=15)
@given(
    st.integers(1, 9),
    st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True),
    st.sampled_from(["softmax", "squared"]),
    st.booleans(),
)
def test_blocks_and_subsets_change_nothing_with_folds_lift_and_smoothness(
    xp, size, rows, loss, lifted
):
    layout, flat, *data = problem(loss, "learned", members=4, lifted=lifted)
    options = {"folds": folds_of(members=4), "smooth": (0.2, 0.7), "free": FREE["learned"]}
    whole = Placed(xp, HEUN, layout, loss, data, **options).evaluate(flat)
    objective = Placed(xp, HEUN, layout, loss, data, size=size, **options)
    rows = np.array(rows)
    found = objective.evaluate(flat[rows], rows)
    np.testing.assert_allclose(found.J, whole.J[rows], rtol=1e-12)
    np.testing.assert_allclose(found.held_out, whole.held_out[rows], rtol=1e-12)
    scale = np.abs(whole.gradient[rows]).max()
    np.testing.assert_allclose(found.gradient, whole.gradient[rows], atol=1e-12 * scale)
    # Without the gradient, the values are the same to the last bit.
    values = objective.evaluate(flat[rows], rows, gradient=False)
    assert values.gradient is None
    np.testing.assert_array_equal(values.J, found.J)
    np.testing.assert_array_equal(values.held_out, found.held_out)


def test_samples_held_out_do_not_train(xp):
    # Neither J nor its gradient may depend on the validation targets of a member.
    layout, flat, X, targets, weights, alpha = problem("squared", "learned")
    folds = folds_of(members=2)
    unseen = folds.train[0][folds.group] == 0
    assert (folds.held_out[0][folds.group][unseen] > 0).any()
    others = np.where(unseen[:, None], targets + 1, targets)

    def evaluate(targets):
        data = (X, targets, weights, alpha)
        objective = Placed(xp, HEUN, layout, "squared", data, folds=folds)
        return objective.evaluate(flat[:1], np.array([0]))

    one, other = evaluate(targets), evaluate(others)
    np.testing.assert_array_equal(one.J, other.J)
    np.testing.assert_array_equal(one.gradient, other.gradient)
    assert abs(one.held_out - other.held_out) > 1e-3


def test_some_of_the_members(xp):
    layout, flat, *data = problem("softmax", "learned", members=4)
    objective = Placed(xp, HEUN, layout, "softmax", data)
    J, gradient = objective.value_and_gradient(flat)
    rows = np.array([3, 1])
    J_some, gradient_some = objective.value_and_gradient(flat[rows], rows)
    np.testing.assert_allclose(J_some, J[rows], rtol=1e-13)
    np.testing.assert_allclose(gradient_some, gradient[rows], rtol=1e-11)


@everywhere(NOT_STRICT, scheme=["euler", "rk4", "implicit_midpoint"], lifted=[True, False])
def test_evaluations_leave_nothing_behind(scheme, lifted, xp):
    # One objective is evaluated with and without gradients, for all or some members, on all and on
    # some samples; each result equals that of a new objective to the last bit.
    layout, flat, *data = problem("softmax", "learned", members=3, lifted=lifted)

    def objective():
        return Placed(
            xp,
            ode_net(TABLEAUX[scheme]),
            layout,
            "softmax",
            data,
            FREE["learned"],
            folds=folds_of(3),
            size=3,
        )

    questions = [
        (members, gradient, rows)
        for members in (np.arange(3), np.array([0, 2]))
        for gradient in (True, False)
        for rows in (None, np.array([1, 2, 5, 6]))
    ]
    asked = objective()
    for k in np.random.default_rng(0).permutation(2 * len(questions)):
        members, gradient, rows = questions[k % len(questions)]
        parts = [one if rows is None else one.sample(rows) for one in (asked, objective())]
        found, expected = (part.evaluate(flat[members], members, gradient) for part in parts)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@everywhere(scheme=["euler", "rk4", "implicit_midpoint", "gauss4"], loss=LOSSES)
def test_every_namespace_computes_the_same(loss, scheme, xp):
    layout, flat, *data = problem(loss, "learned", spread=0.2)
    arguments = ode_net(TABLEAUX[scheme], "softplus"), layout, loss, data, FREE["learned"]
    objective, plain = Placed(xp, *arguments, size=4), objective_of(*arguments)
    found, expected = (one.value_and_gradient(flat) for one in (objective, plain))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(
        objective.costates(flat), plain.costates(flat), rtol=1e-11, atol=1e-13
    )


@pytest.mark.parametrize(
    ("scheme", "loss"), [("heun", "softmax"), ("heun", "squared"), ("implicit_midpoint", "softmax")]
)
def test_every_namespace_computes_folds_and_lift_the_same(loss, scheme, xp):
    layout, flat, *data = problem(loss, "learned", members=3, spread=0.2, lifted=True)
    network = ode_net(TABLEAUX[scheme], "mixed", lift="tanh")
    arguments = network, layout, loss, data, FREE["learned"]
    options = {"folds": folds_of(members=3), "smooth": (0.3, 0.6)}
    members = np.array([2, 0])

    def evaluate(objective):
        whole = objective.evaluate(flat)
        some = objective.evaluate(flat[members], members)
        sample = objective.sample(np.array([4, 1, 5])).evaluate(flat)
        return [*whole[:3], *some[:3], *sample[:3]]

    found = evaluate(Placed(xp, *arguments, size=4, **options))
    for one, other in zip(found, evaluate(objective_of(*arguments, **options)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)


SIZES = [(1, False), (2, False), (4, False), (8, False), (1, True), (7, True)]


@settings(max_examples=12)
@given(st.integers(0, 1000), st.sampled_from(SIZES))
def test_sampling_is_unbiased(xp, seed, size_and_folds):
    # The mean over a partition into equal batches is the data loss of all samples.
    size, with_folds = size_and_folds
    layout, flat, *data, _ = problem("softmax", "learned", samples=8, seed=seed)
    folds = folds_of(members=2, samples=8) if with_folds else None
    data = (*data, np.zeros(2))
    objective = Placed(xp, HEUN, layout, "softmax", data, FREE["learned"], folds=folds)
    whole, rows = objective.evaluate(flat), objective.trained_rows
    if with_folds:  # one sample has no training weight for any member
        assert set(range(8)) - set(rows) == set(np.flatnonzero(folds.group == 3))
    order = np.random.default_rng(seed).permutation(rows).reshape(-1, size)
    parts = [objective.sample(rows).evaluate(flat) for rows in order]
    np.testing.assert_allclose(np.mean([p.J for p in parts], axis=0), whole.J, rtol=1e-12)
    mean = np.mean([p.gradient for p in parts], axis=0)
    np.testing.assert_allclose(mean, whole.gradient, atol=1e-13 * np.abs(whole.gradient).max())


def test_samples_without_weight_are_not_drawn(xp):
    layout, _, X, targets, weights, alpha = problem("softmax", "learned", samples=8)
    weights[[2, 5]] = 0.0
    objective = Placed(xp, HEUN, layout, "softmax", (X, targets, weights, alpha), ["K"])
    assert list(objective.trained_rows) == [0, 1, 3, 4, 6, 7]


def test_a_part_has_its_own_trained_samples(xp):
    layout, _, *data = problem("softmax", "learned")
    objective = Placed(xp, HEUN, layout, "softmax", data)
    assert len(objective.trained_rows) == 7
    np.testing.assert_array_equal(objective.sample(np.array([5, 2, 6])).trained_rows, [0, 1, 2])


def test_a_sample_has_the_penalties_in_full_and_leaves_the_whole_alone(xp):
    layout, flat, *data, alpha = problem("softmax", "learned", lifted=True)
    smooth = (0.3, 0.5)
    whole = Placed(xp, HEUN, layout, "softmax", (*data, alpha), FREE["learned"], smooth=smooth)
    free_of_penalties = Placed(xp, HEUN, layout, "softmax", (*data, 0 * alpha), FREE["learned"])
    before = whole.evaluate(flat)
    rows = np.array([5, 0])
    found = whole.sample(rows).evaluate(flat).J - free_of_penalties.sample(rows).evaluate(flat).J
    expected = [
        reference.penalties(reference.member(layout, flat[k]), alpha[k], smooth) for k in range(2)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    after = whole.evaluate(flat)
    np.testing.assert_array_equal(before.J, after.J)
    np.testing.assert_array_equal(before.gradient, after.gradient)


@pytest.mark.parametrize("free", [("K",), ("b", "mu"), ("h",), ("W",), ("V",), ("b", "nu"), ()])
def test_a_part_held_fixed_has_no_gradient(free, xp):
    layout, flat, *data = problem("softmax", "learned", lifted=True)
    _, full = gradient_of(xp, flat, layout, data, free=FREE["learned"])
    _, masked = gradient_of(xp, flat, layout, data, free=free)
    for name, part, whole in zip(
        Controls._fields, layout.views(masked), layout.views(full), strict=True
    ):
        if name in free:
            np.testing.assert_array_equal(part, whole)
        else:
            assert not part.any()


def test_a_part_held_fixed_has_no_gradient_where_numbers_overflow_either(xp):
    layout, flat, *data = problem("squared", "learned")
    layout.views(flat).W[...] = 1e200
    objective = Placed(xp, HEUN, layout, "squared", data, ("K",))
    gradient = layout.views(objective.evaluate(flat).gradient)
    for name, part in zip(Controls._fields, gradient, strict=True):
        assert name == "K" or part is None or not part.any()


@pytest.mark.parametrize("dtype", [np.float32, np.int8, bool])
def test_data_may_be_of_another_dtype_than_the_controls(dtype, xp):
    layout, flat, X, targets, weights, alpha = problem("softmax", "learned")
    X = (10 * X).astype(dtype)
    expected = gradient_of(xp, flat, layout, (X.astype(float), targets, weights, alpha))
    found = gradient_of(xp, flat, layout, (X, targets.astype(bool), weights, alpha))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("order", ["C", "F"])
def test_data_may_be_a_read_only_memory_map(order, tmp_path):
    layout, flat, X, *data = problem("softmax", "learned", n_features=3)
    np.save(tmp_path / "X.npy", np.asarray(X, order=order))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    found, expected = (
        objective_of(HEUN, layout, "softmax", (part, *data), blocks=Blocks(size=size))
        for part, size in ((mapped, 2), (X, None))
    )
    np.testing.assert_allclose(found.evaluate(flat).J, expected.evaluate(flat).J, rtol=1e-13)


def test_overflow_is_a_value_and_not_a_warning(xp):
    layout, flat, *data = problem("softmax", "learned")
    J, _ = gradient_of(xp, flat * 1e200, layout, data)
    assert not np.isfinite(J).any()


@pytest.mark.parametrize("lifted", [False, True])
def test_samples_without_weight_need_not_be_finite(lifted, xp):
    layout, flat, X, targets, weights, alpha = problem("squared", "learned", lifted=lifted)
    weights[2:4] = 0.0
    folds = folds_of(members=2)
    folds = folds._replace(train=np.ones((2, 5)), held_out=np.ones((2, 5)))
    rest = [0, 1, 4, 5, 6]
    data = (X[rest], targets[rest], weights[rest], alpha)
    arguments = (xp, HEUN, layout, "squared")
    alone = folds._replace(group=folds.group[rest])
    expected = Placed(*arguments, data, FREE["learned"], folds=alone).evaluate(flat)
    X, targets = X.copy(), targets.copy()
    X[2], targets[3] = 1e200, 1e300  # their squares overflow
    data = (X, targets, weights, alpha)
    found = Placed(*arguments, data, FREE["learned"], folds=folds).evaluate(flat)
    for one, other in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_a_sample_beyond_all_numbers_spoils_only_the_loss_that_it_counts_in(xp):
    layout, flat, X, targets, weights, alpha = problem("squared", "learned")
    train, held_out = np.array([[1.0] * 6 + [0.0]] * 2), np.eye(7)[[6, 5]]
    folds = FoldWeights(np.arange(7), train, held_out, np.arange(2))
    targets[6] = 1e300
    data = (X, targets, weights, alpha)
    found = Placed(xp, HEUN, layout, "squared", data, FREE["learned"], folds=folds).evaluate(flat)
    assert np.isfinite(found.J).all()
    assert np.isfinite(found.gradient).all()
    np.testing.assert_array_equal(np.isposinf(found.held_out), [True, False])


@not_strict
def test_unsolvable_stages_make_the_objective_infinite_for_their_member_alone(xp):
    layout, flat, *data, alpha = problem("softmax", "fixed", members=3)
    network = ode_net(TABLEAUX["implicit_euler"], "softplus")
    U = layout.views(flat)
    U.K[1] = 30 * np.eye(3)  # y⁺ = y + h softplus(30 y⁺) has no solution

    def evaluate(rows):
        objective = Placed(xp, network, layout, "softmax", (*data, alpha[rows]), size=4)
        return objective.value_and_gradient(flat[rows])

    J, gradient = evaluate([0, 1, 2])
    np.testing.assert_array_equal(np.isposinf(J), [False, True, False])
    for k in (0, 2):
        J_alone, gradient_alone = evaluate([k])
        np.testing.assert_allclose(J[[k]], J_alone, rtol=1e-12)
        np.testing.assert_allclose(gradient[[k]], gradient_alone, rtol=1e-10, atol=1e-14)


def with_an_unsolvable_sample():
    """Return a network and a problem in which the stage equations of sample 3 have no solution."""
    layout, flat, X, *rest = problem("softmax", "fixed")
    U = layout.views(flat)
    U.K[...] *= 0.1
    U.K[:, 0] = np.diag([30.0, 0, 0])
    U.b[:, 0] = [-1000.0, 0, 0]  # harmless unless the first channel is large
    X[3, 0] = 1e3
    return ode_net(TABLEAUX["implicit_euler"], "softplus"), layout, flat, X, *rest


@not_strict
def test_unsolvable_stages_of_a_sample_without_weight_do_not_count(xp):
    network, layout, flat, X, targets, weights, alpha = with_an_unsolvable_sample()
    weights[3] = 0.0
    rest = np.arange(len(X)) != 3

    def evaluate(*data):
        return Placed(xp, network, layout, "softmax", (*data, alpha)).value_and_gradient(flat)

    J, gradient = evaluate(X, targets, weights)
    J_rest, gradient_rest = evaluate(X[rest], targets[rest], weights[rest])
    np.testing.assert_allclose(J, J_rest, rtol=1e-12)
    np.testing.assert_allclose(gradient, gradient_rest, rtol=1e-9, atol=1e-12)
    weights[3] = 1e-9
    assert np.isposinf(evaluate(X, targets, weights)[0]).all()


def test_unsolvable_stages_of_a_sample_held_out_make_the_held_out_loss_infinite_alone(xp):
    network, layout, flat, *data, alpha = with_an_unsolvable_sample()
    group = (np.arange(len(data[0])) == 3).astype(int)
    train, held_out = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    folds = FoldWeights(group, train, held_out, np.arange(2))
    objective = Placed(xp, network, layout, "softmax", (*data, alpha), folds=folds)
    found = objective.evaluate(flat)
    assert np.isfinite(found.J).all()
    assert np.isfinite(found.gradient).all()
    np.testing.assert_array_equal(np.isposinf(found.held_out), [True, False])
    rest = (*(part[group == 0] for part in data), alpha)
    J, gradient = Placed(xp, network, layout, "softmax", rest).value_and_gradient(flat)
    np.testing.assert_allclose(found.J, J, rtol=1e-12)
    np.testing.assert_allclose(found.gradient, gradient, rtol=1e-9, atol=1e-12)


@everywhere(scheme=["rk4", "gauss4"], lifted=[False, True], with_folds=[False, True])
def test_costates_are_derivatives_with_respect_to_the_states(scheme, lifted, with_folds, xp):
    # ∂J/∂yℓ in a random direction: the network of the layers from ℓ on, without a lift.
    tableau = TABLEAUX[scheme]
    layout, flat, X, targets, weights, _ = problem("softmax", "learned", spread=0.3, lifted=lifted)
    folds = folds_of(members=2) if with_folds else None
    network = ode_net(tableau, "mixed", lift="tanh")
    data = (X, targets, weights, np.zeros(2))
    p = Placed(xp, network, layout, "softmax", data, folds=folds, size=3).costates(flat)
    assert p.shape == (2, layout.n_layers + 1, layout.n_channels, len(X))
    for k in range(2):
        U = reference.member(layout, flat[k].astype(complex))
        w = weights
        if with_folds:
            w = reference.weights_of_member(weights, folds.group, folds.train[k])
        net = (reference.triple(tableau), "mixed", 1.0)
        states = reference.forward(*net, U, X, "tanh")
        for first in range(layout.n_layers + 1):
            direction = np.random.default_rng(first).normal(size=states[first].shape)
            varied = (states[first] + 1e-40j * direction).T
            later = U._replace(K=U.K[first:], b=U.b[first:], h=U.h[first:], V=None, nu=None)
            J = reference.data_loss(*net, "softmax", later, varied, targets, w)
            found = (p[k, first] * direction).sum()
            np.testing.assert_allclose(found, J.imag / 1e-40, rtol=1e-11)
