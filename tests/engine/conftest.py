import pytest

from tests.namespaces import NAMESPACES

# One device of array-api-strict, where everything takes ten times as long as elsewhere, is enough
# for most tests: the second refuses what the first does, and hidden copies to the host as well.
# Both are in `everywhere`.
ONE_STRICT = [name for name in NAMESPACES if name != "strict"]


@pytest.fixture(params=ONE_STRICT)
def xp(request):
    """Every array library that the engine has to run on."""
    return NAMESPACES[request.param]()
