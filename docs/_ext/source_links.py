"""Links from the reference to the lines of the repository, for `sphinx.ext.linkcode`."""

import importlib
import inspect
from pathlib import Path

import skode

PACKAGE = Path(skode.__file__).parent


def find(module, fullname):
    """The object of this name, without what wraps it; None for an attribute that has no code."""
    thing = importlib.import_module(module)
    for name in fullname.split("."):
        thing = getattr(thing, name, None)
    if isinstance(thing, property):
        thing = thing.fget
    return inspect.unwrap(thing) if callable(thing) else None


def resolver(tree):
    """Return `linkcode_resolve` for sources below the address `tree`."""

    def linkcode_resolve(domain, info):
        thing = find(info["module"], info["fullname"]) if domain == "py" else None
        file = inspect.getsourcefile(thing) if thing is not None else None
        if file is None or not Path(file).is_relative_to(PACKAGE):
            return None  # inherited from scikit-learn, or not written in Python
        lines, first = inspect.getsourcelines(thing)
        path = Path(file).relative_to(PACKAGE.parent).as_posix()
        return f"{tree}/{path}#L{first}-L{first + len(lines) - 1}"

    return linkcode_resolve
