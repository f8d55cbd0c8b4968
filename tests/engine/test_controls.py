import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode.engine.controls import Controls, Layout, without_idle_layers
from tests.engine.everywhere import on

layouts = st.builds(
    Layout, st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3)
)


@given(layouts, st.integers(1, 3))
def test_flatten_undoes_views(xp, layout, members):
    flat = np.random.default_rng(0).normal(size=(members, layout.size))
    U = on(xp, layout.views)(flat)
    for part, shape in zip(U, layout.shapes, strict=True):
        assert (None if part is None else part.shape[1:]) == shape
    assert (U.V is None) == (U.nu is None) == (layout.lifted == 0)
    np.testing.assert_array_equal(on(xp, layout.flatten)(U), flat)


def test_views_share_memory_with_the_flat_row():
    layout = Layout(2, 3, 1)
    flat = np.zeros((2, layout.size))
    layout.views(flat).h[1, 0] = 5.0
    assert flat[1].sum() == 5.0


@pytest.mark.parametrize("lifted", [0, 4])
@pytest.mark.parametrize("free", [(), ("h",), ("K", "V"), ("nu",), Controls._fields])
def test_mask_names_the_free_parts(free, lifted, xp):
    layout = Layout(2, 3, 2, lifted)
    mask = on(xp, layout.mask)(free, like=np.zeros(1))
    assert mask.shape == (layout.size,)
    parts = layout.views(mask[None, :])
    for name, part in zip(Controls._fields, parts, strict=True):
        assert part is None or (part == (name in free)).all()


def test_mask_refuses_an_unknown_name():
    with pytest.raises(ValueError, match="K, b, h, W, mu, V, nu; got bias"):
        Layout(1, 1, 1).mask(["K", "bias"], like=np.zeros(1))


def test_idle_layers_are_left_out_and_the_others_stay_in_their_order(xp):
    layout = Layout(4, 2, 1)
    U = layout.views(np.random.default_rng(0).normal(size=(3, layout.size)))
    U.h[:, :] = [[0.5, 0.0, 0.2, 0.0], [0.0, 0.0, 0.3, 0.0], [0.0, 0.1, 0.0, 0.4]]
    found = on(xp, without_idle_layers)(U)
    # The second member has one active layer, and keeps its first idle one.
    for k, layers in enumerate([[0, 2], [2, 0], [1, 3]]):
        for name in ("K", "b", "h"):
            one, other = getattr(found, name)[k], getattr(U, name)[k]
            np.testing.assert_array_equal(one, other[layers])
