"""Defaults and limits of settings, one line each in tests/golden/settings.txt: a recipe that names a method relies on them."""

from pathlib import Path

import pytest

from ungrok.analyze import ANALYSES
from ungrok.core.attacks import ATTACKS
from ungrok.methods import UNLEARNERS

REGISTRIES = {"method": UNLEARNERS, "analysis": ANALYSES, "attack": ATTACKS}
KINDS = [
    (group, kind)
    for group, registry in REGISTRIES.items()
    for kind in registry.names()
    if registry.get(kind).__module__.startswith("ungrok.")  # not those of plug-ins
]
LIMITS = ("default", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "minItems", "maxItems")
GOLDEN = (Path(__file__).parents[1] / "golden" / "settings.txt").read_text().splitlines()

PINNED = sorted({tuple(line.split(".")[0].split(" ")) for line in GOLDEN})
"""Kinds whose settings stored studies rely on; a new kind is added here once it has been released."""


def limits(schema):
    """Return default and limits of a setting; those of a setting that may be null stand one level down."""
    parts = [schema, *schema.get("anyOf", []), *([schema["items"]] if isinstance(schema.get("items"), dict) else [])]
    return {key: part[key] for part in parts for key in LIMITS if key in part}


def lines(group, kind):
    settings = REGISTRIES[group].get(kind).model_json_schema()["properties"]
    chosen = {name: limits(schema) for name, schema in settings.items() if name not in ("kind", "name")}
    return sorted(f"{group} {kind}.{name} {values}" for name, values in chosen.items())


@pytest.mark.parametrize(("group", "kind"), PINNED)
def test_defaults_and_limits_stay(group, kind):
    assert lines(group, kind) == sorted(line for line in GOLDEN if line.startswith(f"{group} {kind}."))


def test_every_line_belongs_to_a_kind():
    assert len(GOLDEN) > 200
    assert set(PINNED) <= set(KINDS)
