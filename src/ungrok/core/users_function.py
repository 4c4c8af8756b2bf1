"""A function of the user's, which a command names as ``module:function``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ungrok.core.errors import RecipeError, first_line, nearest, shown


def users_function(name: str, option: str) -> Callable[..., Any]:
    """Return the function of a name.

    Args:
        name: ``module:function``; the module is installed, or lies in the current folder.
        option: What names it, for messages.

    Raises:
        RecipeError: If there is none.

    """
    module, _, attribute = name.partition(":")
    if not (module and attribute.isidentifier()):
        raise RecipeError(f"{option}: {shown(name)} is not allowed; allowed: module:function, for instance mydata:sets")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        content = vars(import_module(module))
    except Exception as error:  # whatever the user's module raises
        raise RecipeError(f"{option}: {shown(module)} cannot be imported ({first_line(error)})") from error
    finally:
        sys.path.remove(here)
    if not callable(content.get(attribute)):
        near = nearest(attribute, [key for key, value in content.items() if callable(value)])
        raise RecipeError(f"{option}: {shown(module)} has no function {shown(attribute)}{near}")
    function: Callable[..., Any] = content[attribute]
    return function
