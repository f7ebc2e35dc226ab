"""Sphinx configuration. Everything that a page shows is in the repository or computed when it is built."""

import os
import random
import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

# For the kernels of the tutorials: the same numbers on every machine, and pictures that all look alike.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["MATPLOTLIBRC"] = str(HERE / "matplotlibrc")
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"

project = "miniffx"
author = "The miniffx developers"
project_copyright = author
version = release = version_of("miniffx")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "drawings",
    "mathml",
    "public_names",
]
exclude_patterns = ["_build", "figures", "README.md"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!miniffx).*")]  # other projects' names, which need a network to look up

html_theme = "furo"
pygments_dark_style = "github-dark"  # that of the theme underlines imports, as if they were links
html_title = f"miniffx {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_copyright = False
html_math_renderer = "mathml"
html_theme_options = {"navigation_with_keys": False}

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

nb_execution_mode = "force"  # never what an older version of the library said
nb_execution_raise_on_error = True
nb_execution_timeout = 900  # seconds for a cell, on a machine that does other things as well
nb_output_stderr = "remove-warn"  # a warning in a tutorial fails the build
nb_merge_streams = True
nb_render_markdown_format = "myst"
nb_ipywidgets_js = {}

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "code"
python_maximum_signature_line_length = 88
copybutton_exclude = ".linenos, .gp, .go"


def spread(app, env, docnames):
    """With -j: pages that compute stand next to each other in the alphabet, and must not all be one process's share."""
    random.Random(0).shuffle(docnames)


def setup(app):
    """Called by Sphinx."""
    app.connect("env-before-read-docs", spread)
