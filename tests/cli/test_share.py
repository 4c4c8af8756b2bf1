"""The commands export and import: somebody else's method runs on a study that was trained elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """The finished study as a shared folder with its models, and what the command wrote."""
    folder = tmp_path_factory.mktemp("shared") / "tiny"
    words = ["export", str(finished[0] / "here" / "tiny"), str(folder), "--weights"]
    done = subprocess.run([sys.executable, "-m", "ungrok.cli", *words], capture_output=True, text=True, check=True)
    return folder, done


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """A folder that holds the method of docs/plugins.md as pip would have installed it."""
    site = tmp_path_factory.mktemp("site")
    source, settings = blocks("plugins.md", "python")[0], blocks("plugins.md", "toml")[0]
    (site / "ungrok_uniform.py").write_text(source, encoding="utf-8")
    info = site / "ungrok_uniform-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ungrok-uniform\nVersion: 0.1.0\n")
    named = re.search(r'\[project\.entry-points\."(.*?)"\]\n(\w+) = "(.*?)"', settings)
    (info / "entry_points.txt").write_text("[{}]\n{} = {}\n".format(*named.groups()))
    return site


def test_the_commands_say_what_they_did(exported, ungrok, tmp_path):
    folder, done = exported
    assert done.stdout == f"{folder}\n"
    assert re.fullmatch(r"\d+ jobs written\n", done.stderr)
    code, out, err = ungrok("import", str(folder), "--store", "store")
    assert (code, out) == (0, f"{folder / 'recipe.yaml'}\n")
    assert re.fullmatch(r"(\d+) jobs imported, 0 were there already\n", err)
    assert len([*(tmp_path / "store").glob("*-*")]) == int(done.stderr.split()[0])


def test_a_changed_file_is_refused_in_one_line(exported, ungrok, tmp_path):
    folder = exported[0]
    card, whole = folder / "README.md", (folder / "README.md").read_bytes()
    card.write_bytes(whole + b" ")
    code, out, err = ungrok("import", str(folder), "--store", "store")
    card.write_bytes(whole)
    assert (code, out) == (1, "")
    assert re.fullmatch(r"error: .*README\.md: missing, or does not match its checksum in checksums\.json\n", err)
    assert not (tmp_path / "store").exists()


def test_a_method_from_elsewhere_runs_on_an_imported_study_without_training(
    exported, plugin, ungrok, finished, tmp_path
):
    """The old rows stay the same bytes, no training or oracle runs again, and the run is evidence."""
    ungrok("import", str(exported[0]), "--store", "store")
    before = {path.name for path in (tmp_path / "store").glob("*-*")}
    recipe = yaml.safe_load((exported[0] / "recipe.yaml").read_text())
    recipe["unlearn"] += yaml.safe_load(blocks("sharing.md", "yaml")[0])
    recipe["name"] = "mine"
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe))

    def with_plugin(*words):
        paths = os.pathsep.join([str(plugin), *filter(None, sys.path)])
        run = [sys.executable, "-m", "ungrok.cli", *words]
        env = {**os.environ, "PYTHONPATH": paths}
        done = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with_plugin("study", "mine.yaml", "--store", "store", "--out", "mine", "--workers", "0")
    new = {path.name for path in (tmp_path / "store").glob("*-*")} - before
    assert {key.split("-")[0] for key in new} == {"unlearn", "evaluate"}
    old, mine = (pd.read_parquet(run / "results.parquet") for run in (finished[0] / "here" / "tiny", tmp_path / "mine"))
    theirs = mine[mine["method"] != "uniform_forgetting"]
    assert len(mine) > len(old) > 50
    assert theirs[old.columns].to_csv(index=False) == old.to_csv(index=False)
    out = with_plugin("evidence", "mine", str(finished[0] / "here" / "tiny"), "--json")
    assert {one["recipe"] for one in json.loads(out)["studies"]} == {"tiny", "mine"}


def test_the_page_shows_these_commands():
    text = (DOCS / "sharing.md").read_text(encoding="utf-8")
    for command in ("export runs/tiny", "import shared/tiny", "store size", "store prune", "evidence"):
        assert f"ungrok {command}" in text
