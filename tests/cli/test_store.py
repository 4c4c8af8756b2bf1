"""The commands store size and store prune."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished study in the current folder, and of its own jobs in the store that other tests use, too."""
    shutil.copytree(finished[0] / "here", tmp_path / "here")
    own = set(pd.read_parquet(tmp_path / "here/tiny/timings.parquet")["key"])
    for manifest in (tmp_path / "here/store").glob("*/manifest.json"):
        if manifest.parent.name not in own:
            shutil.rmtree(manifest.parent)
    return "here/tiny", "--store", "here/store"


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_sizes_of_kinds_add_up_to_the_store(copied, ungrok, tmp_path):
    run, *store = copied
    code, out, err = ungrok("store", "size", run, *store, "--json")
    assert (code, err) == (0, "")
    content = json.loads(out)
    jobs = [path.parent for path in (tmp_path / "here" / "store").glob("*/manifest.json")]
    assert sum(share["jobs"] for share in content["kinds"]) == len(jobs) > 10
    assert sum(share["bytes"] for share in content["kinds"]) == sum(map(size, jobs))
    assert [share["name"] for share in content["studies"]] == ["tiny"]
    lines = ungrok("store", "size", run, *store)[1].splitlines()
    assert lines[0] == "kind of job\tjobs\tMB\tin no study named"
    assert "study\tjobs\tMB\tin no other" in lines
    assert lines[-1] == f"{tmp_path / 'here' / 'store'}: {len(jobs)} jobs, {sum(map(size, jobs)) / 1e6:.1f} MB"


def test_nothing_goes_without_yes_and_the_report_is_the_same_after(copied, ungrok, tmp_path):
    before, table = size(tmp_path / "here"), (tmp_path / "here/tiny/results.parquet").read_bytes()
    code, shown, err = ungrok("store", "prune", *copied)
    assert (code, err) == (0, "nothing was removed; --yes removes it\n")
    assert size(tmp_path / "here") == before
    code, removed, err = ungrok("store", "prune", *copied, "--yes")
    assert (code, err) == (0, "")
    assert removed == shown.replace("can go", "removed")
    assert [line.split("\t")[0] for line in shown.splitlines()[1:-1]] == ["train", "unlearn"]
    taken = float(shown.split()[-4])
    assert before - size(tmp_path / "here") == pytest.approx(taken * 1e6, rel=0.1)
    assert ungrok("report", *copied)[0] == 0
    assert (tmp_path / "here/tiny/results.parquet").read_bytes() == table
    assert ungrok("store", "prune", *copied)[1].endswith(": 0.0 MB can go\n")


def test_scores_can_stay_and_a_store_must_be_named(copied, ungrok):
    shown = ungrok("store", "prune", *copied, "--keep-scores")[1]
    assert [line.split("\t")[0] for line in shown.splitlines()[1:-1]] == ["train"]
    code, _, err = ungrok("store", "size")
    assert (code, err) == (2, "error: RUN: name the --out folder of a study, or the store with --store\n")
