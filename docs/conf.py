"""Sphinx configuration."""

import re
from importlib import metadata
from typing import Literal, get_args, get_origin

from docutils.nodes import Element, field_list
from sphinx.application import Sphinx
from sphinx.util.rst import escape

from ungrok.methods import Iterative, Unlearner

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
    "sphinx_copybutton",
]
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wrap.css"]
html_title = f"ungrok {release}"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "model_config"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
nitpicky = False
toc_object_entries = False  # the navigation of each of hundreds of pages would hold every function
# napoleon takes "float64, shape (n,)" for types and looks for a class named shape.
suppress_warnings = ["ref.python"]

PARTS = re.compile(r"^(Formula|Paper|Public source|Deviations|Defaults|Cost|Why it is here): ")


def settings(cls: type[Unlearner]) -> list[str]:
    """Return one list item per hyper-parameter: name, default, meaning."""
    items = []
    for name, field in cls.model_fields.items():
        if name in ("kind", "name"):
            continue
        default, choices = field.default, get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        if name == "epochs" and issubclass(cls, Iterative):
            default = cls.default_epochs
        meaning = field.description or " or ".join(f"``{choice}``" for choice in choices)
        items.append(f"- ``{name}`` = ``{default}``: {meaning if choices else escape(meaning)}")
    return items


def lay_out(_app: Sphinx, what: str, _name: str, obj: object, _options: object, lines: list[str]) -> None:
    """Set the parts of a method's docstring apart, and add its hyper-parameters."""
    if (
        what == "class"
        and isinstance(obj, type)
        and issubclass(obj, Unlearner)
        and "kind" in obj.model_fields
        and not obj.model_fields["kind"].is_required()
    ):
        lines[:] = [
            part for line in lines for part in (("", PARTS.sub(r"**\1:** ", line)) if PARTS.match(line) else (line,))
        ]
        by_name = f'``method="{obj.model_fields["kind"].default}"``'
        lines += ["", f"**Use:** ``method=ungrok.{obj.__name__}(...)`` or by name, {by_name}"]
        lines += ["", "**Settings:**", "", *settings(obj), ""]


def drop_types(app: Sphinx, _domain: str, _kind: str, content: Element) -> None:
    """Leave out the list of constructor types, which the settings make superfluous."""
    if app.env.docname.startswith("methods/"):
        for fields in list(content.findall(field_list)):
            fields.parent.remove(fields)


def setup(app: Sphinx) -> None:
    """Register the layout of methods."""
    app.connect("autodoc-process-docstring", lay_out)
    app.connect("object-description-transform", drop_types, priority=900)  # after autodoc has put the types there
