"""The version of this package, which pyproject.toml says."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("skode")
