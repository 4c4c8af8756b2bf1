"""A real Trainer that records its path."""

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("transformers")
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

from ungrok.core.errors import RecipeError
from ungrok.integrations.transformers import RecorderCallback
from ungrok.train.recorder import Recorder, checkpoints, load_weights, rows


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 3)

    def forward(self, x, labels):
        logits = self.out(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def examples(seed, count=24):
    X = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return [{"x": x, "labels": x[:3].argmax()} for x in X]


def accuracy(predictions):
    return {"accuracy": float(np.mean(predictions.predictions.argmax(-1) == predictions.label_ids))}


def trainer(folder, callback, sets=("train", "validation"), **options):
    torch.manual_seed(0)
    plain = {"use_cpu": True, "report_to": [], "disable_tqdm": True, "save_strategy": "no", "eval_strategy": "steps"}
    plain |= {"per_device_train_batch_size": 8, "learning_rate": 0.05, "max_steps": 40, "eval_steps": 4}
    arguments = TrainingArguments(str(folder / "trainer"), **(plain | options))
    data = {"train": examples(0), "validation": examples(1)}
    evaluated = data["validation"] if sets == "validation" else {name: data[name] for name in sets}
    return Trainer(
        Net(),
        arguments,
        train_dataset=data["train"],
        eval_dataset=evaluated,
        compute_metrics=accuracy,
        callbacks=[callback],
    )


def test_weights_and_both_accuracies_are_recorded(tmp_path):
    callback = RecorderCallback(tmp_path / "run")
    done = trainer(tmp_path, callback)
    first = {name: value.clone() for name, value in done.model.state_dict().items()}
    done.train()
    done.evaluate(examples(2))  # outside of training
    assert list(checkpoints(tmp_path / "run")) == [0, 10, 12, 15, 18, 22, 27, 33, 40]
    recorded = rows(tmp_path / "run")
    assert [row["step"] for row in recorded] == [*range(4, 41, 4)]
    assert set(recorded[0]) == {"step", "train_accuracy", "train_loss", "validation_accuracy", "validation_loss"}
    logged = {
        entry["step"]: entry["eval_train_accuracy"]
        for entry in done.state.log_history
        if "eval_train_accuracy" in entry
    }
    assert {row["step"]: row["train_accuracy"] for row in recorded} == logged
    kept = checkpoints(tmp_path / "run")
    for step, state in ((0, first), (40, done.model.state_dict())):
        assert torch.equal(load_weights(kept[step], Net()).out.weight, state["out.weight"])


def test_one_set_is_validation_and_other_names_are_mapped(tmp_path):
    callback = RecorderCallback(tmp_path / "run", metrics={"train_accuracy": "eval_accuracy"})
    trainer(tmp_path, callback, "validation", max_steps=4).train()
    assert [set(row) for row in rows(tmp_path / "run")] == [{"step", "train_accuracy", "validation_loss"}]


def test_a_trainer_stops_after_a_sustained_transition(tmp_path):
    rule = {"memorized": 0.6, "grokked": 0.5, "sustained": 2}
    callback = RecorderCallback(Recorder(tmp_path / "run", every=100, transition=rule, stop=True))
    done = trainer(tmp_path, callback, max_steps=400)
    done.train()
    last = rows(tmp_path / "run")[-2:]
    assert done.state.global_step == last[-1]["step"] < 400
    assert all(row["validation_accuracy"] >= 0.5 for row in last)
    assert list(checkpoints(tmp_path / "run")) == [0, done.state.global_step]
    assert callback.recorder.verdict.startswith("memorized at ")


def test_a_run_that_is_resumed_records_the_same_path(tmp_path):
    for name, options in (
        ("whole", {"max_steps": 24}),
        ("resumed", {"max_steps": 24, "save_strategy": "steps", "save_steps": 8}),
    ):
        trainer(tmp_path / name, RecorderCallback(tmp_path / name / "run"), **options).train()
    path = tmp_path / "resumed" / "run"
    before = rows(path)
    again = trainer(tmp_path / "resumed", RecorderCallback(path), max_steps=24)
    again.train(resume_from_checkpoint=str(tmp_path / "resumed" / "trainer" / "checkpoint-16"))
    assert rows(path) == before == rows(tmp_path / "whole" / "run")
    assert list(checkpoints(path)) == list(checkpoints(tmp_path / "whole" / "run")) == [0, 10, 12, 15, 18, 22, 24]


def test_sharded_weights_are_refused_in_every_process(tmp_path):
    callback, model = RecorderCallback(tmp_path / "run"), Net()
    model.out.weight.ds_id = 0  # as DeepSpeed ZeRO-3 marks it
    for first in (True, False):
        state = TrainerState(is_world_process_zero=first)
        with pytest.raises(
            RecipeError, match=r"model: its weights are in parts, one for each process \(DeepSpeed ZeRO-3\)"
        ):
            callback.on_train_begin(
                TrainingArguments(str(tmp_path / "t"), use_cpu=True), state, TrainerControl(), model=model
            )


def test_the_best_weights_that_a_trainer_ends_with_are_not_taken_for_the_last(tmp_path):
    callback = RecorderCallback(tmp_path / "run")
    best = {"load_best_model_at_end": True, "metric_for_best_model": "validation_loss", "greater_is_better": True}
    done = trainer(tmp_path, callback, max_steps=8, save_strategy="steps", save_steps=4, **best)
    done.train()
    last = load_weights(checkpoints(tmp_path / "run")[8], Net())
    assert not torch.equal(last.out.weight, done.model.out.weight)
