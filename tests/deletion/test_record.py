"""The file of a record and its schema."""

import re
from pathlib import Path

import pytest

from ungrok.core.errors import DamagedFile, RecipeError
from ungrok.core.files import read_json, write_json
from ungrok.deletion.record import (
    SCHEMA,
    VERSION,
    DeletionRecord,
    json_schema,
    read_record,
    schema_text,
    write_record,
)

PAGE = (Path(__file__).parents[2] / "docs" / "delete.md").read_text(encoding="utf-8")


def test_the_file_in_the_package_is_the_schema():
    assert SCHEMA.read_text(encoding="utf-8") == schema_text()
    assert json_schema()["$id"] == f"urn:ungrok:deletion:{VERSION}"


def test_what_is_written_is_read_back(made, tmp_path):
    write_record(tmp_path / "record.json", made.record)
    assert read_record(tmp_path / "record.json") == read_record(made.folder / "record.json") == made.record
    assert read_json(made.folder / "record.json") == made.record.to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 1}, "version: 1 is not allowed"),
        ({"names": ["Ana"]}, "no such key 'names'"),
        ({"seed": None}, "seed: None is not allowed"),
    ],
)
def test_what_is_no_record_is_refused(made, tmp_path, change, message):
    write_json(tmp_path / "record.json", made.record.to_dict() | change)
    with pytest.raises(RecipeError, match=f"is no deletion record of version {VERSION} .*{re.escape(message)}"):
        read_record(tmp_path / "record.json")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DamagedFile, match=r"record\.json: missing"):
        read_record(tmp_path / "record.json")


def test_print_shows_accuracies_and_sentences(made):
    lines = str(made.record).splitlines()
    assert lines[0].split() == ["UA", "RA", "TA"]
    assert lines[1].split() == ["original", *(f"{v:.3f}" for v in made.record.accuracies["original"].values())]
    assert lines[3:] == [sentence.text for sentence in made.record.remains]


def test_the_page_names_every_field():
    assert [name for name in DeletionRecord.model_fields if f"`{name}`" not in PAGE] == []
    assert f"version {VERSION}" in PAGE


def test_the_example_of_the_page_takes_at_most_twelve_lines():
    """It begins where the Trainer has ended, and ends with the record."""
    block = PAGE.partition("The first six pairs are to be deleted:")[2].split("```")[1]
    lines = [line for line in block.splitlines() if line.startswith((">>>", "..."))]
    assert "record=folder" in lines[-1]
    assert 0 < len(lines) <= 12
