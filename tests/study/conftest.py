"""A study of a few seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ungrok.study.loading import load
from ungrok.study.recipe import Recipe

TINY = Path(__file__).with_name("tiny.yaml")


@pytest.fixture
def tiny() -> Callable[..., Recipe]:
    """Return a function that loads the tiny recipe with overrides."""
    return lambda *overrides: load(str(TINY), overrides)
