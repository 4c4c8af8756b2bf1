"""Sphinx configuration."""

from importlib import metadata

project = "ungrok"
author = "The ungrok authors"
copyright = "2026, The ungrok authors"
release = metadata.version("ungrok")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.doctest",
]
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"ungrok {release}"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "model_config"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
nitpicky = False
suppress_warnings = ["sphinx_autodoc_typehints"]
