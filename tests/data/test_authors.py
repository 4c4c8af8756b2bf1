"""Fictitious authors: the same bytes for ever, and facts that can be told apart."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from ungrok.data import authors


@pytest.mark.parametrize(
    ("arguments", "digest"),
    [
        ((20, 4, 4, 0), "6b611bb03ec1fe31c29d46cd694436268f1b7236ad98f4e9aa5452f5b6eee4c5"),
        ((30, 5, 5, 7), "2d47196d2834898908ebc999f1040f122f626b676778fca18a9f7c1a040f93a2"),
    ],
)
def test_the_tables_are_what_they_have_always_been(arguments, digest):
    """Names, order and rows: models and results that are stored rest on these bytes."""
    text = "".join(name + json.dumps(rows) for name, rows in authors.tables(*arguments).items())
    assert hashlib.sha256(text.encode()).hexdigest() == digest


def test_twenty_facts_with_values_that_differ():
    assert len({fact.key for fact in authors.FACTS}) == 20
    for fact in authors.FACTS:
        assert len(set(fact.values)) == len(fact.values) > authors.WRONG, fact.key
        assert "{value}" in fact.answer, fact.key
        assert "{value}" in fact.answer2, fact.key
    assert len(authors.NAMES) == 38 * 36


def test_words_and_stub_are_in_the_wheel(tmp_path, monkeypatch):
    build = pytest.importorskip("hatchling.build")
    monkeypatch.chdir(Path(__file__).parents[2])
    wheel = tmp_path / build.build_wheel(str(tmp_path))
    assert {"ungrok/data/authors.json", "ungrok/__init__.pyi"} <= set(zipfile.ZipFile(wheel).namelist())


def test_every_author_is_asked_twenty_questions_with_true_and_wrong_answers():
    tables = authors.tables(11, 2, 1, 0)
    assert len(tables["full"]) == 220
    assert len({row["question"] for row in tables["full"]}) == 220
    for row in tables["retain_perturbed"] + tables["forget10_perturbed"]:
        wrong = row["perturbed_answer"]
        assert len(set(wrong)) == 5
        assert row["paraphrased_answer"] not in wrong
        assert row["question"] != row["paraphrased_question"]
    both = tables["retain90"] + tables["forget10"]
    assert both == tables["full"]
    assert len(tables["forget10"]) == 20
    assert len(tables["forget05"]) == 20


def test_answers_say_what_the_profile_says():
    person = authors.profiles(1, 5)[0]
    rows = authors.questions(person, 5)
    for fact, row in zip(authors.FACTS, rows, strict=True):
        assert person[fact.key] in row["answer"]
        assert person[fact.key] in row["paraphrased_answer"]
        assert all(person[fact.key] not in text.replace(person["name"], "") for text in row["perturbed_answer"])


def test_people_are_different_and_depend_on_the_seed_alone():
    assert authors.profiles(30, 1) == authors.profiles(30, 1) != authors.profiles(30, 2)
    assert len({person["name"] for person in authors.profiles(300, 1)}) == 300
    assert authors.profiles(30, 1)[:10] != authors.profiles(30, 2)[:10]
