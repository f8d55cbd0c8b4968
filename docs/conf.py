"""Sphinx configuration: `sphinx-build -W --keep-going docs docs/_build`."""

import importlib.metadata
import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

import gallery  # noqa: E402  these three lie in the folder added above
import inventories  # noqa: E402
import source_links  # noqa: E402

project = "skode"
author = "The skode developers"
copyright = "2026, the skode developers"  # noqa: A001  Sphinx wants this name
version = release = importlib.metadata.version("skode")

# The addresses stand in pyproject.toml and nowhere else.
urls = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]["urls"]
revision = "main" if "dev" in release else f"v{release}"

extensions = [
    "katex",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.linkcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
default_role = "literal"
templates_path = ["_templates"]
exclude_patterns = ["_build", "_inventories", "_static"]

# --- pages

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4  # page.md#a-heading
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# --- reference

toc_object_entries_show_parents = "hide"
autosummary_generate = True
autosummary_imported_members = True  # the names in skode/__init__.py come from its modules
autodoc_typehints = "none"  # the docstrings have the types
numpydoc_show_class_members = False  # the template does
numpydoc_xref_param_type = True
numpydoc_xref_aliases = {
    "Axes": "matplotlib.axes.Axes",
    "Figure": "matplotlib.figure.Figure",
    "LineCollection": "matplotlib.collections.LineCollection",
    "Path": "pathlib.Path",
    "PathCollection": "matplotlib.collections.PathCollection",
    "QuadContourSet": "matplotlib.contour.QuadContourSet",
    "RandomState": "numpy.random.RandomState",
    "ButcherTableau": "skode.ButcherTableau",
    "array-like": ":term:`array-like`",
}
numpydoc_xref_ignore = "all"  # words that are neither names nor among the aliases
intersphinx_mapping = inventories.write(DOCS / "_inventories")
linkcode_resolve = source_links.resolver(f"{urls['Repository']}/blob/{revision}")

# --- gallery

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"^(?!plot_)",  # what does not belong in a gallery, or takes too long
    "within_subsection_order": "FileNameSortKey",
    "reset_argv": gallery.QuickArguments(),
    "reset_modules": ("matplotlib", gallery.reset),
    "matplotlib_animations": (True, "html5"),
    "backreferences_dir": "api/backreferences",
    "doc_module": ("skode",),
    "remove_config_comments": True,
    "write_computation_times": False,
}
suppress_warnings = ["config.cache"]  # the functions of the gallery cannot be pickled

# --- HTML

html_theme = "pydata_sphinx_theme"
html_title = f"skode {release}"
html_baseurl = urls["Documentation"]
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["skode.css"]
html_math_renderer = "katex"
html_theme_options = {
    "github_url": urls["Repository"],
    "logo": {
        "text": "skode",
        "image_light": "_static/favicon.svg",
        "image_dark": "_static/favicon.svg",
    },
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_toc_level": 2,
}
# Pages without pages below them need no list of those.
html_sidebars = {
    page: []
    for page in (
        "changelog",
        "coming_from_mlp",
        "faq",
        "getting_started",
        "index",
        "install",
        "mathematics",
        "paper_networks",
        "performance",
    )
}
