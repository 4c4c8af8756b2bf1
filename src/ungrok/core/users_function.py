"""A function of the user's, which a command names as ``module:function``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ungrok.core.entrance import entering
from ungrok.core.errors import RecipeError, first_line, listed, nearest, shown


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


def called(name: str, option: str, known: Iterable[str]) -> Mapping[str, Any]:
    """Return what a function of the user's gives, which takes no arguments and returns a dict.

    Args:
        name: As for :func:`users_function`.
        option: What names it, for messages.
        known: Keys that the dict may have, for messages.

    Raises:
        RecipeError: If there is no such function, it fails, or gives something else.

    """
    function = users_function(name, option)
    with entering(option, f"{shown(name)} fails"):
        given = function()
    if not isinstance(given, Mapping):
        raise RecipeError(
            f"{option}: {shown(name)} gives a {type(given).__name__}; allowed: a dict with {listed(known)}"
        )
    return given
