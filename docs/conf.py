"""Configuration of the documentation; ``make docs`` builds it and ends on any warning."""

import re
from importlib import import_module

import lt_calib

project = "lt_calib"
author = "The lt_calib authors"
release = version = lt_calib.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_custom_sections = [("Shape", "notes_style")]
napoleon_use_ivar = True

for room in ("loss", "metric", "posthoc", "augment", "sampler", "resample", "model", "transform"):
    package = import_module(f"lt_calib.{room}")
    vars(package).update({name: getattr(package, name) for name in package.__all__})  # loaded on first use otherwise

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wide.css"]  # tables of nine columns
html_title = "lt_calib"
html_show_sphinx = False
html_show_copyright = False


def escape(app, what, name, obj, options, lines):
    """Keep |acc - conf| in a docstring's formula from being read as markup."""
    lines[:] = [re.sub(r"(``.*?``)|\|", lambda found: found[1] or r"\|", line) for line in lines]


def setup(app):
    """Connect the above, behind napoleon's own."""
    app.connect("autodoc-process-docstring", escape, priority=900)
