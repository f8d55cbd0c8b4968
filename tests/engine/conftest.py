import pytest

from tests.namespaces import NAMESPACES

# One device of array-api-strict, which is ten times as slow as other libraries, is enough for most
# tests: the second rejects the same calls as the first, and hidden copies to the host as well.
# `everywhere` has both.
ONE_STRICT = [name for name in NAMESPACES if name != "strict"]


@pytest.fixture(params=ONE_STRICT)
def xp(request):
    """Every array library that the engine has to run on."""
    return NAMESPACES[request.param]()
