"""Data that a user's program gave: found again by their content, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.data.base import Split
from ungrok.data.cache import cache_root
from ungrok.data.digits import Digits
from ungrok.data.given import GivenData, GivenExamples, GivenProblem, keep


@pytest.fixture
def data():
    part = Split(torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2]))
    halves = part.of(slice(0, 3)), part.of(slice(3, 6))
    return GivenData(part, *halves, 3, torch.zeros(0, dtype=torch.int64), asked=torch.tensor([1, 4]))


def test_they_come_back_by_their_content(data):
    again = GivenProblem(content=keep(data)).load()
    for name in ("train", "validation", "test"):
        assert torch.equal(getattr(again, name).inputs, getattr(data, name).inputs)
        assert torch.equal(getattr(again, name).targets, getattr(data, name).targets)
    assert again.classes == 3
    split = GivenExamples().split(again, 0)
    assert (split.forget.tolist(), split.retain.tolist(), split.classes) == ([1, 4], [0, 2, 3, 5], (1,))


def test_the_content_tells_every_difference(data):
    other = [
        replace(data, asked=torch.tensor([1, 5])),
        replace(data, classes=4),
        replace(data, test=replace(data.test, targets=data.test.targets.flip(0))),
    ]
    assert len({keep(each) for each in (data, *other, replace(data))}) == 4


def test_a_damaged_or_missing_file_is_told(data):
    content = keep(data)
    file = cache_root() / "given" / f"{content}.safetensors"
    spoiled = bytearray(file.read_bytes())
    spoiled[-1] ^= 1
    file.write_bytes(spoiled)
    with pytest.raises(RecipeError, match=r"was damaged and is removed; the same call of ungrok.sweep writes it again"):
        GivenProblem(content=content).load()
    with pytest.raises(RecipeError, match=r"missing; the same call of ungrok.sweep"):
        GivenProblem(content=content).load()


def test_the_rule_is_for_these_data_alone():
    with pytest.raises(NotApplicable, match=r"forget: kind given is for the data of ungrok.sweep"):
        GivenExamples().split(Digits(train_size=50, validation_size=50).load(), 0)
    assert not GivenExamples().drawn
