"""A Lightning Trainer that records its path."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from typing_extensions import override

from ungrok.integrations.metrics import from_lightning, renamed
from ungrok.train.recorder import Recorder, check_whole

PACKAGES = ("pytorch_lightning", "lightning.pytorch")
"""Two names under which Lightning is installed; the classes of one are not those of the other."""


def _bases() -> tuple[type, ...]:
    """Return the base class of callbacks of the package in use; where none is imported yet, of all that are installed."""
    installed = [name for name in PACKAGES if find_spec(name.partition(".")[0])]
    used = [name for name in installed if name in sys.modules] or installed
    if not used:
        raise ModuleNotFoundError("Lightning is not installed: pip install 'ungrok[lightning]'", name=PACKAGES[0])
    return tuple(import_module(name).Callback for name in used)


class RecorderCallback(*_bases()):  # type: ignore[misc]
    """Records a module's weights, at every step that is due, and what it logs when it validates.

    ``val_acc``, ``val/acc`` and ``val_accuracy`` are kept as validation_accuracy, and so on for ``train`` and ``test``. What was logged
    last before a validation ended goes with it, and what is logged at the end of its epoch; log training accuracy with
    ``on_epoch=True``, or it is that of one batch. A metric that is no finite number is left out. With several processes the first one
    writes; weights that FSDP or DeepSpeed ZeRO-3 shard are refused.

    Args:
        recorder: A :class:`~ungrok.train.recorder.Recorder`, or a folder for one with all its defaults.
        metrics: Names that the module logs by ours, where the rule above does not fit: ``{"validation_accuracy": "score"}``.

    """

    def __init__(self, recorder: Recorder | str | Path, metrics: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.recorder = recorder if isinstance(recorder, Recorder) else Recorder(recorder)
        self.metrics = dict(metrics or {})
        self._seen: dict[str, Any] = {}
        self._validated: int | None = None
        self._asked = True

    @override
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Keep the weights that training starts from; refuse sharded ones in every process, so that none waits for another."""
        check_whole(getattr(trainer.strategy, "model", None) or pl_module)
        if trainer.is_global_zero and trainer.global_step == 0:
            self.recorder.keep(pl_module, 0)

    @override
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Take note of what belongs to earlier epochs."""
        self._seen = dict(trainer.callback_metrics)

    @override
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Keep the weights where they are due."""
        self._stop_if_asked(trainer)
        if trainer.is_global_zero:
            self.recorder.keep_if_due(pl_module, trainer.global_step)

    @override
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Record what was logged."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._validated, self._asked = trainer.global_step, False
            self._record(trainer)

    @override
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Add what was logged at the end of an epoch to the validation that ended it."""
        if self._validated == trainer.global_step:
            self._record(trainer)
        self._stop_if_asked(trainer)

    @override
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep the last weights."""
        if trainer.is_global_zero:
            self.recorder.keep(pl_module, trainer.global_step)

    def _record(self, trainer: Any) -> None:
        logged = dict(trainer.callback_metrics)
        # What was not computed anew belongs to an earlier step.
        fresh = {name: value for name, value in logged.items() if value is not self._seen.get(name)}
        self._seen = logged
        if trainer.is_global_zero:
            self.recorder.measured(trainer.global_step, renamed(fresh, self.metrics, from_lightning))

    def _stop_if_asked(self, trainer: Any) -> None:
        """Stop training, if it is to stop, once the validation before has got its training accuracy."""
        if not self._asked:
            self._asked = True
            trainer.should_stop |= trainer.strategy.broadcast(self.recorder.should_stop)
