"""What is drawn, and what is read from it, on numbers made by hand."""

import math

import pytest
import torch

from ungrok.core.scores import AnswerScores
from ungrok.data.digits import Digits
from ungrok.evaluate.drawn import Drawn, estimated, restricted
from ungrok.evaluate.path import path_rows

FORGET, RETAIN = torch.tensor([0, 5]), torch.tensor([1, 2, 3, 4])
INDEX = {"train": torch.tensor([0, 2, 3, 5]), "validation": torch.tensor([1]), "test": torch.tensor([0, 2])}


def scores(matches):
    matches = torch.tensor(matches)
    return AnswerScores(-matches.log(), matches, matches / 2, torch.full(matches.shape, 10))


def part(whole):
    return {name: each.of(INDEX[name]).spread(INDEX[name], len(each)) for name, each in whole.items()}


PLACES = [
    {"train": [1.0, 0.9, 0.8, 0.9, 0.8, 0.9], "validation": [0.5, 0.6], "test": [0.5, 0.7, 0.3]},
    {"train": [0.4, 0.1, 0.5, 0.6, 0.1, 0.2], "validation": [0.1, 0.4], "test": [0.4, 0.1, 0.1]},
    {"train": [0.3, 0.7, 0.7, 0.6, 0.5, 0.1], "validation": [0.4, 0.3], "test": [0.4, 0.6, 0.2]},
]
WHOLE = [{name: scores(values) for name, values in place.items()} for place in PLACES]
TENSORS = AnswerScores.stack([WHOLE[0], part(WHOLE[1]), WHOLE[2]]) | {
    "forget": FORGET, "retain": RETAIN, "whole": torch.tensor([True, False, True]),
    **{f"{name}.drawn": index for name, index in INDEX.items()},
}  # fmt: skip
RECORD = {
    "scores": "answer", "doses": [0.0, 1.0, 2.0], "updates": [0, 1, 2], "classes": [0], "one_shot": False,
    "passes": {"forget": [0.0, 1.0, 2.0], "retain": [0.0, 1.0, 2.0]},
}  # fmt: skip


def test_between_the_ends_a_mean_is_that_of_the_start_moved_as_the_drawn_ones_have_moved():
    first, middle, last = path_rows(TENSORS, RECORD, [0.35], None)
    assert (first["UA"], first["RA"], first["TA"]) == pytest.approx((0.95, 0.85, 0.5))
    assert middle["UA"] == pytest.approx(0.3)  # all that are forgotten are scored
    assert middle["RA"] == pytest.approx(0.85 + (0.55 - 0.85))
    assert middle["TA"] == pytest.approx(0.5 + (0.25 - 0.4))
    assert middle["validation_accuracy"] == pytest.approx(0.55 + (0.4 - 0.6))
    assert middle["extraction_retain"] == pytest.approx(0.425 - 0.15)
    before = -(math.log(0.9) * 2 + math.log(0.8) * 2) / 4
    drawn = (-(math.log(0.5) + math.log(0.6)) / 2, -(math.log(0.8) + math.log(0.9)) / 2)
    assert middle["retain_loss"] == pytest.approx(before + drawn[0] - drawn[1], rel=1e-5)
    assert (last["UA"], last["RA"], last["TA"]) == pytest.approx((0.2, 0.625, 0.4))
    assert not any(row["diverged"] for row in (first, middle, last))
    assert [row["reached_0.35"] for row in (first, middle, last)] == [False, True, True]


def test_rows_do_not_depend_on_a_draw_of_everything():
    every = {name: torch.arange(len(values)) for name, values in PLACES[0].items()}
    bare = AnswerScores.stack(WHOLE) | {"forget": FORGET, "retain": RETAIN}
    drawn = bare | {f"{name}.drawn": index for name, index in every.items()} | {"whole": TENSORS["whole"]}
    for one, other in zip(path_rows(bare, RECORD, [0.35], None), path_rows(drawn, RECORD, [0.35], None), strict=True):
        assert one.keys() == other.keys()
        assert {k: v for k, v in one.items() if v is not None} == pytest.approx(
            {k: v for k, v in other.items() if v is not None}
        )


def test_a_place_that_has_diverged_says_so():
    broken = WHOLE[1] | {"train": scores([math.nan, 0.1, 0.5, 0.6, 0.1, 0.2])}
    tensors = TENSORS | AnswerScores.stack([WHOLE[0], part(broken), WHOLE[2]])
    row = path_rows(tensors, RECORD, [0.35], None)[1]
    assert (row["diverged"], row["UA"]) == (True, None)


def test_estimates_stay_where_such_numbers_can_be():
    names = ("UA", "RA", "TA", "retain_loss", "probability_forget")
    now, start, whole = ([0.2, 1.0, 0.1, 0.1, 0.3], [0.9, 0.8, 0.9, 0.4, 0.5], [0.9, 0.9, 0.5, 0.2, 0.6])
    values = estimated(*(dict(zip(names, each, strict=True)) for each in (now, start, whole)))
    assert values == {"UA": 0.2, "RA": 1.0, "TA": 0.0, "retain_loss": 0.0, "probability_forget": 0.3}
    assert estimated({"RA": None}, {"RA": 0.5}, {"RA": 0.5}) == {"RA": None}
    assert estimated({"RA": 0.5}, {"RA": None}, {"RA": 0.5}) == {"RA": None}


def test_forget_and_retain_are_found_again_among_the_drawn():
    few = restricted(TENSORS)
    assert (few["forget"].tolist(), few["retain"].tolist()) == ([0, 3], [1, 2])
    assert few["train.matches"].tolist() == TENSORS["train.matches"][:, INDEX["train"]].tolist()
    assert few["test.tokens"].tolist() == [10, 10]


def test_a_draw_holds_all_that_is_forgotten_and_depends_on_its_seed_alone():
    data = Digits(train_size=60, validation_size=30).load()
    forget, retain = torch.arange(0, 60, 4), torch.tensor([i for i in range(60) if i % 4])
    numbers = {"retain": 10, "validation": 7, "test": None, "moved": None}
    drawn, again, other = (Drawn.of(data, forget, retain, numbers, seed) for seed in (3, 3, 4))
    assert {name: len(index) for name, index in drawn.index.items()} == {
        "train": 25, "validation": 7, "test": len(data.test),
    }  # fmt: skip
    assert torch.isin(forget, drawn.index["train"]).all()
    assert all(torch.equal(index, again.index[name]) for name, index in drawn.index.items())
    assert not torch.equal(drawn.index["train"], other.index["train"])
    assert all(torch.equal(index, index.unique()) for index in drawn.index.values())
    assert torch.equal(drawn.parts["train"].targets, data.train.targets[drawn.index["train"]])
