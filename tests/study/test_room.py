"""Models, paths and plans that are too large are refused before they are made."""

from __future__ import annotations

import pytest

from ungrok.core import memory
from ungrok.core.errors import RecipeError
from ungrok.models.base import MODELS
from ungrok.study.recipe import validated
from ungrok.study.room import MOST_STEPS, _grid, check_counts, check_model, check_paths, weight_bytes
from ungrok.train import Training
from ungrok.train.loop import log_grid


def model(kind, **settings):
    return MODELS.get(kind)(**settings)


@pytest.mark.parametrize("built", [model("mlp", norm="batch"), model("cnn"), model("transformer"), model("vit")])
def test_the_bytes_of_weights_are_those_of_the_model(built):
    shape = (106,) if built.kind == "transformer" else (1, 8, 8)
    network = built.build(shape, 10, 0)
    whole = sum(t.numel() * t.element_size() for t in (*network.parameters(), *network.buffers()))
    assert weight_bytes(built, shape, 10) == whole


def test_models_of_other_packages_are_not_made_twice():
    assert weight_bytes(model("function", function="nowhere:f"), (1, 8, 8), 10) is None


@pytest.mark.parametrize(("last", "spacing"), [(10, 0.5), (1000, 0.05), (10**6, 0.05), (10**4, 1e-6), (1, 1e-300)])
def test_the_number_of_steps_is_told_without_making_them(last, spacing):
    assert _grid(last, spacing) == pytest.approx(len(log_grid(last, spacing)), rel=0.5, abs=3)


WEIGHTS = 4 * (64 * 100 + 100 + 100 * 10 + 10)
"""Bytes of a perceptron of one hidden layer of 100 units on 8x8 digits."""


@pytest.mark.parametrize(
    ("training", "copies", "key"),
    [
        ({}, 4, "model.width"),
        ({"optimizer": {"kind": "sgd"}}, 3, "model.width"),
        ({"sam": {}}, 5, "model.width"),
        ({"grokfast": {"kind": "ema"}}, 5, "model.width"),
        ({"grokfast": {"kind": "ma", "window": 20}}, 27, "trajectory.grokfast.window"),
    ],
)
def test_training_holds_so_many_copies_of_the_weights(training, copies, key, monkeypatch):
    perceptron, settings = model("mlp", width=100, depth=2), validated(Training, training)
    monkeypatch.setattr(memory, "memory", lambda: copies * WEIGHTS)
    check_model(perceptron, settings, (64,), 10)
    monkeypatch.setattr(memory, "memory", lambda: copies * WEIGHTS - 1)
    with pytest.raises(RecipeError, match=rf"^{key}"):
        check_model(perceptron, settings, (64,), 10)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers by a former name
def test_the_keys_that_make_a_model_large_are_named(monkeypatch):
    perceptron = model("llama", lora={"rank": 4})
    monkeypatch.setattr(memory, "memory", lambda: 1)
    with pytest.raises(
        RecipeError, match=r"^model.lora.rank, model.width, model.layers, model.heads, model.room: weights"
    ):
        check_model(perceptron, Training(), (64,), 300)


def test_the_scores_at_all_places_of_a_path_must_fit(tiny, monkeypatch):
    recipe = tiny("unlearn=[{kind: scrub, updates: 40}]", "observe.every_until=40")
    data = recipe.problem.load()
    examples = len(data.train) + len(data.validation) + len(data.test)
    monkeypatch.setattr(memory, "memory", lambda: 40 * examples * 52)
    check_paths(recipe, data, 0)
    monkeypatch.setattr(memory, "memory", lambda: 39 * examples * 52)
    with pytest.raises(
        RecipeError, match=r"unlearn\.0 \('scrub'\), or observe\.every_until: the scores at 40 observed places"
    ):
        check_paths(recipe, data, 0)


def test_the_weights_that_the_search_for_a_place_that_lasts_keeps_must_fit(tiny, monkeypatch):
    plain = tiny(*FORTY)
    data = plain.problem.load()
    monkeypatch.setattr(memory, "memory", lambda: 40 * 10**9)
    check_paths(tiny(*FORTY, "lasting={}"), data, 10**9)
    check_paths(plain, data, 2 * 10**9)
    check_paths(tiny(*FORTY, "lasting={methods: [fisher]}"), data, 2 * 10**9)
    with pytest.raises(
        RecipeError, match=r"among lasting\.methods.*: the weights at 40 observed places need about 80 GB"
    ):
        check_paths(tiny(*FORTY, "lasting={methods: [scrub]}"), data, 2 * 10**9)


FORTY = ("unlearn=[{kind: scrub, updates: 40}, {kind: fisher}]", "observe.every_until=40")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (f"trajectory={{steps: {10**12}, evaluate_steps: 100}}", r"trajectory\.evaluate_steps: 100 makes 1e\+10 of"),
        (f"trajectory={{steps: {10**12}, checkpoint_every: 1.0e-9}}", r"trajectory\.checkpoint_every: 1e-09 makes"),
        (f"arms={{slow: {{trajectory: {{steps: {10**12}, evaluate_every: 1.0e-9}}}}}}", r"trajectory\.evaluate_every: 1e-09"),
        (f"seeds={list(range(17_000))}", r"seeds: 17000, times 2 stages .* make 102,000 paths; allowed: at most 100,000"),
    ],
)  # fmt: skip
def test_a_plan_has_a_size(tiny, override, message):
    with pytest.raises(RecipeError, match=message):
        check_counts(tiny(override))


def test_the_rates_that_a_search_may_come_to_count(tiny):
    """8,000 seeds, two stages, three methods, one of them at 8 rates, are 160,000 paths."""
    seeds = f"seeds={list(range(8_000))}"
    check_counts(tiny(seeds))
    with pytest.raises(RecipeError, match="3 methods, 1 of them at up to 8 rates, make 160,000 paths"):
        check_counts(tiny(seeds, "unlearn.0.lr=auto"))
    check_counts(tiny(seeds, "unlearn.0.lr=auto", "search.most=3"))
    check_counts(tiny(seeds, "unlearn.2.alpha=auto"))


def test_draws_and_walks_count(tiny):
    """Two seeds, two stages, three methods, 100 draws of 100 walks."""
    with pytest.raises(RecipeError, match="3 methods, each 10000 times, make 120,000 paths"):
        check_counts(tiny("forget_draws=100", "unlearn_seeds=100"))
    check_counts(tiny("forget_draws=100", "unlearn_seeds=80"))


def test_long_trainings_of_usual_grids_are_planned(tiny):
    check_counts(tiny(f"trajectory.steps={10**15}"))
    assert len(log_grid(10**15, 0.05)) < MOST_STEPS


def test_requests_in_sequence_are_paths_as_well(tiny):
    many = ("seeds=" + str(list(range(4000))), "requests=9")
    check_counts(tiny(many[0]))
    with pytest.raises(RecipeError, match="for 9 requests in sequence make 216,000 paths"):
        check_counts(tiny(*many))
