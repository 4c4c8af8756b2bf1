"""Texts that a user's program gave as tokens: found again by their content, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ungrok.core.errors import RecipeError
from ungrok.data.cache import cache_root
from ungrok.data.given import GivenExamples
from ungrok.data.given_text import GivenAnswers, GivenText, check_tokenizer, keep, texts_of
from ungrok.data.tokens import Template, encode, train_tokenizer

PAIRS = [("who?", "ann"), ("when?", "in may"), ("where?", "rome")]
TOKENIZER = train_tokenizer(["who when where ann in may rome"], 300)


@pytest.fixture
def data():
    template = Template(prompt="{question}")
    train, other = encode(PAIRS, TOKENIZER, template), encode([(q, "no") for q, _ in PAIRS], TOKENIZER, template)
    held_out, test = train.of(slice(0, 1)), replace(train.of(slice(1, 3)), index=torch.arange(2))
    return GivenAnswers(
        train=train, validation=held_out, test=test, classes=1, mislabeled=torch.zeros(0, dtype=torch.int64),
        tokenizer=TOKENIZER, base=None, others={"refusal": other}, held_out=test, probes={},
        rows=texts_of(train, TOKENIZER), asked=torch.tensor([2]),
    )  # fmt: skip


def test_they_come_back_by_their_content(data):
    again = GivenText(content=keep(data)).load()
    for name in ("train", "validation", "test", "held_out"):
        ours, theirs = getattr(again, name), getattr(data, name)
        for column in ("inputs", "labels", "lengths", "targets", "index"):
            assert torch.equal(getattr(ours, column), getattr(theirs, column)), (name, column)
        assert (ours.pad, ours.eos) == (0, 1)
    assert torch.equal(again.others["refusal"].labels, data.others["refusal"].labels)
    assert again.rows == [{"question": q, "answer": a} for q, a in PAIRS]
    assert (again.outputs, again.classes) == (len(TOKENIZER), 1)
    split = GivenExamples().split(again, 0)
    assert (split.forget.tolist(), split.retain.tolist()) == ([2], [0, 1])


def test_the_content_tells_every_difference(data):
    other = [
        replace(data, asked=torch.tensor([1])),
        replace(data, others={}),
        replace(data, train=replace(data.train, eos=None)),
        replace(data, test=data.test.of(slice(0, 1))),
        replace(data, tokenizer=train_tokenizer(["abab abab"], 300)),
    ]
    assert len({keep(each) for each in (data, *other, replace(data))}) == 6


def test_damaged_or_missing_files_are_told(data):
    content = keep(data)
    file = cache_root() / "given" / f"{content}.safetensors"
    spoiled = bytearray(file.read_bytes())
    spoiled[-1] ^= 1
    file.write_bytes(spoiled)
    with pytest.raises(RecipeError, match=r"was damaged and is removed; the same call of ungrok.sweep writes it again"):
        GivenText(content=content).load()
    with pytest.raises(RecipeError, match=r"missing; the same call of ungrok.sweep"):
        GivenText(content=content).load()
    with pytest.raises(RecipeError, match=r"tokenizer is missing; the same call of ungrok.sweep"):
        GivenText(content="0" * 64).load()
    assert GivenText(content=keep(data)).load().rows == data.rows


def test_what_is_no_tokenizer_is_refused():
    with pytest.raises(RecipeError, match="tokenizer: is a str; allowed: a tokenizer of transformers"):
        check_tokenizer("gpt2")
    check_tokenizer(TOKENIZER)
