import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skode.engine.arrays import to_host
from skode.engine.controls import Controls, Layout

layouts = st.builds(
    Layout, st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3)
)


@given(layouts, st.integers(1, 3))
def test_flatten_undoes_views(layout, members):
    flat = np.random.default_rng(0).normal(size=(members, layout.size))
    U = layout.views(flat)
    for part, shape in zip(U, layout.shapes, strict=True):
        assert (None if part is None else part.shape[1:]) == shape
    assert (U.V is None) == (U.nu is None) == (layout.lifted == 0)
    np.testing.assert_array_equal(layout.flatten(U), flat)


def test_views_share_memory_with_the_flat_row():
    layout = Layout(2, 3, 1)
    flat = np.zeros((2, layout.size))
    layout.views(flat).h[1, 0] = 5.0
    assert flat[1].sum() == 5.0


@pytest.mark.parametrize("lifted", [0, 4])
@pytest.mark.parametrize("free", [(), ("h",), ("K", "V"), ("nu",), Controls._fields])
def test_mask_names_the_free_parts(free, lifted, xp):
    layout = Layout(2, 3, 2, lifted)
    mask = to_host(layout.mask(free, like=xp.zeros(1)))
    assert mask.shape == (layout.size,)
    parts = layout.views(mask[None, :])
    for name, part in zip(Controls._fields, parts, strict=True):
        assert part is None or (part == (name in free)).all()


def test_mask_refuses_an_unknown_name():
    with pytest.raises(ValueError, match="K, b, h, W, mu, V, nu; got bias"):
        Layout(1, 1, 1).mask(["K", "bias"], like=np.zeros(1))
