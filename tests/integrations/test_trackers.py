"""Trackers, each read back with its own reader."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ungrok.core.errors import RecipeError
from ungrok.integrations.trackers import TRACKERS, Series, TrackedRun, TrackedStudy, check_tracker, to_mlflow

TRAINING = {"train_loss": [2.0, 1 / 3, math.nan], "test_accuracy": [0.1, 0.5, 0.9]}
PATH = {"UA": [1.0, 1 / 7]}


def series(kind, place, axis, steps, metrics):
    return Series(kind, place, axis, np.array(steps), {name: np.array(values) for name, values in metrics.items()})


@pytest.fixture
def content(tmp_path) -> TrackedStudy:
    """Return a study of one arm and two seeds, the second of which trained twice as well."""
    report = tmp_path / "run" / "report"
    report.mkdir(parents=True)
    (report / "index.html").write_text("<p>The report</p>")
    runs = [
        TrackedRun(
            "base", seed,
            [
                series("training", (), "step", [0, 10, 25], {name: [v / (1 + seed) for v in values] for name, values in TRAINING.items()}),
                series("unlearning", ("final", "a/b", "scrub lr=0.1"), "updates", [0, 3], PATH),
            ],
        )
        for seed in (0, 1)
    ]  # fmt: skip
    return TrackedStudy(
        "tiny", "key", {"name": "tiny"}, report, runs, {"efficiency": ("refuted", "It takes more updates.")}
    )


def test_rows_leave_out_what_was_not_measured():
    own = series("training", (), "step", [0, 10, 25], TRAINING)
    assert list(own.rows()) == [
        (0, {"train_loss": 2.0, "test_accuracy": 0.1}),
        (10, {"train_loss": 1 / 3, "test_accuracy": 0.5}),
        (25, {"test_accuracy": 0.9}),
    ]


def test_a_run_has_its_id_from_the_recipe_and_its_name(content):
    assert content.id_of("a") == content.id_of("a")
    assert len({content.id_of("a"), content.id_of("b"), TrackedStudy("tiny", "other", {}, Path(), []).id_of("a")}) == 3


def test_an_unknown_tracker_is_one_sentence():
    with pytest.raises(
        RecipeError,
        match=r"^--track: 'wand' is not known; allowed: mlflow, tensorboard, wandb \(did you mean 'wandb'\?\)$",
    ):
        check_tracker("wand")


@pytest.mark.parametrize("name", TRACKERS)
@pytest.mark.parametrize("spec", [None, SimpleNamespace(origin=None)], ids=["nothing", "a mere folder"])
def test_a_tracker_that_is_not_installed_names_its_extra(name, spec):
    with pytest.raises(RecipeError, match=rf"^--track: {name} is not installed: pip install 'ungrok\[{name}\]'$"):
        check_tracker(name, lambda package: spec)


def test_tensorboard_reads_the_same_scalars(content, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    for _ in range(2):  # a second call takes the place of the first
        TRACKERS["tensorboard"](content, tmp_path / "track")
    root = tmp_path / "track" / "tensorboard"
    runs = {str(file.parent.relative_to(root)) for file in root.rglob("events.*")}
    assert runs == {".", *(f"base/seed-{s}{end}" for s in (0, 1) for end in ("", "/final/a%2Fb/scrub lr=0.1"))}

    def read(run, tag):
        events = accumulator(str(root / run)).Reload().Scalars(tag)
        return [(event.step, event.value) for event in events]

    assert read("base/seed-1", "training/train_loss") == [(0, 1.0), (10, np.float32(1 / 6))]
    assert read("base/seed-0", "training/test_accuracy") == [(0, np.float32(0.1)), (10, 0.5), (25, np.float32(0.9))]
    assert read("base/seed-0/final/a%2Fb/scrub lr=0.1", "unlearning/UA") == [(0, 1.0), (3, np.float32(1 / 7))]
    text = accumulator(str(root)).Reload().Tensors("report/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text.splitlines()[0] == "**efficiency: refuted.** It takes more updates."
    assert text.endswith("/run/report/index.html")


def records(file: Path):
    """Yield the records of an offline run: blocks of 32 KiB with pieces after a header of checksum, length and kind."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last piece
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """Return wandb, which writes to files of this test only."""
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("CACHE_DIR", "CONFIG_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "wandb" / name.lower()))
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return wandb


def history(records):
    """Return the rows that were logged, without what wandb adds."""
    rows = []
    for record in records:
        if record.HasField("history"):
            items = {
                (item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in record.history.item
            }
            rows.append({name: value for name, value in items.items() if not name.startswith("_")})
    return rows


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_offline_run_of_wandb_holds_the_same_history(content, tmp_path, offline):
    for _ in range(2):  # a second call takes the place of the first
        where = TRACKERS["wandb"](content, tmp_path / "track")
    offline.teardown()  # its own process closes the files
    assert where == f"wandb sync {tmp_path}/track/wandb/offline-run-*"
    found = [list(records(file)) for file in (tmp_path / "track" / "wandb").glob("offline-run-*/*.wandb")]
    runs = {own.run.display_name: all_ for all_ in found for own in all_ if own.HasField("run")}
    assert len(found) == 3
    assert set(runs) == {"tiny/base/seed-0", "tiny/base/seed-1", "tiny/report"}
    path = "final/a/b/scrub lr=0_1"
    assert history(runs["tiny/base/seed-0"]) == [
        {"training/step": 0, "training/train_loss": 2.0, "training/test_accuracy": 0.1},
        {"training/step": 10, "training/train_loss": 1 / 3, "training/test_accuracy": 0.5},
        {"training/step": 25, "training/test_accuracy": 0.9},
        {f"{path}/updates": 0, f"{path}/UA": 1.0},
        {f"{path}/updates": 3, f"{path}/UA": 1 / 7},
    ]
    own = next(record.run for record in runs["tiny/base/seed-1"] if record.HasField("run"))
    assert (own.project, own.run_group, own.run_id) == ("ungrok", "tiny", content.id_of("base/seed-1"))
    sent = [record.artifact for record in runs["tiny/report"] if record.HasField("artifact")]
    assert {(one.name, one.type, *(entry.path for entry in one.manifest.contents)) for one in sent} == {
        ("tiny-report", "report", "index.html")
    }
    summary = [item for record in runs["tiny/report"] if record.HasField("summary") for item in record.summary.update]
    assert ("verdict/efficiency", '"refuted"') in {
        (item.key or "/".join(item.nested_key), item.value_json) for item in summary
    }


@pytest.mark.filterwarnings("ignore")
def test_mlflow_reads_the_same_metrics(content, tmp_path, monkeypatch):
    client = pytest.importorskip("mlflow").MlflowClient
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for _ in range(2):  # a second call takes the place of the first
        to_mlflow(content, tmp_path / "track")
    reader = client((tmp_path / "track" / "mlruns").as_uri())
    runs = {run.info.run_name: run for run in reader.search_runs([reader.get_experiment_by_name("tiny").experiment_id])}
    assert set(runs) == {"tiny", "base/seed-0", "base/seed-1"}
    own = runs["base/seed-1"]
    assert (own.data.params, own.data.tags["mlflow.parentRunId"]) == (
        {"arm": "base", "seed": "1"},
        runs["tiny"].info.run_id,
    )

    def read(name):
        return [(metric.step, metric.value) for metric in reader.get_metric_history(own.info.run_id, name)]

    assert read("training/train_loss") == [(0, 1.0), (10, 1 / 6)]
    assert read("final/a/b/scrub lr_0.1/UA") == [(0, 1.0), (3, 1 / 7)]
    assert runs["tiny"].data.tags["verdict.efficiency"] == "refuted"
    assert [file.path for file in reader.list_artifacts(runs["tiny"].info.run_id, "report")] == ["report/index.html"]
