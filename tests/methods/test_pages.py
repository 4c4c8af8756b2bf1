"""The pages on methods name every method, and say of it what the class says."""

import re
from pathlib import Path

import pytest

from ungrok.methods import UNLEARNERS, Iterative, OneShot

PAGES = Path(__file__).parents[2] / "docs" / "methods"
INDEX = (PAGES / "index.md").read_text(encoding="utf-8")
ROWS = {
    row[0]: row[1:]
    for row in re.findall(r"^\| \[(\w+)\]\(\w+\.md\) \| ([^|]*) \| ([^|]*) \|.*\| ([\w-]+) \|$", INDEX, re.MULTILINE)
}
NAMES = [name for name in UNLEARNERS.names() if UNLEARNERS.get(name).__module__.startswith("ungrok.")]


def test_the_table_and_the_contents_hold_every_method():
    assert sorted(ROWS) == NAMES
    assert ":glob:\n\n*\n```" in INDEX
    assert {page.stem for page in PAGES.glob("*.md")} == {*NAMES, "index"}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_the_class_and_what_was_run_beside_it(name):
    cls, page = UNLEARNERS.get(name), (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {name}\n")
    assert f".. autoclass:: {cls.__module__}.{cls.__qualname__}\n" in page
    assert "## Side by side\n\n" in page


@pytest.mark.parametrize("name", NAMES)
def test_a_row_says_what_the_class_says(name):
    cls, (reads, batchnorm, family) = UNLEARNERS.get(name), ROWS[name]
    for need in ("validation", "factory", "base", "rewound"):
        assert (need in cls.needs) == (need in reads), need
    assert ("retain" in cls.needs) == ("retain" in reads)
    own = cls.model_fields["batchnorm"].default if issubclass(cls, Iterative) else "training"
    default = "eval" if issubclass(cls, OneShot) else own
    assert re.match(r"\w+", batchnorm).group() == default
    assert family == cls.family
