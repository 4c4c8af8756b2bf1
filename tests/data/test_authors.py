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
