"""Kinds of job: their names, and what a spec leaves out."""

from __future__ import annotations

from typing import ClassVar

import pytest

from ungrok.core.schema import Schema
from ungrok.study import job as module
from ungrok.study.job import KINDS, Job, Result, Spec, key_of, register


class Block(Schema):
    name: str | None = None
    size: int = 1
    place: str = "here"


class ToySpec(Spec):
    optional: ClassVar[frozenset[str]] = frozenset({"later"})
    unnamed: ClassVar[dict[str, tuple[str, ...]]] = {"block": ("place",)}

    block: Block
    later: int | None = None


def toy(version=1):
    class Toy(Job[ToySpec, Result]):
        kind, spec_type, result_type, cost = "toy", ToySpec, Result, 1.0

    Toy.version = version
    return Toy


def test_a_spec_leaves_out_labels_and_unused_later_keys():
    assert ToySpec(block=Block(name="mine")).spec() == {"block": {"size": 1}}
    assert ToySpec(block=Block(), later=3).spec() == {"block": {"size": 1}, "later": 3}


def test_earlier_versions_differ_in_nothing_but_the_number():
    made = toy(version=3)(ToySpec(block=Block()), {"of": "x-1"})
    earlier = [key_of(*form) for form in made.earlier()]
    assert earlier == [toy(version)(made.spec, made.inputs).key for version in (1, 2)]
    assert made.key not in earlier


def test_two_kinds_cannot_share_a_name(monkeypatch):
    monkeypatch.setattr(module, "KINDS", dict(KINDS))
    first = toy()
    assert register(first) is first
    assert register(first) is first
    with pytest.raises(ValueError, match="two kinds of job are called 'toy'"):
        register(toy())
