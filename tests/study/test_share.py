"""Exported studies: everything comes back as it was, and nothing that was changed comes in."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from ungrok.core.errors import DamagedFile, RecipeError, StoreError
from ungrok.core.files import checksum
from ungrok.core.schema import digest
from ungrok.study import engine
from ungrok.study.folder import StudyFolder
from ungrok.study.plan import make_plan
from ungrok.study.run import run_study, written
from ungrok.study.share import JOBS, SUMS, export_study, import_study
from ungrok.study.store import Store

SEARCH = (
    "seeds=[0]", "noise_seeds=0", "trajectory.steps=100", "claims.targets=[0.1]", "claims.compare=[]", "stages=[final]",
    "unlearn=[{kind: fisher, alpha: {auto: 1.0e-9}}]", "search.most=3",
)  # fmt: skip


@pytest.fixture(scope="module")
def study(finished, tmp_path_factory):
    """A finished study of one seed."""
    plan, store = finished
    return written(tmp_path_factory.mktemp("run"), plan, store, 0, None)


@pytest.fixture(scope="module")
def exported(study, tmp_path_factory):
    """The study exported with its models."""
    folder = tmp_path_factory.mktemp("exported")
    assert export_study(study, folder, weights=True) == len(study.plan.jobs)
    return folder


@pytest.fixture
def copied(exported, tmp_path):
    """A copy of the exported study, to be changed."""
    return shutil.copytree(exported, tmp_path / "copied")


def reseal(folder):
    """Write the checksums of a folder again, as somebody would who means harm."""
    sums = json.loads((folder / SUMS).read_text())["files"]
    sums = {name: checksum(folder / name) for name in sums if (folder / name).is_file()}
    (folder / SUMS).write_text(json.dumps({"files": sums, "checksum": digest(sums)}))


def read_jobs(folder):
    return pd.read_parquet(folder / JOBS).to_dict("records")


def write_jobs(folder, jobs):
    pd.DataFrame(jobs).to_parquet(folder / JOBS, index=False)


def contents(store, keys):
    return {
        (key, path.relative_to(store.folder(key))): path.read_bytes()
        for key in keys
        for path in store.folder(key).rglob("*")
        if path.is_file()
    }


def test_every_job_comes_back_byte_for_byte(study, exported, tmp_path):
    store = Store(tmp_path / "store")
    made = import_study(exported, store)
    assert (made.jobs, made.known) == (len(study.plan.jobs), 0)
    assert len(contents(study.store, study.plan.jobs)) > 100
    assert contents(store, study.plan.jobs) == contents(study.store, study.plan.jobs)
    assert engine.run(list(study.plan.jobs.values()), store, workers=0) == 0
    again = import_study(exported, store)
    assert (again.jobs, again.known) == (0, len(study.plan.jobs))
    assert made.recipe.read_bytes() == (study.path / "recipe.yaml").read_bytes()


def test_every_file_that_was_changed_by_one_byte_is_named_and_nothing_comes_in(copied, tmp_path):
    files = [path for path in sorted(copied.rglob("*")) if path.is_file()]
    kinds = {path.suffix: path for path in files}  # one of each
    assert set(kinds) == {".md", ".json", ".parquet", ".yaml", ".safetensors"}
    for number, path in enumerate(kinds.values()):
        whole = path.read_bytes()
        place = len(whole) // 2
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        store = Store(tmp_path / f"store-{number}")
        with pytest.raises(DamagedFile) as error:
            import_study(copied, store)
        assert str(path) in str(error.value)
        assert not store.root.exists()
        path.write_bytes(whole)
    import_study(copied, Store(tmp_path / "store"))


def test_a_file_that_is_missing_or_was_added_is_named(copied, tmp_path):
    file = next((copied / "files").rglob("*.safetensors"))
    shutil.copy(file, file.with_name("more.safetensors"))
    with pytest.raises(DamagedFile, match=r"more\.safetensors: has no checksum"):
        import_study(copied, Store(tmp_path / "store"))
    file.with_name("more.safetensors").unlink()
    file.unlink()
    with pytest.raises(DamagedFile, match=rf"{file.name}: missing"):
        import_study(copied, Store(tmp_path / "store"))


CHANGES = {
    "another setting": (lambda job: job | {"job": job["job"].replace('"training_seed": ', '"training_seed": 1')}, "job.json"),
    "another result": (lambda job: job | {"result": job["result"].replace("completed", "diverged ")}, "result.json"),
    "another key": (lambda job: job | {"key": job["key"][:-1] + ("0" if job["key"][-1] != "0" else "1")}, "another job"),
    "a name outside": (lambda job: job | {"key": "../" + job["key"]}, "is no job"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES)
def test_a_job_that_does_not_follow_from_its_spec_is_refused_even_with_new_checksums(copied, tmp_path, change, said):
    first, *others = read_jobs(copied)
    assert first["kind"] == "train"
    changed = change(first)
    assert changed != first
    write_jobs(copied, [changed, *others])
    if changed["key"].startswith("train"):
        (copied / "files" / first["key"]).rename(copied / "files" / changed["key"])
        named = (copied / SUMS).read_text().replace(first["key"], changed["key"])
        (copied / SUMS).write_text(named)
    reseal(copied)
    store = Store(tmp_path / "store")
    with pytest.raises((DamagedFile, StoreError), match=said):
        import_study(copied, store)
    assert not [path for path in store.root.iterdir() if not path.name.startswith(".")]
    assert not list((store.root / ".partial").glob("import-*"))


def test_a_file_outside_the_job_is_refused(copied, tmp_path):
    first, *others = read_jobs(copied)
    first["manifest"] = json.dumps(json.loads(first["manifest"]) | {"../../outside": "0" * 64})
    write_jobs(copied, [first, *others])
    reseal(copied)
    with pytest.raises(DamagedFile, match="names a file outside"):
        import_study(copied, Store(tmp_path / "store"))


def test_a_job_without_its_inputs_is_refused(copied, tmp_path):
    write_jobs(copied, [job for job in read_jobs(copied) if job["kind"] != "stage"])
    reseal(copied)
    with pytest.raises(StoreError, match=r"its input stage, stage-.*is neither in the folder nor in the store"):
        import_study(copied, Store(tmp_path / "store"))


def test_without_models_the_report_is_whole_and_what_a_new_job_needs_is_made_again(study, tmp_path):
    folder, store = tmp_path / "light", Store(tmp_path / "store")
    export_study(study, folder)
    assert {path.name for path in (folder / "files").rglob("*.safetensors")} == {
        "scores.safetensors",
        "path.safetensors",
    }
    import_study(folder, store)
    jobs = list(study.plan.jobs.values())
    assert engine.run(jobs, store, workers=0) == 0
    path = next(job for job in jobs if job.kind == "unlearn")
    rows = next(job for job in jobs if job.kind == "evaluate" and path.key in job.inputs.values())
    before = (store.folder(rows.key) / "result.json").read_bytes()
    for job in (path, rows):
        store.discard(job.key)
    said: list[str] = []
    assert engine.run(jobs, store, workers=0, say=said.append) == 4  # the training and the stage, too
    assert [line.split(":")[0] for line in said if line.startswith("left out")] == ["left out"] * 2
    assert (store.folder(rows.key) / "result.json").read_bytes() == before


def test_models_come_to_a_store_that_was_imported_without_them(study, exported, tmp_path):
    store = Store(tmp_path / "store")
    export_study(study, tmp_path / "light")
    import_study(tmp_path / "light", store)
    without = [key for key in study.plan.jobs if store.left_out(key)]
    assert {key.split("-")[0] for key in without} == {"train", "stage", "oracle", "snapshot"}
    made = import_study(exported, store)
    assert made.jobs == len(without)
    assert contents(store, study.plan.jobs) == contents(study.store, study.plan.jobs)


def test_a_search_can_be_followed_where_it_is_imported_and_damage_is_named(tiny, tmp_path):
    study = run_study(tiny(*SEARCH), tmp_path / "run", tmp_path / "store", workers=0)
    assert study.plan.replaced
    assert export_study(study, tmp_path / "shared") == len(study.plan.every)
    import_study(tmp_path / "shared", Store(tmp_path / "imported"))
    again = StudyFolder.open(study.path, tmp_path / "imported")
    assert again.plan.every.keys() == study.plan.every.keys()
    first = next(path.rows for path in make_plan(study.recipe).paths)
    (again.store.folder(first) / "result.json").write_text("{}")
    with pytest.raises(DamagedFile, match=r"result\.json: does not match"):
        export_study(StudyFolder.open(study.path, again.store.root), tmp_path / "more")


def test_what_cannot_be_exported_or_imported_is_named(study, exported, tmp_path):
    with pytest.raises(RecipeError, match="is not empty; name a new folder"):
        export_study(study, exported)
    with pytest.raises(RecipeError, match=r"holds no exported study: it has no checksums\.json"):
        import_study(tmp_path, Store(tmp_path / "store"))
    elsewhere = StudyFolder.open(study.path, tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"jobs are missing, trajectory, base, seed 0 for instance"):
        export_study(elsewhere, tmp_path / "new")


def test_the_tables_load_with_datasets(study, exported, tmp_path):
    datasets = pytest.importorskip("datasets")
    names = datasets.get_dataset_config_names(str(exported))
    assert {"paths", "trajectories", "oracles", "transitions", "jobs"} <= set(names)

    def rows(name):
        return datasets.load_dataset(str(exported), name, split="train", cache_dir=str(tmp_path)).to_pandas()

    assert len(rows("paths")) == len(study.results.rows)
    assert rows("paths")["UA"].tolist() == study.results.rows["UA"].tolist()
    assert rows("trajectories")["step"].tolist() == study.results.curves["step"].tolist()
    assert rows("jobs")["key"].tolist() == list(study.plan.jobs)
