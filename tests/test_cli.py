"""The command line, as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from ungrok import cli
from ungrok.core.files import read_json
from ungrok.study.loading import load
from ungrok.study.plan import make_plan

TINY = str(Path(__file__).parent / "study" / "tiny.yaml")
FAST = ["seeds=[0]", "noise_seeds=0"]


def call(capsys, monkeypatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["ungrok", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


@pytest.fixture
def ungrok(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda *words: call(capsys, monkeypatch, *words)


def test_study_writes_its_files_at_fixed_places(ungrok, tmp_path):
    code, out, err = ungrok("study", TINY, *FAST, "--workers", "0", "--out", "here/tiny")
    assert code == 0, err
    assert out == "here/tiny/report/index.html\n"
    assert "Traceback" not in err
    assert "efficiency: " in err
    assert "extraction: " not in err, "a claim that the recipe does not put to the test"
    written = {str(p.relative_to("here/tiny")) for p in Path("here/tiny").rglob("*") if p.is_file()}
    assert written >= {
        "report/index.html", "report/verdicts.json", "results.parquet", "results.csv", "audits.parquet", "audits.csv", "transitions.csv", "timings.csv",
        "recipe.yaml", "provenance.json",
    }  # fmt: skip
    assert (tmp_path / "here" / "store").is_dir()
    made = json.loads(Path("here/tiny/provenance.json").read_text())
    assert made["jobs"]["train"]["count"] == 2
    assert made["versions"]["torch"]

    first = Path("here/tiny/results.parquet").read_bytes()
    code, _, err = ungrok("study", TINY, *FAST, "--workers", "0", "--out", "here/tiny")
    assert code == 0
    assert "0 jobs ran" in err
    code, out, _ = ungrok("report", "here/tiny")
    assert (code, out) == (0, "here/tiny/report/index.html\n")
    assert Path("here/tiny/results.parquet").read_bytes() == first

    code, out, _ = ungrok("evaluate", TINY, *FAST, "--store", "here/store", "--method", "scrub", "--stage", "grokked")
    header, start, *rest = out.splitlines()
    assert code == 0
    assert header.startswith("dose,updates,forget_passes,retain_passes,UA,RA,TA,bystander_accuracy")
    assert start.startswith("0.0,0,")
    assert rest[-1].startswith("20.0,20,")
    code, out, _ = ungrok("train", TINY, *FAST, "--store", "here/store")
    assert json.loads(out[: out.rindex("}") + 1])["status"] == "grokked"
    code, out, err = ungrok("compare", "here/tiny", "--with", "paper:table8-svhn")
    assert code == 0
    assert out.startswith("Table 8, SVHN, ResNet (arXiv 2512.03437) against here/tiny\nforget\tmethod\tmetric\t")
    assert out.endswith(" not measured\n")
    assert "the study has no forget split classes-2-0.15, classes-2-0.3; it has class" in err
    code, out, _ = ungrok("compare", "here/tiny", "--with", "paper:table11", "--json")
    assert [line["metric"] for line in json.loads(out)] == ["RA", "TA", "UA"]
    code, out, _ = ungrok("unlearn", TINY, *FAST, "--store", "here/store")
    assert out.splitlines()[0] == "dose,UA,RA,TA,forget_loss"


def test_unlearn_from_weights_of_ones_own(ungrok, tmp_path):
    """The path of a stage, from the stage's own weights in a file; the new weights are those of the path's end."""
    assert ungrok("train", TINY, *FAST, "--store", "store")[0] == 0
    chosen = ["--store", "store", "--method", "scrub"]
    code, expected, _ = ungrok("unlearn", TINY, *FAST, *chosen, "--stage", "grokked")
    assert code == 0
    (stage,) = [
        p
        for p in Path("store").glob("stage-*")
        if json.loads((p / "job.json").read_text())["spec"]["stage"] == "grokked"
    ]
    before = (stage / "model.safetensors").read_bytes()
    Path("mine.safetensors").write_bytes(before)
    code, out, err = ungrok("unlearn", "--model", "mine.safetensors", "--recipe", TINY, *FAST, *chosen)
    assert (code, out) == (0, expected + "mine-scrub.safetensors\n"), err
    assert Path("mine.safetensors").read_bytes() == before
    end = load_file("mine-scrub.safetensors")
    assert end.keys() == load_file("mine.safetensors").keys()
    assert any((end[name] != value).any() for name, value in load_file("mine.safetensors").items())


def test_analyze_a_stage_a_model_after_unlearning_and_weights_of_ones_own(ungrok, tmp_path):
    assert ungrok("train", TINY, *FAST, "--store", "store")[0] == 0
    chosen = ["--analysis", "weight_norm", "--store", "store"]
    code, out, err = ungrok("analyze", TINY, *FAST, *chosen, "--stage", "grokked")
    header, first, *_ = out.splitlines()
    assert code == 0, err
    assert header == "measure,on,layer,unit,examples,null,value,low,high,draws"
    assert first.startswith("weight_norm,,model,1,,,")
    after = ungrok("analyze", TINY, *FAST, *chosen, "--stage", "grokked", "--method", "scrub")[1]
    assert "weight_change,before,model" in after
    assert after.splitlines()[1] != first
    stages = {json.loads((p / "job.json").read_text())["spec"]["stage"]: p for p in Path("store").glob("stage-*")}
    Path("mine.safetensors").write_bytes((stages["grokked"] / "model.safetensors").read_bytes())
    code, own, err = ungrok("analyze", TINY, *FAST, *chosen, "--model", "mine.safetensors")
    assert code == 0, err
    assert own.splitlines()[1] == first
    runs = {
        json.loads((p / "job.json").read_text())["spec"]["without"] is None: p for p in Path("store").glob("train-*")
    }
    final = runs[True] / "step-000000150.safetensors"
    at_end = ungrok("analyze", TINY, *FAST, *chosen, "--stage", "step-150")[1]
    whole, pair = ["--model", str(final)], ["--reference", "mine.safetensors"]
    assert ungrok("analyze", TINY, *FAST, *chosen, *whole)[1].splitlines()[1] == at_end.splitlines()[1] != first
    assert "weight_change,reference,model" in ungrok("analyze", TINY, *FAST, *chosen, *whole, *pair)[1]
    code, _, err = ungrok("analyze", TINY, *FAST, "--analysis", "cka", *whole)
    assert (code, "name one with --reference" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--analysis", "curvatur"], "--analysis: 'curvatur' is not known"),
        (["--reference", "mine.safetensors"], "--reference: goes with --model"),
        (["--analysis", "fourier"], "analyze.0: fourier: takes the one-hot codes"),
        (
            [
                "analyze=[{kind: weight_norm, after: false}, {kind: fourier}]",
                "--analysis",
                "weight_norm",
                "--method",
                "scrub",
            ],
            "its 'after'",
        ),
        (["analyze=[{kind: weight_norm, after: false}]", "--method", "scrub"], "its 'after' is false"),
    ],
)
def test_what_cannot_be_analyzed_is_explained(ungrok, words, message):
    code, _, err = ungrok("analyze", TINY, *FAST, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_weights_that_do_not_fit(ungrok, tmp_path):
    save_file({"1.weight": torch.zeros(2, 2)}, "mine.safetensors")
    code, _, err = ungrok("unlearn", "--model", "mine.safetensors", "--recipe", TINY, *FAST)
    assert (code, err.count("\n")) == (2, 1)
    assert "'mine.safetensors' is not whole; it lacks 1.bias, 3.bias, 3.weight" in err
    save_file({"net.0.weight": torch.zeros(2, 2)}, "mine.safetensors")
    _, _, err = ungrok("unlearn", "--model", "mine.safetensors", "--recipe", TINY, *FAST)
    assert "has net.0.weight, which the recipe's model has not; it lacks 1.bias, 1.weight, 3.bias" in err
    whole = {"1.weight": (32, 64), "1.bias": (32,), "3.weight": (10, 32), "3.bias": (9,)}
    save_file({name: torch.zeros(*shape) for name, shape in whole.items()}, "mine.safetensors")
    _, _, err = ungrok("unlearn", "--model", "mine.safetensors", "--recipe", TINY, *FAST)
    assert "3.bias has shape (9,); the recipe's model has (10,)" in err


def test_show_prints_a_recipe_that_loads(ungrok, tmp_path):
    code, out, _ = ungrok("show", "digits", "trajectory.steps=123")
    assert code == 0
    assert yaml.safe_load(out)["trajectory"]["steps"] == 123
    (tmp_path / "copy.yaml").write_text(out)
    assert ungrok("show", "copy.yaml")[1] == out


def test_an_oracle_can_be_trained_alone(ungrok):
    code, out, err = ungrok("train", TINY, "--without", "class", "--seed", "1", "--store", "store")
    assert code == 0, err
    plan = make_plan(load(TINY))
    oracles = {plan.jobs[key].inputs["trajectory"] for where, key in plan.oracles.items() if where[1] == 1}
    assert {Path(out.splitlines()[-1]).name} == oracles
    code, _, err = ungrok("train", TINY, "--without", "clas")
    assert code == 2
    assert "--without" in err


def test_two_processes_train_what_one_would(ungrok, tmp_path):
    """The whole command under torchrun: rank 0 writes the store, and a study finds the trajectory there."""
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "ungrok.cli"]
    command = ["train", TINY, "trajectory.steps=20", "--store", "two"]
    for _ in range(2):  # on a busy machine the processes may fail to meet
        done = subprocess.run([sys.executable, *words, *command], capture_output=True, text=True, timeout=120)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    assert ungrok(*command[:-1], "one")[0] == 0
    (one,), (two,) = (list(Path(store).glob("train-*")) for store in ("one", "two"))
    assert one.name == two.name
    rows = [pd.DataFrame(read_json(folder / "result.json")["rows"]) for folder in (one, two)]
    np.testing.assert_allclose(*(each.drop(columns="step") for each in rows), rtol=1e-4, atol=1e-5)


def test_memory_that_runs_out_outside_a_job_is_one_line(ungrok, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(cli, "estimate", full)
    code, _, err = ungrok("check", TINY)
    assert (code, err.count("\n")) == (2, 1)
    assert "lower the batch sizes" in err
    assert "CUDA out of memory." in err


def test_check_prints_the_plan(ungrok):
    code, out, _ = ungrok("check", TINY)
    assert code == 0
    assert ["45", "5 train, 4 stage, 6 oracle, 12 unlearn, 12 evaluate jobs)"][1] in out
    assert all(word in out for word in ("checkpoints:", "disk: about", "time: about", "warning: forget split 'class'"))
    assert "not counted" not in out
    code, out, _ = ungrok("check", TINY, "analyze=[{kind: weight_norm, after: false}]")
    assert "; not counted: 4 analyze jobs\n" in out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["study", "digist"], ["digist", "did you mean 'digits'"]),
        (["study", "digits", "model.kind=mpl"], ["model.kind", "did you mean 'mlp'"]),
        (["study", "nothing.yaml"], ["nothing.yaml"]),
        (["study", "digits", "problem.train_size=1500", "problem.validation_size=400"], ["1500", "1797"]),
        (["study", "digits", "forget=[{kind: mislabeled}]", "along=null"], ["label_noise"]),
        (["study", "modular", "model={kind: cnn}"], ["model", "cnn", "shape"]),
        (["study", "digits", "device=cuda"], ["device", "cuda"]),
        (["train", "digits", "--seed", "77"], ["--seed", "77", "0"]),
        (["unlearn", "digits", "--method", "scurb"], ["--method", "did you mean 'scrub'"]),
        (["unlearn"], ["RECIPE", "--recipe"]),
        (["unlearn", "--model", "nothing.safetensors", "--recipe", TINY], ["--model", "nothing.safetensors"]),
        (["list", "method"], ["method", "did you mean 'methods'"]),
        (["report", "."], ["recipe.yaml"]),
        (["analyze", "digits"], ["--analysis", "'digits'", "weight_norm"]),
        (["analyze", "digits", "--model", "my.safetensors", "--stage", "grokked"], ["--model", "--stage"]),
        (["compare", ".", "--with", "paper:table1"], ["recipe.yaml"]),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(ungrok, words, parts):
    code, out, err = ungrok(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert all(part in err for part in parts), err


def test_an_unwritable_store_is_one_line_and_exit_code_1(ungrok, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = ungrok("study", TINY, *FAST, "--workers", "0", "--out", "out", "--store", "file/store")
    assert code == 1
    assert err.splitlines()[-1].startswith("error: ")
    assert str(Path("file", "store")) in err


def test_an_unwritable_out_is_found_before_any_work(ungrok, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = ungrok("study", TINY, *FAST, "--workers", "0", "--out", "file")
    assert code == 1
    assert err.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_a_recipe_that_is_not_text_is_one_line(ungrok, tmp_path):
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00")
    code, _, err = ungrok("show", "r.yaml")
    assert (code, err.count("\n")) == (2, 1)


def test_a_scheduler_file_that_is_none_is_one_line(ungrok, tmp_path):
    (tmp_path / "s.json").write_text("{}")
    code, _, err = ungrok("study", TINY, *FAST, "--scheduler", "s.json", "--out", "o")
    assert code == 2
    assert err.splitlines()[-1].startswith("error: --scheduler 's.json'")


def test_a_study_that_was_moved_finds_its_store(ungrok, tmp_path):
    assert ungrok("study", TINY, *FAST, "--workers", "0", "--out", "a/tiny")[0] == 0
    (tmp_path / "a").rename(tmp_path / "b")
    assert ungrok("report", "b/tiny")[0] == 0
    (tmp_path / "b" / "store").rename(tmp_path / "elsewhere")
    code, _, err = ungrok("report", "b/tiny")
    assert code == 1
    assert "--store" in err
    assert ungrok("report", "b/tiny", "--store", "elsewhere")[0] == 0


def test_a_study_in_which_everything_diverges_has_a_report(ungrok):
    code, _, err = ungrok("study", TINY, *FAST, "trajectory.optimizer.lr=1e30", "--workers", "0", "--out", "o")
    assert code == 0, err
    assert "diverged" in Path("o/report/index.html").read_text()


@pytest.mark.parametrize("what", list(cli.LISTS))
def test_list_is_json_on_request(ungrok, what):
    code, out, _ = ungrok("list", what, "--json")
    entries = json.loads(out)
    assert code == 0
    assert entries
    assert all(entries.values())
    code, plain, _ = ungrok("list", what)
    assert [line.split("\t")[0] for line in plain.splitlines()] == list(entries)


def test_the_module_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "ungrok.cli", "list", "claims"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("efficiency\t")
