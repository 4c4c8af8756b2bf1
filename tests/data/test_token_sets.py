"""Sets of a language model as users have them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from ungrok.core.errors import RecipeError
from ungrok.data.token_sets import given_answers, read_tokens
from ungrok.data.tokens import train_tokenizer

ROWS = [([5, 6, 7], [-100, 6, 7]), ([8, 9], [-100, 9]), ([5, 8, 9, 7], [-100, -100, 9, 7])]
SINGLE = [{"input_ids": ids, "labels": labels} for ids, labels in ROWS]


def padded(rows, left=False, **more):
    """Return examples as one batch."""
    width = max(len(ids) for ids, _ in rows)
    columns = {"input_ids": [], "attention_mask": [], "labels": []}
    for ids, labels in rows:
        for name, row, value in zip(columns, (ids, [1] * len(ids), labels), (0, 0, -100), strict=True):
            room = [value] * (width - len(row))
            columns[name].append(room + row if left else row + room)
    return {name: torch.tensor(values) for name, values in columns.items()} | more


class Items:
    """A data set that can only be counted and asked for single examples."""

    def __len__(self):
        return len(SINGLE)

    def __getitem__(self, i):
        return SINGLE[i]


def collate(examples):
    return padded([(example["input_ids"], example["labels"]) for example in examples])


@pytest.mark.parametrize(
    "given",
    [
        SINGLE,
        [{name: torch.tensor(value) for name, value in row.items()} for row in SINGLE],
        Items(),
        padded(ROWS),
        [padded(ROWS[:2]), padded(ROWS[2:])],
        [padded(ROWS, left=True)],
        DataLoader(SINGLE, 2, collate_fn=collate),
    ],
    ids=["lists", "tensors", "data set", "one batch", "batches", "padded on the left", "loader"],
)
def test_every_form_holds_the_same_examples(given):
    split, index = read_tokens("forget", given, 0, 1)
    assert split.inputs.tolist() == [[5, 6, 7, 0], [8, 9, 0, 0], [5, 8, 9, 7]]
    assert split.labels.tolist() == [[-100, 6, 7, -100], [-100, 9, -100, -100], [-100, -100, 9, 7]]
    assert split.lengths.tolist() == [3, 2, 4]
    assert (split.eos, split.pad, split.targets.tolist(), index) == (1, 0, [0, 0, 0], None)


def test_identities_groups_and_other_answers_are_read():
    given = padded(ROWS, index=torch.tensor([4, 2, 9]), classes=torch.tensor([1, 0, 1]), refusal=padded(ROWS[::-1]))
    split, index = read_tokens("forget", [given], 0, None)
    assert (index.tolist(), split.targets.tolist(), split.eos) == ([4, 2, 9], [1, 0, 1], None)
    assert split.others["refusal"].lengths.tolist() == [4, 2, 3]


HOLED = padded(ROWS) | {"attention_mask": torch.tensor([[1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]])}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "is a NoneType; allowed: dicts with input_ids and labels"),
        ([], "holds no examples"),
        ([{"input_ids": [1, 2]}], "a batch has no 'labels'"),
        ([{"input_ids": [1, 2], "labels": [-100, -100]}], "an example has no answer token"),
        ([(torch.ones(2, 3), torch.ones(2))], "a batch is a tuple, but CausalLM takes a dict"),
        (HOLED, "(has padding in its middle|a padded place has a label)"),
    ],
)
def test_what_is_no_set_is_refused_by_its_name(given, words):
    with pytest.raises(RecipeError, match=rf"^retain: .*{words}"):
        read_tokens("retain", given, 0, 1)


class Language(nn.Module):
    """Logits that hang on the token before."""

    def __init__(self, vocabulary):
        super().__init__()
        self.rows = nn.Embedding(vocabulary, vocabulary)

    def forward(self, input_ids, attention_mask):
        return self.rows(input_ids)


TOKENIZER = train_tokenizer(["ab"], 300)
MODEL = Language(len(TOKENIZER))


def coded(*pairs):
    """Return pairs of texts as single examples."""
    examples = []
    for question, answer in pairs:
        asked, answered = (TOKENIZER(text)["input_ids"] for text in (question, answer))
        examples.append({"input_ids": asked + answered + [1], "labels": [-100] * len(asked) + answered + [1]})
    return examples


def sets(**more):
    given = {
        "forget": coded(("q:", "a")),
        "retain": coded(("r:", "bb"), ("s:", "c")),
        "test": coded(("t:", "d"), ("u:", "e")),
    }
    return given | more


def test_forget_examples_stand_first_or_where_their_identities_say():
    data = given_answers(sets(), MODEL, TOKENIZER)
    assert [(row["question"], row["answer"]) for row in data.rows] == [("q:", "a"), ("r:", "bb"), ("s:", "c")]
    assert (data.asked.tolist(), data.train.index.tolist(), data.train.eos) == ([0], [0, 1, 2], 1)
    assert (len(data.validation), len(data.test), data.held_out is data.test) == (1, 1, True)
    named = {
        role: [row | {"index": i} for row, i in zip(sets()[role], index, strict=True)]
        for role, index in (("forget", [5]), ("retain", [7, 2]))
    }
    data = given_answers(sets(**named, validation=coded(("v:", "f"))), MODEL, TOKENIZER)
    assert [row["answer"] for row in data.rows] == ["c", "a", "bb"]
    assert (data.asked.tolist(), data.train.lengths.tolist(), len(data.test)) == ([1], [4, 4, 5], 2)


def test_where_all_of_a_text_is_learned_it_is_question_and_answer():
    whole = [row | {"labels": list(row["input_ids"])} for row in sets()["forget"]]
    data = given_answers(sets(forget=whole), MODEL, TOKENIZER)
    assert data.rows[0] == {"question": "q:a", "answer": "q:a"}
    asked = data.probes["train"]
    assert (asked.rows.tolist(), asked.asked.answers(TOKENIZER), len(asked.perturbed)) == ([1, 2], ["bb", "c"], 0)
    assert given_answers(sets(forget=whole, retain=whole), MODEL, TOKENIZER).probes == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"retain": [{"input_ids": [2, 900], "labels": [-100, 3]}]}, "retain: "),
        ({"test": [{"input_ids": [2, 3], "labels": [-100, 900]}, *coded(("t:", "d"))]}, "test: labels hold 900; allowed: 0 to"),
        ({"test": coded(("t:", "d"))}, "test: holds one example"),
        ({"forget": [row | {"index": 1} for row in coded(("q:", "a"))],
          "retain": [row | {"index": 1} for row in coded(("r:", "bb"))]}, "example 1 is there twice"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(change, words):
    with pytest.raises(RecipeError, match=words):
        given_answers(sets(**change), MODEL, TOKENIZER)
