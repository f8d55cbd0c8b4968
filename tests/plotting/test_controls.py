"""The weights of the layers."""

import numpy as np
import pytest

from skode import FeedForwardClassifier
from skode.plotting import ControlsDisplay
from tests.estimators import short
from tests.plotting.models import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_entries_of_the_controls():
    model, *_ = fitted(learn_step=False, h=0.5)
    display = ControlsDisplay.from_estimator(model)
    assert display.kind_ == "entries"
    K, b = model.K_[0], model.b_[0]
    expected = [K[:, 0, 0], K[:, 0, 1], K[:, 1, 0], K[:, 1, 1], b[:, 0], b[:, 1]]
    for patch, values in zip(display.lines_, expected, strict=True):
        np.testing.assert_array_equal(patch.get_data().values, values)
        np.testing.assert_allclose(patch.get_data().edges, [0.0, 0.5, 1.0, 1.5])
    assert display.ax_.get_xlabel() == "time t (a layer takes 0.5)"
    labels = [patch.get_label() for patch in display.lines_]
    assert labels == ["$K_{11}$", "$K_{12}$", "$K_{21}$", "$K_{22}$", "$b_{1}$", "$b_{2}$"]
    looks = {(p.get_edgecolor(), p.get_linestyle()) for p in display.lines_}
    assert len(looks) == 6
    # Learned steps have no common time, and layers without an ODE have no time.
    learned, X, y = fitted()
    assert ControlsDisplay.from_estimator(learned).ax_.get_xlabel() == "layer"
    plain = short(FeedForwardClassifier, n_channels=2, max_iter=5).fit(X, y)
    assert ControlsDisplay.from_estimator(plain).ax_.get_xlabel() == "layer"


def test_norms_of_the_controls(ensemble):
    model, *_ = ensemble
    display = ControlsDisplay.from_estimator(model, kind="norm")
    spectral = np.linalg.svd(model.K_, compute_uv=False)[..., 0]
    euclidean = np.sqrt((model.b_**2).sum(axis=2))
    for patch, band, norm in zip(
        display.lines_, display.bands_, (spectral, euclidean), strict=True
    ):
        np.testing.assert_allclose(patch.get_data().values, norm.mean(axis=0))
        np.testing.assert_allclose(band.get_data().values, norm.max(axis=0))
        np.testing.assert_allclose(band.get_data().baseline, norm.min(axis=0))


@pytest.mark.parametrize("N", [1, 3, 40])
def test_images_of_the_controls(N):
    rng = np.random.default_rng(0)
    K, b = rng.normal(size=(2, N, 6, 6)), rng.normal(size=(2, N, 6))
    display = ControlsDisplay(K=K, b=b, network=1, network_name="mine").plot(kind="image")
    for layer in range(N):
        image, strip = display.images_[2 * layer : 2 * layer + 2]
        np.testing.assert_array_equal(image.get_array(), K[1, layer])
        np.testing.assert_array_equal(strip.get_array(), b[1, layer, :, None])
    boxes = [np.reshape(image.get_extent(), (2, 2)) for image in display.images_]
    for i, one in enumerate(boxes):  # no two of them overlap
        for other in boxes[:i]:
            assert (one[:, 1] <= other[:, 0]).any() or (other[:, 1] <= one[:, 0]).any()
    assert {image.get_clim() for image in display.images_} == {display.images_[0].get_clim()}
    low, high = display.images_[0].get_clim()
    assert low == -high
    texts = [text.get_text() for text in display.ax_.texts]
    assert texts == [f"layer {k + 1}" for k in range(N)]
    assert display.ax_.get_title(loc="left") == "mine"


def test_the_kind_of_drawing_follows_the_shape():
    def kind(N, n):
        display = ControlsDisplay(K=np.ones((1, N, n, n)), b=np.ones((1, N, n)))
        return display.plot().kind_

    assert [kind(3, 2), kind(40, 2), kind(3, 48), kind(40, 48)] == [
        "entries",
        "entries",
        "image",
        "norm",
    ]
    with pytest.raises(ValueError, match=r"kind must be one of .*got 'surface'"):
        ControlsDisplay(K=np.ones((1, 1, 1, 1)), b=np.ones((1, 1, 1))).plot(kind="surface")
