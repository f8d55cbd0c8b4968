"""The losses that attacks increase."""

import numpy as np
import pytest

from skode.robustness._losses import LOSSES
from tests.robustness.attacked import assert_close, differences


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_the_slopes_of_the_losses(name, n_classes):
    rng = np.random.default_rng(0)
    z, codes = rng.normal(size=(30, n_classes)), rng.integers(n_classes, size=30)
    _, slope = LOSSES[name](z, codes)
    assert_close(slope, differences(lambda z: LOSSES[name](z, codes)[0], z))


def test_the_ratio_does_not_depend_on_shift_and_scale():
    rng = np.random.default_rng(0)
    z, codes = rng.normal(size=(30, 4)), rng.integers(4, size=30)
    loss = LOSSES["difference_logits_ratio"]
    np.testing.assert_allclose(loss(z, codes)[0], loss(7 * z + 3, codes)[0], rtol=1e-10)
    sorted_ = np.sort(z, axis=1)
    right = z.argmax(axis=1)
    expected = -(sorted_[:, 3] - sorted_[:, 2]) / (sorted_[:, 3] - sorted_[:, 1])
    np.testing.assert_allclose(loss(z, right)[0], expected)
