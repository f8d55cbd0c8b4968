"""Networks that are written down are those of the engine."""

import numpy as np
import pytest

from tests.robustness.written import EXPLICIT, by_engine, draw


@pytest.mark.parametrize("scheme", EXPLICIT)
@pytest.mark.parametrize("lift", ["pad", "linear", "nonlinear"])
def test_written_out_networks_are_those_of_the_engine(scheme, lift):
    rng = np.random.default_rng(0)
    for activation, skip in (("mixed", 1.0), ("softplus", 0.0)):
        net = draw(rng, scheme, activation, lift, skip=skip, n=5, members=2)
        u = rng.normal(size=(7, 2))
        for found, expected in zip(net.forward(u), by_engine(net, u), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
