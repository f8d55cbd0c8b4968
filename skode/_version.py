"""The version of this package, as in pyproject.toml."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("skode")
