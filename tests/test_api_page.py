"""docs/api.md lists every public module of the package once."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import ungrok
from ungrok.methods import UNLEARNERS

SOURCE, PAGE = Path(ungrok.__file__).parent, Path(__file__).parents[1] / "docs" / "api.md"
LISTED = re.findall(r"^\.\. automodule:: (\S+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
METHODS = {UNLEARNERS.get(name).__module__ for name in UNLEARNERS.names()}
"""Each has a page of its own under docs/methods."""


def public_modules():
    """Return the modules of the package without packages, private modules and the command line."""
    parts = [path.relative_to(SOURCE).with_suffix("").parts for path in SOURCE.rglob("*.py")]
    return {".".join(("ungrok", *p)) for p in parts if not p[-1].startswith("_") and p[0] != "cli"}


def test_every_public_module_is_listed_once():
    assert len(LISTED) > 100
    assert sorted(LISTED) == sorted(public_modules() - METHODS)


@pytest.mark.parametrize("module", LISTED)
def test_what_is_listed_can_be_imported_and_says_what_it_is(module):
    assert importlib.import_module(module).__doc__
