"""What recipes may name, listed without importing what is listed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ungrok.analyze import ANALYSES
from ungrok.audits import STRESS_TESTS
from ungrok.cli.listing import LISTS, REGISTRIES
from ungrok.core.registry import summary
from ungrok.data import PROBLEMS
from ungrok.data.vision import HUB
from ungrok.methods import UNLEARNERS
from ungrok.models import MODELS
from ungrok.report import paper
from ungrok.study.claims import CLAIMS
from ungrok.train.schemes import SCHEMES

LISTED = {
    "datasets": PROBLEMS,
    "models": MODELS,
    "methods": UNLEARNERS,
    "schemes": SCHEMES,
    "stress": STRESS_TESTS,
    "analyses": ANALYSES,
    "claims": CLAIMS,
}


@pytest.mark.parametrize("what", list(LISTS))
def test_list_is_json_on_request(ungrok, what):
    code, out, _ = ungrok("list", what, "--json")
    entries = json.loads(out)
    assert code == 0
    assert entries
    assert all(entries.values())
    code, plain, _ = ungrok("list", what)
    assert [line.split("\t")[0] for line in plain.splitlines()] == list(entries)


@pytest.mark.parametrize("what", list(REGISTRIES))
def test_what_is_listed_is_what_recipes_may_name(what):
    registry = LISTED[what]
    assert REGISTRIES[what] == (registry.what, registry.group, registry.catalog)
    expected = {name: summary(registry.get(name)) for name in registry.names()}
    listed = LISTS[what]()
    assert {name: listed[name] for name in expected} == expected
    assert {name for name in listed if not name.startswith("vision dataset=")} == expected.keys()


def test_data_sets_of_the_hub_are_listed_with_their_ids():
    listed = LISTS["datasets"]()
    assert {name: listed[f"vision dataset={name}"] for name in HUB} == {name: row.id for name, row in HUB.items()}


def test_parts_of_the_paper_are_listed_as_compare_takes_them():
    assert LISTS["paper"]() == {f"{paper.PREFIX}{part}": content["title"] for part, content in paper.paper().items()}


@pytest.mark.parametrize("what", list(LISTS))
def test_nothing_heavy_is_imported(what, environment):
    code = "import sys; from ungrok.cli.listing import LISTS; LISTS[sys.argv[1]](); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, what], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    assert "ungrok.cli.listing" in imported
    assert not {"torch", "numpy", "pandas", "rich"} & imported
