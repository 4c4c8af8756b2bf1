"""Opening a study's folder: what must be there, what may be missing, and which store is its own."""

from __future__ import annotations

import errno

import pandas as pd
import pytest

from ungrok.core.errors import DamagedFile, RecipeError, StoreError
from ungrok.core.files import checksum, write_json
from ungrok.study.folder import StudyFolder, check_writable, kept_where_read_only
from ungrok.study.loading import to_yaml
from ungrok.study.outputs import sealed
from ungrok.study.results import CONTROLS, MECHANISM


@pytest.fixture
def written(tiny, tmp_path):
    out = tmp_path / "study"
    (out / "report").mkdir(parents=True)
    (out / "recipe.yaml").write_text(to_yaml(tiny("device=auto")))
    write_json(out / "provenance.json", {"store": str(tmp_path / "elsewhere"), "device": "cuda"})
    return out


@pytest.mark.parametrize("name", ["recipe.yaml", "provenance.json"])
def test_a_folder_that_lacks_a_file_is_no_study(written, name):
    (written / name).unlink()
    with pytest.raises(RecipeError, match=f"holds no study .no {name}"):
        StudyFolder.open(written)


def test_the_device_is_the_one_that_it_ran_on(written):
    assert StudyFolder.open(written).recipe.device == "cuda"


def test_its_store_is_the_one_it_was_made_with_or_the_one_beside_it_or_the_one_named(written, tmp_path):
    assert StudyFolder.open(written).store.root == (tmp_path / "store").resolve()
    (tmp_path / "elsewhere").mkdir()
    assert StudyFolder.open(written).store.root == (tmp_path / "elsewhere").resolve()
    assert StudyFolder.open(written, tmp_path / "third").store.root == (tmp_path / "third").resolve()


def test_rows_and_doses_must_be_there(written):
    with pytest.raises(RecipeError, match=r"no results\.parquet"):
        _ = StudyFolder.open(written).results
    with pytest.raises(RecipeError, match="was written by an earlier version; write it again with `ungrok report"):
        _ = StudyFolder.open(written).doses


def test_other_tables_may_be_missing(written):
    pd.DataFrame({"seed": [0], "dose": [1.0]}).to_parquet(written / "results.parquet")
    results = StudyFolder.open(written).results
    assert results.rows["dose"].tolist() == [1.0]
    assert list(results.mechanism) == MECHANISM
    assert list(results.controls) == CONTROLS
    assert results.curves.empty


def test_steps_in_csv_are_whole_numbers_or_missing(written):
    pd.DataFrame({"seed": [0]}).to_parquet(written / "results.parquet")
    (written / "transitions.csv").write_text(
        "seed,status,grokked_step,stage_grokked,onset,delay\n0,grokked,40,40,10,2.5\n1,none,,,,\n"
    )
    table = StudyFolder.open(written).results.transitions
    assert table[["grokked_step", "stage_grokked", "onset"]].dtypes.astype(str).tolist() == ["Int64"] * 3
    assert table["grokked_step"].isna().tolist() == [False, True]
    assert table["status"].tolist() == ["grokked", "none"]


def test_doses_are_those_that_were_noted(written, tmp_path):
    doses = {"scrub": {"budget": 20, "matched": 10}}
    write_json(written / "provenance.json", {"store": str(tmp_path), "doses": doses})
    assert StudyFolder.open(written).doses == {"scrub": (20, 10)}


@pytest.mark.parametrize("content", ["{", "[]", "3", '{"store": "x", "checksum": "0"}', '{"device": NaN}' + " }"])
def test_a_damaged_provenance_is_named_or_gone_without(written, tmp_path, content):
    (written / "provenance.json").write_text(content)
    with pytest.raises(DamagedFile, match=r"provenance\.json: is damaged; `ungrok report .*` writes it again"):
        StudyFolder.open(written)
    mended = StudyFolder.open(written, mend=True)
    assert (mended.provenance, mended.store.root) == ({}, (tmp_path / "store").resolve())


def test_every_changed_digit_of_a_provenance_is_noticed(written, tmp_path):
    path = written / "provenance.json"
    write_json(path, sealed({"store": str(tmp_path), "doses": {"scrub": {"budget": 20, "matched": 10}}}))
    assert StudyFolder.open(written).doses == {"scrub": (20, 10)}
    assert StudyFolder.open(written).provenance.keys() == {"store", "doses"}
    whole = path.read_bytes()
    digits = [place for place, byte in enumerate(whole) if chr(byte).isdigit()]
    for place in digits:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedFile, match=r"provenance\.json: is damaged"):
            StudyFolder.open(written)
    assert len(digits) > 4


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"PAR1 and no table PAR1", b"\xff" * 99])
def test_a_damaged_table_is_named(written, damage):
    (written / "results.parquet").write_bytes(damage)
    with pytest.raises(DamagedFile, match=r"results\.parquet: .*; `ungrok report .*` writes it again") as error:
        _ = StudyFolder.open(written).results
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", [b"", b"a,b\n1,2\n3,4,5", b"\xff\xfe\xfd"])
def test_a_damaged_table_of_text_is_named(written, damage):
    pd.DataFrame({"seed": [0]}).to_parquet(written / "results.parquet")
    (written / "transitions.csv").write_bytes(damage)
    with pytest.raises(DamagedFile, match=r"transitions\.csv: "):
        _ = StudyFolder.open(written).results


def test_a_table_that_was_changed_is_not_taken(written):
    """It can be read, and holds another number."""
    table = pd.DataFrame({"seed": [0], "dose": [1.0]})
    table.to_parquet(written / "results.parquet")
    write_json(
        written / "provenance.json", sealed({"files": {"results.parquet": checksum(written / "results.parquet")}})
    )
    assert StudyFolder.open(written).results.rows["dose"].tolist() == [1.0]
    table.assign(dose=2.0).to_parquet(written / "results.parquet")
    with pytest.raises(DamagedFile, match=r"results\.parquet: does not match its checksum"):
        _ = StudyFolder.open(written).results


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC])
def test_a_whole_study_is_kept_where_it_cannot_be_written(written, number):
    said: list[str] = []

    def write():
        with kept_where_read_only(written, "its tables", said.append):
            raise StoreError("no") from OSError(number, "no")

    with pytest.raises(StoreError):
        write()
    for name in ("results.parquet", "report/index.html"):
        (written / name).write_text("")
    if number == errno.ENOSPC:
        with pytest.raises(StoreError):
            write()
    else:
        write()
        assert said == [f"warning: {written} cannot be written; its tables stay as they are"]


def test_a_folder_is_claimed_or_the_reason_is_said(tmp_path):
    check_writable(tmp_path / "new")
    assert list((tmp_path / "new" / "report").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        check_writable(tmp_path / "file")


@pytest.mark.parametrize("name", ["results.parquet", "groups.csv", "provenance.json", "report/index.html"])
def test_a_folder_in_the_place_of_a_file_is_noticed_before_anything_runs(tmp_path, name):
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(StoreError, match=f"{name}: is a folder, and a file is to be written there"):
        check_writable(tmp_path)
