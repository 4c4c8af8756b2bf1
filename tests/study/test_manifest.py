"""What a manifest may say, and what is taken for damage."""

from __future__ import annotations

import json

import pytest

from ungrok.core.errors import DamagedFile
from ungrok.study.job import key_of
from ungrok.study.manifest import MANIFEST, belongs, files_in, manifest_text, read_manifest, stamp

SUMS = {"job.json": "0" * 64, "result.json": "1" * 64, "step-1.safetensors": None}


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    (tmp_path / MANIFEST).write_text(manifest_text(SUMS))
    assert read_manifest(tmp_path / MANIFEST) == SUMS


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"data.bin": "0"}'])
def test_what_is_no_manifest_is_damage(tmp_path, content):
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(DamagedFile, match=r"manifest\.json"):
        read_manifest(tmp_path / MANIFEST)


@pytest.mark.parametrize("change", [{"../elsewhere": None}, {"/elsewhere": "0" * 64}, {"job.json": None}])
def test_a_manifest_that_names_other_files_or_no_job_is_damage(tmp_path, change):
    (tmp_path / MANIFEST).write_text(json.dumps(SUMS | change))
    with pytest.raises(DamagedFile):
        read_manifest(tmp_path / MANIFEST)


def test_a_description_belongs_to_the_key_of_this_version_or_of_one_before():
    content = {"kind": "evaluate", "spec": {"a": 1}, "inputs": {}}
    assert belongs(key_of("evaluate", 1, {"a": 1}, {}), content)
    assert not belongs(key_of("evaluate", 1, {"a": 2}, {}), content)
    assert not belongs(key_of("evaluate", 99, {"a": 1}, {}), content)
    assert belongs("unheard-0", {"kind": "unheard", "spec": {}, "inputs": {}})
    assert not belongs("unheard-0", {"kind": "other", "spec": {}, "inputs": {}})


def test_a_stamp_tells_size_and_time_of_a_file_and_none_of_a_folder(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert stamp(tmp_path / "f") == (3, (tmp_path / "f").stat().st_mtime_ns)
    assert stamp(tmp_path) is stamp(tmp_path / "nothing") is None


def test_files_are_named_from_the_folder_on_and_folders_are_none(tmp_path):
    (tmp_path / "below").mkdir()
    for name in ("a", "below/b"):
        (tmp_path / name).touch()
    assert sorted(files_in(tmp_path)) == ["a", "below/b"]
