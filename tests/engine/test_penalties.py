import numpy as np

from skode.engine.arrays import to_host
from skode.engine.controls import Layout
from skode.engine.penalties import l2


def test_l2_counts_the_weights_and_no_bias(xp):
    layout = Layout(2, 3, 2)
    flat = np.random.default_rng(0).normal(size=(2, layout.size))
    alpha = np.array([0.5, 0.0])
    U = layout.views(flat)
    value, gradient = l2(layout.views(xp.asarray(flat)), xp.asarray(alpha))
    expected = 0.25 * ((U.K[0] ** 2).sum() + (U.W[0] ** 2).sum())
    np.testing.assert_allclose(to_host(value), [expected, 0], rtol=1e-14)
    np.testing.assert_allclose(to_host(gradient.K), alpha[:, None, None, None] * U.K)
    np.testing.assert_allclose(to_host(gradient.W), alpha[:, None, None] * U.W)
    for part in (gradient.b, gradient.h, gradient.mu):
        assert not to_host(part).any()
