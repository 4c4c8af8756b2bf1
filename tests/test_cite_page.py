"""docs/cite.md, CITATION.cff and pyproject.toml say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGE = (ROOT / "docs" / "cite.md").read_text(encoding="utf-8")
ENTRIES = {
    kind: dict(re.findall(r"^  (\w+) += \{+(.*?)\}+,$", fields, re.MULTILINE))
    for kind, fields in re.findall(r"^@(\w+)\{\w+,\n(.*?)^\}$", PAGE, re.MULTILINE | re.DOTALL)
}


def test_the_software_is_cited_alike():
    said = ENTRIES["software"]
    assert said["title"] == CITATION["title"]
    assert said["version"] == CITATION["version"] == PROJECT["version"]
    assert said["date"] == CITATION["date-released"]
    assert CITATION["license"] == PROJECT["license"]
    assert [said["author"]] == [author["name"] for author in CITATION["authors"]]


def test_the_paper_is_cited_alike():
    said, (paper,) = ENTRIES["misc"], CITATION["references"]
    assert said["title"] == paper["title"]
    assert said["year"] == str(paper["year"])
    assert [f"arXiv:{said['eprint']}"] == [one["value"] for one in paper["identifiers"]]
    assert said["author"].split(" and ") == [author["family-names"] for author in paper["authors"]]
