"""Models from elsewhere: timm, torchvision, and functions of the user's own; never any stored weights."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Literal

from pydantic import Field, field_validator
from torch import nn

from ungrok.core.errors import RecipeError, nearest
from ungrok.models.base import MODELS, Model, image_channels

STORED = ("pretrained", "weights", "weights_backbone", "checkpoint_path", "pretrained_cfg")
"""Options that would load weights; they are refused, since a trajectory starts from its seed."""


class Outside(Model):
    """A model that another package builds, freshly initialized."""

    options: dict[str, Any] = Field({}, description="further arguments, passed on as they are")

    @field_validator("options")
    @classmethod
    def _no_weights(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in STORED:
            if value.get(key):
                raise ValueError(f"{key}: {value[key]!r} would load stored weights; models start from their seed")
        return value

    def _package(self, name: str) -> Any:
        """Import a package, or say what is missing."""
        try:
            return import_module(name)
        except Exception as error:  # a torchvision built for another torch fails with a RuntimeError
            raise RecipeError(
                f"model: kind {self.kind!r} needs {name}, which cannot be imported ({error}); "
                "pip install 'ungrok[vision]' installs it, and torchvision must be built for the installed torch"
            ) from error

    def _check(self, architecture: str, known: Iterable[str]) -> None:
        names = list(known)
        if architecture not in names:
            near = nearest(architecture, names)
            raise RecipeError(
                f"model.architecture: {self.kind} has no {architecture!r}{near}; it has {len(names)} others"
            )

    def _call(self, function: Any, *arguments: Any, **options: Any) -> nn.Module:
        try:
            made = function(*arguments, **options, **self.options)
        except TypeError as error:
            raise RecipeError(f"model.options: {self.options} do not fit ({error})") from error
        if not isinstance(made, nn.Module):
            raise RecipeError(f"model: kind {self.kind!r} gave a {type(made).__name__}, not a torch.nn.Module")
        return made


@MODELS.register
class Timm(Outside):
    """Any model of timm by name (pytorch-image-models), with random weights."""

    kind: Literal["timm"] = "timm"
    architecture: str = Field(description="for instance resnet18; options: for instance {img_size: 32}")

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the network for images of ``shape`` (channels, height, width)."""
        timm, channels = self._package("timm"), image_channels(shape, self.kind)
        self._check(self.architecture, timm.list_models())
        return self._call(timm.create_model, self.architecture, num_classes=outputs, in_chans=channels)


@MODELS.register
class Torchvision(Outside):
    """Any classification model of torchvision by name, with random weights; colored images only."""

    kind: Literal["torchvision"] = "torchvision"
    architecture: str = Field(description="for instance resnet18")

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the network for images of ``shape`` (3, height, width)."""
        models = self._package("torchvision").models
        if image_channels(shape, self.kind) != 3:
            raise RecipeError(f"model: kind 'torchvision' takes 3 channels, not {shape[0]}; timm takes any number")
        self._check(self.architecture, models.list_models(module=models))
        return self._call(models.get_model, self.architecture, weights=None, num_classes=outputs)


@MODELS.register
class Function(Outside):
    """Any function ``module:function`` that takes (shape of one input, number of outputs) and returns a module.

    The module must be importable: installed, or in a folder on PYTHONPATH. Job keys hold its name and options, not its
    code: after a change that matters, change an option (a version number, say) or use another store.
    """

    kind: Literal["function"] = "function"
    function: str = Field(pattern=r"^[\w.]+:\w+$", description="module:function")

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return what the function returns."""
        name, attribute = self.function.split(":")
        try:
            module = import_module(name)
        except Exception as error:  # whatever the user's code raises
            raise RecipeError(f"model.function: {name!r} cannot be imported ({error}); is it on PYTHONPATH?") from error
        if not callable(getattr(module, attribute, None)):
            near = nearest(attribute, [key for key, value in vars(module).items() if callable(value)])
            raise RecipeError(f"model.function: {name!r} has no function {attribute!r}{near}")
        return self._call(getattr(module, attribute), shape, outputs)
