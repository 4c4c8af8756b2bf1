"""Recording from within any loop."""

import json
import os
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from ungrok.core.errors import DamagedFile, RecipeError
from ungrok.core.identity import identity_of
from ungrok.train.loop import log_grid
from ungrok.train.recorder import Recorder, checkpoints, load_weights, rows


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight
        self.norm = nn.BatchNorm1d(3)


class Compiled(nn.Module):
    """What torch.compile puts around a model."""

    def __init__(self, model):
        super().__init__()
        self._orig_mod = model


def accuracies(train, validation):
    return {"train_accuracy": train, "validation_accuracy": validation}


def record(folder, steps, **options):
    """Record steps with a model whose weight is the step, and metrics that are taken where they are due."""
    recorder, model, taken = Recorder(folder, **options), nn.Linear(1, 1), []
    for step in steps:
        nn.init.constant_(model.weight, step)
        recorder.step(model, step, lambda step=step: taken.append(step) or {"train_loss": 1 / (1 + step)})
    return recorder, taken


def test_weights_and_metrics_are_taken_on_grids_evenly_spaced_in_the_logarithm(tmp_path):
    _, taken = record(tmp_path, range(400))
    kept = [step for step in log_grid(1000, 0.25, 10) if step < 400]
    assert list(checkpoints(tmp_path)) == kept
    assert [row["step"] for row in rows(tmp_path)] == taken
    gaps = [(a, b) for a, b in pairwise(taken) if b > max(a + 1, a * 1.05)]
    assert gaps == []
    assert set(kept) <= set(taken)
    assert len(taken) < 100
    assert rows(tmp_path)[3] == {"step": 3, "train_loss": 0.25}


def test_due_says_before_what_step_will_do(tmp_path):
    recorder, said = Recorder(tmp_path, every=5), []
    for step in range(1, 22):
        before = recorder.due(step)
        recorder.step(nn.Linear(1, 1), step, lambda: {"train_loss": 1.0})
        assert before == (recorder.last == step)
        said += [step] if before else []
    assert said == [1, 5, 10, 15, 20] == list(checkpoints(tmp_path))


def test_steps_that_pass_over_the_grid_are_kept_at_the_next_call(tmp_path):
    record(tmp_path, range(0, 1000, 100), every=150)
    assert list(checkpoints(tmp_path)) == [0, 200, 300, 500, 600, 800, 900]


def test_metrics_that_are_given_are_all_kept_and_weights_where_due_or_asked_for(tmp_path):
    recorder = Recorder(tmp_path, every=10)
    for step in range(1, 9):
        assert recorder.step(nn.Linear(1, 1), step, {"train_loss": torch.tensor(0.5)}, keep=step == 8) is False
    assert rows(tmp_path) == [{"step": step, "train_loss": 0.5} for step in range(1, 9)]
    assert list(checkpoints(tmp_path)) == [1, 8]
    assert recorder.last == 8


def test_metrics_are_taken_in_eval_mode_without_gradients_and_modes_come_back(tmp_path):
    model, seen = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)), []
    model[1].eval()
    Recorder(tmp_path).step(model, 1, lambda: seen.append((model[0].training, torch.is_grad_enabled())) or {})
    assert seen == [(False, False)]
    assert [model.training, model[0].training, model[1].training] == [True, True, False]


def test_tied_weights_are_stored_once_and_come_back(tmp_path):
    model = Tied()
    Recorder(tmp_path).step(nn.DataParallel(model), 700)
    path = checkpoints(tmp_path)[700]
    assert path.name == "step-00000700.safetensors"
    from safetensors.torch import load_file

    assert sorted(load_file(path)) == sorted(set(model.state_dict()) - {"head.weight"})
    again = Tied()
    assert load_weights(path, again) is again
    assert again.head.weight is again.embed.weight
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_weights_that_are_computed_from_others_come_back(tmp_path):
    model, again = weight_norm(nn.Linear(2, 2)), weight_norm(nn.Linear(2, 2))
    Recorder(tmp_path).step(Compiled(model), 1)
    load_weights(checkpoints(tmp_path)[1], Compiled(again))
    assert torch.equal(model.weight, again.weight)


def test_weights_of_another_model_or_no_weights_are_refused(tmp_path):
    Recorder(tmp_path).step(nn.Linear(1, 2), 1)
    with pytest.raises(RecipeError, match=r"model: does not take the weights of .* \(Error.*size mismatch"):
        load_weights(checkpoints(tmp_path)[1], nn.Linear(1, 3))
    (tmp_path / "broken.safetensors").write_bytes(b"none")
    with pytest.raises(DamagedFile, match="not a valid safetensors file"):
        load_weights(tmp_path / "broken.safetensors", nn.Linear(1, 2))
    with pytest.raises(DamagedFile, match="missing"):
        load_weights(tmp_path / "none.safetensors", nn.Linear(1, 2))


CURVE = [(10, 0.5, 0.1), (20, 1.0, 0.1), (40, 1.0, 0.95), (80, 1.0, 0.92), (160, 1.0, 0.99), (320, 1.0, 0.99)]


def test_weights_that_are_sharded_are_refused_in_one_sentence(tmp_path):
    model = nn.Linear(2, 1)
    model.weight.ds_id = 0  # as DeepSpeed ZeRO-3 marks it
    said = r"^model: its weights are in parts, one for each process \(DeepSpeed ZeRO-3\), and a Recorder keeps whole ones; .*gathered weights$"
    with pytest.raises(RecipeError, match=said):
        Recorder(tmp_path).step(model, 0)
    assert not checkpoints(tmp_path)


@pytest.mark.parametrize(("stop", "left"), [(True, 160), (False, 320)])
def test_a_loop_stops_after_a_sustained_transition(tmp_path, stop, left):
    recorder = Recorder(tmp_path, every=1000, stop=stop)
    for step, train, validation in CURVE:
        if recorder.step(nn.Linear(1, 1), step, accuracies(train, validation)):
            break
    assert recorder.last == left
    assert recorder.should_stop is stop
    assert recorder.verdict == "memorized at 20, grokked at 40, 2.0 times as late"
    assert recorder.transition.status == "grokked"
    assert list(checkpoints(tmp_path)) == ([10, 160] if stop else [10])


def test_thresholds_and_chance_are_given_and_kept(tmp_path):
    recorder = Recorder(tmp_path, transition={"grokked": 0.5, "memorized": 0.9, "sustained": 1}, chance=0.1, stop=True)
    assert recorder.step(nn.Linear(1, 1), 1, accuracies(0.95, 0.12)) is False
    assert (
        recorder.verdict
        == Recorder(tmp_path).verdict
        == "memorized at 1; validation still at chance at 1 (0.12); not yet"
    )
    assert recorder.step(nn.Linear(1, 1), 2, accuracies(0.1, 0.5)) is True


def test_a_folder_is_gone_on_with_and_steps_made_again_replace_later_ones(tmp_path):
    record(tmp_path / "whole", range(300))
    record(tmp_path / "resumed", range(250))
    with (tmp_path / "resumed" / "metrics.jsonl").open("a") as crashed:
        crashed.write('{"step": 251, "tr')
    assert Recorder(tmp_path / "resumed").last == max(
        row["step"] for row in rows(tmp_path / "whole") if row["step"] < 250
    )
    record(tmp_path / "resumed", range(100, 300))
    assert list(checkpoints(tmp_path / "whole")) == [step for step in log_grid(1000, 0.25, 10) if step < 300]
    assert sorted(os.listdir(tmp_path / "whole")) == sorted(os.listdir(tmp_path / "resumed"))
    for path in sorted((tmp_path / "whole").iterdir()):
        if path.suffix != ".safetensors":
            assert path.read_bytes() == (tmp_path / "resumed" / path.name).read_bytes()
    for (_, ours), (_, theirs) in zip(
        *(checkpoints(tmp_path / name).items() for name in ("whole", "resumed")), strict=True
    ):
        assert ours.name == theirs.name
        assert torch.equal(*(load_weights(path, nn.Linear(1, 1)).weight for path in (ours, theirs)))


def test_looking_at_a_run_changes_nothing(tmp_path):
    record(tmp_path, range(30))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert Recorder(tmp_path, every=3).verdict.startswith("nothing to read yet")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_metrics_of_the_last_step_are_added_to(tmp_path):
    recorder = Recorder(tmp_path, stop=True, transition={"sustained": 1})
    recorder.measured(1, {"train_accuracy": 0.5, "validation_accuracy": 1.0})
    recorder.keep_if_due(nn.Linear(1, 1), 2)
    recorder.measured(2, {"validation_accuracy": 1.0})
    assert recorder.should_stop is False
    recorder.measured(2, {"train_accuracy": 1.0})
    assert recorder.should_stop is True
    assert rows(tmp_path) == [{"step": 1, **accuracies(0.5, 1.0)}, {"step": 2, **accuracies(1.0, 1.0)}]


def test_who_was_trained_on_is_kept_but_not_what(tmp_path):
    X, y = torch.randn(4, 2), torch.arange(4)
    Recorder(tmp_path, examples=(X, y)).step(nn.Linear(1, 1), 1)
    recorded = json.loads((tmp_path / "recorded.json").read_text())
    assert recorded["examples"] == identity_of((X, y))
    assert {name: recorded[name] for name in ("format", "every", "chance")} == {
        "format": 1,
        "every": "log",
        "chance": None,
    }
    assert recorded["transition"]["grokked"] == 0.9
    Recorder(tmp_path, examples=(X.flip(0), y.flip(0))).step(nn.Linear(1, 1), 2)
    Recorder(tmp_path).step(nn.Linear(1, 1), 3)
    assert json.loads((tmp_path / "recorded.json").read_text()) == recorded
    with pytest.raises(RecipeError, match=r"^examples: .* was recorded with others; give another folder$"):
        Recorder(tmp_path, examples=["anna"])


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"train_loss": float("nan")}, "metrics: train_loss is nan at step 7; allowed: finite numbers"),
        ({"train_loss": torch.tensor(float("inf"))}, r"train_loss is tensor\(inf\) at step 7"),
        ({"train_loss": torch.ones(2)}, "allowed: finite numbers"),
        ({"train_loss": "low"}, "metrics: train_loss is 'low' at step 7; allowed: finite numbers"),
        ({"train_accuracy": 97.5}, "train_accuracy is 97.5 at step 7; allowed: a share between 0 and 1, not percent"),
        ({"step": 1}, "metrics: 'step' is no name for a metric"),
        ({3: 1}, "metrics: 3 is no name for a metric"),
        (0.5, "metrics: is a float; allowed: numbers by name"),
        (lambda: None, "metrics: is a NoneType; allowed: numbers by name"),
    ],
)
def test_metrics_that_are_none_are_refused_and_leave_no_row(tmp_path, metrics, said):
    with pytest.raises(RecipeError, match=said):
        Recorder(tmp_path).step(nn.Linear(1, 1), 7, metrics)
    assert rows(tmp_path) == []


@pytest.mark.parametrize("step", [7, 6])
def test_steps_must_rise(tmp_path, step):
    recorder = Recorder(tmp_path)
    recorder.step(nn.Linear(1, 1), 7)
    with pytest.raises(RecipeError, match=f"^step: {step} does not come after 7; steps must rise$"):
        recorder.step(nn.Linear(1, 1), step)


@pytest.mark.parametrize("step", [-1, 1.5, "1", True])
def test_steps_are_whole_numbers(tmp_path, step):
    with pytest.raises(RecipeError, match="allowed: a whole number from 0"):
        Recorder(tmp_path).step(nn.Linear(1, 1), step)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"every": 0}, "every: 0 is not allowed; allowed: 'log' or a whole number from 1"),
        ({"every": "often"}, "every: 'often' is not allowed"),
        ({"every": True}, "every: True is not allowed"),
        ({"chance": 10}, "chance: 10 is not allowed; allowed: between 0 and 1"),
        ({"transition": {"groked": 0.5}}, "transition: no such key 'groked'.*did you mean 'grokked'"),
        ({"transition": {"relative": True}}, "transition: a run under way is read by"),
        ({"examples": []}, "examples: there are none"),
    ],
)
def test_arguments_that_are_not_allowed(tmp_path, options, said):
    with pytest.raises(RecipeError, match=said):
        Recorder(tmp_path / "new", **options)


def test_folders_that_cannot_serve(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match=r"^folder: .* cannot be made \(File exists\)$"):
        Recorder(tmp_path / "file")
    record(tmp_path / "other", range(3))
    (tmp_path / "other" / "recorded.json").unlink()
    with pytest.raises(RecipeError, match=r"has steps but no recorded\.json; give another"):
        Recorder(tmp_path / "other")
    record(tmp_path / "newer", range(3))
    (tmp_path / "newer" / "recorded.json").write_text('{"format": 2}')
    with pytest.raises(DamagedFile, match="is not of format 1"):
        Recorder(tmp_path / "newer")
    (tmp_path / "newer" / "recorded.json").write_text('{"format": 1, "examples": null}')
    (tmp_path / "newer" / "metrics.jsonl").write_text('{"step": 1}\n{"st\n')
    with pytest.raises(DamagedFile, match="has a line that is no JSON"):
        Recorder(tmp_path / "newer")
