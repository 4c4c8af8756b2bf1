"""Commands on one model of a study, or on weights of one's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from ungrok.core.files import read_json
from ungrok.study.loading import load
from ungrok.study.plan import make_plan

IN_STORE = ("--store", "here/store")


def stages(store: str) -> dict[str, Path]:
    """Return the folders of a store's stage jobs by the names of the stages."""
    return {read_json(p / "job.json")["spec"]["stage"]: p for p in Path(store).glob("stage-*")}


def test_evaluate_prints_every_place_of_a_path(after_study, tiny):
    code, out, _ = after_study("evaluate", *tiny, *IN_STORE, "--method", "scrub", "--stage", "grokked")
    header, start, *rest = out.splitlines()
    assert code == 0
    assert header.startswith("dose,updates,forget_passes,retain_passes,UA,RA,TA,bystander_accuracy")
    assert start.startswith("0.0,0,")
    assert rest[-1].startswith("20.0,20,")


def test_train_prints_where_the_trajectory_stands(after_study, tiny):
    code, out, _ = after_study("train", *tiny, *IN_STORE)
    assert code == 0
    assert json.loads(out[: out.rindex("}") + 1])["status"] == "grokked"


def test_unlearn_prints_the_accuracies_along_the_path(after_study, tiny):
    code, out, _ = after_study("unlearn", *tiny, *IN_STORE)
    assert code == 0
    assert out.splitlines()[0] == "dose,UA,RA,TA,forget_loss"
    assert len(out.splitlines()) > 2


def test_unlearn_from_weights_of_ones_own(after_study, tiny, tmp_path):
    """The path of a stage, from the stage's own weights in a file; the new weights are those of the path's end."""
    chosen = [*tiny, *IN_STORE, "--method", "scrub"]
    code, expected, _ = after_study("unlearn", *chosen, "--stage", "grokked")
    assert code == 0
    mine, new = tmp_path / "mine.safetensors", tmp_path / "mine-scrub.safetensors"
    before = (stages("here/store")["grokked"] / "model.safetensors").read_bytes()
    mine.write_bytes(before)
    code, out, err = after_study("unlearn", *chosen, "--model", str(mine))
    assert (code, out) == (0, f"{expected}{new}\n"), err
    assert mine.read_bytes() == before
    end = load_file(new)
    assert end.keys() == load_file(mine).keys()
    assert any((end[name] != value).any() for name, value in load_file(mine).items())


def test_unlearn_takes_the_recipe_in_one_way(ungrok, tiny):
    code, _, err = ungrok("unlearn", "--recipe", tiny[0])
    assert code == 2
    assert "No such option" in err
    code, _, err = ungrok("unlearn")
    assert code == 2
    assert "Missing argument 'RECIPE'" in err


def test_analyze_a_stage(after_study, tiny):
    code, out, err = after_study("analyze", *tiny, *IN_STORE, "--analysis", "weight_norm", "--stage", "grokked")
    header, first, *_ = out.splitlines()
    assert code == 0, err
    assert header == "measure,on,layer,unit,examples,null,value,low,high,draws"
    assert first.startswith("weight_norm,,model,1,,,")


def test_analyze_a_model_after_unlearning(after_study, tiny):
    chosen = [*tiny, *IN_STORE, "--analysis", "weight_norm", "--stage", "grokked"]
    before = after_study("analyze", *chosen)[1]
    after = after_study("analyze", *chosen, "--method", "scrub")[1]
    assert "weight_change,before,model" in after
    assert after.splitlines()[1] != before.splitlines()[1]


def test_analyze_weights_of_ones_own(after_study, tiny, tmp_path):
    """The weights of a stage in a file are measured as the stage is; a checkpoint of a training run as the stage at its step."""
    chosen = [*tiny, *IN_STORE, "--analysis", "weight_norm"]
    stage = after_study("analyze", *chosen, "--stage", "grokked")[1]
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes((stages("here/store")["grokked"] / "model.safetensors").read_bytes())
    code, own, err = after_study("analyze", *chosen, "--model", str(mine))
    assert code == 0, err
    assert own.splitlines()[1] == stage.splitlines()[1]
    (run,) = [p for p in Path("here/store").glob("train-*") if read_json(p / "job.json")["spec"]["without"] is None]
    final = ["--model", str(run / "step-000000150.safetensors")]
    at_end = after_study("analyze", *chosen, "--stage", "step-150")[1]
    assert after_study("analyze", *chosen, *final)[1].splitlines()[1] == at_end.splitlines()[1] != own.splitlines()[1]
    assert "weight_change,reference,model" in after_study("analyze", *chosen, *final, "--reference", str(mine))[1]


def test_a_measure_that_compares_needs_a_reference(after_study, tiny):
    model = stages("here/store")["grokked"] / "model.safetensors"
    code, _, err = after_study("analyze", *tiny, "--analysis", "cka", "--model", str(model))
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
def test_what_cannot_be_analyzed_is_explained(ungrok, tiny, words, message):
    code, _, err = ungrok("analyze", *tiny, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


WHOLE = {"1.weight": (32, 64), "1.bias": (32,), "3.weight": (10, 32), "3.bias": (9,)}


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"1.weight": (2, 2)}, "'mine.safetensors' is not whole; it lacks 1.bias, 3.bias, 3.weight"),
        (
            {"net.0.weight": (2, 2)},
            "has net.0.weight, which the recipe's model does not have; it lacks 1.bias, 1.weight, 3.bias",
        ),
        (WHOLE, "3.bias has shape (9,); the recipe's model has (10,)"),
    ],
)
def test_weights_that_do_not_fit(ungrok, tiny, shapes, message):
    save_file({name: torch.zeros(*shape) for name, shape in shapes.items()}, "mine.safetensors")
    code, _, err = ungrok("unlearn", *tiny, "--model", "mine.safetensors")
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_an_oracle_can_be_trained_alone(ungrok, tiny):
    code, out, err = ungrok("train", tiny[0], "--without", "class", "--seed", "1", "--store", "store")
    assert code == 0, err
    plan = make_plan(load(tiny[0]))
    oracles = {plan.jobs[key].inputs["trajectory"] for where, key in plan.oracles.items() if where[1] == 1}
    assert {Path(out.splitlines()[-1]).name} == oracles
    code, _, err = ungrok("train", tiny[0], "--without", "clas")
    assert code == 2
    assert "--without" in err


def test_two_processes_train_what_one_would(ungrok, tiny):
    """The whole command under torchrun: rank 0 writes the store, and a study finds the trajectory there."""
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "ungrok.cli"]
    command = ["train", tiny[0], "trajectory.steps=20", "--store", "two"]
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
