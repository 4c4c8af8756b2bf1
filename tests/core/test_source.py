"""What a module says of itself, without importing it."""

from __future__ import annotations

import ast
import sys

import pytest

from ungrok.core.source import constant, definition, docstring, tree

TEXT = '''
"""A module."""
from somewhere import Row
import not_a_module

PLAIN = {"a": 1, "b": [2, 3]}
TYPED: dict[str, int] = {"c": 3}
ROWS = {"d": Row("x", None, 4)}


class Thing:
    """A thing.

    More of it.
    """

    def act(self):
        """Act."""


def work():
    pass
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "unread").mkdir()
    (tmp_path / "unread" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "unread" / "part.py").write_text(TEXT)
    monkeypatch.syspath_prepend(tmp_path)
    tree.cache_clear()
    return "unread.part"


def test_constants_are_read(module):
    assert constant(module, "PLAIN") == {"a": 1, "b": [2, 3]}
    assert constant(module, "TYPED") == {"c": 3}
    assert constant(module, "ROWS") == {"d": ("x", None, 4)}
    assert "unread" not in sys.modules


def test_a_constant_that_is_not_there(module):
    with pytest.raises(KeyError, match="has no constant 'NONE'"):
        constant(module, "NONE")


def test_docstrings_of_classes_methods_and_functions(module):
    assert docstring(module, "Thing") == "A thing.\n\nMore of it."
    assert docstring(module, "Thing.act") == "Act."
    assert docstring(module, "work") == ""
    assert isinstance(definition(module, "work"), ast.FunctionDef)


@pytest.mark.parametrize("name", ["Nothing", "Thing.rest", "work.inner"])
def test_a_definition_that_is_not_there(module, name):
    with pytest.raises(KeyError, match=f"does not define '{name}'"):
        docstring(module, name)


def test_a_package_that_is_not_there():
    with pytest.raises(ModuleNotFoundError, match="no package is called 'no_such_package'"):
        tree("no_such_package.part")


def test_a_module_is_no_package():
    with pytest.raises(ModuleNotFoundError, match=r"no package is called 'ungrok.core.seeds'"):
        tree("ungrok.core.seeds.part")
