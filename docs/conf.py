"""Sphinx configuration: `sphinx-build -W docs docs/_build`."""

import importlib.metadata

project = "skode"
author = "The skode developers"
copyright = "2026, the skode developers"  # noqa: A001  Sphinx wants this name
release = importlib.metadata.version("skode")

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
myst_enable_extensions = ["dollarmath"]
numpydoc_show_class_members = False
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Neural ODEs for scikit-learn", "page_width": "64em"}
