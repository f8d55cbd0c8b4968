"""Formulas rendered by the copy of KaTeX in `_static/katex`: the site needs no other server."""

from sphinx.ext.mathjax import html_visit_displaymath, html_visit_math

SCRIPTS = "katex.min.js", "auto-render.min.js", "render.js"


def add_files(app, pagename, templatename, context, doctree):
    """Load KaTeX on the pages that have formulas."""
    if context.get("has_maths_elements", False):
        app.add_css_file("katex/katex.min.css")
        for name in SCRIPTS:
            app.add_js_file(f"katex/{name}", loading_method="defer")


def setup(app):
    """Register KaTeX; the visitors of Sphinx for MathJax write the delimiters that it looks for."""
    app.add_html_math_renderer("katex", (html_visit_math, None), (html_visit_displaymath, None))
    app.connect("html-page-context", add_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
