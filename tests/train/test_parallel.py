"""One training over two processes against the same training in one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.files import load_tensors
from ungrok.core.seeds import seeded
from ungrok.data.base import Data, Split
from ungrok.train.grokfast import GrokfastEMA
from ungrok.train.loop import Run, Training
from ungrok.train.optimizers import SGD
from ungrok.train.parallel import Ranks, joined
from ungrok.train.penalties import JacobianPenalty
from ungrok.train.record import checkpoint_name
from ungrok.train.sam import SAM
from ungrok.train.speed import Speed

TRAININGS = {
    "plain": Training(optimizer=SGD(lr=0.1, schedule="cosine"), steps=24, batch_size=8, checkpoint_from=4),
    "arms": Training(
        optimizer=SGD(lr=0.05), steps=24, batch_size=8, checkpoint_from=4, sam=SAM(), grokfast=GrokfastEMA(), loss="mse"
    ),
}


def make(name: str) -> Run:
    """Return a run in float64 whose last batches of an epoch hold three examples: shares of two and of one."""
    draw = torch.Generator().manual_seed(1)
    parts = [
        Split(torch.randn(n, 4, generator=draw, dtype=torch.float64), torch.randint(3, (n,), generator=draw))
        for n in (19, 9, 11)
    ]
    with seeded(0):
        model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    return Run(model, Data(*parts, 3, torch.zeros(0, dtype=torch.int64)), TRAININGS[name], 3)


def main() -> None:
    """Record all runs as one of the processes of torchrun; die at a step if told to."""
    root, last = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    with joined():
        for name in TRAININGS:
            run = make(name)

            def dying(run: Run = run, step: Callable[[], None] = run.optimizer.step) -> None:
                if run.ranks.rank == 1 and run.step == last:
                    os._exit(9)
                step()

            run.optimizer.step = dying  # type: ignore[method-assign]
            run.record(root / name, save_after=-1.0)


def two(root: Path, last: int = -1) -> int:
    words = ["--standalone", "--nproc-per-node=2", __file__, str(root), str(last)]
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", *words], capture_output=True, timeout=120)
    return done.returncode


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """Return the folder of what two processes record, by training; one of them was killed in the first training."""
    root = tmp_path_factory.mktemp("two")
    for name in TRAININGS:
        (root / name).mkdir()
    assert two(root, last=13) != 0
    assert list((root / "plain").glob("resume-*"))
    # On a busy machine the processes may fail to meet; what a user then does is to start them again.
    assert two(root) == 0 or two(root) == 0
    return root


@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_are_equal_to_one(name, recorded, tmp_path):
    """At the same global batch, in float64; the first training also goes on after one of them is killed."""
    folders = [tmp_path, recorded / name]
    kept_steps = make(name).record(folders[0])["checkpoints"]
    assert sorted(p.name for p in folders[1].iterdir()) == sorted(p.name for p in folders[0].iterdir())
    kept = [file.name for file in folders[0].glob("step-*.safetensors")]
    assert {checkpoint_name(step) for step in (0, kept_steps[-1])} <= set(kept)
    for file in kept:
        one, other = (load_tensors(folder / file) for folder in folders)
        for key, value in one.items():
            assert torch.allclose(value.double(), other[key].double(), rtol=1e-8, atol=1e-10), (file, key)


def test_shares_of_a_batch():
    batch = (torch.arange(5), torch.arange(5) * 2)
    shares = [Ranks(rank, 2).share(batch)[1].tolist() for rank in (0, 1)]
    assert shares == [[0, 4, 8], [2, 6]]
    assert Ranks().share(batch) is batch


@pytest.mark.parametrize("change", [{"penalty": JacobianPenalty()}, {"speed": Speed(cuda_graphs=True)}])
def test_what_works_in_one_process_only(change):
    training = Training(**change)
    training.check(Ranks())
    with pytest.raises(RecipeError, match=f"trajectory.{next(iter(change))}.*one process only, not in 2"):
        training.check(Ranks(0, 2))


if __name__ == "__main__":
    main()
