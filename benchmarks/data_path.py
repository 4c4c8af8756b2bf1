"""The data path against the conventional one: Pillow crop, flip and ToTensor image by image, in a DataLoader.

python benchmarks/data_path.py [ROUNDS]

Batches of 128 from 50,000 color images of 32x32 pixels, shuffled, zero-padded by 4, cropped, flipped, scaled to [0, 1],
as float32 on the CPU; no model. All ways in turn, one thread each, after one pass to warm up; the ratio is taken round by
round.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ungrok.data import Augment, Split, TensorBatches
from ungrok.data.pixels import Scale
from ungrok.data.stored import Stored

BATCH, PAD, COUNT = 128, 4, 50_000


class OneByOne(Dataset[tuple[Tensor, int]]):
    """What torchvision's CIFAR10, RandomCrop, RandomHorizontalFlip and ToTensor do."""

    def __init__(self, images: np.ndarray, targets: list[int]) -> None:
        self.images = images
        self.targets = targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = ImageOps.expand(Image.fromarray(self.images[index]), PAD, fill=0)
        top, left = torch.randint(0, 2 * PAD + 1, (2,)).tolist()
        image = image.crop((left, top, left + 32, top + 32))
        if torch.rand(1).item() < 0.5:
            image = ImageOps.mirror(image)
        pixels = torch.from_numpy(np.array(image, copy=True))
        return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255), self.targets[index]


def microseconds(batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Return the time per image of one pass."""
    started, count = time.perf_counter(), 0
    for inputs, _ in batches:
        assert inputs.dtype == torch.float32
        count += len(inputs)
    return (time.perf_counter() - started) / count * 1e6


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    targets = torch.arange(COUNT) % 10
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pixels.bin")
        np.random.default_rng(0).integers(0, 256, (COUNT, 3, 32, 32), dtype=np.uint8).tofile(path)
        mapped = torch.from_numpy(np.memmap(path, np.uint8, mode="c", shape=(COUNT, 3, 32, 32)))
        own = {
            name: TensorBatches(
                Split(Stored(mapped, torch.arange(COUNT), stream=stream), targets, Scale()),
                BATCH,
                seed=0,
                augment=Augment(pad=PAD),
            )
            for name, stream in (("mapped", False), ("streamed", True))
        }
        some = 5000
        conventional = OneByOne(mapped[:some].permute(0, 2, 3, 1).contiguous().numpy(), targets[:some].tolist())
        found: dict[str, list[float]] = {}
        for batches in own.values():  # the first pass maps the file
            microseconds(batches)
        for _ in range(rounds):
            for name, batches in own.items():
                found.setdefault(name, []).append(microseconds(batches))
            for workers in (0, 2):
                loader = DataLoader(conventional, BATCH, shuffle=True, num_workers=workers)
                found.setdefault(f"one by one, {workers} loader processes", []).append(microseconds(loader))
    for name, values in found.items():
        print(f"{name}: {statistics.median(values):.2f} microseconds an image")
    for name in list(found)[2:]:
        ratios = [slow / fast for slow, fast in zip(found[name], found["mapped"], strict=True)]
        print(f"{name} / mapped: median {statistics.median(ratios):.1f}, {min(ratios):.1f} to {max(ratios):.1f}")


if __name__ == "__main__":
    main()
