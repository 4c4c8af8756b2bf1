"""How a user's batches, models and factories enter."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

from ungrok.core.causal_lm import CausalLM
from ungrok.core.entrance import (
    Entrance,
    check_base,
    check_lists,
    check_model,
    check_objective,
    check_seed,
    enter,
    entering,
    is_causal,
    made_by,
    recognized,
)
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Classification

OBJECTIVE = Classification()
X, Y = torch.zeros(2, 4), torch.tensor([2, 0])
GPT2 = GPT2Config(vocab_size=20, n_positions=16, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=7)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(KeyError("x"), RecipeError), (RecipeError("x"), RecipeError), (NotApplicable("x"), NotApplicable)],
)
def test_whatever_is_raised_is_a_sentence_that_names_the_set(raised, kind):
    with pytest.raises(kind, match=r"^forget: .*x"), entering("forget"):
        raise raised


def test_what_was_raised_is_the_cause():
    mistake = KeyError("x")
    with (
        pytest.raises(RecipeError, match=r"^base: it has no layers \('x'\)$") as raised,
        entering("base", "it has no layers"),
    ):
        raise mistake
    assert raised.value.__cause__ is mistake


def test_interrupts_pass():
    with pytest.raises(KeyboardInterrupt), entering("forget"):
        raise KeyboardInterrupt


def test_a_model_is_given_the_inputs_that_it_takes():
    batch = {"input": X, "image_id": torch.arange(2), "labels": Y}
    inputs, targets = enter(OBJECTIVE, nn.DataParallel(nn.Linear(4, 3)), batch)
    assert list(inputs) == ["input"]
    assert torch.equal(targets, Y)
    with pytest.raises(RecipeError, match="the model takes none of pixels; allowed: input, or"):
        enter(OBJECTIVE, nn.Linear(4, 3), {"pixels": X, "labels": Y})


def test_the_model_runs_on_the_first_batch_of_each_kind():
    ran, entrance = [], Entrance(OBJECTIVE)

    def logits(batch):
        ran.append(batch[0].shape)
        return torch.zeros(len(batch[1]), 3)

    for size in (4, 4, 5, 4):
        entrance.inspect("forget", (torch.zeros(2, size), Y), logits)
    entrance.inspect("retain", (X, Y), logits)
    assert ran == [(2, 4), (2, 5), (2, 4)]
    assert entrance.shapes == {"forget": (2, 3), "retain": (2, 3)}
    with pytest.raises(RecipeError, match=r"^forget: targets hold 3; allowed: 0 to 2"):
        entrance.inspect("forget", (X, Y + 1), logits)
    with pytest.raises(RecipeError, match=r"^forget: a batch holds no examples"):
        entrance.inspect("forget", (X[:0], Y[:0]), logits)
    with pytest.raises(RecipeError, match=r"^test: the model's output has shape \(1, 3\) on a batch with 2 targets"):
        entrance.inspect("test", (X, Y), lambda batch: torch.zeros(1, 3))


def test_lists_are_checked_without_a_model():
    ran = []

    class Never(nn.Module):
        def forward(self, x):
            ran.append(x)

    bad = [(X, Y), (X * float("nan"), Y)]
    check_lists(OBJECTIVE, Never(), {"forget": bad[:1], "retain": DataLoader(bad, batch_size=None)})
    with pytest.raises(RecipeError, match=r"^retain: inputs hold NaN or infinity$"):
        check_lists(OBJECTIVE, Never(), {"forget": bad[:1], "retain": bad})
    assert ran == []


def test_models_and_seeds_that_are_none():
    with pytest.raises(RecipeError, match=r"^original: is a dict; allowed: a torch.nn.Module"):
        check_model("original", {})
    with pytest.raises(RecipeError, match=r"^model: 0.weight has no values yet"):
        check_model("model", nn.Sequential(nn.LazyLinear(3)))
    for seed in (1.5, "1", True, 2**63, None):
        with pytest.raises(RecipeError, match=r"^seed: .* is not allowed; allowed: whole numbers"):
            check_seed(seed)
    for seed in (0, -1, 2**63 - 1, np.int64(3)):
        check_seed(seed)


@pytest.mark.parametrize(
    ("objective", "what"), [("mse", "a str"), (Classification, "the class Classification"), (None, "a NoneType")]
)
def test_an_objective_is_an_object(objective, what):
    check_objective(OBJECTIVE)
    with pytest.raises(RecipeError, match=f"^objective: is {what}; allowed: an object such as"):
        check_objective(objective)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("x", "is a str; allowed: a torch.nn.Module"),
        (nn.Linear(4, 2), r"bias is torch.float32 of shape \(2,\); allowed: torch.float32 of shape \(3,\)"),
        (nn.Linear(4, 3).double(), r"bias is torch.float64 of shape \(3,\); allowed: torch.float32 of shape \(3,\)"),
        (nn.Linear(4, 3, bias=False), r"bias is missing; allowed: torch.float32 of shape \(3,\)"),
    ],
)
def test_a_base_model_has_the_parameters_of_the_model(base, message):
    check_base(nn.DataParallel(nn.Linear(4, 3)), nn.Linear(4, 3))
    with pytest.raises(RecipeError, match=f"^base: .*{message}"):
        check_base(base, nn.Linear(4, 3))


def test_no_example_is_read_in_two_sets():
    entrance = Entrance(OBJECTIVE)
    entrance.apart("retain", (X, Y, torch.tensor([0, 1])))
    entrance.apart("test", (X, Y, torch.tensor([0, 1])))
    entrance.apart("forget", (X, Y))
    with pytest.raises(RecipeError, match="share 1 examples, for instance index 1"):
        entrance.apart("forget", (X, Y, torch.tensor([1, 2])))


def test_keys_of_any_type_are_told_apart():
    entrance = Entrance(CausalLM())
    batch = {"input_ids": torch.ones(1, 2).long(), "labels": torch.ones(1, 2).long(), 3: torch.ones(1)}
    entrance.inspect("forget", batch | {"attention_mask": torch.ones(1, 2).long()}, lambda _: torch.zeros(1, 4))
    assert entrance.shapes == {"forget": (1, 4)}


MODEL = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda: MODEL, "gave the model itself"),
        (lambda: nn.DataParallel(MODEL), "gave the model itself"),
        (lambda: nn.Sequential(*MODEL), "gave the model itself"),
        (
            lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)),
            r"0.bias has the shape \(6,\); allowed: \(5,\)",
        ),
        (
            lambda: nn.Sequential(nn.Linear(4, 5), nn.Identity(), nn.Linear(5, 3)),
            r"1.bias has the shape none; allowed: \(5,\)",
        ),
        (lambda: None, "returned a NoneType"),
        (lambda: 1 / 0, r"it cannot be called \(division by zero\)"),
        (lambda width: nn.Linear(4, width), "missing 1 required positional argument"),
    ],
)
def test_factories_that_give_no_fresh_model(factory, message):
    with pytest.raises(RecipeError, match=f"^factory: .*{message}"):
        made_by(factory, nn.DataParallel(MODEL))


def test_a_factory_gives_a_bare_model():
    fresh = copy.deepcopy(MODEL)
    assert made_by(lambda: nn.DataParallel(fresh), MODEL) is fresh


class Tokens(nn.Module):
    def forward(self, input_ids, attention_mask):
        return input_ids


TEXT, IMAGE = {"input_ids": torch.ones(2, 3), "labels": torch.ones(2, 3)}, {"input_ids": torch.ones(2, 3), "labels": Y}


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel, lambda m: torch.compile(m, backend="eager")])
def test_the_objective_is_recognized(wrap):
    language, classifier = wrap(GPT2LMHeadModel(GPT2)), wrap(GPT2ForSequenceClassification(GPT2))
    assert is_causal(language)
    assert not is_causal(classifier)
    objective, batches = recognized(language, [])
    assert (type(objective), objective.eos, batches) == (CausalLM, None, [])
    tokens = wrap(Tokens())
    for model, given, kind in (
        (classifier, [IMAGE], Classification),
        (tokens, [TEXT], CausalLM),
        (tokens, [IMAGE], Classification),
        (tokens, DataLoader([TEXT], batch_size=None), CausalLM),
        (wrap(nn.Linear(4, 3)), [(X, Y)], Classification),
    ):
        objective, batches = recognized(model, given)
        assert type(objective) is kind
        assert batches is given
    objective, batches = recognized(tokens, iter([TEXT, IMAGE]))
    assert type(objective) is CausalLM
    assert list(batches) == [TEXT, IMAGE]


def test_loaders_of_other_models_are_not_looked_into():
    class Forbidden:
        def __iter__(self):
            raise AssertionError

    assert type(recognized(nn.Linear(4, 3), Forbidden())[0]) is Classification
