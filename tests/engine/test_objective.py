import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode.engine.arrays import to_host
from skode.engine.blocks import block_size, blocks
from skode.engine.controls import Controls
from skode.engine.losses import LOSSES
from skode.engine.networks import ode_net
from skode.engine.objective import Objective
from skode.engine.prediction import UnsolvedStagesError, outputs, trajectories
from skode.engine.schemes import TABLEAUX
from tests import reference
from tests.engine.test_gradient import FREE, problem

HEUN = ode_net(TABLEAUX["heun"])


def evaluate(flat, layout, X, targets, weights, alpha, block_size=None, **options):
    objective = Objective(
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
def test_blocks_and_members_change_nothing(size, members):
    layout, flat, *data, alpha = problem("softmax", "learned", members=members)
    J, gradient = evaluate(flat, layout, *data, alpha, block_size=size, free=FREE["learned"])
    for k in range(members):
        one = evaluate(flat[[k]], layout, *data, alpha[[k]], block_size=7, free=FREE["learned"])
        np.testing.assert_allclose(J[[k]], one[0], rtol=1e-12)
        np.testing.assert_allclose(gradient[[k]], one[1], atol=1e-12 * np.abs(one[1]).max())


def test_some_of_the_members():
    layout, flat, *data, alpha = problem("softmax", "learned", members=4)
    objective = Objective(HEUN, layout, LOSSES["softmax"], *data, alpha)
    J, gradient = objective.value_and_gradient(flat)
    rows = np.array([3, 1])
    J_some, gradient_some = objective.value_and_gradient(flat[rows], rows)
    np.testing.assert_allclose(J_some, J[rows], rtol=1e-13)
    np.testing.assert_allclose(gradient_some, gradient[rows], rtol=1e-11)


def test_the_same_evaluation_has_the_same_bits():
    # Work arrays are used again: what the last evaluation left in them must not show.
    layout, flat, *data, alpha = problem("softmax", "learned")
    objective = Objective(HEUN, layout, LOSSES["softmax"], *data, alpha, block_size=3)
    first = objective.value_and_gradient(flat)
    objective.value_and_gradient(-flat)
    again = objective.value_and_gradient(flat)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("scheme", ["euler", "rk4", "implicit_midpoint", "gauss4"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_namespace_computes_the_same(loss, scheme, xp, frozen):
    layout, flat, X, targets, weights, alpha = problem(loss, "learned", spread=0.2)
    network = ode_net(TABLEAUX[scheme], "softplus")
    make = frozen if xp is np else xp.asarray
    found = Objective(
        network, layout, LOSSES[loss], *map(make, (X, targets, weights, alpha)), FREE["learned"], 4
    ).value_and_gradient(make(flat))
    expected = Objective(
        network, layout, LOSSES[loss], X, targets, weights, alpha, FREE["learned"]
    ).value_and_gradient(flat)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(to_host(one), other, rtol=1e-11, atol=1e-13)
    z = outputs(network, layout.views(make(flat)), make(X), 3)
    np.testing.assert_allclose(
        to_host(z), outputs(network, layout.views(flat), X), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("free", [("K",), ("b", "mu"), ("h",), ("W",), ()])
def test_a_part_held_fixed_has_no_gradient(free):
    layout, flat, *data, alpha = problem("softmax", "learned")
    _, full = evaluate(flat, layout, *data, alpha, free=FREE["learned"])
    _, masked = evaluate(flat, layout, *data, alpha, free=free)
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
    expected = evaluate(flat, layout, X, *data, alpha)
    found = evaluate(flat, layout, mapped, *data, alpha, block_size=2)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-13)


def test_overflow_is_a_value_and_not_a_warning():
    layout, flat, *data, alpha = problem("softmax", "learned")
    J, _ = evaluate(flat * 1e200, layout, *data, alpha)
    assert not np.isfinite(J).any()


@given(st.integers(1, 200), st.integers(1, 50))
def test_blocks_cover_every_sample_once(n_samples, size):
    covered = np.concatenate([np.arange(n_samples)[rows] for rows in blocks(n_samples, size)])
    np.testing.assert_array_equal(covered, np.arange(n_samples))


def test_block_size_keeps_the_states_of_a_block_in_the_cache():
    double, single = np.zeros(1), np.zeros(1, dtype=np.float32)
    assert block_size(1, 16, double) == 2 * block_size(2, 16, double) == 2048
    assert block_size(1, 16, single) == 4096
    assert block_size(100, 1000, double) == 128


def test_unsolvable_stages_make_the_objective_infinite_for_their_member_alone():
    layout, flat, X, targets, weights, alpha = problem("softmax", "fixed", members=3)
    network = ode_net(TABLEAUX["implicit_euler"], "softplus")
    U = layout.views(flat)
    U.K[1] = 30 * np.eye(3)  # y⁺ = y + h softplus(30 y⁺) has no solution

    def evaluate(rows):
        objective = Objective(
            network, layout, LOSSES["softmax"], X, targets, weights, alpha[rows], block_size=4
        )
        return objective.value_and_gradient(flat[rows])

    J, gradient = evaluate([0, 1, 2])
    np.testing.assert_array_equal(np.isposinf(J), [False, True, False])
    for k in (0, 2):
        J_alone, gradient_alone = evaluate([k])
        np.testing.assert_allclose(J[[k]], J_alone, rtol=1e-12)
        np.testing.assert_allclose(gradient[[k]], gradient_alone, rtol=1e-10, atol=1e-14)


def test_unsolvable_stages_of_a_sample_without_weight_do_not_count():
    layout, flat, X, targets, weights, alpha = problem("softmax", "fixed")
    network = ode_net(TABLEAUX["implicit_euler"], "softplus")
    layout.views(flat).K[...] *= 0.1
    layout.views(flat).K[:, 0] = np.diag([30.0, 0, 0])
    layout.views(flat).b[:, 0] = [-1000.0, 0, 0]
    X[3, 0], weights[3] = 1e3, 0.0
    rest = np.arange(len(X)) != 3

    def evaluate(*data):
        return Objective(network, layout, LOSSES["softmax"], *data, alpha).value_and_gradient(flat)

    J, gradient = evaluate(X, targets, weights)
    J_rest, gradient_rest = evaluate(X[rest], targets[rest], weights[rest])
    np.testing.assert_allclose(J, J_rest, rtol=1e-12)
    np.testing.assert_allclose(gradient, gradient_rest, rtol=1e-9, atol=1e-12)
    weights[3] = 1e-9
    assert np.isposinf(evaluate(X, targets, weights)[0]).all()


def test_outputs_and_states_of_unsolved_samples_are_refused_with_layer_and_residual():
    layout, flat, X, *_ = problem("softmax", "fixed", members=2)
    network = ode_net(TABLEAUX["implicit_euler"], "softplus")
    U = layout.views(flat)
    U.K[...] *= 0.1
    assert np.isfinite(outputs(network, U, X)).all()
    U.K[1, 2] = np.diag([30.0, 0, 0])
    U.b[1, 2] = [-1000, 0, 0]  # no harm except where the first channel is large
    X[[3, 5], 0] = 1e3
    for function in (outputs, trajectories):
        with pytest.raises(
            UnsolvedStagesError, match=r"for 2 samples: sample 3 at layer 2 \("
        ) as e:
            function(network, U, X, block=4)
        assert e.value.samples == [3, 5]
        assert e.value.layers == [2, 2]
        assert min(e.value.residuals) > 1
        again = pickle.loads(pickle.dumps(e.value))
        assert (str(again), again.residuals) == (str(e.value), e.value.residuals)


def test_forward_pass_of_the_plain_reference():
    layout, flat, X, *_ = problem("softmax", "learned", members=3)
    z = outputs(HEUN, layout.views(flat), X)
    for k in range(3):
        controls = reference.member(layout, flat[k])
        y = reference.forward(reference.triple(TABLEAUX["heun"]), "tanh", 1.0, controls, X)[-1]
        np.testing.assert_allclose(z[k], controls.W @ y + controls.mu[:, None], rtol=1e-12)
