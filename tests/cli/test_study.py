"""Commands on whole studies."""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from ungrok.cli.study import duration
from ungrok.study import progress


def test_study_prints_where_its_report_is(finished):
    _, out, err = finished
    assert out == "here/tiny/report/index.html\n"
    assert "Traceback" not in err


def test_study_counts_verdicts_of_the_claims_that_it_tests(finished):
    err = finished[2]
    assert "efficiency: " in err
    assert "extraction: " not in err, "a claim that the recipe does not put to the test"


def test_study_writes_its_files_at_fixed_places(finished):
    root = finished[0]
    study = root / "here" / "tiny"
    written = {str(p.relative_to(study)) for p in study.rglob("*") if p.is_file()}
    assert written >= {
        "report/index.html", "report/verdicts.json", "results.parquet", "results.csv", "audits.parquet", "audits.csv", "transitions.csv", "timings.csv",
        "recipe.yaml", "provenance.json",
    }  # fmt: skip
    assert (root / "here" / "store").is_dir()


def test_study_writes_what_it_was_made_with(finished):
    made = json.loads((finished[0] / "here" / "tiny" / "provenance.json").read_text())
    assert made["jobs"]["train"]["count"] == 2
    assert made["versions"]["torch"]


def test_a_second_study_runs_nothing(after_study, tiny):
    first = Path("here/tiny/results.parquet").read_bytes()
    code, _, err = after_study("study", *tiny, "--workers", "0", "--out", "here/tiny")
    assert code == 0
    assert "0 jobs ran" in err
    assert Path("here/tiny/results.parquet").read_bytes() == first


def test_report_writes_a_finished_study_again(after_study):
    first = Path("here/tiny/results.parquet").read_bytes()
    code, out, _ = after_study("report", "here/tiny")
    assert (code, out) == (0, "here/tiny/report/index.html\n")
    assert gc.isenabled(), "garbage is looked for again afterwards"
    assert Path("here/tiny/results.parquet").read_bytes() == first


def test_a_tracked_study_has_the_scalars_of_its_tables(after_study, tiny):
    """Read back with TensorBoard's own reader, which has them as float32."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    code, out, err = after_study("study", *tiny, "--workers", "0", "--out", "here/tiny", "--track", "tensorboard")
    assert (code, out) == (0, "here/tiny/report/index.html\n")
    assert err.endswith("tracked: tensorboard --logdir here/tiny/track/tensorboard\n")
    root = Path("here/tiny/track/tensorboard/base/seed-0")

    def check(folder, steps, tag, values):
        events = accumulator(str(folder)).Reload().Scalars(tag)
        assert [event.step for event in events] == steps.tolist()
        assert [event.value for event in events] == values.astype("float32").tolist()

    curves, rows = pd.read_csv("here/tiny/curves.csv"), pd.read_csv("here/tiny/results.csv")
    for name in ("train_loss", "validation_accuracy"):
        check(root, curves["step"], f"training/{name}", curves[name])
    paths = list(rows[rows["updates"].notna()].groupby(["stage", "forget", "method"]))
    for place, path in paths:
        check(root.joinpath(*place), path["updates"], "unlearning/UA", path["UA"])
    assert len(paths) >= 2


def test_a_tracker_that_is_no_tracker_is_told_before_any_work(ungrok, tiny, tmp_path):
    code, _, err = ungrok("study", *tiny, "--out", "out", "--track", "wand")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: --track: 'wand' is not known; allowed: mlflow, tensorboard, wandb")
    assert list(tmp_path.iterdir()) == []


def test_study_says_the_warnings_of_check(finished, ungrok, tiny):
    code, out, _ = ungrok("check", *tiny)
    warned = [line for line in out.splitlines() if line.startswith("warning: ")]
    assert code == 0
    assert len(warned) >= 2
    assert [line for line in finished[2].splitlines() if line.startswith("warning: ")] == warned


def test_study_says_how_far_it_is_where_there_is_no_terminal(ungrok, tiny, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.1)
    code, _, err = ungrok("study", *tiny, "trajectory.steps=600", "--workers", "0", "--out", "out")
    lines = [line for line in err.splitlines() if "jobs done" in line]
    assert code == 0
    assert len(lines) >= 2
    assert any(" of 18 jobs done, 1 running, about 0:00:" in line for line in lines), lines


def test_check_prints_the_plan(ungrok, tiny):
    code, out, _ = ungrok("check", tiny[0])
    assert code == 0
    assert "5 train, 4 stage, 6 oracle, 12 unlearn, 12 evaluate jobs)" in out
    assert all(word in out for word in ("checkpoints:", "disk: about", "time: about", "warning: forget split 'class'"))
    assert "not counted" not in out


def test_check_counts_the_first_round_of_a_search_and_the_most(ungrok, tiny):
    """Of two stages: three methods and two further rates, then seven."""
    code, out, _ = ungrok("check", *tiny, "unlearn.0.lr=auto")
    assert code == 0
    assert "tiny: 26 jobs in the first round (2 train, 2 stage, 2 oracle, 10 unlearn, 10 evaluate jobs)\n" in out
    assert "at most, if searches go on as far as they may: 46 jobs (2 train, 2 stage, 2 oracle, 20 unlearn" in out
    assert "time in the first round: about" in out
    assert "\ntime at most: about" in out


def test_check_says_that_analyses_are_not_counted(ungrok, tiny):
    out = ungrok("check", tiny[0], "analyze=[{kind: weight_norm, after: false}]")[1]
    assert "; not counted: 4 analyze jobs\n" in out


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "1 s"), (89, "89 s"), (90, "1.5 min"), (5399, "90.0 min"), (5400, "1.5 h")]
)
def test_durations_have_the_largest_unit_that_fits(seconds, text):
    assert duration(seconds) == text


def test_show_prints_a_recipe_that_loads(ungrok, tmp_path):
    code, out, _ = ungrok("show", "digits", "trajectory.steps=123")
    assert code == 0
    assert yaml.safe_load(out)["trajectory"]["steps"] == 123
    (tmp_path / "copy.yaml").write_text(out)
    assert ungrok("show", "copy.yaml")[1] == out


def test_an_unwritable_store_is_one_line_and_exit_code_1(ungrok, tiny):
    code, _, err = ungrok(
        "study", *tiny, "--workers", "0", "--out", "out", "--store", "/proc/store"
    )  # not even by root
    assert code == 1
    assert err.splitlines()[-1].startswith("error: /proc/store")


def test_a_store_below_a_file_is_a_mistake_in_the_argument(ungrok, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = ungrok("study", *tiny, "--workers", "0", "--out", "out", "--store", "file/store")
    assert (code, err) == (2, "error: --store: 'file' is no folder\n")


def test_an_unwritable_out_is_found_before_any_work(ungrok, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = ungrok("study", *tiny, "--workers", "0", "--out", "file")
    assert code == 2
    assert err.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_a_recipe_that_is_not_text_is_one_line(ungrok, tmp_path):
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00")
    code, _, err = ungrok("show", "r.yaml")
    assert (code, err.count("\n")) == (2, 1)


def test_a_scheduler_file_that_is_none_is_one_line(ungrok, tiny, tmp_path):
    (tmp_path / "s.json").write_text("{}")
    code, _, err = ungrok("study", *tiny, "--scheduler", "s.json", "--out", "o")
    assert code == 2
    assert err.splitlines()[-1].startswith("error: --scheduler 's.json'")


@pytest.fixture
def moved(finished, tmp_path):
    """Return the folder ``b``, in which the finished study and its store lie instead of where they were made."""
    made, kept, there = finished[0] / "here", finished[0] / "kept", tmp_path / "b"
    shutil.copytree(made, there)
    made.rename(kept)
    yield there
    kept.rename(made)


def test_a_study_that_was_moved_finds_its_store(ungrok, moved, tmp_path):
    assert ungrok("report", "b/tiny")[0] == 0
    (moved / "store").rename(tmp_path / "elsewhere")
    code, _, err = ungrok("report", "b/tiny")
    assert code == 1
    assert "--store" in err
    assert ungrok("report", "b/tiny", "--store", "elsewhere")[0] == 0


def test_a_study_in_which_everything_diverges_has_a_report(ungrok, tiny):
    code, _, err = ungrok("study", *tiny, "trajectory.optimizer.lr=1e30", "--workers", "0", "--out", "o")
    assert code == 0, err
    assert "diverged" in Path("o/report/index.html").read_text()


def test_stress_attacks_a_study_whose_recipe_does_not(ungrok, tiny):
    words = ("unlearn=[{kind: gradient_ascent, updates: 2}]", "--workers", "0", "--store", "store", "--out")
    code, _, err = ungrok("study", *tiny, *words, "plain")
    assert code == 0, err
    code, out, err = ungrok("stress", *tiny, *words, "out")
    assert (code, out) == (0, "out/report/index.html\n"), err
    recipe = yaml.safe_load(Path("out/recipe.yaml").read_text())
    assert {"relearn", "quantize"} < {attack["kind"] for attack in recipe["stress"]["attacks"]}
    assert recipe["lasting"] is None
    table = pd.read_parquet("out/stress.parquet")
    assert set(table["place"].dropna()) == {"0.1", "0.5", "oracle", "rewound", "end"} & set(table["place"])
    assert {"end"} < set(table["place"].dropna())
    assert "10 were finished already" in err, "all of the study without attacks"


def test_stress_attacks_as_the_recipe_says(ungrok, tiny):
    words = ("unlearn=[{kind: gradient_ascent, updates: 2}]", "stress={attacks: [{kind: quantize}], places: [end]}")
    code, _, err = ungrok("stress", *tiny, *words, "--workers", "0", "--out", "out")
    assert code == 0, err
    table = pd.read_parquet("out/stress.parquet")
    assert set(table["kind"]) == {"quantize"}
    assert set(table["place"].dropna()) == {"end"}


def test_stress_refuses_an_empty_scheduler(ungrok, tiny):
    code, _, err = ungrok("stress", *tiny, "--scheduler", " ")
    assert (code, err) == (
        2,
        "error: --scheduler: is empty; name an address, as tcp://host:8786, or a scheduler file\n",
    )
