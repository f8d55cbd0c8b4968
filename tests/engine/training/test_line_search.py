import numpy as np

from skode.engine.training.line_search import INTERPOLATION, LINE_SEARCHES


def test_the_lipschitz_rule_survives_a_long_run():
    # 0.99^n underflows after some 70 000 accepted steps; the step has to stay finite.
    search = LINE_SEARCHES["lipschitz"]
    t = np.array([search.first_step])
    zeros = np.zeros((3, 1))  # the rule does not depend on objective and derivative
    for _ in range(100_000):
        t = search.next_step(t, np.array([True]), *zeros)
    assert np.isfinite(t)
    assert t > 0


def next_step(J_trial, directional=-2.0, t=0.5, accepted=False):
    arguments = (np.array([x]) for x in (t, accepted, 1.0, J_trial, directional))
    with np.errstate(divide="ignore", invalid="ignore"):
        return INTERPOLATION.next_step(*arguments)[0]


def test_interpolation_goes_to_the_minimum_of_the_parabola():
    # φ(0) = 1, φ'(0) = -2, φ(1) = a - 1 for the parabola 1 - 2x + a x²: its minimum is at x = 1/a.
    for a in (2.5, 4.0, 9.0):
        np.testing.assert_allclose(next_step(J_trial=a - 1), 0.5 / a, rtol=1e-15)


def test_interpolation_is_safeguarded():
    assert next_step(J_trial=1e9) == 0.05  # not to zero
    assert next_step(J_trial=0.0) == 0.25  # its minimum is at the trial point
    for bad in (np.nan, np.inf):
        assert 0.05 <= next_step(J_trial=bad) <= 0.25


def test_interpolation_begins_each_iteration_with_the_natural_step():
    assert next_step(J_trial=0.5, t=1e-3, accepted=True) == 1.0
