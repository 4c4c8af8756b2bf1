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

from ungrok.core.files import load_tensors, read_json, save_tensors
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
    assert header.startswith("dose,updates,forget_passes,retain_passes,weight_distance,")
    assert ",moved_retain,UA,RA,TA,bystander_accuracy" in header
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


def test_unlearn_says_what_the_method_certifies(after_study, tiny):
    method = "unlearn=[{kind: output_perturbation, clip: 1, sigma: 2, updates: 3}]"
    code, out, err = after_study("unlearn", *tiny, method, *IN_STORE)
    assert (code, len(out.splitlines())) == (0, 5), err
    assert "output_perturbation certifies ε = 4.38 at δ = 1e-05 and δ = 0.127 at ε = 1, by noise of σ = 2" in err


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


@pytest.fixture
def plain(tmp_path) -> str:
    """Return a file of the weights of a stage that does not say what they were trained on."""
    save_file(load_file(stages("here/store")["grokked"] / "model.safetensors"), tmp_path / "plain.safetensors")
    return str(tmp_path / "plain.safetensors")


def test_weights_that_do_not_say_what_they_were_trained_on(after_study, tiny, plain):
    """They are refused, unless somebody vouches for them; then the path is that of the stage itself."""
    chosen = [*tiny, *IN_STORE, "--method", "scrub"]
    code, out, err = after_study("unlearn", *chosen, "--model", plain)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "plain.safetensors' does not say that it was trained on this recipe's training split" in err
    expected = after_study("unlearn", *chosen, "--stage", "grokked")[1]
    code, out, err = after_study("unlearn", *chosen, "--model", plain, "--trained-on-split")
    assert (code, out.startswith(expected), err) == (0, True, "")


def test_weights_that_torch_saved_are_read_without_running_code(after_study, tiny, tmp_path):
    """A state dict under any name, also that of a compiled model; who saved it must still say what it was trained on."""
    state = load_file(stages("here/store")["grokked"] / "model.safetensors")
    torch.save({"net": {f"_orig_mod.{name}": value for name, value in state.items()}, "step": 3}, tmp_path / "mine.pt")
    chosen = [*tiny, *IN_STORE, "--method", "scrub"]
    code, _, err = after_study("unlearn", *chosen, "--model", str(tmp_path / "mine.pt"))
    assert (code, "mine.pt' does not say that it was trained on this recipe's training split" in err) == (2, True)
    expected = after_study("unlearn", *chosen, "--stage", "grokked")[1]
    code, out, _ = after_study("unlearn", *chosen, "--model", str(tmp_path / "mine.pt"), "--trained-on-split")
    assert (code, out) == (0, f"{expected}{tmp_path / 'mine-scrub.safetensors'}\n")


def test_weights_trained_on_another_split_are_refused(after_study, tiny, tmp_path):
    (tmp_path / "mine.safetensors").write_bytes((stages("here/store")["grokked"] / "model.safetensors").read_bytes())
    mine = ("--model", str(tmp_path / "mine.safetensors"))
    code, _, err = after_study("unlearn", *tiny, "problem.data_seed=7", *IN_STORE, *mine)
    assert (code, "--trained-on-split" in err, "--forget" in err) == (2, True, True)
    code, _, err = after_study("unlearn", *tiny, "problem.data_seed=7", *IN_STORE, *mine, "--trained-on-split")
    assert code == 0
    assert "warning: before unlearning RA is 0." in err


def test_a_checkpoint_of_a_training_says_by_the_job_beside_it_what_it_was_trained_on(after_study, tiny, tmp_path):
    runs = {read_json(p / "job.json")["spec"]["without"] is None: p for p in Path("here/store").glob("train-*")}
    to = ("--out", str(tmp_path / "new.safetensors"))
    for whole, expected in ((True, 0), (False, 2)):
        last = str(runs[whole] / "step-000000150.safetensors")
        assert after_study("unlearn", *tiny, *IN_STORE, "--model", last, *to)[0] == expected


@pytest.mark.parametrize("text", ["[3, 5, 7]", "3\n5\n7\n", "3 5, 7"])
def test_what_is_to_be_forgotten_may_stand_in_a_file(after_study, tiny, plain, tmp_path, text):
    listed = tmp_path / "mine.txt"
    listed.write_text(text)
    code, out, err = after_study("unlearn", *tiny, *IN_STORE, "--model", plain, "--forget", str(listed))
    assert code == 0, err
    shares = {float(line.split(",")[1]) * 3 for line in out.splitlines()[1:-1]}
    assert all(abs(share - round(share)) < 1e-6 for share in shares)  # UA is an accuracy on three examples


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3 120", "'120' is no training example; allowed: 0 to 119"),
        ("-1", "'-1' is no training example"),
        ("1.0", "'1.0' is no training example"),
        ("²", "'²' is no training example"),
        ("1 1 2", "names 3 examples, of which 2 differ"),
        ("[]", "names 0 of 120 training examples; allowed: 1 to 119"),
        (" ".join(map(str, range(120))), "names 120 of 120"),
        ("9" * 5000, "is no training example"),
        (b"\xff", "cannot be read as text"),
    ],
)
def test_a_file_of_what_is_to_be_forgotten_that_cannot_be(after_study, tiny, plain, tmp_path, text, message):
    listed = tmp_path / "mine.txt"
    listed.write_bytes(text if isinstance(text, bytes) else text.encode())
    code, out, err = after_study("unlearn", *tiny, *IN_STORE, "--model", plain, "--forget", str(listed))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "mine.txt" in err
    assert message in err


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("missing/x.safetensors", "its folder is not there"),
        (".", "is a folder"),
        (f"{'x' * 300}.safetensors", "too long"),
        ("job.json/x.safetensors", "its folder is not there"),
    ],
)
def test_where_new_weights_cannot_go_is_told_before_the_path_is_walked(after_study, tiny, monkeypatch, out, message):
    monkeypatch.setattr("ungrok.study.single.walk", lambda *_, **__: pytest.fail("walked"))
    file = str(stages("here/store")["grokked"] / "model.safetensors")
    code, _, err = after_study("unlearn", *tiny, *IN_STORE, "--model", file, "--out", out)
    assert (code, err.count("\n")) == (2, 1)
    assert "--out" in err
    assert message in err


@pytest.mark.parametrize(
    "words", [["--trained-on-split"], ["--out", "new.safetensors"], ["--model", "m.safetensors", "--stage", "grokked"]]
)
def test_options_that_do_not_go_together(ungrok, tiny, words):
    code, _, err = ungrok("unlearn", *tiny, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert words[0] in err


def test_unlearn_takes_the_recipe_in_one_way(ungrok, tiny):
    code, _, err = ungrok("unlearn", "--recipe", tiny[0])
    assert code == 2
    assert "No such option" in err
    code, _, err = ungrok("unlearn")
    assert code == 2
    assert err == "error: RECIPE: is missing; or give a model and data of your own, with --model and --data\n"


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
    other = tmp_path / "other.safetensors"
    save_tensors(other, load_tensors(mine))
    code, _, err = after_study("analyze", *chosen, "--model", str(other))
    assert (code, "does not say that it was trained on this recipe's training split" in err) == (2, True)
    assert "--forget" not in err
    assert after_study("analyze", *chosen, "--model", str(other), "--trained-on-split")[1] == own
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
        (["--trained-on-split"], "--trained-on-split: goes with --model"),
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


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(10).int(), "holds 3.bias as int32; weights are floating-point numbers"),
        (torch.full((10,), torch.nan), "holds values of 3.bias that are not finite"),
    ],
)
def test_weights_that_no_model_has(ungrok, tiny, value, message):
    save_file({**{name: torch.zeros(*shape) for name, shape in WHOLE.items()}, "3.bias": value}, "mine.safetensors")
    for words in (("unlearn", "--trained-on-split"), ("analyze", "--analysis", "weight_norm")):
        code, _, err = ungrok(words[0], *tiny, "--model", "mine.safetensors", *words[1:])
        assert (code, err.count("\n"), message in err) == (2, 1, True)


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
