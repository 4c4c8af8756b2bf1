"""Peak memory of every method on ResNet-18 (11.2 million weights), beyond a process that has only loaded model and data.

python benchmarks/memory.py [METHOD ...]

Three updates, or one strength, on two forget and two retain batches of 64 CIFAR-sized images, each in a process of its own, one
thread, float32 on the CPU. Weights are 43 MiB.
"""

from __future__ import annotations

import resource
import subprocess
import sys

import torch
from torch import Tensor

from ungrok.core.objective import Classification
from ungrok.methods import UNLEARNERS, Iterative
from ungrok.models import MODELS

SETTINGS = {
    "ssd": {"alpha": 0.5},
    "influence": {"alpha": 1.0},
    "unsir": {"noise_steps": 2, "noise_batch": 64},
    "jit": {"draws": 2},
}
BATCH = 64


def batches(label: int, count: int = 2) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(BATCH, 3, 32, 32), torch.full((BATCH,), label)) for _ in range(count)]


def build() -> torch.nn.Module:
    return MODELS.parse({"kind": "resnet"}).build((3, 32, 32), 10, 0)


def peak(name: str) -> float:
    """Walk the method in this process, or do nothing for ``nothing``, and return the peak resident memory in MiB."""
    torch.set_num_threads(1)
    model, forget, retain, validation = build(), batches(0), batches(1), batches(2)
    if name != "nothing":
        cls = UNLEARNERS.get(name)
        length = {"updates": 3} if issubclass(cls, Iterative) else {}
        path = cls(**SETTINGS.get(name, {}) | length).path(
            model, forget, retain, Classification(), validation=validation, factory=build
        )
        for _ in path:
            pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    if sys.argv[1:2] == ["--in-process"]:
        print(peak(sys.argv[2]))
        return
    base = 0.0
    for name in ["nothing", *(sys.argv[1:] or UNLEARNERS.names())]:
        words = [sys.executable, __file__, "--in-process", name]
        found = float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        base = base or found
        print(
            f"{name}: {found - base:.0f} MiB" if name != "nothing" else f"model and data alone: {found:.0f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
