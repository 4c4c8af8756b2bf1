"""Image data sets of the Hugging Face hub, or of a local mirror laid out in the same way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from ungrok.core.errors import RecipeError, first_line, unknown
from ungrok.data.base import PROBLEMS
from ungrok.data.decode import Decoding
from ungrok.data.images import ImageProblem, Source, load_table


class HubSet(NamedTuple):
    """Where a data set of the hub keeps its splits and columns, and how its images are decoded."""

    id: str
    config: str | None
    train: str
    test: str
    image: str
    label: str
    mode: Literal["L", "RGB"]
    size: int | None = None


HUB = {
    "mnist": HubSet("ylecun/mnist", "mnist", "train", "test", "image", "label", "L"),
    "fashion_mnist": HubSet("zalando-datasets/fashion_mnist", "fashion_mnist", "train", "test", "image", "label", "L"),
    "cifar10": HubSet("uoft-cs/cifar10", "plain_text", "train", "test", "img", "label", "RGB"),
    "cifar100": HubSet("uoft-cs/cifar100", "cifar100", "train", "test", "img", "fine_label", "RGB"),
    "svhn": HubSet("ufldl-stanford/svhn", "cropped_digits", "train", "test", "image", "label", "RGB"),
    "tiny_imagenet": HubSet("zh-plus/tiny-imagenet", None, "train", "valid", "image", "label", "RGB"),
    "imagenet100": HubSet("clane9/imagenet-100", None, "train", "validation", "image", "label", "RGB", 64),
    "imagenet1k": HubSet("ILSVRC/imagenet-1k", None, "train", "validation", "image", "label", "RGB", 224),
}
"""Short name to hub id, configuration, splits, columns, and how the images are decoded unless the recipe says otherwise."""


@PROBLEMS.register
class Vision(ImageProblem):
    """An image data set of the Hugging Face hub, by short name or id.

    mnist, fashion_mnist, cifar10, cifar100, svhn, tiny_imagenet, imagenet100 (64 pixels a side unless ``size`` says
    otherwise), imagenet1k (224); grey images of a colored set become colored. The id is looked up under
    ``$UNGROK_DATASETS`` first. The test set is the official one, or the official validation set where test labels are
    not public.
    """

    kind: Literal["vision"] = "vision"
    dataset: str = Field("mnist", description="short name or hub id of the data set")

    def sources(self) -> tuple[Source, Source | None]:
        """Return the official training and test set."""
        where = self._where()
        train, test = (
            Source(f"{where.id} {split}", _table(where.id, where.config, split), where.image, where.label)
            for split in (where.train, where.test)
        )
        return train, test

    def decoding(self) -> Decoding:
        """Return the recipe's settings, the data set's own where the recipe leaves them open."""
        where = self._where()
        return Decoding(mode=where.mode, size=self.size or where.size, skip_corrupt=self.skip_corrupt)

    def _where(self) -> HubSet:
        for name, where in HUB.items():
            if self.dataset in (name, where.id):
                return where
        raise unknown("problem.dataset", self.dataset, HUB)


def _table(identifier: str, config: str | None, split: str) -> Any:
    """Open one split: under $UNGROK_DATASETS if it is there, else from the hub."""
    root = os.environ.get("UNGROK_DATASETS")
    local = Path(root, identifier) if root else None
    source = str(local) if local and local.is_dir() else identifier
    if source != identifier and "[" in source:
        raise RecipeError(f"UNGROK_DATASETS: {root!r} holds '[', which the package datasets takes for a pattern")
    try:
        return load_table(source, config, split=split)
    except Exception as error:
        if source != identifier:
            raise RecipeError(
                f"problem.dataset: {source} cannot be read ({first_line(error)}); it may be damaged"
            ) from error
        where = f"not under UNGROK_DATASETS={root}" if root else "UNGROK_DATASETS is not set"
        reason = first_line(error)
        if "gated" in str(error).lower():
            reason += f"; accept its terms on https://huggingface.co/datasets/{identifier} and give a token in HF_TOKEN"
        raise RecipeError(f"problem.dataset: {identifier!r} cannot be loaded ({where}; hub: {reason})") from error
