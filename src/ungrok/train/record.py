"""The record of a training run on disk: rows, checkpoints, losses of single examples; resumable after any crash.

While a run is under way, ``progress.json`` names the files that belong to it, with their checksums. Files are written under names
that it does not hold yet, then it is replaced, and only then those go that it no longer names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ungrok.core.errors import DamagedFile
from ungrok.core.files import (
    WORTH_SYNCING,
    age,
    checksum,
    is_cut,
    load_tensors,
    matches,
    read_sealed,
    save_packed,
    save_tensors,
    tensor_shapes,
    write_sealed,
)
from ungrok.core.weights import whole

if TYPE_CHECKING:
    from ungrok.train.loop import Run

PROGRESS, EXAMPLES = "progress.json", "examples.safetensors"
ROLLING, SO_FAR = "resume", "examples-"
"""How the names begin of the latest whole state between restarts, and of the losses of single examples up to some step."""


def record_all(
    runs: Sequence[Run],
    folders: Sequence[Path],
    advance: Callable[[list[Run], int], None],
    *,
    save_after: float = 20.0,
    tick: Callable[[int], None] | None = None,
    resumable: bool = False,
) -> list[dict[str, Any]]:
    """Record runs of the same training, each in its own folder; see :meth:`ungrok.train.Run.record`.

    Args:
        runs: Differ in seed or data only.
        folders: One for each run.
        advance: Brings runs that stand at the same step to a later one.
        save_after: As in :meth:`ungrok.train.Run.record`.
        tick: As in :meth:`ungrok.train.Run.record`.
        resumable: As in :meth:`ungrok.train.Run.record`.

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
    results = [log.result() for log in logs]
    for log in () if resumable else logs:
        log.clear()
    return results


def advance_one(runs: list[Run], to: int) -> None:
    """Bring a run on its own to a later step, as :func:`record_all` asks for."""
    (run,) = runs
    run.advance(to)


def checkpoint_name(step: int) -> str:
    """Return the file name of a checkpoint."""
    return f"step-{step:09d}.safetensors"


def is_checkpoint(name: str) -> bool:
    """Return whether a file name is one of :func:`checkpoint_name`."""
    return name.startswith("step-")


def passing(names: Iterable[str]) -> set[str]:
    """Return those of the files in a folder by which a run under way is resumed, and which are no part of its record."""
    return {name for name in names if name == PROGRESS or name.startswith((ROLLING, SO_FAR)) or is_cut(name)}


def model_state(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the model's part of a checkpoint, as :func:`ungrok.core.weights.whole` takes it."""
    return {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}


def load_weights(run: Run, tensors: dict[str, Tensor]) -> None:
    """Bring the model of a run to a checkpoint; what further updates need is not read."""
    run.model.load_state_dict(whole(run.model, model_state(tensors)))
    run.step = int(tensors["step"])


def can_restart(path: Path) -> bool:
    """Return whether a checkpoint holds all that later updates depend on, and not the model's weights alone."""
    return "random.0" in tensor_shapes(path)


class _Log:
    """Rows and checkpoints of a run under way, with checksums, so that a damaged file is passed over."""

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
        for path in self.folder.iterdir() if self.writes else ():
            if is_checkpoint(path.name) and path.name not in self.sums:
                path.unlink()  # damaged, or made again

    def _resume(self) -> None:
        try:
            progress = read_sealed(self.folder / PROGRESS)
        except DamagedFile:
            return  # the run starts again
        if not self._resume_examples(progress.get("examples")):
            return
        training = self.run.training
        *restarts, last = map(checkpoint_name, (*training.restarts(), training.steps))
        for name, known in sorted(progress["files"].items(), key=lambda item: item[1]["step"]):
            if matches(self.folder / name, known["sha256"]):
                self.sums[name] = known
            elif name in restarts or name == last:
                break  # replay from before it, so that every checkpoint is whole in the end
        whole = [name for name in self.sums if can_restart(self.folder / name)]
        if last in self.sums:  # no update is missing
            load_weights(self.run, load_tensors(self.folder / last))
        elif whole:
            self.run.restore(load_tensors(self.folder / whole[-1]))
        if whole:
            self.rows = [row for row in progress["rows"] if row["step"] <= self.run.step]
        self.sums = {name: known for name, known in self.sums.items() if known["step"] <= self.run.step}
        self.examples = {name: losses[: len(self.rows)] for name, losses in self.examples.items()}

    def _resume_examples(self, known: dict[str, str] | str | None) -> bool:
        """Read the losses of single examples, and return whether they are whole."""
        if known is None:
            return True
        if isinstance(known, str):  # an earlier version of the package overwrote one file
            known = {"name": EXAMPLES, "sha256": known}
        path = self.folder / known["name"]
        if not matches(path, known["sha256"]):
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
            self._save(f"{ROLLING}-{self.run.step:09d}.safetensors", self.run.state())

    def _save(self, name: str, tensors: dict[str, Tensor]) -> None:
        durable = age(self.folder) >= WORTH_SYNCING
        save_packed(self.folder / name, tensors, durable=durable)
        self.sums = {name: known for name, known in self.sums.items() if is_checkpoint(name)}
        self.sums[name] = {"step": self.run.step, "sha256": checksum(self.folder / name)}
        examples = self._save_examples(f"{SO_FAR}{self.run.step:09d}.safetensors", durable)
        progress = {"rows": self.rows, "files": self.sums, "examples": examples}
        write_sealed(self.folder / PROGRESS, progress, durable=durable)
        self._remove_all_but({PROGRESS, *self.sums, *([examples["name"]] if examples else [])})

    def _save_examples(self, name: str, durable: bool) -> dict[str, str] | None:
        """Write the losses of single examples, shape (records, n) per split, and return the file's name and checksum."""
        if not self.examples:
            return None
        path, tensors = self.folder / name, {split: torch.stack(losses) for split, losses in self.examples.items()}
        save_tensors(path, tensors, durable=durable)
        return {"name": name, "sha256": checksum(path)}

    def _remove_all_but(self, named: set[str]) -> None:
        """Remove the files by which runs are resumed, except for some."""
        for name in passing(path.name for path in self.folder.iterdir()) - named:
            (self.folder / name).unlink(missing_ok=True)

    def result(self) -> dict[str, Any]:
        if not self.writes:
            return {}
        self._save_examples(EXAMPLES, age(self.folder) >= WORTH_SYNCING)
        steps = [step for step in self.run.training.kept() if step < self.run.step or not self.diverged]
        status = "diverged" if self.diverged else "completed"
        return {"status": status, "steps": self.run.step, "rows": self.rows, "checkpoints": steps}

    def clear(self) -> None:
        if self.writes:
            self._remove_all_but(set())
