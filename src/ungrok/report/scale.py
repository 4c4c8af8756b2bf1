"""What a study was made with, in the words in which it is set beside the paper: model, data, length of the training, seeds."""

from __future__ import annotations

from pydantic import Field

from ungrok.core.errors import RecipeError
from ungrok.core.schema import Schema
from ungrok.data.base import Problem
from ungrok.report.format import plural
from ungrok.study.recipe import Recipe

MODELS = {
    "mlp": "MLP",
    "cnn": "CNN",
    "resnet": "ResNet",
    "vgg": "VGG",
    "vit": "vision transformer",
    "llama": "Llama-style transformer",
}
"""By kind: the words for a model; of any other kind underscores become spaces."""

DATA = {
    "digits": "8x8 digits", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "svhn": "SVHN",
    "tiny_imagenet": "Tiny-ImageNet", "imagenet100": "ImageNet-100", "imagenet1k": "ImageNet", "modular": "modular addition",
    "authors": "fictitious authors", "tofu": "TOFU",
}  # fmt: skip
"""By data set, or kind of problem: the words for it."""


class Scale(Schema):
    """What a study was made with."""

    model: str = Field(description="the base arm's model, for instance MLP")
    data: str = Field(description="the data, for instance CIFAR-10")
    examples: int | None = Field(description="training examples; null where the recipe takes all there are")
    updates: int = Field(description="updates of the base arm's training")
    seeds: int = Field(description="number of seeds")

    @property
    def sentence(self) -> str:
        """The scale as a part of a sentence, for instance ``MLP on 400 examples of 8x8 digits, 6,000 updates, 10 seeds``."""
        return f"{self.model} on {self.of_data}, {self.updates:,} updates, {plural(self.seeds, 'seed')}"

    @property
    def of_data(self) -> str:
        """The data with their number."""
        return self.data if self.examples is None else f"{self.examples:,} examples of {self.data}"


def scale(recipe: Recipe) -> Scale:
    """Return what the studies of a recipe are made with."""
    model, problem = recipe.model, recipe.problem
    path = getattr(model, "path", None)
    name = str(path).rstrip("/").rpartition("/")[2] if path else MODELS.get(model.kind, model.kind.replace("_", " "))
    data = str(getattr(problem, "dataset", problem.kind))
    words = DATA.get(data, data)
    return Scale(
        model=name, data=words, examples=_examples(problem), updates=recipe.trajectory.steps, seeds=len(recipe.seeds)
    )


def _examples(problem: Problem) -> int | None:
    """Return the number of training examples, without reading images."""
    if hasattr(problem, "train_size"):
        size: int | None = problem.train_size
        return size
    try:
        return len(problem.load().train)
    except RecipeError:  # files that are not on this machine
        return None
