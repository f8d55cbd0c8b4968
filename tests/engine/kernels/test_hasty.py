"""Implicit schemes on a device: the host waits for it only once, without loss of accuracy."""

import numpy as np
import pytest

from skode.engine.kernels import Problem, Samples, reference
from skode.engine.losses import LOSSES
from skode.engine.networks import Network, ode_net
from skode.engine.schemes import TABLEAUX
from skode.engine.unsolved import UnsolvedStagesError
from tests.engine.everywhere import on
from tests.engine.problems import folds_of, problem

IMPLICIT = [name for name, tableau in TABLEAUX.items() if not tableau.explicit]
LOOKS = ("__bool__", "__int__", "__float__", "__index__", "__complex__")


@pytest.fixture
def efforts(monkeypatch):
    """Record the efforts for the stage equations, on arrays that count as a device's."""
    monkeypatch.setattr(reference, "on_cpu", lambda like: False)
    made, forward = [], Network.forward

    def spy(network, *arguments, effort, **options):
        made.append("hasty" if effort is reference.HASTY else "careful")
        return forward(network, *arguments, effort=effort, **options)

    monkeypatch.setattr(Network, "forward", spy)
    return made


@pytest.fixture
def waits(monkeypatch, xp):
    """Count how often the host reads a value of an array, or copies it."""
    count = []

    def counting(function):
        def call(*arguments):
            count.append(function.__name__)
            return function(*arguments)

        return call

    monkeypatch.setattr(reference, "to_host", counting(reference.to_host))
    array = type(xp.asarray(np.zeros(1)))
    if array is not np.ndarray:
        for name in LOOKS:
            monkeypatch.setattr(array, name, counting(getattr(array, name)))
    return count


def case(scheme, activation="tanh", factor=1.0, folds=True, samples=9):
    """A kernel's arguments: the problem, the samples and the controls."""
    layout, flat, X, targets, weights, _ = problem("softmax", "fixed", samples=samples)
    layout.views(flat).K[...] *= factor
    network = ode_net(TABLEAUX[scheme], activation)
    parts = folds_of(2, samples) if folds else None
    return (
        Problem(network, layout, LOSSES["softmax"], learn_step=True),
        Samples(X, targets, weights, parts),
        flat,
    )


def expected_of(monkeypatch, asked, arguments, gradient):
    """Return the sums if every iteration is checked."""
    with monkeypatch.context() as patch:
        patch.setattr(reference, "on_cpu", lambda like: True)
        found = reference.evaluate(*arguments, gradient)
    del asked[:]
    return found


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("scheme", IMPLICIT)
def test_a_device_is_waited_for_once_with_the_same_result(
    scheme, gradient, xp, efforts, waits, monkeypatch
):
    arguments = case(scheme)
    expected = expected_of(monkeypatch, efforts, arguments, gradient)
    del waits[:]
    found = on(xp, reference.evaluate)(*arguments, gradient)
    assert efforts == ["hasty"]
    assert waits == ["to_host"]
    for one, other in zip(found, expected, strict=True):
        if other is None:
            assert one is None
        else:
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("scheme", IMPLICIT)
def test_predictions_wait_for_a_device_once(scheme, xp, efforts, waits):
    problem_, samples, flat = case(scheme)
    outputs = on(xp, reference.predict)(problem_, samples.X, flat)
    assert efforts == ["hasty"]
    assert waits == ["to_host"]
    z = problem_.network.forward(problem_.layout.views(flat), samples.X.T, effort=reference.CAREFUL)
    np.testing.assert_allclose(outputs, problem_.loss.mean(np, z.z, None), rtol=1e-11)


@pytest.mark.parametrize("gradient", [False, True])
def test_unsolved_stages_are_solved_again_with_checks(gradient, xp, efforts, monkeypatch):
    # The stages are so stiff that Newton's method takes small steps for some samples.
    arguments = case("implicit_midpoint", factor=10.0, samples=40)
    expected = expected_of(monkeypatch, efforts, arguments, gradient)
    found = on(xp, reference.evaluate)(*arguments, gradient)
    assert efforts == ["hasty", "careful"]
    assert np.isfinite(found.loss).all()
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-9)
    if gradient:
        scale = np.abs(expected.gradient).max()
        np.testing.assert_allclose(found.gradient, expected.gradient, atol=1e-9 * scale)


def test_a_pivot_of_zero_is_no_obstacle_on_a_device(xp, efforts):
    # I - h K σ′ has zeros on its diagonal, and is invertible.
    problem_, samples, flat = case("implicit_euler", "relu", folds=False)
    U = problem_.layout.views(flat)
    U.h[...], U.b[...] = 0.5, 1.0
    U.K[...] = 2 * np.eye(3) - 0.1 * np.eye(3)[[1, 2, 0]]
    samples = samples._replace(X=np.abs(samples.X))
    sums = on(xp, reference.evaluate)(problem_, samples, flat, True)
    assert efforts == ["hasty", "careful"]
    assert np.isfinite(sums.loss).all()


def test_missing_solutions_are_detected_on_a_device(xp, efforts):
    # y⁺ = y + h softplus(30 y⁺) has no solution for y > 0.
    problem_, samples, flat = case("implicit_euler", "softplus", folds=False)
    U = problem_.layout.views(flat)
    U.K[...], U.b[...], U.h[...] = 30 * np.eye(3), 0.0, 1.0
    sums = on(xp, reference.evaluate)(problem_, samples, flat, True)
    assert efforts == ["hasty", "careful"]
    assert np.isinf(sums.loss).all()
    with pytest.raises(UnsolvedStagesError):
        on(xp, reference.predict)(problem_, samples.X, flat)
