"""What a study writes, read back."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from ungrok.core.errors import StoreError
from ungrok.core.files import checksum
from ungrok.core.schema import digest
from ungrok.study.claims import judge
from ungrok.study.loading import load
from ungrok.study.outputs import ALWAYS, doses_of, provenance, sealed, write_tables
from ungrok.study.results import collect
from ungrok.study.verdict_file import VERSION


@pytest.fixture(scope="module")
def results(finished):
    return collect(*finished)


def test_doses_end_with_the_path_and_match_at_a_share_of_it(finished):
    doses = doses_of(*finished)
    assert doses == {"gradient_ascent": (40, 40), "scrub": (20, 20), "fisher": (1e-3, 1e-6)}
    assert doses["fisher"].matched == 1e-6


def test_provenance_counts_jobs_and_their_seconds(finished, results):
    plan, store = finished
    made = provenance(plan, store, results, workers=3)
    assert {kind: own["count"] for kind, own in made["jobs"].items()} == plan.counts()
    trained = results.timings.loc[results.timings["kind"] == "train", "seconds"].sum()
    assert made["jobs"]["train"]["seconds"] == pytest.approx(trained, abs=1e-3)
    assert (made["workers"], made["scheduler"], made["store"]) == (3, None, str(store.root))
    assert abs(datetime.now(UTC).date() - date.fromisoformat(made["date"])) <= timedelta(days=1)


def test_tables_recipe_and_verdicts_are_read_back(finished, results, tmp_path):
    plan, store = finished
    verdicts = judge(results.rows, plan.recipe, doses_of(plan, store))
    write_tables(tmp_path, plan, results, verdicts, {"device": "cpu"})
    tables = {*ALWAYS, "mechanism"}
    assert {path.stem for path in tmp_path.glob("*.parquet")} == tables
    assert {path.stem for path in tmp_path.glob("*.csv")} == tables
    curves = pd.read_csv(tmp_path / "curves.csv")
    assert curves.columns[:3].tolist() == ["arm", "seed", "step"]
    pd.testing.assert_frame_equal(curves, results.curves, check_dtype=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "results.parquet"), results.rows)
    assert pd.read_csv(tmp_path / "results.csv")["RA"].tolist() == pytest.approx(
        results.rows["RA"].tolist(), nan_ok=True
    )
    assert load(str(tmp_path / "recipe.yaml")) == plan.recipe
    written = json.loads((tmp_path / "report" / "verdicts.json").read_text(encoding="utf-8"))
    assert written == [verdict.to_dict() for verdict in verdicts] != []
    sums = {path.name: checksum(path) for path in tmp_path.glob("*.parquet")}
    made = json.loads((tmp_path / "provenance.json").read_text())
    checked = {"recipe": plan.recipe.hash, "warnings": plan.warnings}
    content = {"device": "cpu", "verdicts_schema": VERSION, "files": sums, "checked": checked}
    assert made == sealed(content)
    assert made["checksum"] == digest(content)
    answered = json.loads((tmp_path / "report" / "answers.json").read_text(encoding="utf-8"))
    assert answered["first"][0] == "One seed cannot decide anything."
    kinds = {verdict.claim.kind for verdict in verdicts if verdict.headline}
    assert {claim["claim"] for claim in answered["claims"]} == kinds != set()
    assert {claim["verdict"] for claim in answered["claims"]} == {"exploratory"}
    assert answered["durable"] is None


def test_a_folder_that_cannot_be_written_is_named(finished, results, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file: "):
        write_tables(tmp_path / "file", finished[0], results, [], {})
