"""What all image problems share: decoding, normalization, augmentation, and how the splits are cut."""

from __future__ import annotations

import sys
from abc import abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ungrok.core.errors import NotApplicable, RecipeError, nearest
from ungrok.core.schema import Schema
from ungrok.core.seeds import generator
from ungrok.data.augment import Augment
from ungrok.data.base import Problem, Split
from ungrok.data.cache import Decoded, decoded
from ungrok.data.decode import Decoding, left_out
from ungrok.data.parts import cut
from ungrok.data.pixels import Scale
from ungrok.data.stored import Stored


def load_table(*arguments: Any, **options: Any) -> Any:
    """Call ``datasets.load_dataset``, without its bars where there is no terminal to draw them on."""
    import datasets

    silent = not sys.stderr.isatty() and not datasets.are_progress_bars_disabled()
    if silent:
        datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(*arguments, **options)
    finally:
        if silent:
            datasets.enable_progress_bars()


class Normalize(Schema):
    """Mean and standard deviation of each channel, in units of the full range."""

    mean: tuple[float, ...] = Field(min_length=1)
    std: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _positive(self) -> Normalize:
        if len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean}, std {self.std}: allowed are as many of each, and std above 0")
        largest = (1 + max(map(abs, self.mean))) / min(self.std)
        if largest > torch.finfo(torch.float32).max:
            raise ValueError(f"mean {self.mean}, std {self.std}: makes numbers that are too large for float32")
        return self


class Source(NamedTuple):
    """A table of encoded images with labels.

    Args:
        name: Its name in messages.
        table: A ``datasets.Dataset`` as it was loaded.
        image: Its column of images.
        label: Its column of labels: class labels, strings, or integers from 0.

    """

    name: str
    table: Any
    image: str
    label: str


class ImageProblem(Problem):
    """Images that are decoded once and kept as uint8.

    Training and validation images are drawn from the training set by ``data_seed``. Test images are the test set, or
    ``test_size`` of it, drawn in the same way for every ``data_seed``; where there is none they are drawn from the
    training set too. Batches are float32 of shape (n, channels, height, width), in [0, 1] unless normalized. Whether images
    are kept in memory or on disk changes speed and nothing else.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"first_classes"})

    train_size: int | None = Field(1000, ge=10, description="training images; all that are left when null")
    validation_size: int = Field(1000, ge=10, description="validation images")
    test_size: int | None = Field(None, ge=10, description="test images; all when null")
    classes: int | None = Field(None, ge=2, description="number of classes that the data must have; any when null")
    first_classes: int | None = Field(
        None, ge=2, description="use images of the first so many classes only; of all when null"
    )
    size: int | None = Field(None, ge=1, description="pixels a side: shorter side scaled, center cropped; null: as is")
    skip_corrupt: bool = Field(False, description="leave out images that cannot be decoded, instead of stopping")
    normalize: Literal["channels"] | Normalize | None = Field(
        None, description="subtract a mean and divide by a deviation: those given, or those of the whole training set"
    )
    augment: Augment | None = Field(None, description="pad-crop and flip of training batches; none when null")
    stream: bool | None = Field(
        None, description="read batches from disk as they are needed; null: only if the images do not fit"
    )

    @abstractmethod
    def sources(self) -> tuple[Source, Source | None]:
        """Return the training set, and the test set if there is one."""

    def decoding(self) -> Decoding:
        """Return how encoded images become pixels."""
        return Decoding(size=self.size, skip_corrupt=self.skip_corrupt)

    def augmentation(self) -> Augment | None:
        """Return the recipe's own."""
        return self.augment

    def warnings(self) -> list[str]:
        """Name the images that were left out as corrupt."""
        notes = []
        for source in filter(None, self.sources()) if self.skip_corrupt else ():
            kept = self._decoded(source).kept
            if missing := sorted(set(range(len(source.table))) - set(kept.tolist())):
                notes.append(f"{source.name}: {left_out(source.table, source.image, missing)}.")
        return notes

    def pool(self) -> tuple[Self, int]:
        """Return the problem with ``train_size`` doubled, and ``train_size``.

        Raises:
            NotApplicable: If that is null, so that all images are trained on already.

        """
        if self.train_size is None:
            raise NotApplicable(
                "problem.train_size is null, so that all images are trained on already; name half of them or fewer"
            )
        return self._with(train_size=2 * self.train_size), self.train_size

    def splits(self) -> tuple[Split, Split, Split, int]:
        """Return the three splits and the number of classes."""
        source, other = self.sources()
        names = class_names(source)
        decoded = self._decoded(source)
        scale, targets = self._scale(decoded), targets_of(source, names)[decoded.kept]
        classes = self._count(source, names, targets)
        whole = self._of_first(self._split(source, decoded, targets, scale, classes))
        kept = min(classes, self.first_classes or classes)
        if other is None:
            train, validation, test = cut(whole, self._sizes(len(whole), with_test=True), self.data_seed)
            return train, validation, test, kept
        train, validation = cut(whole, self._sizes(len(whole), with_test=False), self.data_seed)
        held_out = self._decoded(other)
        test = self._of_first(self._split(other, held_out, targets_of(other, names)[held_out.kept], scale, classes))
        if test.shape != whole.shape:
            raise RecipeError(f"problem.size: training images have shape {whole.shape}, test images {test.shape}")
        return train, validation, self._some(test), kept

    def _count(self, source: Source, names: list[str] | None, targets: Tensor) -> int:
        """Return the number of classes."""
        present = targets.unique().tolist()
        classes = len(present) if names is None else len(names)
        if self.classes not in (None, classes):
            raise RecipeError(f"problem.classes: {self.classes} expected, {source.name} has {classes}")
        if classes < 2:
            raise RecipeError(
                f"problem: {source.name} has a single class; allowed: 2 or more (of a folder: one folder a class)"
            )
        if self.first_classes is not None and self.first_classes > classes:
            raise RecipeError(
                f"problem.first_classes: {self.first_classes} asked of {classes} classes; allowed: at most all"
            )
        if names is None and present != list(range(classes)):
            shown = ", ".join(map(str, present[:5])) + (", …" if classes > 5 else "")
            raise RecipeError(
                f"problem.label: {source.name} holds the labels {shown}; allowed: 0 to {classes - 1}, each of them"
            )
        return classes

    def _decoded(self, source: Source) -> Decoded:
        return decoded(source.table, source.image, self.decoding(), source.name)

    def _split(self, source: Source, decoded: Decoded, targets: Tensor, scale: Scale, classes: int) -> Split:
        wrong = ((targets < 0) | (targets >= classes)).nonzero()
        if len(wrong):
            label = int(targets[wrong[0]])
            raise RecipeError(f"problem.label: {source.name} holds the label {label}; allowed: 0 to {classes - 1}")
        return Split(Stored(decoded.pixels, torch.arange(len(targets)), stream=self.stream), targets, scale)

    def _of_first(self, split: Split) -> Split:
        """Return the examples of the classes that are used."""
        return split if self.first_classes is None else split.of((split.targets < self.first_classes).nonzero()[:, 0])

    def _scale(self, decoded: Decoded) -> Scale:
        if self.normalize is None:
            return Scale()
        given, channels = decoded if self.normalize == "channels" else self.normalize, decoded.pixels.shape[1]
        if len(given.mean) != channels:
            raise RecipeError(f"problem.normalize: {len(given.mean)} means for images of {channels} channels")
        if min(given.std) <= 0:
            raise RecipeError(f"problem.normalize: a channel is constant (deviations {given.std}); give mean and std")
        return Scale(given.mean, given.std)

    def _sizes(self, total: int, *, with_test: bool) -> dict[str, int | None]:
        """Return the sizes of the parts of the training set."""
        if with_test and self.train_size is None and self.test_size is None:
            raise RecipeError("problem.test_size: there is no test set; give test_size or train_size")
        test = {"test_size": self.test_size} if with_test else {}
        left = total - self.validation_size - sum(size or 0 for size in test.values())
        train = max(0, left) if self.train_size is None else self.train_size
        return {"train_size": train, "validation_size": self.validation_size, **test}

    def _some(self, test: Split) -> Split:
        """Return ``test_size`` examples, in the order of the test set."""
        if self.test_size is None:
            return test
        if self.test_size > len(test):
            raise RecipeError(
                f"problem.test_size: {self.test_size} asked of {len(test)} test images; allowed: at most all"
            )
        order = torch.randperm(len(test), generator=generator(0, "test"))
        return test.of(order[: self.test_size].sort().values)


def class_names(source: Source) -> list[str] | None:
    """Return the names of the classes in the order of their numbers; None for integer labels without names.

    Raises:
        RecipeError: If a column is missing, or the labels are of another type.

    """
    from datasets import ClassLabel, Value

    features = source.table.features
    for key, column in (("image", source.image), ("label", source.label)):
        if column not in features:
            near = nearest(column, features)
            raise RecipeError(
                f"problem.{key}: {source.name} has no column {column!r}; it has {', '.join(features)}{near}"
            )
    feature = features[source.label]
    if isinstance(feature, ClassLabel):
        return list(feature.names)
    kind = feature.dtype if isinstance(feature, Value) else type(feature).__name__
    if "string" in kind:
        return sorted(set(source.table.unique(source.label)) - {None})
    if not kind.startswith(("int", "uint")):
        raise RecipeError(f"problem.label: {source.label!r} holds {kind}; allowed: class labels, strings, integers")
    return None


def targets_of(source: Source, names: list[str] | None) -> Tensor:
    """Return the labels as int64, numbered by ``names`` where labels have names.

    Raises:
        RecipeError: If a label is missing or not among ``names``.

    """
    labels = source.table.with_format(None).data.column(source.label).to_pylist()
    if None in labels:
        raise RecipeError(f"problem.label: image {labels.index(None)} of {source.name} has no label")
    own = class_names(source)
    if own is None or names is None:
        if labels and max(labels) > torch.iinfo(torch.int64).max:
            raise RecipeError(f"problem.label: {source.name} holds the label {max(labels)}, which no int64 holds")
        return torch.tensor(labels, dtype=torch.int64)
    number = {name: place for place, name in enumerate(names)}
    words = (
        labels if isinstance(labels[0], str) else [own[label] if 0 <= label < len(own) else None for label in labels]
    )
    for name in dict.fromkeys(words):
        if name not in number and name is not None:
            raise RecipeError(f"problem.label: {source.name} has a class {name!r} that the training set does not have")
    return torch.tensor([-1 if word is None else number[word] for word in words])
