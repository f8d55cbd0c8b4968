"""Run the Python code blocks of these pages and of the README: `python -m pytest docs README.md`.

The blocks of a page run in order and share their names.  A page runs in an empty folder, so that it
may save files.  A comment of HTML can hold code that readers do not need to see, or skip a block::

    <!--- invisible-code-block: python
    X_new = X[:5]
    -->

    <!--- skip: next, "needs a GPU" -->
"""

import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

collect_ignore_glob = ["*.py", "_*"]  # programs and built pages, in which nothing is to be tested


def enter_folder(namespace):
    """Change to an empty folder."""
    namespace["_folder"] = tempfile.TemporaryDirectory(), os.getcwd()
    os.chdir(namespace["_folder"][0].name)


def leave_folder(namespace):
    """Change back, and close the figures of the page."""
    folder, before = namespace["_folder"]
    os.chdir(before)
    folder.cleanup()
    plt.close("all")


PAGES = Sybil(
    [PythonCodeBlockParser(), SkipParser()],
    path=str(Path(__file__).resolve().parents[1]),
    pattern="*.md",
    setup=enter_folder,
    teardown=leave_folder,
)


class CodeBlocks:
    """The plugin: it collects pages in any folder, not only in this one."""

    pytest_collect_file = staticmethod(PAGES.pytest())


def pytest_configure(config):
    """Register the plugin, and draw without a screen."""
    plt.switch_backend("agg")
    config.pluginmanager.register(CodeBlocks())
