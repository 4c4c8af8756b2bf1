"""A Hugging Face Trainer that records its path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from ungrok.integrations.metrics import from_trainer, renamed
from ungrok.train.recorder import Recorder, check_whole


class RecorderCallback(TrainerCallback):
    """Records a Trainer's weights, at every step that is due, and what it evaluates.

    ``eval_accuracy`` is kept as validation_accuracy. For a training accuracy, give the Trainer two sets by name,
    ``eval_dataset={"train": ..., "validation": ...}``. A metric that is no finite number is left out. With several processes the first
    one writes; weights that FSDP or DeepSpeed ZeRO-3 shard are refused. Evaluations before and after training are not recorded.

    Args:
        recorder: A :class:`~ungrok.train.recorder.Recorder`, or a folder for one with all its defaults.
        metrics: Names of the Trainer by ours, where the rule above does not fit:
            ``{"validation_accuracy": "eval_token_accuracy"}``.

    """

    def __init__(self, recorder: Recorder | str | Path, metrics: Mapping[str, str] | None = None) -> None:
        self.recorder = recorder if isinstance(recorder, Recorder) else Recorder(recorder)
        self.metrics = dict(metrics or {})
        self.training = False

    @override
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Keep the weights that training starts from; refuse sharded ones in every process, so that none waits for another."""
        check_whole(given["model"])
        self.training = True
        if state.is_world_process_zero and state.global_step == 0:
            self.recorder.keep(given["model"], 0)

    @override
    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Keep the weights where they are due, and at the last step."""
        if state.is_world_process_zero:
            self.recorder.keep_if_due(given["model"], state.global_step)
            if state.global_step == state.max_steps:
                self.recorder.keep(given["model"], state.global_step)

    @override
    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Record what was evaluated, and stop training if it is to stop."""
        if not self.training:
            return
        if state.is_world_process_zero:
            self.recorder.measured(state.global_step, renamed(given["metrics"], self.metrics, from_trainer))
        if broadcast_object_list([self.recorder.should_stop])[0]:
            control.should_training_stop = True
            if state.is_world_process_zero:
                self.recorder.keep(given["model"], state.global_step)

    @override
    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Keep the last weights."""
        self.training = False
        # Otherwise the model holds the best weights by now, not the last.
        if state.is_world_process_zero and not args.load_best_model_at_end:
            self.recorder.keep(given["model"], state.global_step)
