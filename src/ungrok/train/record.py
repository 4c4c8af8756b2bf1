"""The record of a training run on disk: rows, checkpoints, losses of single examples; resumable after any crash."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ungrok.core.errors import DamagedFile
from ungrok.core.files import (
    checksum,
    load_tensors,
    matches,
    read_sealed,
    save_packed,
    save_tensors,
    tensor_shapes,
    write_sealed,
)

if TYPE_CHECKING:
    from ungrok.train.loop import Run

PROGRESS, EXAMPLES = "progress.json", "examples.safetensors"


def record_all(
    runs: Sequence[Run],
    folders: Sequence[Path],
    advance: Callable[[list[Run], int], None],
    *,
    save_after: float = 20.0,
    tick: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """Record runs of the same training, each in its own folder; see :meth:`ungrok.train.Run.record`.

    Args:
        runs: Differ in seed or data only.
        folders: One for each run.
        advance: Brings runs that stand at the same step to a later one.
        save_after: As in :meth:`ungrok.train.Run.record`.
        tick: As in :meth:`ungrok.train.Run.record`.

    """
    logs = [_Log(run, folder) for run, folder in zip(runs, folders, strict=True)]
    for log in logs:
        log.resume()
    training = runs[0].training
    evaluated, restarts = set(training.evaluated()), set(training.restarts())
    saved = time.monotonic()
    for stop in sorted(evaluated | restarts | set(range(0, training.steps, 1000))):
        behind = [log for log in logs if log.awaits(stop)]
        if not behind:
            continue
        advance([log.run for log in behind], stop)
        roll = time.monotonic() - saved > save_after
        for log in behind:
            log.visit(measure=stop in evaluated, restart=stop in restarts, last=stop == training.steps, roll=roll)
        if roll or stop in restarts:
            saved = time.monotonic()
        if tick:
            tick(stop)
    return [log.result() for log in logs]


def checkpoint_name(step: int) -> str:
    """Return the file name of a checkpoint."""
    return f"step-{step:09d}.safetensors"


def is_checkpoint(name: str) -> bool:
    """Return whether a file name is one of :func:`checkpoint_name`."""
    return name.startswith("step-")


def can_restart(path: Path) -> bool:
    """Return whether a checkpoint holds all that later updates depend on, and not the model's weights alone."""
    return "random.0" in tensor_shapes(path)


class _Log:
    """Rows and checkpoints of a run under way, with checksums, so that a damaged file is passed over."""

    rolling = "resume.safetensors"

    def __init__(self, run: Run, folder: Path) -> None:
        self.run = run
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.sums: dict[str, dict[str, Any]] = {}
        self.examples: dict[str, list[Tensor]] = {}
        self.diverged = False
        self.writes = run.ranks.rank == 0

    def resume(self) -> None:
        self._resume()
        self.run.ranks.wait()  # no rank writes before all have read

    def _resume(self) -> None:
        try:
            progress = read_sealed(self.folder / PROGRESS)
        except DamagedFile:
            return  # the run starts again
        if not self._resume_examples(progress.get("examples")):
            return
        for name, known in sorted(progress["files"].items(), key=lambda item: item[1]["step"]):
            path = self.folder / name
            if matches(path, known["sha256"]):
                self.sums[name] = known
            elif name != self.rolling:
                break  # replay from before it, so that every checkpoint is whole in the end
        starts = [name for name in self.sums if can_restart(self.folder / name)]
        if starts:
            self.run.restore(load_tensors(self.folder / starts[-1]))
            self.rows = [row for row in progress["rows"] if row["step"] <= self.run.step]
        self.sums = {name: known for name, known in self.sums.items() if known["step"] <= self.run.step}
        self.examples = {name: losses[: len(self.rows)] for name, losses in self.examples.items()}

    def _resume_examples(self, known: str | None) -> bool:
        """Read the losses of single examples, and return whether they are whole."""
        path = self.folder / EXAMPLES
        if known is None:
            return True
        if not matches(path, known):
            return False
        self.examples = {name: list(losses) for name, losses in load_tensors(path).items()}
        return True

    def awaits(self, stop: int) -> bool:
        """Return whether the run has not been at ``stop`` yet."""
        seen = bool(self.rows) and self.rows[-1]["step"] == stop
        return not self.diverged and (self.run.step < stop or (self.run.step == stop and not seen))

    def visit(self, *, measure: bool, restart: bool, last: bool, roll: bool) -> None:
        """Measure the run where it stands, and save it: all that a replay needs, or of the last step the weights."""
        if measure:
            row = self.run.measure() if self.writes else {"step": self.run.step}
            self.rows.append(row)
            for name, losses in self.run.examples.items():
                self.examples.setdefault(name, []).append(losses)
            broken = self.writes and None in (row["train_loss"], row.get("gradient_norm", 0))
            self.diverged = self.run.ranks.agree(broken)
        if not self.writes or self.diverged:
            return
        if restart or last:
            self._save(checkpoint_name(self.run.step), self.run.state() if restart else self.run.weights())
        if roll and not restart:
            self._save(self.rolling, self.run.state())

    def _save(self, name: str, tensors: dict[str, Tensor]) -> None:
        save_packed(self.folder / name, tensors)
        self.sums[name] = {"step": self.run.step, "sha256": checksum(self.folder / name)}
        progress = {"rows": self.rows, "files": self.sums, "examples": self._save_examples()}
        write_sealed(self.folder / PROGRESS, progress)

    def _save_examples(self) -> str | None:
        """Write the losses of single examples, shape (records, n) per split, and return the file's checksum."""
        if not self.examples:
            return None
        save_tensors(self.folder / EXAMPLES, {name: torch.stack(losses) for name, losses in self.examples.items()})
        return checksum(self.folder / EXAMPLES)

    def result(self) -> dict[str, Any]:
        if not self.writes:
            return {}
        self._save_examples()
        (self.folder / self.rolling).unlink(missing_ok=True)
        (self.folder / PROGRESS).unlink(missing_ok=True)
        steps = [step for step in self.run.training.kept() if step < self.run.step or not self.diverged]
        status = "diverged" if self.diverged else "completed"
        return {"status": status, "steps": self.run.step, "rows": self.rows, "checkpoints": steps}
