"""A recorder for a training loop of one's own: checkpoints, metrics, and a live word on the transition."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ungrok.core.entrance import entering
from ungrok.core.errors import DamagedFile, RecipeError, shown, shown_file
from ungrok.core.files import load_tensors, read_json, save_tensors, write_json, write_text
from ungrok.core.identity import identity_of
from ungrok.core.modules import bare, sharding
from ungrok.core.schema import explain
from ungrok.core.scores import evaluating
from ungrok.core.weights import kept, whole
from ungrok.train.live import LiveTransition
from ungrok.train.transition import Transition, TransitionRule

FORMAT = 1
RECORDED, METRICS = "recorded.json", "metrics.jsonl"
CHECKPOINT = re.compile(r"step-(\d{8,})\.safetensors")

KEPT_FROM, KEPT, MEASURED = 10, 0.25, 0.05
"""With ``every="log"``: the first kept step after the first of all; the relative distance of kept and of measured steps."""

Metrics = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


class Recorder:
    """Keeps the path of a training run in a folder, from within any loop.

    ``recorded.json`` says what is recorded; ``metrics.jsonl`` has one line for each measured step; ``step-00000700.safetensors``
    holds the weights at step 700, tied weights once. A folder that exists is gone on with: the first step that is recorded
    replaces that step and all later ones, as a loop that was resumed makes them again. Until then nothing is changed, so that
    ``Recorder(folder).verdict`` reads a run under way.

    Args:
        folder: Where to keep it; made if it is not there.
        every: ``"log"``: weights are kept at gaps of at most a quarter of the step, and metrics given as a function are taken at
            gaps of at most a twentieth. A number: both every so many steps.
        examples: The identity of the training examples: the user's own keys, or the examples, of which only a hash is kept; see
            :func:`ungrok.core.identity.identity_of`.
        transition: Thresholds by name, as in a recipe's ``transition``, for instance ``{"grokked": 0.8}``.
        chance: Accuracy of guessing, in (0, 1), for the verdict to say whether validation is still there.
        stop: Whether :attr:`should_stop` is to turn true.

    Raises:
        RecipeError: If an argument is not allowed, or the folder holds the run of other examples.
        DamagedFile: If the folder holds a run that cannot be read.

    """

    def __init__(
        self,
        folder: str | Path,
        every: Literal["log"] | int = "log",
        *,
        examples: Any = None,
        transition: TransitionRule | Mapping[str, Any] | None = None,
        chance: float | None = None,
        stop: bool = False,
    ) -> None:
        if every != "log" and not (_is_whole(every) and every >= 1):
            raise RecipeError(f"every: {shown(every)} is not allowed; allowed: 'log' or a whole number from 1")
        if chance is not None and not 0 < chance < 1:
            raise RecipeError(f"chance: {shown(chance)} is not allowed; allowed: between 0 and 1")
        self.folder = Path(folder).expanduser()
        self.every: Literal["log"] | int = "log" if every == "log" else int(every)
        self.stop = stop
        self.examples = None if examples is None else identity_of(examples)
        before = self._settings_there()
        self.live = LiveTransition(_rule(transition, before.get("transition")), chance or before.get("chance"))
        for row in _rows(self.folder / METRICS):
            self.live.add(row)
        self._kept = max(checkpoints(self.folder), default=None)
        self._look_ahead()
        self._at: int | None = None  # the last step of this session
        self._line = 0  # where the last line of the metrics begins, in bytes

    def _settings_there(self) -> dict[str, Any]:
        """Return the settings of a run that is there, and take the identity of its examples."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecipeError(f"folder: {shown_file(self.folder)} cannot be made ({error.strerror})") from None
        if not (self.folder / RECORDED).exists():
            if (self.folder / METRICS).exists() or checkpoints(self.folder):
                raise RecipeError(f"folder: {shown_file(self.folder)} has steps but no {RECORDED}; give another")
            return {}
        before = read_json(self.folder / RECORDED)
        if not isinstance(before, dict) or before.get("format") != FORMAT:
            raise DamagedFile(f"{self.folder / RECORDED}: is not of format {FORMAT}")
        if self.examples is None:
            self.examples = before["examples"]
        elif before["examples"] not in (None, self.examples):
            raise RecipeError(f"examples: {shown_file(self.folder)} was recorded with others; give another folder")
        return before

    @property
    def last(self) -> int | None:
        """The last recorded step; None before any."""
        steps = [self.live.rows[-1]["step"]] if self.live.rows else []
        return max(steps if self._kept is None else [*steps, self._kept], default=None)

    @property
    def transition(self) -> Transition:
        """The transition on what has been measured so far."""
        return self.live.transition()

    @property
    def verdict(self) -> str:
        """What there is to say of the transition now, for instance "memorized at 700; validation still at chance at 900 (0.04); not yet"."""
        return self.live.sentence()

    @property
    def should_stop(self) -> bool:
        """Whether the run was to stop, and :attr:`transition` has come to know both crossings, with a delay between them or without."""
        return self.stop and self.live.reached is not None

    def due(self, step: int) -> bool:
        """Return whether :meth:`step` would take metrics or keep weights at a step that comes next."""
        again = self._at is None and self.last is not None and step <= self.last
        return again or step >= min(self._measure_at, self._keep_at)

    def step(self, model: nn.Module, step: int, metrics: Metrics | None = None, *, keep: bool = False) -> bool:
        """Record a step, if it is due.

        Args:
            model: Its weights are kept where a checkpoint is due, and where the run is to stop.
            step: Updates made so far.
            metrics: Finite numbers by name, all of which are kept; or a function that returns them, which is called only where
                they are due, with the model in eval mode and without gradients. ``train_accuracy`` and ``validation_accuracy``, in
                [0, 1], are what the transition is read from.
            keep: Keep the weights in any case, for instance at the last step.

        Returns:
            :attr:`should_stop`.

        Raises:
            RecipeError: If the step does not come after the one before, or a metric is no finite number.

        """
        if callable(metrics) and not keep and type(step) is int and self._passes(step):
            return self.should_stop
        if step == self._at:
            raise RecipeError(f"step: {step} does not come after {self._at}; steps must rise")
        self._begin(step)
        due, stopped = step >= self._keep_at, self.should_stop
        if not callable(metrics):
            self.measured(step, {} if metrics is None else metrics)
        elif due or step >= self._measure_at:
            self.measured(step, _taken(model, metrics))
        if keep or due or (self.should_stop and not stopped):
            self.keep(model, step)
        return self.should_stop

    def keep_if_due(self, model: nn.Module, step: int) -> None:
        """Keep a model's weights at a step, not before the last one, where a checkpoint is due."""
        self._begin(step)
        if step >= self._keep_at:
            self.keep(model, step)

    def keep(self, model: nn.Module, step: int) -> None:
        """Keep a model's weights at a step that is not before the last one."""
        self._begin(step)
        if self._kept == step:
            return
        check_whole(model)
        with entering("model", "its weights cannot be kept"):
            save_tensors(self.folder / f"step-{step:08d}.safetensors", kept(_under(model)))
        self._kept = step
        self._look_ahead()

    def measured(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Write metrics of a step that is not before the last one; those of the last step are added to."""
        self._begin(step)
        if not isinstance(metrics, Mapping):
            raise RecipeError(f"metrics: is a {type(metrics).__name__}; allowed: numbers by name")
        numbers = {name: _number(name, value, step) for name, value in metrics.items()}
        if not numbers:
            return
        again = self._measured() == step
        row = self.live.add({"step": int(step), **numbers})
        self._append(_line(row), again)
        self._look_ahead()

    def _append(self, line: bytes, again: bool) -> None:
        """Write a line of metrics, in the place of the last one where that is of the same step."""
        with (self.folder / METRICS).open("ab") as file:
            if again:
                file.truncate(self._line)
            self._line = file.seek(0, 2)
            file.write(line)

    def _measured(self) -> int | None:
        return self.live.rows[-1]["step"] if self.live.rows else None

    def _passes(self, step: int) -> bool:
        """Note a step at which nothing is due, as most are; return False for any other."""
        if self._at is None or not self._at < step < self._measure_at or step >= self._keep_at:
            return False
        self._at = step
        return True

    def _look_ahead(self) -> None:
        """Note from which steps on weights and metrics are due."""
        self._keep_at = self._after(self._kept, KEPT, KEPT_FROM)
        self._measure_at = self._after(self._measured(), MEASURED, 1)

    def _after(self, before: int | None, spacing: float, first: int) -> int:
        if before is None:
            return 0
        if self.every == "log":
            return max(first, before + 1, int(before * (1 + spacing)))
        return (before // self.every + 1) * self.every

    def _begin(self, step: int) -> None:
        """Check a step, and at the first of a session drop what the folder holds from it on."""
        if not _is_whole(step) or step < 0:
            raise RecipeError(f"step: {shown(step)} is not allowed; allowed: a whole number from 0")
        if self._at is None:
            self._open(step)
        elif step < self._at:
            raise RecipeError(f"step: {step} does not come after {self._at}; steps must rise")
        self._at = step

    def _open(self, step: int) -> None:
        asked = {"every": self.every, "transition": self.live.rule.to_dict(), "chance": self.live.chance}
        write_json(self.folder / RECORDED, {"format": FORMAT, **asked, "examples": self.examples})
        earlier = [row for row in self.live.rows if row["step"] < step]
        self.live.clear()
        for row in earlier:
            self.live.add(row)
        lines = [_line(row) for row in earlier]
        write_text(self.folder / METRICS, b"".join(lines).decode())
        for at, path in checkpoints(self.folder).items():
            if at >= step:
                path.unlink()
        self._kept = max(checkpoints(self.folder), default=None)
        self._look_ahead()


def check_whole(model: nn.Module) -> None:
    """Raise RecipeError where no process holds the whole weights of a model, which it takes all processes to gather."""
    with entering("model", "its weights cannot be kept"):
        parts = sharding(model)
    if parts is not None:
        raise RecipeError(
            f"model: its weights are in parts, one for each process ({parts}), and a Recorder keeps whole ones; train with DDP, or give a "
            "Recorder in your own loop a model with the gathered weights"
        )


def checkpoints(folder: str | Path) -> dict[int, Path]:
    """Return the files of weights that a recorder left in a folder, by step, steps rising."""
    named = ((CHECKPOINT.fullmatch(path.name), path) for path in Path(folder).iterdir())
    return dict(sorted((int(match[1]), path) for match, path in named if match))


def load_weights(path: str | Path, model: nn.Module) -> nn.Module:
    """Put the weights of a file that a recorder left into a model of the same kind, and return that model.

    Raises:
        DamagedFile: If the file is missing or damaged.
        RecipeError: If the model has other weights.

    """
    tensors, inner = load_tensors(Path(path)), _under(model)
    with entering("model", f"does not take the weights of {shown_file(path)}"):
        inner.load_state_dict(whole(inner, tensors))
    return model


def rows(folder: str | Path) -> list[dict[str, Any]]:
    """Return the metrics that a recorder left in a folder, one dict with ``step`` for each measured step."""
    return _rows(Path(folder) / METRICS)


def _rows(path: Path) -> list[dict[str, Any]]:
    lines = (
        path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    )  # after a crash the last has no end
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise DamagedFile(f"{path}: has a line that is no JSON ({error})") from error


def _line(row: dict[str, Any]) -> bytes:
    return f"{json.dumps(row)}\n".encode()


def _rule(given: TransitionRule | Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> TransitionRule:
    if isinstance(given, TransitionRule):
        return given
    content = dict(before or {}) if given is None else dict(given)
    try:
        return TransitionRule.model_validate(content)
    except ValidationError as error:
        raise RecipeError(explain(error, content, "transition")) from None


def _taken(model: nn.Module, metrics: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    with evaluating(model), torch.no_grad():
        return metrics()


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _number(name: str, value: Any, step: int) -> float:
    """Return a metric as a float.

    Raises:
        RecipeError: If it is no finite number, or an accuracy outside [0, 1].

    """
    if not isinstance(name, str) or name == "step":
        raise RecipeError(f"metrics: {shown(name)} is no name for a metric")
    single = isinstance(value, Tensor) and value.numel() == 1
    number = float(value) if single or (hasattr(value, "__float__") and not isinstance(value, Tensor)) else math.nan
    if not math.isfinite(number):
        raise RecipeError(f"metrics: {name} is {shown(value)} at step {step}; allowed: finite numbers")
    if name.endswith("_accuracy") and not 0 <= number <= 1:
        raise RecipeError(
            f"metrics: {name} is {number:g} at step {step}; allowed: a share between 0 and 1, not percent"
        )
    return number


def _under(model: nn.Module) -> nn.Module:
    """Return the module under every wrapper, whose state dict has the names that the model gives its weights."""
    inner = bare(model)
    return _under(inner.module) if isinstance(inner, DistributedDataParallel) else inner
