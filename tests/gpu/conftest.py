import pytest

from tests.namespaces import NAMESPACES


@pytest.fixture
def gpu():
    """CuPy on a device; without one, the tests are skipped with the reason."""
    return NAMESPACES["cupy"]()
