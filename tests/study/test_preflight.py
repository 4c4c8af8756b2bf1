"""Models that do not fit the data are found before any training."""

from pathlib import Path

import pytest
import torch
from torch import nn

from ungrok.core.errors import NotApplicable, RecipeError, UngrokError
from ungrok.data import Data, Split
from ungrok.data.vision import Vision
from ungrok.study.loading import load, shipped
from ungrok.study.plan import make_plan
from ungrok.study.preflight import preflight


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
        ("several", "kind 'function': the model's output is a tuple; allowed: logits"),
        ("narrow", r"kind 'function' does not take inputs of shape \(1, 8, 8\) \(mat1 and mat2"),
    ],
)
def test_a_model_that_does_not_fit(tiny, function, message):
    with pytest.raises(RecipeError, match=message):
        preflight(tiny(f"model={{kind: function, function: '{__name__}:{function}'}}"))


PAPER = [load(name) for name in sorted(shipped()) if name.startswith("paper/")]
ON_IMAGES = [recipe for recipe in PAPER if isinstance(recipe.problem, Vision)]


def test_models_of_every_family_fit(tiny):
    for model in ("{kind: resnet, width: 2}", "{kind: vit, patch: 2, dim: 6, depth: 1, hidden: 4}", "{kind: cnn}"):
        preflight(tiny(f"model={model}"))


@pytest.mark.parametrize("recipe", [pytest.param(recipe, id=recipe.name) for recipe in ON_IMAGES])
def test_recipes_of_the_paper_fit_data_of_their_shape(recipe, monkeypatch):
    size, classes = (64, 100) if recipe.problem.dataset == "imagenet100" else (32, 10)
    split = Split(torch.zeros(1, 3, size, size).expand(30 * classes, -1, -1, -1), torch.arange(30 * classes) % classes)
    data = Data(split, split, split, classes, torch.zeros(0, dtype=torch.int64))
    monkeypatch.setattr(Vision, "load", lambda self: data)
    if recipe.trajectory.robustness:
        data = Data(split, split.of(torch.arange(1000) % len(split)), split, classes, data.mislabeled)
    _, warnings = preflight(recipe)
    assert all("exploratory" in text or "forget split" in text for text in warnings)
    kinds = make_plan(recipe).counts()
    trained = len(recipe.seeds) * (1 + len(recipe.arms)) * (1 + len(recipe.forget))
    assert kinds["train"] == trained + recipe.noise_seeds * (1 + len(recipe.arms)) * len(recipe.forget)


def test_a_method_that_goes_back_along_a_training_and_a_model_that_no_training_gave(tiny):
    overrides = [
        "unlearn=[{kind: finetune}, {kind: rewind_to_delete}]",
        "controls.louder={kind: rescaled, stage: grokked, factor: 4}",
        "stages=[pre_grok, louder]",
        "claims.compare=[[pre_grok, louder]]",
    ]
    with pytest.raises(
        RecipeError, match=r"^unlearn\.1: 'rewind_to_delete' goes back .* stage 'louder' is of a rescaled one"
    ):
        preflight(tiny(*overrides))
    preflight(tiny(overrides[0]))
    preflight(tiny(*overrides[1:]))


def test_a_method_of_convolutions_and_a_model_without_them(tiny):
    with pytest.raises(NotApplicable, match=r"^ct: the model has no convolution with a square kernel"):
        preflight(tiny("unlearn=[{kind: ct}]"))
    with pytest.raises(NotApplicable, match=r'^msg: the model has no convolution; with layers="all"'):
        preflight(tiny("unlearn=[{kind: msg}]"))
    preflight(tiny("unlearn=[{kind: msg, layers: all}]"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("requests=11",), "^requests: forget split 'class' is asked for 1 more, and earlier requests leave 0"),
        (("requests=10",), "^requests: .* after 9 earlier requests; each needs at least one"),
        (
            ("forget=[{kind: random, size: 50}]", "requests=3"),
            "^requests: forget split 'random-50' is asked for 50 more",
        ),
    ],
)
def test_requests_that_the_data_cannot_give_are_refused_before_any_work(tiny, overrides, message):
    with pytest.raises(UngrokError, match=message):
        preflight(tiny(*overrides))


def test_a_group_must_be_large_enough_for_all_requests():
    text = str(Path(__file__).with_name("tiny-text.yaml"))
    only = "forget=[{kind: local_grokking, size: 4, using: {by: quantile, quantile: 0.3, candidate: 1}}]"
    compare = "claims.compare=[]"
    preflight(load(text, (only, compare, "requests=3")))
    with pytest.raises(RecipeError, match=r"^requests: .*16 examples asked of a group of 12"):
        preflight(load(text, (only, compare, "requests=4")))


def test_a_repair_with_more_examples_than_are_retained_is_refused(tiny):
    data, _ = preflight(tiny())
    left = len(data.train) - 50
    recipe = ["forget=[{kind: random, size: 20}, {kind: random, size: 50}]", "claims.compare=[]"]
    with pytest.raises(
        RecipeError, match=rf"^lasting\.batch: {left + 1} .* 'random-50' leaves {left}; allowed: at most {left}$"
    ):
        preflight(tiny(*recipe, f"lasting.batch={left + 1}"))
    preflight(tiny(*recipe, f"lasting.batch={left}"))


def test_a_probe_whose_attacker_knows_one_class_is_refused(tiny):
    """Of ten classes nine are forgotten."""
    recipe = ["forget=[{kind: classes, classes: 9, fraction: 1.0}]", "claims.compare=[]"]
    attacks = "stress.attacks=[{{kind: prune}}, {{kind: linear_probe, share: {}}}]"
    with pytest.raises(
        RecipeError, match=r"^stress\.attacks\.1: linear_probe: share 0 .* are all of one class; raise share$"
    ):
        preflight(tiny(*recipe, attacks.format(0)))
    preflight(tiny(*recipe, attacks.format(0.1)))


def test_small_sets_of_later_requests_are_warned_of(tiny):
    data, _ = preflight(tiny())
    sizes = data.train.targets.bincount().sort().values.tolist()
    _, warnings = preflight(tiny("seeds=[0]", "requests=9"))
    assert any(f"holds only {size} examples" in text for text in warnings for size in sizes[:2])


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["trajectory.speed={bfloat16: true}"], "trajectory.speed.bfloat16"),
        (["speed={bfloat16: true}"], "speed.bfloat16"),
        (["trajectory.speed={channels_last: true}"], None),
    ],
)
@pytest.mark.parametrize("native", [True, False, None])
def test_bfloat16_on_a_processor_without_it_is_warned_of(tiny, monkeypatch, overrides, key, native):
    monkeypatch.setattr("ungrok.study.preflight.native_bfloat16", lambda: native)
    warned = [text.partition(":")[0] for text in preflight(tiny(*overrides))[1] if "bfloat16" in text]
    assert warned == ([key] if key and native is False else [])
