"""What CONTRIBUTING.md says of the layers and of the entry points is what stands in the code."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_layers_are_those_that_lint_checks():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = [layer.replace("ungrok.", "").split(" | ") for layer in contract["contracts"][0]["layers"]]
    (line,) = re.findall(r"go: `(.*)`", TEXT)
    assert [layer.strip("{}").split(", ") for layer in line.split(" → ")] == layers


def test_the_groups_are_those_of_the_registries():
    registries = re.compile(r'Registry\(\s*"[^"]+",\s*"(ungrok\.\w+)"')
    groups = {g for file in (ROOT / "src").rglob("*.py") for g in registries.findall(file.read_text(encoding="utf-8"))}
    (line,) = re.findall(r"The groups: ([^.]*(?:\.\w[^.]*)*)\.", TEXT)
    assert set(re.findall(r"`(ungrok\.\w+)`", line)) == groups
    plugins = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert groups <= set(re.findall(r"`(ungrok\.\w+)`", plugins))
