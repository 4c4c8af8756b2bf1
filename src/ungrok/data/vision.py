"""Image data sets of the Hugging Face hub, or of a local mirror laid out in the same way."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.errors import RecipeError, unknown
from ungrok.data.base import PROBLEMS, Problem, Split, cut

HUB = {
    "mnist": ("ylecun/mnist", "mnist", "train", "test", "image", "label"),
    "fashion_mnist": ("zalando-datasets/fashion_mnist", "fashion_mnist", "train", "test", "image", "label"),
    "cifar10": ("uoft-cs/cifar10", "plain_text", "train", "test", "img", "label"),
    "cifar100": ("uoft-cs/cifar100", "cifar100", "train", "test", "img", "fine_label"),
    "svhn": ("ufldl-stanford/svhn", "cropped_digits", "train", "test", "image", "label"),
}
"""Short name to hub id, configuration, train split, test split, image column, label column."""


def _table(identifier: str, config: str, split: str) -> Any:
    """Open one split: under $UNGROK_DATASETS if it is there, else from the hub."""
    from datasets import load_dataset

    root = os.environ.get("UNGROK_DATASETS")
    local = Path(root, identifier) if root else None
    source = str(local) if local and local.is_dir() else identifier
    try:
        return load_dataset(source, config, split=split)
    except Exception as error:
        where = f"not under UNGROK_DATASETS={root}" if root else "UNGROK_DATASETS is not set"
        reason = str(error).strip().splitlines()[0]
        raise RecipeError(f"problem.dataset: {identifier!r} cannot be loaded ({where}; hub: {reason})") from error


def _decode(table: Any, image_column: str, label_column: str) -> Split:
    """Decode images into uint8 of shape (n, channels, height, width)."""
    pixels = np.stack([np.asarray(image) for image in table[image_column]])
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    inputs = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    return Split(inputs, torch.tensor(list(table[label_column]), dtype=torch.int64))


@lru_cache(maxsize=4)
def _load(dataset: str, train: int, validation: int, test: int | None, seed: int) -> tuple[Split, Split, Split, int]:
    identifier, config, train_split, test_split, image, label = HUB[dataset]
    source = _table(identifier, config, train_split)
    order = cut(
        Split(torch.arange(len(source)), torch.zeros(len(source), dtype=torch.int64)),
        {"train_size": train, "validation_size": validation},
        seed,
    )
    parts = [_decode(source.select(part.inputs.tolist()), image, label) for part in order]
    held_out = _table(identifier, config, test_split)
    if test is not None:
        if test > len(held_out):
            raise RecipeError(f"problem.test_size: {test} asked of {len(held_out)} test images")
        held_out = held_out.select(range(test))
    classes: int = source.features[label].num_classes
    return parts[0], parts[1], _decode(held_out, image, label), classes


@PROBLEMS.register
class Vision(Problem):
    """An image data set of the Hugging Face hub: mnist, fashion_mnist, cifar10, cifar100 or svhn.

    Training and validation images are drawn from the official training split, test images are the official test split
    (its first ``test_size`` images where that is given). Inputs are float32 of shape (n, channels, height, width) in
    [0, 1]. The id is looked up under ``$UNGROK_DATASETS`` first.
    """

    kind: Literal["vision"] = "vision"
    dataset: str = Field("mnist", description="short name of the data set")
    train_size: int = Field(1000, ge=10, description="training images")
    validation_size: int = Field(1000, ge=10, description="validation images")
    test_size: int | None = Field(None, ge=10, description="test images; all when null")

    def splits(self) -> tuple[Split, Split, Split, int]:
        """Return the three splits and the number of classes."""
        if self.dataset not in HUB:
            raise unknown("problem.dataset", self.dataset, HUB)
        *parts, classes = _load(self.dataset, self.train_size, self.validation_size, self.test_size, self.data_seed)
        train, validation, test = (Split(_unit(part.inputs), part.targets) for part in parts)
        return train, validation, test, classes


def _unit(pixels: Tensor) -> Tensor:
    """Scale uint8 pixels to float32 in [0, 1]."""
    return pixels.float() / 255
