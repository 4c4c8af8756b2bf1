"""Models of other packages: what is passed on to them, and what is said where they cannot be had."""

import sys
from types import ModuleType

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.models.outside import Function, Timm, Torchvision

IMAGE = (3, 8, 8)


def linear(inputs, outputs, bias=True):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs, bias=bias))


@pytest.fixture
def packages(monkeypatch):
    """Stand in for timm and torchvision, and note how they are called."""
    calls = []

    def create_model(name, *, num_classes, in_chans, bias=True):
        calls.append((name, num_classes, in_chans, bias))
        return linear(in_chans * 64, num_classes, bias)

    def get_model(name, *, weights, num_classes, bias=True):
        calls.append((name, num_classes, weights, bias))
        return linear(192, num_classes, bias)

    timm, torchvision = ModuleType("timm"), ModuleType("torchvision")
    timm.create_model, timm.list_models = create_model, lambda: ["resnet18", "vit_tiny_patch16_224"]
    torchvision.models = ModuleType("torchvision.models")
    torchvision.models.get_model = get_model
    torchvision.models.list_models = lambda module: ["resnet18", "vgg11"] if module is torchvision.models else ["fcn"]
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    return calls


@pytest.mark.parametrize(("kind", "third"), [(Timm, 3), (Torchvision, None)])
def test_name_classes_and_options_are_passed_on(packages, kind, third):
    plain = kind(architecture="resnet18").build(IMAGE, 5, 0)
    scaled = kind(architecture="resnet18", init_scale=4, options={"bias": False}).build(IMAGE, 5, 0)
    assert packages == [("resnet18", 5, third, True), ("resnet18", 5, third, False)]
    assert torch.equal(plain[1].weight * 4, scaled[1].weight)
    assert scaled[1].bias is None


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (Timm(architecture="resnet_18"), IMAGE, r"timm has no 'resnet_18' \(did you mean 'resnet18'\?\)"),
        (Torchvision(architecture="vgg1"), IMAGE, r"torchvision has no 'vgg1' \(did you mean 'vgg11'\?\)"),
        (Torchvision(architecture="vgg11"), (1, 8, 8), "takes 3 channels, not 1; timm"),
        (Timm(architecture="resnet18", options={"bios": 1}), IMAGE, r"model.options: {'bios': 1} do not fit .*'bios'"),
        (Timm(architecture="resnet18"), (22,), r"'timm' takes images .*\(22,\)"),
    ],
)
def test_what_they_do_not_have(packages, model, shape, message):
    with pytest.raises(RecipeError, match=message):
        model.build(shape, 5, 0)


@pytest.mark.parametrize(("kind", "name"), [(Timm, "timm"), (Torchvision, "torchvision")])
def test_a_package_that_cannot_be_imported(monkeypatch, kind, name):
    monkeypatch.setitem(sys.modules, name, None)
    message = rf"model: kind '{name}' needs {name}, which cannot be imported .*pip install 'ungrok\[vision\]'"
    with pytest.raises(RecipeError, match=message):
        kind(architecture="resnet18").build(IMAGE, 5, 0)


@pytest.mark.parametrize("options", [{"pretrained": True}, {"weights": "DEFAULT"}, {"checkpoint_path": "x.pth"}])
def test_stored_weights_are_never_loaded(options):
    with pytest.raises(ValidationError, match="would load stored weights"):
        Timm(architecture="resnet18", options=options)
    Timm(architecture="resnet18", options={"pretrained": False})


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("no.such.module:f", {}, r"'no.such.module' cannot be imported \(No module named 'no'\); is it on PYTHONPATH"),
        ("torch.nn:Linaer", {}, r"'torch.nn' has no function 'Linaer' \(did you mean 'Linear'\?\)"),
        ("math:pi", {}, "'math' has no function 'pi'"),
        ("torch.nn:Flatten", {"end": 2}, r"model.options: {'end': 2} do not fit"),
        ("operator:add", {}, "model.options: {} do not fit"),
        ("math:gcd", {}, "do not fit"),
        ("torch.nn:Softmax", {}, "do not fit"),
        (f"{__name__}:text", {}, "'function' gave a str, not a torch.nn.Module"),
        (f"{__name__}:lazy", {}, "weight of kind 'function' has no size yet"),
    ],
)
def test_functions_that_give_no_model(function, options, message):
    with pytest.raises(RecipeError, match=message):
        Function(function=function, options=options).build(IMAGE, 5, 0)


def text(shape, outputs):
    return f"{shape} {outputs}"


def lazy(shape, outputs):
    return nn.LazyLinear(outputs)


@pytest.mark.parametrize("function", ["models", "models:", "models:make:it", "models.make()", "os; x:y"])
def test_a_function_is_written_with_one_colon(function):
    with pytest.raises(ValidationError, match="function"):
        Function(function=function)
