"""What the store of a finished study takes as it lies there, and as its jobs write it today.

python benchmarks/store.py RUN STORE
    megabytes by kind of job, and the updates that replays make for stages and oracles over those of all trainings

Nothing is trained: files are packed again in memory, after making sure that every bit of them comes back.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

from ungrok.core.files import load_tensors, read_json
from ungrok.core.packing import pack, unpack
from ungrok.study.folder import StudyFolder
from ungrok.study.jobs import oracle, unlearn
from ungrok.study.jobs.trained import Trained
from ungrok.study.store import RESULT
from ungrok.train.loop import Training
from ungrok.train.record import can_restart, checkpoint_name, is_checkpoint

BLOCK = 4096


def packed_size(tensors: dict[str, Tensor], differences: int) -> int:
    """Return the bytes of a packed file of tensors, after making sure that every bit comes back."""
    packed, metadata = pack(tensors, differences)
    for name, value in unpack(packed, metadata).items():
        mine, theirs = (x.contiguous().reshape(-1).view(torch.uint8) for x in (value, tensors[name]))
        assert torch.equal(mine, theirs)
    header = 100 * len(packed) + len(*metadata.values())  # about: name, type and offsets of each
    return sum(value.numel() for value in packed.values()) + header


def today(path: Path, training: Training | None) -> int:
    """Return what a file would take if its job ran today; 0 where it would not write it."""
    if path.name in (unlearn.SCORES, oracle.SCORES):
        return packed_size(load_tensors(path), 2 if path.name == unlearn.SCORES else 0)
    if training is None or not is_checkpoint(path.name):
        return path.stat().st_size
    restarts = {checkpoint_name(step) for step in training.restarts()}
    if path.name not in restarts | {checkpoint_name(training.steps)}:
        return 0
    tensors = load_tensors(path)
    if path.name not in restarts and can_restart(path):
        tensors = {name: value for name, value in tensors.items() if name.startswith("model.") or name == "step"}
    return packed_size(tensors, 0)


def blocks(size: int) -> int:
    """Return what a file of a size takes on a file system with blocks of 4 KiB."""
    return -(-size // BLOCK) * BLOCK


def main(run: Path, root: Path) -> None:
    """Print the table."""
    study = StudyFolder.open(run, root)
    before, after, on_disk = Counter[str](), Counter[str](), Counter[str]()
    made = replayed = 0
    for key, job in study.plan.jobs.items():
        training = job.spec.trajectory if isinstance(job, Trained) else None
        made += training.steps if training else 0
        if job.kind in ("stage", "oracle"):
            restarts = study.plan.jobs[job.inputs["trajectory"]].spec.trajectory.restarts()
            step = read_json(study.store.folder(key) / RESULT)["step"] or 0
            last = study.plan.jobs[job.inputs["trajectory"]].spec.trajectory.steps
            replayed += 0 if step == last else step - restarts[bisect_right(restarts, step) - 1]
        for path in filter(Path.is_file, study.store.folder(key).rglob("*")):
            size = today(path, training)
            before[job.kind] += path.stat().st_size
            after[job.kind] += size
            on_disk["before"] += blocks(path.stat().st_size)
            on_disk["after"] += blocks(size)
    for kind, size in before.most_common():
        print(f"{kind}: {size / 1e6:.1f} MB, today {after[kind] / 1e6:.1f} MB")
    print(f"all: {before.total() / 1e6:.1f} MB, today {after.total() / 1e6:.1f} MB")
    print(f"in blocks of 4 KiB: {on_disk['before'] / 1e6:.1f} MB, today {on_disk['after'] / 1e6:.1f} MB")
    print(f"updates of replays / of trainings: {replayed} / {made} = {100 * replayed / made:.1f} %")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
