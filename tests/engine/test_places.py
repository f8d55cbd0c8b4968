"""Calls that know their arrays, and work arrays that one evaluation leaves to the next."""

import numpy as np

from skode.engine.arrays import host, namespace, to_host
from skode.engine.losses import LOSSES
from skode.engine.networks import Network, feed_forward, ode_net
from skode.engine.places import Place, call
from skode.engine.schemes import TABLEAUX
from tests.engine.everywhere import NOT_STRICT, everywhere
from tests.engine.problems import FREE, Placed, problem, shares_of


def test_a_place_keeps_its_array_or_gives_it_up(xp):
    array = np.zeros(3)
    fixed, free = Place(array), Place()
    for place in (fixed, free):
        place.put(xp.asarray([1.0, 2.0, 3.0]) if place is free else np.array([1.0, 2.0, 3.0]))
        np.testing.assert_array_equal(to_host(place.array), [1, 2, 3])
    assert fixed.array is array
    fixed.put(array)
    np.testing.assert_array_equal(array, [1, 2, 3])


def test_a_call_finds_what_has_been_put_since(xp):
    space = namespace(xp.asarray([0.0]))
    kept = space is host

    def place():
        return Place(np.zeros(2)) if kept else Place()

    a, b, total = place(), place(), place()
    add = call(space.add, a, b, to=total)
    for one, other in [([1.0, 2.0], [3.0, 4.0]), ([5.0, 6.0], [7.0, 8.0])]:
        a.put(xp.asarray(one))
        b.put(xp.asarray(other))
        add()
        np.testing.assert_array_equal(to_host(total.array), np.add(one, other))


@everywhere(NOT_STRICT, scheme=["euler", "rk4", "kutta3", "lobatto_iiia4"], lifted=[True, False])
def test_evaluations_leave_nothing_behind(scheme, lifted, xp):
    # One objective, whose blocks of three have a smaller one at the end, is asked for values and
    # gradients of all or some members, with equal and with different steps, as a whole and in
    # parts; each answer is to the bit that of an objective that was asked for nothing else.
    layout, flat, *data, alpha = problem("softmax", "learned", members=3, lifted=lifted)
    network = ode_net(TABLEAUX[scheme])

    def objective():
        return Placed(
            xp,
            network,
            layout,
            LOSSES["softmax"],
            *data,
            alpha,
            FREE["learned"],
            block_size=3,
            shares=shares_of(3),
        )

    equal = flat.copy()
    equal[:, layout.slices.h] = 0.125
    some = np.array([0, 2])
    questions = [
        (controls[members], members, gradient, rows)
        for gradient in (True, False, True)
        for rows in (None, np.array([1, 2, 5, 6]), None)
        for controls in (flat, equal)
        for members in (np.arange(3), some)
    ]
    rng = np.random.default_rng(0)
    asked = objective()
    for k in rng.permutation(len(questions)):
        controls, members, gradient, rows = questions[k]
        parts = [one if rows is None else one.sample(rows) for one in (asked, objective())]
        found, expected = (part.evaluate(controls, members, gradient) for part in parts)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_without_the_state_a_scheme_of_many_stages_carries_its_costate_back(xp):
    # Feed-forward layers have one stage; the formulas hold for any scheme with α = 0.
    layout, flat, *data, alpha = problem("softmax", "learned", members=1)
    heun = TABLEAUX["heun"]
    for network in (feed_forward(), Network(heun, ode_net(heun).field, carry=0.0)):
        objective = Placed(xp, network, layout, LOSSES["softmax"], *data, alpha, FREE["learned"])
        _, gradient = objective.value_and_gradient(flat)
        for k in range(layout.size):
            step = np.zeros(layout.size)
            step[k] = 1e-6
            ahead, behind = (objective.evaluate(flat + t * step, gradient=False).J for t in (1, -1))
            np.testing.assert_allclose(
                gradient[:, k], (ahead - behind) / 2e-6, atol=1e-7 * np.abs(gradient).max()
            )
