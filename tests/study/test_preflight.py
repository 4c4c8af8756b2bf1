"""Models that do not fit the data are found before any training."""

import pytest
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.study.plan import preflight


def flat(shape, outputs):
    return nn.Flatten()


def several(shape, outputs):
    class Two(nn.Module):
        def forward(self, x):
            return x, x

    return nn.Sequential(Two())


def narrow(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(3, outputs))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("flat", r"kind 'function' gives \(2, 64\) for two examples; wanted: logits \(2, 10\)"),
        ("several", "kind 'function' gives tuple for two examples"),
        ("narrow", r"kind 'function' does not take inputs of shape \(1, 8, 8\) \(mat1 and mat2"),
    ],
)
def test_a_model_that_does_not_fit(tiny, function, message):
    with pytest.raises(RecipeError, match=message):
        preflight(tiny(f"model={{kind: function, function: '{__name__}:{function}'}}"))


def test_models_of_every_family_fit(tiny):
    for model in ("{kind: resnet, width: 2}", "{kind: vit, patch: 2, dim: 6, depth: 1, hidden: 4}", "{kind: cnn}"):
        preflight(tiny(f"model={model}"))
