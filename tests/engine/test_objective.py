import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode.engine import networks
from skode.engine.blocks import FEWEST_SAMPLES, STATE_BYTES, block_size, blocks
from skode.engine.controls import Controls
from skode.engine.losses import LOSSES
from skode.engine.networks import Network, ode_net
from skode.engine.objective import Objective
from skode.engine.prediction import UnsolvedStagesError, outputs, trajectories
from skode.engine.training import Stopping
from skode.engine.schemes import TABLEAUX
from skode.engine.fold_weights import FoldWeights
from tests import reference
from tests.engine.everywhere import everywhere, not_strict, on
from tests.engine.problems import FREE, Placed, problem, folds_of, trained

HEUN = ode_net(TABLEAUX["heun"])


def evaluate(xp, flat, layout, X, targets, weights, alpha, block_size=None, **options):
    objective = Placed(
        xp,
        HEUN,
        layout,
        LOSSES["softmax"],
        X,
        targets,
        weights,
        alpha,
        block_size=block_size,
        **options,
    )
    return objective.value_and_gradient(flat)


@given(st.integers(1, 9), st.integers(1, 5))
def test_blocks_and_members_change_nothing(xp, size, members):
    layout, flat, *data, alpha = problem("softmax", "learned", members=members)
    J, gradient = evaluate(xp, flat, layout, *data, alpha, block_size=size, free=FREE["learned"])
    for k in range(members):
        one = evaluate(xp, flat[[k]], layout, *data, alpha[[k]], block_size=7, free=FREE["learned"])
        np.testing.assert_allclose(J[[k]], one[0], rtol=1e-12)
        np.testing.assert_allclose(gradient[[k]], one[1], atol=1e-12 * np.abs(one[1]).max())


@given(
    st.integers(1, 9),
    st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True),
    st.sampled_from(["softmax", "squared"]),
    st.booleans(),
)
def test_blocks_and_subsets_change_nothing_with_shares_lift_and_smoothness(
    xp, size, rows, loss, lifted
):
    layout, flat, *data, alpha = problem(loss, "learned", members=4, lifted=lifted)
    options = {"folds": folds_of(members=4), "smooth": (0.2, 0.7), "free": FREE["learned"]}
    make = (HEUN, layout, LOSSES[loss], *data, alpha)
    whole = Placed(xp, *make, **options).evaluate(flat)
    objective = Placed(xp, *make, block_size=size, **options)
    rows = np.array(rows)
    found = objective.evaluate(flat[rows], rows)
    np.testing.assert_allclose(found.J, whole.J[rows], rtol=1e-12)
    np.testing.assert_allclose(found.held_out, whole.held_out[rows], rtol=1e-12)
    scale = np.abs(whole.gradient[rows]).max()
    np.testing.assert_allclose(found.gradient, whole.gradient[rows], atol=1e-12 * scale)
    # Without the gradient the values have the same bits.
    values = objective.evaluate(flat[rows], rows, gradient=False)
    assert values.gradient is None
    np.testing.assert_array_equal(values.J, found.J)
    np.testing.assert_array_equal(values.held_out, found.held_out)


def test_samples_held_out_do_not_train(xp):
    # Neither J nor its gradient may know the targets by which a member is judged.
    layout, flat, X, targets, weights, alpha = problem("squared", "learned")
    folds = folds_of(members=2)
    unseen = folds.train[0][folds.group] == 0
    assert (folds.held_out[0][folds.group][unseen] > 0).any()
    others = np.where(unseen[:, None], targets + 1, targets)

    def evaluate(targets):
        objective = Placed(
            xp, HEUN, layout, LOSSES["squared"], X, targets, weights, alpha, folds=folds
        )
        return objective.evaluate(flat[:1], np.array([0]))

    one, other = evaluate(targets), evaluate(others)
    np.testing.assert_array_equal(one.J, other.J)
    np.testing.assert_array_equal(one.gradient, other.gradient)
    assert abs(one.held_out - other.held_out) > 1e-3


def test_some_of_the_members(xp):
    layout, flat, *data, alpha = problem("softmax", "learned", members=4)
    objective = Placed(xp, HEUN, layout, LOSSES["softmax"], *data, alpha)
    J, gradient = objective.value_and_gradient(flat)
    rows = np.array([3, 1])
    J_some, gradient_some = objective.value_and_gradient(flat[rows], rows)
    np.testing.assert_allclose(J_some, J[rows], rtol=1e-13)
    np.testing.assert_allclose(gradient_some, gradient[rows], rtol=1e-11)


def test_the_same_evaluation_has_the_same_bits(xp):
    # Work arrays are used again: what the last evaluation left in them must not show.
    layout, flat, *data, alpha = problem("softmax", "learned")
    objective = Placed(xp, HEUN, layout, LOSSES["softmax"], *data, alpha, block_size=3)
    first = objective.value_and_gradient(flat)
    objective.value_and_gradient(-flat)
    again = objective.value_and_gradient(flat)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


@everywhere(scheme=["euler", "rk4", "implicit_midpoint", "gauss4"], loss=LOSSES)
def test_every_namespace_computes_the_same(loss, scheme, xp):
    layout, flat, *data = problem(loss, "learned", spread=0.2)
    network = ode_net(TABLEAUX[scheme], "softplus")
    arguments = network, layout, LOSSES[loss], *data, FREE["learned"]
    objective, plain = Placed(xp, *arguments, block_size=4), Objective(*arguments)
    found, expected = (one.value_and_gradient(flat) for one in (objective, plain))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(
        objective.costates(flat), plain.costates(flat), rtol=1e-11, atol=1e-13
    )
    for function in (outputs, trajectories):
        found = on(xp, function)(network, layout.views(flat), data[0], 3)
        expected = function(network, layout.views(flat), data[0])
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("scheme", ["heun", "implicit_midpoint"])
@pytest.mark.parametrize("loss", ["softmax", "squared"])
def test_every_namespace_computes_shares_and_lift_alike(loss, scheme, xp):
    layout, flat, *data, alpha = problem(loss, "learned", members=3, spread=0.2, lifted=True)
    arguments = ode_net(TABLEAUX[scheme]), layout, LOSSES[loss], *data, alpha, FREE["learned"]
    options = {"folds": folds_of(members=3), "smooth": (0.3, 0.6)}
    members = np.array([2, 0])

    def evaluate(objective):
        whole = objective.evaluate(flat)
        some = objective.evaluate(flat[members], members)
        sample = objective.sample(np.array([4, 1, 5])).evaluate(flat)
        return [*whole, *some, *sample]

    found = evaluate(Placed(xp, *arguments, block_size=4, **options))
    for one, other in zip(found, evaluate(Objective(*arguments, **options)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)
    z = on(xp, outputs)(HEUN, layout.views(flat), data[0], 3)
    expected = outputs(HEUN, layout.views(flat), data[0])
    np.testing.assert_allclose(z, expected, rtol=1e-12, atol=1e-14)


SIZES = [(1, False), (2, False), (4, False), (8, False), (1, True), (7, True)]


@given(st.integers(0, 1000), st.sampled_from(SIZES))
def test_sampling_is_unbiased(xp, seed, size_and_shares):
    # The mean over a partition into batches of one size is the data part of the whole.
    size, with_shares = size_and_shares
    layout, flat, *data, _ = problem("softmax", "learned", samples=8, seed=seed)
    folds = folds_of(members=2, samples=8) if with_shares else None
    objective = Placed(
        xp, HEUN, layout, LOSSES["softmax"], *data, np.zeros(2), FREE["learned"], folds=folds
    )
    whole, rows = objective.evaluate(flat), objective.trained_rows
    if with_shares:  # one sample has no weight in training, whichever the member
        assert set(range(8)) - set(rows) == set(np.flatnonzero(folds.group == 3))
    order = np.random.default_rng(seed).permutation(rows).reshape(-1, size)
    parts = [objective.sample(rows).evaluate(flat) for rows in order]
    np.testing.assert_allclose(np.mean([p.J for p in parts], axis=0), whole.J, rtol=1e-12)
    mean = np.mean([p.gradient for p in parts], axis=0)
    np.testing.assert_allclose(mean, whole.gradient, atol=1e-13 * np.abs(whole.gradient).max())


def test_samples_without_weight_are_not_drawn(xp):
    layout, _, X, targets, weights, alpha = problem("softmax", "learned", samples=8)
    weights[[2, 5]] = 0.0
    objective = Placed(xp, HEUN, layout, LOSSES["softmax"], X, targets, weights, alpha, ["K"])
    assert list(objective.trained_rows) == [0, 1, 3, 4, 6, 7]


def test_a_sample_has_the_penalties_in_full_and_leaves_the_whole_alone(xp):
    layout, flat, *data, alpha = problem("softmax", "learned", lifted=True)
    options = {"smooth": (0.3, 0.5)}
    whole, free_of_penalties = (
        Placed(xp, HEUN, layout, LOSSES["softmax"], *data, a, FREE["learned"], **smooth)
        for a, smooth in ((alpha, options), (0 * alpha, {}))
    )
    before = whole.evaluate(flat)
    rows = np.array([5, 0])
    found = whole.sample(rows).evaluate(flat).J - free_of_penalties.sample(rows).evaluate(flat).J
    expected = [
        reference.penalties(reference.member(layout, flat[k]), alpha[k], options["smooth"])
        for k in range(2)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # Both share their work arrays.
    after = whole.evaluate(flat)
    np.testing.assert_array_equal(before.J, after.J)
    np.testing.assert_array_equal(before.gradient, after.gradient)


@pytest.mark.parametrize("free", [("K",), ("b", "mu"), ("h",), ("W",), ("V",), ("b", "nu"), ()])
def test_a_part_held_fixed_has_no_gradient(free, xp):
    layout, flat, *data, alpha = problem("softmax", "learned", lifted=True)
    _, full = evaluate(xp, flat, layout, *data, alpha, free=FREE["learned"])
    _, masked = evaluate(xp, flat, layout, *data, alpha, free=free)
    for name, part, whole in zip(
        Controls._fields, layout.views(masked), layout.views(full), strict=True
    ):
        if name in free:
            np.testing.assert_array_equal(part, whole)
        else:
            assert not part.any()


def test_data_may_be_a_read_only_memory_map(tmp_path):
    layout, flat, X, *data, alpha = problem("softmax", "learned", n_features=3)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    found, expected = (
        Objective(HEUN, layout, LOSSES["softmax"], part, *data, alpha, block_size=size).evaluate(
            flat
        )
        for part, size in ((mapped, 2), (X, None))
    )
    np.testing.assert_allclose(found.J, expected.J, rtol=1e-13)


def test_overflow_is_a_value_and_not_a_warning(xp):
    layout, flat, *data, alpha = problem("softmax", "learned")
    J, _ = evaluate(xp, flat * 1e200, layout, *data, alpha)
    assert not np.isfinite(J).any()


def test_a_part_knows_its_own_trained_samples(xp):
    layout, _, *data, alpha = problem("softmax", "learned")
    objective = Placed(xp, HEUN, layout, LOSSES["softmax"], *data, alpha)
    assert len(objective.trained_rows) == 7
    np.testing.assert_array_equal(objective.sample(np.array([5, 2, 6])).trained_rows, [0, 1, 2])


@pytest.mark.parametrize("lifted", [False, True])
def test_samples_without_weight_need_not_be_finite(lifted, xp):
    layout, flat, X, targets, weights, alpha = problem("squared", "learned", lifted=lifted)
    weights[2:4] = 0.0
    folds = folds_of(members=2)
    folds = FoldWeights(folds.group, np.ones((2, 5)), np.ones((2, 5)))
    make = (ode_net(TABLEAUX["heun"]), layout, LOSSES["squared"])
    kept = [0, 1, 4, 5, 6]
    alone = FoldWeights(folds.group[kept], folds.train, folds.held_out)
    expected = Placed(
        xp, *make, X[kept], targets[kept], weights[kept], alpha, FREE["learned"], folds=alone
    ).evaluate(flat)
    X, targets = X.copy(), targets.copy()
    X[2], targets[3] = 1e200, 1e300  # whose squares overflow
    found = Placed(xp, *make, X, targets, weights, alpha, FREE["learned"], folds=folds)
    for one, other in zip(found.evaluate(flat), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_a_sample_beyond_all_numbers_spoils_only_the_loss_that_it_counts_in(xp):
    layout, flat, X, targets, weights, alpha = problem("squared", "learned")
    folds = FoldWeights(np.arange(7), np.array([[1.0] * 6 + [0.0]] * 2), np.eye(7)[[6, 5]])
    make = (ode_net(TABLEAUX["heun"]), layout, LOSSES["squared"], X)
    targets[6] = 1e300
    objective = Placed(xp, *make, targets, weights, alpha, FREE["learned"], folds=folds)
    found = objective.evaluate(flat)
    assert np.isfinite(found.J).all()
    assert np.isfinite(found.gradient).all()
    np.testing.assert_array_equal(np.isposinf(found.held_out), [True, False])


@given(st.integers(1, 5000), st.integers(1, 700), st.sampled_from(["float32", "float64"]))
def test_blocks_cover_every_sample_once(n_samples, size, dtype):
    rows = blocks(n_samples, size, np.zeros(1, dtype=dtype))
    covered = np.concatenate([np.arange(n_samples)[part] for part in rows])
    np.testing.assert_array_equal(covered, np.arange(n_samples))
    assert max(part.stop - part.start for part in rows) <= size


@pytest.mark.parametrize(("dtype", "in_line"), [("float32", 16), ("float64", 8)])
def test_two_threads_get_equal_shares_of_blocks_with_an_odd_number_of_lines(dtype, in_line):
    like = np.zeros(1, dtype=dtype)
    for n_samples in (10_000, 100_000, 1_000_000):
        sizes = [part.stop - part.start for part in blocks(n_samples, 1920, like)]
        assert len(sizes) % 2 == 0 or len(sizes) > 100
        assert {size // in_line % 2 for size in sizes[:-1]} == {1}
        assert {size % in_line for size in sizes[:-1]} == {0}
        assert sum(sizes[::2]) <= 1.15 * sum(sizes[1::2])


def test_block_size_keeps_the_states_of_a_block_in_the_cache():
    double, single = np.zeros(1), np.zeros(1, dtype=np.float32)
    assert 16 * 8 * block_size(1, 16, double) == STATE_BYTES
    assert 4 * 16 * 8 * block_size(4, 16, double) == STATE_BYTES
    assert 4 * 16 * 4 * block_size(4, 16, single) == STATE_BYTES
    # Small products, for which BLAS has faster kernels, stay small.
    assert 24 * 25 * block_size(1, 24, single) <= 10**6 < 24 * 25 * (STATE_BYTES // (24 * 4))
    # Many wide networks have larger blocks than that, so that the calls are worth it.
    assert block_size(100, 1000, double) == block_size(10, 1000, double) == FEWEST_SAMPLES


@not_strict
def test_unsolvable_stages_make_the_objective_infinite_for_their_member_alone(xp):
    layout, flat, X, targets, weights, alpha = problem("softmax", "fixed", members=3)
    network = ode_net(TABLEAUX["implicit_euler"], "softplus")
    U = layout.views(flat)
    U.K[1] = 30 * np.eye(3)  # y⁺ = y + h softplus(30 y⁺) has no solution

    def evaluate(rows):
        objective = Placed(
            xp, network, layout, LOSSES["softmax"], X, targets, weights, alpha[rows], block_size=4
        )
        return objective.value_and_gradient(flat[rows])

    J, gradient = evaluate([0, 1, 2])
    np.testing.assert_array_equal(np.isposinf(J), [False, True, False])
    for k in (0, 2):
        J_alone, gradient_alone = evaluate([k])
        np.testing.assert_allclose(J[[k]], J_alone, rtol=1e-12)
        np.testing.assert_allclose(gradient[[k]], gradient_alone, rtol=1e-10, atol=1e-14)


@not_strict
def test_unsolvable_stages_of_a_sample_without_weight_do_not_count(xp):
    layout, flat, X, targets, weights, alpha = problem("softmax", "fixed")
    network = ode_net(TABLEAUX["implicit_euler"], "softplus")
    layout.views(flat).K[...] *= 0.1
    layout.views(flat).K[:, 0] = np.diag([30.0, 0, 0])
    layout.views(flat).b[:, 0] = [-1000.0, 0, 0]
    X[3, 0], weights[3] = 1e3, 0.0
    rest = np.arange(len(X)) != 3

    def evaluate(*data):
        return Placed(xp, network, layout, LOSSES["softmax"], *data, alpha).value_and_gradient(flat)

    J, gradient = evaluate(X, targets, weights)
    J_rest, gradient_rest = evaluate(X[rest], targets[rest], weights[rest])
    np.testing.assert_allclose(J, J_rest, rtol=1e-12)
    np.testing.assert_allclose(gradient, gradient_rest, rtol=1e-9, atol=1e-12)
    weights[3] = 1e-9
    assert np.isposinf(evaluate(X, targets, weights)[0]).all()


@not_strict
def test_outputs_and_states_of_unsolved_samples_are_refused_with_layer_and_residual(xp):
    layout, flat, X, *_ = problem("softmax", "fixed", members=2)
    network = ode_net(TABLEAUX["implicit_euler"], "softplus")
    U = layout.views(flat)
    U.K[...] *= 0.1
    assert np.isfinite(on(xp, outputs)(network, U, X)).all()
    U.K[1, 2] = np.diag([30.0, 0, 0])
    U.b[1, 2] = [-1000, 0, 0]  # no harm except where the first channel is large
    X[[3, 5], 0] = 1e3
    for function in (outputs, trajectories):
        with pytest.raises(
            UnsolvedStagesError, match=r"for 2 samples: sample 3 at layer 2 \("
        ) as e:
            on(xp, function)(network, U, X, block=4)
        assert e.value.samples == [3, 5]
        assert e.value.layers == [2, 2]
        assert min(e.value.residuals) > 1
        again = pickle.loads(pickle.dumps(e.value))
        assert (str(again), again.residuals) == (str(e.value), e.value.residuals)


def test_unsolvable_stages_of_a_sample_held_out_make_the_held_out_loss_infinite_alone(xp):
    layout, flat, X, targets, weights, alpha = problem("softmax", "fixed")
    network = ode_net(TABLEAUX["implicit_euler"], "softplus")
    layout.views(flat).K[...] *= 0.1
    layout.views(flat).K[:, 0] = np.diag([30.0, 0, 0])
    layout.views(flat).b[:, 0] = [-1000.0, 0, 0]
    X[3, 0] = 1e3
    group = (np.arange(len(X)) == 3).astype(int)
    folds = FoldWeights(group, np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    objective = Placed(
        xp, network, layout, LOSSES["softmax"], X, targets, weights, alpha, folds=folds
    )
    found = objective.evaluate(flat)
    assert np.isfinite(found.J).all()
    assert np.isfinite(found.gradient).all()
    np.testing.assert_array_equal(np.isposinf(found.held_out), [True, False])
    rest = group == 0
    J, gradient = Placed(
        xp, network, layout, LOSSES["softmax"], X[rest], targets[rest], weights[rest], alpha
    ).value_and_gradient(flat)
    np.testing.assert_allclose(found.J, J, rtol=1e-12)
    np.testing.assert_allclose(found.gradient, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("lifted", [False, True])
def test_forward_pass_of_the_plain_reference(lifted, xp):
    layout, flat, X, *_ = problem("softmax", "learned", members=3, lifted=lifted)
    z = on(xp, outputs)(HEUN, layout.views(flat), X)
    for k in range(3):
        controls = reference.member(layout, flat[k])
        y = reference.forward(reference.triple(TABLEAUX["heun"]), "tanh", 1.0, controls, X)[-1]
        np.testing.assert_allclose(z[k], controls.W @ y + controls.mu[:, None], rtol=1e-12)


@pytest.mark.parametrize("block_size", [None, 3])
def test_the_gradient_waits_for_the_verdict(block_size, xp):
    # In one block it goes on from the pass forward, in several it is computed for the chosen.
    layout, flat, *data, alpha = problem("softmax", "learned", members=4)
    objective = Placed(
        xp,
        HEUN,
        layout,
        LOSSES["softmax"],
        *data,
        alpha,
        block_size=block_size,
        folds=folds_of(4),
    )
    whole = objective.evaluate(flat)
    asked = []

    def verdict(mask):
        def decide(values):
            asked.append(values)
            return np.array(mask)

        return decide

    found = objective.evaluate(flat, gradient=verdict([True, False, True, True]))
    np.testing.assert_array_equal(found.J, whole.J)
    np.testing.assert_array_equal(found.held_out, whole.held_out)
    scale = np.abs(whole.gradient).max()
    for k in (0, 2, 3):
        np.testing.assert_allclose(found.gradient[k], whole.gradient[k], atol=1e-13 * scale)
    some = objective.evaluate(flat[[2, 1]], np.array([2, 1]), gradient=verdict([False, True]))
    np.testing.assert_allclose(some.gradient[1], whole.gradient[1], atol=1e-13 * scale)
    assert objective.evaluate(flat, gradient=verdict([False] * 4)).gradient is None
    assert len(asked) == 3
    np.testing.assert_array_equal(asked[0].J, whole.J)
    np.testing.assert_array_equal(asked[0].held_out, whole.held_out)


def test_rejected_trials_cost_no_pass_backward(monkeypatch, xp):
    passes = {"propagate": 0, "pull_back": 0}
    for name in passes:
        plain = getattr(Network, name)

        def counted(self, *args, name=name, plain=plain, **options):
            passes[name] += 1
            return plain(self, *args, **options)

        monkeypatch.setattr(Network, name, counted)
    layout, flat, *data, alpha = problem("softmax", "fixed", members=1)
    objective = Placed(xp, HEUN, layout, LOSSES["softmax"], *data, alpha)
    training = trained(
        xp, objective, flat, "gd", stopping=Stopping(60, tol=0.0, n_iter_no_change=60)
    )
    evaluations, iterations = training.n_evaluations[0], training.n_iter[0]
    assert evaluations > 1.5 * iterations  # Armijo's rule doubles each step that was accepted
    assert passes["propagate"] == evaluations
    assert passes["pull_back"] < iterations + 0.3 * (evaluations - iterations)


@pytest.mark.parametrize("lifted", [True, False])
def test_layers_with_a_step_of_zero_are_skipped_in_prediction(lifted, monkeypatch, xp):
    layout, flat, X, *_ = problem("softmax", "learned", members=3, N=4, lifted=lifted)
    U = layout.views(flat)
    U.h[...] = [[0.5, 0.0, 0.2, 0.0], [0.0, 0.0, 0.3, 0.0], [0.0, 0.1, 0.0, 0.4]]
    expected = on(xp, outputs)(HEUN, U, X)
    steps = []

    class Counted(networks.Step):
        def __init__(self, *arguments):
            steps.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(networks, "Step", Counted)
    np.testing.assert_allclose(on(xp, outputs)(HEUN, U, X), expected, rtol=1e-13)
    assert len(steps) == 2
    # Without the shortcut the states are the same, and those of a feed-forward network are not.
    every = on(xp, trajectories)(HEUN, U, X)
    z = np.einsum("mqc,mcs->mqs", U.W, every[:, -1]) + U.mu[:, :, None]
    np.testing.assert_allclose(z, expected, rtol=1e-12)
    steps.clear()
    on(xp, outputs)(networks.feed_forward(), U, X)
    assert len(steps) == 4


def test_a_network_of_idle_layers_only_reads_out_its_input(xp):
    layout, flat, X, *_ = problem("softmax", "learned", members=2)
    U = layout.views(flat)
    U.h[...] = 0.0
    y = np.zeros((len(X), layout.n_channels))
    y[:, : X.shape[1]] = X
    expected = U.W @ y.T + U.mu[:, :, None]
    np.testing.assert_allclose(on(xp, outputs)(HEUN, U, X), expected, rtol=1e-13)
